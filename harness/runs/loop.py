# SPDX-License-Identifier: GPL-2.0
"""Runs: what `make run` and `make test` build and boot, one after the other.

A run is an object with

    name                        what it is called if it breaks off
    packages()                  Debian packages that it needs
    steps()                     how many steps measure() takes
    measure(steps, composed)    builds and boots, with the numbered steps of the user, and returns what came of it
    reports(measured)           that as Reports, judged
    table(measured)             that as lines to print
"""

from harness import ui
from harness.report import Report


def carry_out(run, steps, composed, show=False):
    """The reports of a run; one that breaks off is a report that failed. `show` prints its table at once."""
    end = steps.count + run.steps()
    try:
        measured = run.measure(steps, composed)
    except ui.Failure as failure:
        ui.say(str(failure))
        reports = [Report(run.name, ui.short(failure.log) if failure.log else "", problems=[failure.what])]
    else:
        reports = run.reports(measured)
        for line in ["", *run.table(measured), ""] if show else ():
            ui.say(line)
    steps.count = end
    return reports


def every(runs):
    """The packages of all runs, and how many steps they take."""
    return list(dict.fromkeys(name for run in runs for name in run.packages())), sum(run.steps() for run in runs)
