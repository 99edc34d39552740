# SPDX-License-Identifier: GPL-2.0
"""What the user wants of `make test`: LANES=, PART=, SUITE= and CASE=; and of other commands: PATCHES=, MUTANTS= and
the like. All of it is checked before anything is built."""

import fnmatch
import os
import re
from dataclasses import dataclass, field

from harness import paths, ui
from harness.runs import lanes

SUITES = re.compile(r"\bstruct kunit_suite \w+ = \{\s*\.name = \"(\w+)\"")
CASES = re.compile(r"\bKUNIT_CASE\w*\(\s*(\w+)")
# What the user may choose with
VARIABLES = ("LANES", "LANE", "PART", "SUITE", "CASE", "PATCHES", "MUTANTS", "MUTATIONS", "FIX", "BREAKS", "DURATION",
             "TREE", "DEVICE", "SCENARIO", "SIGNOFF")
SHOWN = 200              # names in a message
SOURCES = ("arch", "drivers", "kernel", "lib", "mm")        # folders that have tests


def matching(variable, names, what):
    """Those of `names` that a variable of the environment gives, with wildcards; all if it gives none."""
    globs = os.environ.get(variable, "").replace(",", " ").split() or ["*"]
    for glob in globs:
        if not any(fnmatch.fnmatchcase(name, glob) for name in names):
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            raise ui.Failure(f"there is no {what} {glob}".replace(" *", ""),
                             f"{variable}= takes some of: {' '.join(names[:SHOWN])}{more}")
    return [name for name in names if any(fnmatch.fnmatchcase(name, glob) for glob in globs)]


@dataclass
class Choice:
    """Lanes, and what of them; the rest of `make test` runs only if nothing was left out."""
    lanes: list
    part: str = ""
    suite: str = ""
    case: str = ""
    others: list = field(default_factory=list)      # runs without lanes, by the name of their suite
    everything: bool = True

    def suites(self, lane):
        """The suites of a lane that were chosen, with their number of cases."""
        return {name: 1 if self.case else count for name, count in lane.suites.items()
                if self.takes(lane.parts[name], name)}

    def takes(self, part, suite):
        return self.part in ("", part) and self.suite in ("", suite)

    def boots(self, lane):
        """[(glob for the lane's kernel, what has to come out)] for the suites that were chosen."""
        chosen = self.suites(lane)
        if self.case:
            return [(self.case, chosen)]
        if len(chosen) == len(lane.suites):
            return [("", chosen)]
        common = os.path.commonprefix(list(chosen))
        others = [name for name in lane.suites if name not in chosen]
        if len(chosen) > 1 and common and not any(name.startswith(common) for name in others):
            return [(f"{common}*", chosen)]
        return [(name, {name: count}) for name, count in chosen.items()]


def cases(top, suite):
    """The names of the KUnit cases of a suite, which has a file of its own."""
    for path in (path for folder in SOURCES for path in (top / folder).rglob("*.c")):
        text = path.read_text(encoding="utf-8")
        if suite in SUITES.findall(text):
            return set(CASES.findall(text))
    return set()


def words(parts):
    """(PART, SUITE, CASE), which exist; a case names its suite. `parts` has the part of each suite."""
    part, suite, case = (os.environ.get(name, "").strip() for name in ("PART", "SUITE", "CASE"))
    if case:
        if not re.fullmatch(r"\w+\.\w+", case):
            raise ui.Failure(f"CASE={case} is not of the form suite.case",
                             "make test CASE=arm_v7s.each_size_maps_and_unmaps")
        whole = case.split(".")[0]
        if suite not in ("", whole):
            raise ui.Failure(f"CASE={case} is not in SUITE={suite}", "leave SUITE out")
        suite = whole
    if part and part not in parts.values():
        raise ui.Failure(f"PART={part} has no tests", f"use one of {' '.join(dict.fromkeys(parts.values()))}")
    if suite and suite not in parts:
        raise ui.Failure(f"there is no suite {suite}", f"use one of {' '.join(parts)}")
    if part and suite and parts[suite] != part:
        raise ui.Failure(f"suite {suite} tests part {parts[suite]}, not {part}", "leave PART out")
    if case and case.split(".")[1] not in cases(paths.TOP, suite):
        raise ui.Failure(f"there is no KUnit case {case}", f"see the KUNIT_CASE lines of suite {suite}")
    return part, suite, case


def read(known, others):
    """The Choice among the known lanes and the other runs ({name of its suite: part})."""
    parts = {suite: part for lane in known.values() for suite, part in lane.parts.items()} | others
    part, suite, case = words(parts)
    names = os.environ.get("LANES", "").strip()
    named = names not in ("", "all")
    choice = Choice(lanes.select(known, names), part, suite, case, [], not (part or suite or case or named))
    choice.others = [name for name in others if choice.takes(parts[name], name) and not named and not case]
    some = [lane for lane in choice.lanes if choice.suites(lane)]
    if not some and not names:                      # only lanes outside of the default run have it
        some = [lane for lane in known.values() if choice.suites(lane)]
    if case:
        some = [lane for lane in some if not lane.torture]
        whole = [lane for lane in some if case not in lane.may_skip]
        some = some if names else (whole or some)[:1]
    choice.lanes = some
    if not some and not choice.others:
        raise ui.Failure("no lane has what was chosen", "leave LANES out, or name one that runs it (lanes.toml)")
    return choice
