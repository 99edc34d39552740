# SPDX-License-Identifier: GPL-2.0
"""`make test`: everything that has to pass before a commit: the harness's tests, the series, the lanes.

LANES=, PART=, SUITE= and CASE= choose; then the chosen lanes are all that runs.
"""

import re
import sys

from harness import paths, report, ui
from harness.runs import choice, ddw, devices, lanes, litmus, verify
from harness.runs.kunit import kernel_runs
from harness.runs.loop import carry_out, every
from harness.series import compose
from harness.source import debian

# Runs without lanes, and the part that they test. Only the series is looked at, and that briefly.
OTHERS = {"devices": (devices, "swiotlb"), "ddw": (ddw, "ddw")}


def chosen():
    """(Choice, its runs)."""
    known = lanes.load()
    found = choice.read(known, {name: part for name, (_, part) in OTHERS.items()})
    return found, kernel_runs(found) + [OTHERS[name][0].run(["series"], short=True) for name in found.others]


def cmd_test():
    """The exit status: 0 if something passed and nothing failed."""
    found, runs = chosen()
    needed, count = every(runs)
    steps = ui.Steps("test", 2 + 3 * found.everything + count)
    with steps.step("look for packages"):
        debian.ensure(needed)
    passed, failed, reports = 0, 0, []
    try:
        if found.everything:
            with steps.step("test the harness"):
                passed, failed = own_tests()
        with steps.step(f"fetch Linux {paths.BASE} and compose the series"):
            composed = compose.prepare()
            composed.checkout(composed.tip, paths.tree_dir())
        if found.everything:
            with steps.step("verify the patches"):
                good, bad = verify.verify(composed)
                passed, failed = passed + good, failed + bad
            with steps.step("run the litmus tests"):
                reports.append(litmus.run(paths.tree_dir()))
    except ui.Failure as failure:
        ui.say(str(failure))
        return report.finish([], passed, failed + 1)
    reports += [result for run in runs for result in carry_out(run, steps, composed)]
    status = report.finish(reports, passed, failed)
    if found.everything and composed.recorded and not status:     # `make am` says of no other tree that it is tested
        (paths.base_dir() / "tested").write_text(f"{composed.commits[-1].tree}\n", encoding="ascii")
    return status


def own_tests():
    """Run the harness's unit tests, in a process without the user's choices; the log is shown only if one fails."""
    log = paths.OUT / "log/harness-tests.log"
    status = ui.run([sys.executable, "-B", "-m", "unittest", "discover", "-s", "harness/tests", "-t", "."], log,
                    cwd=paths.TOP, env=dict.fromkeys(choice.VARIABLES, ""), check=False, name="unit tests")
    text = log.read_text(encoding="utf-8", errors="replace")
    passed, failed = counts(text, status)
    for line in re.findall(r"^(?:FAIL|ERROR): .*", text, re.M):
        ui.say(f"  {line}")
    if failed:
        ui.say(f"  log: {ui.short(log)}")
    return passed, failed


def counts(text, status):
    """(passed, failed) of what unittest has printed; a run that says nothing of the kind has failed."""
    ran = re.search(r"^Ran (\d+) tests? in ", text, re.M)
    numbers = {name: int(number) for name, number in re.findall(r"(\w[\w ]*)=(\d+)", ui.last_lines(text, 1))}
    skipped = numbers.pop("skipped", 0) + numbers.pop("expected failures", 0)
    failed = sum(numbers.values()) or int(not ran or status != 0)
    return max(int(ran[1]) - failed - skipped, 0) if ran else 0, failed
