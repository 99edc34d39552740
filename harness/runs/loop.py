# SPDX-License-Identifier: GPL-2.0
"""Runs: what `make run` and `make test` build and boot, one after the other.

A run is an object with

    name                        what it is called if it breaks off
    packages()                  Debian packages that it needs
    steps()                     how many steps measure() takes
    measure(steps, composed)    builds and boots, with the numbered steps of the user; (judged Reports, lines to print)
"""

from harness import paths, ui
from harness.report import Report
from harness.series import compose
from harness.source import debian


def broken_off(name, failure):
    """The report of something that could not be done."""
    return Report(name, ui.short(failure.log) if failure.log else "", problems=[failure.what])


def begin(title, count, packages, tree=None):
    """The first two steps of a command, which has `count` more; (Steps, the series, which is put into `tree`)."""
    steps = ui.Steps(title, 2 + count)
    with steps.step("look for packages"):
        debian.ensure(packages)
    with steps.step(f"fetch Linux {paths.BASE} and compose the series"):
        composed = compose.prepare()
        if tree:
            composed.checkout(composed.tip, tree)
    return steps, composed


def carry_out(run, steps, composed, show=False):
    """The reports of a run; one that breaks off is a report that failed. `show` prints its lines at once."""
    end = steps.count + run.steps()
    try:
        reports, lines = run.measure(steps, composed)
        for line in ["", *lines, ""] if show else ():
            ui.say(line)
    except ui.Failure as failure:
        ui.say(str(failure))
        reports = [broken_off(run.name, failure)]
    steps.count = end
    return reports


def every(runs):
    """The packages of all runs, and how many steps they take."""
    return list(dict.fromkeys(name for run in runs for name in run.packages())), sum(run.steps() for run in runs)
