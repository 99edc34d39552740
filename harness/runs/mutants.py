# SPDX-License-Identifier: GPL-2.0
"""`make mutants`: break each property on purpose, and see that its test notices. See series/mutants.py for what a
mutant is; one that does not apply, build or run its suite shows nothing and is an error, too.

MUTANTS='swiotlb/* v7s/range-iova' chooses.
"""

from harness import paths, report, ui
from harness.runs import lanes, litmus, loop
from harness.runs.choice import matching
from harness.series import mutants as patches
from harness.series.mutants import LITMUS
from harness.source import kbuild

USE = "mutants"
TIMEOUT = 240           # seconds; a mutant may well hang, and no suite needs a tenth of this


def chosen(top, known):
    """All mutants, or those that MUTANTS= names; each has to be for a lane that there is."""
    every = patches.load(top)
    for mutant in every:
        if mutant.lane not in [*known, LITMUS]:
            raise ui.Failure(f"mutant {mutant.name} wants lane {mutant.lane}, which does not exist",
                             f"use one of {' '.join([*known, LITMUS])}")
    names = matching("MUTANTS", [mutant.name for mutant in every], "mutant")
    return [mutant for mutant in every if mutant.name in names]


def verdict(breaks, result, sound):
    """killed, survived or invalid, with a word on why. `sound` is the report of the unbroken tree."""
    if breaks == ["hang"]:
        return ("killed", "") if result.hung else ("survived", "the guest did not hang")
    if breaks == ["panic"]:
        panicked = any("Kernel panic" in why for why in
                       result.troubles() + [line for case in result.cases() for line in case.problems])
        return ("killed", "") if panicked else ("survived", "the guest did not panic")
    if not result.suites:
        return "invalid", "no suite came to run"
    for name in breaks:
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
    ran, whole = ([case for case in boot.cases() if case.suite == name.split(".")[0]] for boot in (result, sound))
    return next((case for case, same in zip(ran, whole) if same.full == name and case.name.startswith("case ")), None)


def patch(mutant, log):
    """Apply a mutant to the work tree, which holds nothing but the series."""
    ui.run(["patch", "-p1", "--fuzz=0", "--batch", "--no-backup-if-mismatch", "-i", mutant.path], log,
           cwd=paths.tree_dir(USE), name="patch")


def ties():
    """The report of the litmus tests that are tied to the code in the work tree."""
    return report.Report(LITMUS, suites=[litmus.ties(litmus.load(), paths.tree_dir(USE))], ended=True)


def hunt(mutant, lane, sound):
    """Build and boot one mutant: its verdict and the log to look at."""
    name = mutant.name.replace("/", "-")
    log = paths.log_dir(USE) / f"{name}.patch.log"
    try:
        patch(mutant, log)
        if mutant.lane == LITMUS:
            return (*verdict(mutant.breaks, ties(), sound), log)
        lanes.build(lane.kernel, USE, name)
    except ui.Failure as failure:
        return "invalid", failure.what, failure.log
    verdicts = []
    for suite in mutant.suites or [""]:
        breaks = [name for name in mutant.breaks if not suite or name.startswith(f"{suite}.")]
        result = lanes.boot(lane, USE, suite, f"{name}{'.' if suite else ''}{suite}", TIMEOUT)
        verdicts.append((*verdict(breaks, result, sound), result.log))
    return next((done for done in verdicts if done[0] != "killed"), verdicts[0])


def whole(name, lane):
    """The report of a lane on the unbroken tree, which has to pass."""
    if lane:
        lanes.build(lane.kernel, USE)
    sound = report.judge(lanes.boot(lane, USE), lane.suites, lane.may_skip) if lane else ties()
    if sound.count("failed"):
        for line in report.summary([sound]):
            ui.say(line)
        raise ui.Failure(f"lane {name} fails before anything is broken", "make test" if lane else "make litmus",
                         sound.log)
    return sound


def cmd_mutants():
    """First the series as it is has to pass; then each mutant has to fail."""
    known = lanes.load()
    mutants = chosen(paths.TOP, known)
    needed = {mutant.lane: known.get(mutant.lane) for mutant in mutants}
    packages = [*kbuild.packages(sorted({lane.kernel.arch for lane in needed.values() if lane})), "patch"]
    steps, composed = loop.begin("mutants", len(needed) + len(mutants), packages, paths.tree_dir(USE))
    patches.check(composed)
    sound = {}
    for name, lane in needed.items():
        with steps.step(f"{name}: the series as it is"):
            sound[name] = whole(name, lane)
    rows, bad = [], []
    for mutant in sorted(mutants, key=lambda mutant: list(needed).index(mutant.lane)):
        with steps.step(mutant.name):
            try:
                result, why, log = hunt(mutant, needed[mutant.lane], sound[mutant.lane])
            finally:
                composed.checkout(composed.tip, paths.tree_dir(USE))
        rows.append((mutant.name, mutant.lane, " ".join(mutant.breaks), result))
        ui.say(f"  {result}{': ' if why else ''}{why}")
        if result != "killed":
            bad.append(f"{result}: {mutant.name}: {mutant.property}\n    {why}"
                       + (f"\n    log: {ui.short(log)}" if log else ""))
    return report.show(("mutant", "lane", "breaks", "result"), rows, bad,
                       f"{len(rows) - len(bad)} killed, {len(bad)} survived or invalid")
