# SPDX-License-Identifier: GPL-2.0
"""Mutants: patches to the composed tree, each of which breaks one property on purpose.

series/<part>/mutants/NAME.patch is called part/NAME, and has a header:

    Property: what the broken line is there for
    Breaks: suite.case [suite.case ...]     every one of these has to fail; or `panic`, or `hang`
    Lane: a lane of lanes.toml; or `litmus`, which boots nothing: the litmus tests NAME that it breaks, as
        litmus.NAME, are no longer tied to the code (see ordering.py)
"""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness import git
from harness.ui import Failure

DRASTIC = ("panic", "hang")
LITMUS = "litmus"


@dataclass
class Mutant:
    """One patch and what it says about itself."""
    name: str
    path: Path
    property: str
    breaks: list
    lane: str

    @property
    def suites(self):
        """The suites to boot; none means all."""
        return sorted({case.split(".")[0] for case in self.breaks if case not in DRASTIC})


def read(name, text, path=None):
    """A Mutant from the text of its patch."""
    header, diff, _ = text.partition("\n--- ")
    fields = dict(re.findall(r"^(Property|Breaks|Lane): *(\S.*?) *$", header, re.M))
    missing = [key for key in ("Property", "Breaks", "Lane") if key not in fields]
    if missing or not diff:
        raise Failure(f"mutant {name} has no {', '.join(missing) or 'diff'}",
                      "compare with the comment at the top of harness/series/mutants.py")
    breaks = fields["Breaks"].replace(",", " ").split()
    wrong = [word for word in breaks if word not in DRASTIC and not re.fullmatch(r"[^.\s]+\.[^.\s]+", word)]
    if wrong or (len(breaks) > 1 and set(breaks) & set(DRASTIC)):
        raise Failure(f"mutant {name} breaks `{fields['Breaks']}`",
                      "name cases as suite.case, or say panic or hang alone")
    if {word.startswith(f"{LITMUS}.") for word in breaks} != {fields["Lane"] == LITMUS}:
        raise Failure(f"mutant {name} breaks `{fields['Breaks']}` in lane {fields['Lane']}",
                      "litmus tests are for lane litmus, and nothing else is")
    return Mutant(name, path, fields["Property"], breaks, fields["Lane"])


def files(top):
    """{part/name: path}."""
    return {f"{path.parent.parent.name}/{path.stem}": path
            for path in sorted(Path(top).glob("series/*/mutants/*.patch"))}


def load(top):
    """All mutants."""
    found = [read(name, path.read_text(encoding="utf-8"), path) for name, path in files(top).items()]
    if not found:
        raise Failure("there are no mutants", "see series/<part>/mutants/")
    return found


def check(composed):
    """Every mutant can be read, and applies to the composed tree."""
    with tempfile.TemporaryDirectory() as tmp:
        repo = composed.base.repo.with_env(GIT_INDEX_FILE=f"{tmp}/index")
        repo.raw("read-tree", composed.tip)
        for mutant in load(composed.series.top):
            done = repo.apply(mutant.path.read_bytes(), "--check")
            if done.returncode:
                raise Failure(f"mutant {mutant.name} does not apply: {git.complaint(done)[0]}",
                              f"adapt {mutant.path.relative_to(composed.series.top)} to the code as it is now")
