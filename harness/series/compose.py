# SPDX-License-Identifier: GPL-2.0
"""Today's series/ by way of the interface that composing by parts will have; to be replaced by that."""

import copy
import re
from dataclasses import dataclass

from harness import paths
from harness.series import series as files
from harness.source import base as bases

FIRST = {"slab": 1, "v7s": 7, "swiotlb": 16, "ddw": 25}         # the number of each part's first commit


@dataclass(frozen=True)
class Part:
    """A part and its commits."""
    name: str
    needs: list
    ids: list


def part_and_name(old):
    """part/name of a commit or mutant that is called NN-part-name today."""
    number, _, name = old.partition("-")
    part = [part for part, first in FIRST.items() if first <= int(number)][-1]
    return f"{part}/{re.sub(f'^{part}-', '', name)}"


@dataclass(frozen=True)
class Commit:
    """One commit, called part/name."""
    id: str
    commit: str
    tree: str

    @property
    def part(self):
        """Its part."""
        return self.id.split("/")[0]

    @property
    def name(self):
        """Its name within the part."""
        return self.id.split("/")[1]


class Composed:
    """See the brief of the interface; everything else is as it was."""

    def __init__(self, composed):
        self.old = composed
        self.base, self.release, self.series = composed.base, composed.release, copy.copy(composed.series)
        self.base_commit, self.tip, self.recorded = composed.base_commit, composed.tip, composed.recorded
        self.checkout, self.touched = composed.checkout, composed.touched
        self.commits = [Commit(part_and_name(commit.id), commit.commit, commit.tree) for commit in composed.commits]
        self.series.messages = {part_and_name(old): message for old, message in self.series.messages.items()}
        for message in self.series.messages.values():
            message.fixes = re.findall(r"^Fixes: .*$", message.text, re.M)
        self.series.parts = parts_of([commit.id for commit in self.commits])

    def parent(self, commit):
        """The commit before one of `commits`."""
        position = self.commits.index(commit)
        return self.commits[position - 1].commit if position else self.base_commit

    def mails(self):
        """[(commit, bytes of its patch file)]."""
        patches = [data for name, data in sorted(self.old.patches().items()) if name.endswith(".patch")]
        return list(zip(self.commits, patches, strict=True))


def parts_of(ids):
    """{name: Part}."""
    found = {}
    for name in ids:
        part = name.split("/")[0]
        found.setdefault(part, Part(part, [], [])).ids.append(name)
    return found


def prepare(base_name=None, parts=None):
    """Fetch the base, read series/ and compose it."""
    base = bases.load(base_name or paths.BASE)
    series = files.Series(paths.TOP, base.name)
    if parts is not None:
        series.ids = [old for old in series.ids if part_and_name(old).split("/")[0] in parts]
    return Composed(series.compose(base, base.fetch()))


def cmd_series():
    """make series; the composed series."""
    files.cmd_series()
    return prepare()
