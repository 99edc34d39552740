# SPDX-License-Identifier: GPL-2.0
"""`make mutants`: break each property on purpose, and see that its test notices.

A mutant is a patch series/<base>/mutants/NAME.patch to the composed tree, with a header:

    Property: what the broken line is there for
    Breaks: suite.case [suite.case ...]     every one of these has to fail; or `panic`, or `hang`
    Lane: a lane of lanes.toml; or `litmus`, which boots nothing: the litmus tests NAME that it breaks, as
        litmus.NAME, are no longer tied to the code (see ordering.py)

A mutant that does not apply, build or run its suite shows nothing and is an error, too.
"""

import os
import re
from dataclasses import dataclass

from harness import paths, ui
from harness.report import report
from harness.runs import lanes, litmus, ordering
from harness.source import debian, kbuild

USE = "mutants"
TIMEOUT = 240           # seconds; a mutant may well hang, and no suite needs a tenth of this
DRASTIC = ("panic", "hang")


@dataclass
class Mutant:
    """One patch and what it says about itself."""
    name: str
    path: object
    property: str
    breaks: list
    lane: str

    @property
    def suites(self):
        """The suites to boot; none means all."""
        return sorted({case.split(".")[0] for case in self.breaks if case not in DRASTIC})


def read(name, text, path=None):
    """A Mutant from the text of its patch."""
    header, found, _ = text.partition("\n--- ")
    fields = dict(re.findall(r"^(Property|Breaks|Lane): *(\S.*?) *$", header, re.M))
    missing = [key for key in ("Property", "Breaks", "Lane") if key not in fields]
    if missing or not found:
        raise ui.Failure(f"mutant {name} has no {', '.join(missing) or 'diff'}",
                         "compare with the comment at the top of harness/mutants.py")
    breaks = fields["Breaks"].replace(",", " ").split()
    wrong = [word for word in breaks if word not in DRASTIC and not re.fullmatch(r"[^.\s]+\.[^.\s]+", word)]
    if wrong or (len(breaks) > 1 and set(breaks) & set(DRASTIC)):
        raise ui.Failure(f"mutant {name} breaks `{fields['Breaks']}`",
                         "name cases as suite.case, or say panic or hang alone")
    if {word.startswith("litmus.") for word in breaks} != {fields["Lane"] == litmus.LANE}:
        raise ui.Failure(f"mutant {name} breaks `{fields['Breaks']}` in lane {fields['Lane']}",
                         "litmus tests are for lane litmus, and nothing else is")
    return Mutant(name, path, fields["Property"], breaks, fields["Lane"])


def load(known):
    """All mutants of the base, or those that MUTANTS= names."""
    folder = paths.TOP / "series" / paths.BASE / "mutants"
    found = [read(path.stem, path.read_text(encoding="utf-8"), path) for path in sorted(folder.glob("*.patch"))]
    for mutant in found:
        if mutant.lane not in [*known, litmus.LANE]:
            raise ui.Failure(f"mutant {mutant.name} wants lane {mutant.lane}, which does not exist",
                             f"use one of {' '.join([*known, litmus.LANE])}")
    names = os.environ.get("MUTANTS", "").replace(",", " ").split()
    unknown = set(names) - {mutant.name for mutant in found}
    if unknown or not found:
        raise ui.Failure(f"there is no mutant {' '.join(sorted(unknown))}".rstrip(), f"see {ui.short(folder)}")
    return [mutant for mutant in found if not names or mutant.name in names]


def verdict(mutant, result, sound):
    """killed, survived or invalid, with a word on why. `sound` is the report of the unbroken tree."""
    if mutant.breaks == ["hang"]:
        return ("killed", "") if result.hung else ("survived", "the guest did not hang")
    if mutant.breaks == ["panic"]:
        panicked = any("Kernel panic" in why for why in
                       result.troubles() + [line for case in result.cases() for line in case.problems])
        return ("killed", "") if panicked else ("survived", "the guest did not panic")
    if not result.suites:
        return "invalid", "no suite came to run"
    for name in mutant.breaks:
        if sound.find(name) is None:
            return "invalid", f"there is no case {name}"
        case = result.find(name) or crashed(name, result, sound)
        if case is None:
            return "invalid", f"{name} did not run"
        if case.status == "skipped":
            return "invalid", f"{name} skipped: {case.reason}"
        if case.status != "failed":
            return "survived", f"{name} passed"
    return "killed", ""


def crashed(name, result, sound):
    """The case of that name if it is the one in which the guest ended without having said its name."""
    for suite in result.suites:
        position = next((i for i, case in enumerate(suite.cases) if re.match(r"case \d+ of ", case.name)), None)
        before = next((other for other in sound.suites if other.name == suite.name), None)
        if position is not None and before and position < len(before.cases) \
                and before.cases[position].full == name:
            return suite.cases[position]
    return None


def patch(mutant):
    """Apply a mutant to the work tree, which holds nothing but the series."""
    ui.run(["patch", "-p1", "--fuzz=0", "--batch", "--no-backup-if-mismatch", "-i", mutant.path],
           lanes.log_dir(USE) / f"{mutant.name}.patch.log", cwd=lanes.tree_dir(USE), name="patch")


def ties(tests, top):
    """{litmus.NAME: what differs between that litmus test and the code below `top`}."""
    return {f"litmus.{name}": ordering.untied(name, text, top) for name, text in tests.items()}


def untied(mutant, found):
    """killed, survived or invalid, for a mutant of the litmus lane; `found` is of ties()."""
    for name in mutant.breaks:
        if name not in found:
            return "invalid", f"there is no {name}"
        if not found[name]:
            return "survived", f"{name} agrees with the code"
    return "killed", ""


def hunt(mutant, lane, sound):
    """Build and boot one mutant: its verdict and the log to look at."""
    try:
        patch(mutant)
        if mutant.lane == litmus.LANE:
            return (*untied(mutant, ties(litmus.load(), lanes.tree_dir(USE))),
                    lanes.log_dir(USE) / f"{mutant.name}.patch.log")
        lanes.build(lane.kernel, USE)
    except ui.Failure as failure:
        return "invalid", failure.what, failure.log
    verdicts = []
    for suite in mutant.suites or [""]:
        mine = Mutant(mutant.name, mutant.path, mutant.property,
                      [name for name in mutant.breaks if not suite or name.startswith(f"{suite}.")], mutant.lane)
        result = lanes.boot(lane, USE, suite, f"{mutant.name}{'.' if suite else ''}{suite}", TIMEOUT)
        verdicts.append((*verdict(mine, result, sound), result.log))
    return next((found for found in verdicts if found[0] != "killed"), verdicts[0])


def whole(name, lane):
    """The report of a lane on the unbroken tree, which has to pass; there is none for litmus tests."""
    if name == litmus.LANE:
        wrong = [f"{test}: {why}" for test, found in ties(litmus.load(), lanes.tree_dir(USE)).items() for why in found]
        if wrong:
            raise ui.Failure(f"lane {name} fails before anything is broken: {wrong[0]}", "make litmus")
        return None
    lanes.build(lane.kernel, USE)
    found = report.judge(lanes.boot(lane, USE), lane.suites, lane.may_skip)
    if found.count("failed"):
        for line in report.summary([found]):
            ui.say(line)
        raise ui.Failure(f"lane {name} fails before anything is broken", "make test", found.log)
    return found


def cmd_mutants():
    """First the series as it is has to pass; then each mutant has to fail."""
    from harness.series import series
    known = lanes.load(paths.BASE)
    mutants = load(known)
    needed = {mutant.lane: known.get(mutant.lane) for mutant in mutants}
    steps = ui.Steps("mutants", 2 + len(needed) + len(mutants))
    with steps.step("look for packages"):
        debian.ensure([*kbuild.packages(sorted({lane.kernel.arch for lane in needed.values() if lane})), "patch"])
    with steps.step("compose the series"):
        tip = series.prepare(paths.BASE)
        tip.checkout(tip.tip, lanes.tree_dir(USE))
    sound = {}
    for name, lane in needed.items():
        with steps.step(f"{name}: the series as it is"):
            sound[name] = whole(name, lane)
    rows, bad = [], []
    try:
        for mutant in sorted(mutants, key=lambda mutant: list(needed).index(mutant.lane)):
            with steps.step(mutant.name):
                found, why, log = hunt(mutant, needed[mutant.lane], sound[mutant.lane])
                tip.checkout(tip.tip, lanes.tree_dir(USE))
            rows.append((mutant.name, mutant.lane, " ".join(mutant.breaks), found))
            ui.say(f"  {found}{': ' if why else ''}{why}")
            if found != "killed":
                bad.append(f"{found}: {mutant.name}: {mutant.property}\n    {why}\n    log: {ui.short(log)}")
    finally:
        tip.checkout(tip.tip, lanes.tree_dir(USE))
    ui.say()
    for line in [*report.table(("mutant", "lane", "breaks", "result"), rows), *bad]:
        ui.say(line)
    ui.say(f"{len(rows) - len(bad)} killed, {len(bad)} survived or invalid")
    return 1 if bad else 0
