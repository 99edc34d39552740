# SPDX-License-Identifier: GPL-2.0
"""`make run`: one lane, the devices, and the windows of pseries, from nothing; the quickest way to see the series
at work. What a run proves is shown as soon as it is done, and a run's packages are installed only before it."""

from harness import paths, report, ui
from harness.runs import ddw, devices, lanes
from harness.runs.choice import Choice
from harness.runs.kunit import KernelRun
from harness.runs.loop import carry_out, every
from harness.series import compose
from harness.source import debian


def demonstration():
    """The runs, the quickest first."""
    first = next(iter(lanes.load().values()))
    return [KernelRun(first.kernel, Choice([first])), devices.run(rows="run"), ddw.run(short=True)]


def cmd_run():
    runs = demonstration()
    steps = ui.Steps("run", 1 + len(runs) + every(runs)[1])
    with steps.step(f"fetch Linux {paths.BASE} and compose the series"):
        composed = compose.prepare()
        composed.checkout(composed.tip, paths.tree_dir())
    reports = []
    for run in runs:
        with steps.step(f"look for packages for {run.name}"):
            debian.ensure(run.packages())
        reports += carry_out(run, steps, composed, show=True)
    return report.finish(reports)
