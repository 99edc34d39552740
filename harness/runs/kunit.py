# SPDX-License-Identifier: GPL-2.0
"""A kernel and the lanes that boot it, as a run (see loop.py); `make torture` boots those that torture it."""

import os

from harness import paths, report, ui
from harness.guest import image
from harness.runs import lanes, loop, torture
from harness.runs.choice import Choice
from harness.source import kbuild


class KernelRun:
    """Build a kernel once, and boot it in each of its lanes."""

    def __init__(self, kernel, choice, seconds=0):
        self.name, self.kernel, self.case = kernel.name, kernel, choice.case
        self.boots = [(lane, glob, suites) for lane in choice.lanes if lane.kernel is kernel
                      for glob, suites in choice.boots(lane)]
        # a wrong DURATION= is told now
        self.seconds = {lane.name: torture.duration(lane, seconds) for lane, _, _ in self.boots if lane.torture}

    def packages(self):
        return (image if self.seconds else kbuild).packages([self.kernel.arch])

    def steps(self):
        return 1 + len(self.boots)

    def measure(self, steps, _composed):
        """The reports of all boots, and what their cases prove; the work tree is the caller's to fill."""
        with steps.step(f"build {self.name}"):
            lanes.build(self.kernel)
        reports = []
        for lane, glob, suites in self.boots:
            seconds = self.seconds.get(lane.name)
            with steps.step(f"boot {lane.name}{f', {glob}' if glob else ''}{f' for {seconds} s' if seconds else ''}"):
                reports.append(self.boot(lane, glob, suites))
        return reports, [f"  {proof}" for result in reports for case in result.cases() for proof in case.proofs]

    def boot(self, lane, glob, suites):
        """One boot; if it cannot even begin, that is in its report."""
        name = f"{lane.name}.{glob}".replace("*", "") if glob else lane.name
        try:
            if lane.torture:
                booted = torture.boot(lane, self.seconds[lane.name])
            else:
                booted = lanes.boot(lane, glob=glob, name=name)
        except ui.Failure as failure:
            booted = loop.broken_off(name, failure)
        return lanes.judge(lane, booted, suites, self.case)


def kernel_runs(choice, seconds=0):
    """A run for each kernel, in the order of the lanes."""
    kernels = {lane.kernel.name: lane.kernel for lane in choice.lanes}
    runs = [KernelRun(kernel, choice, seconds) for kernel in kernels.values()]
    if os.environ.get("DURATION") and not any(found.seconds for found in runs):
        raise ui.Failure("DURATION= is for lanes that torture, and none is chosen", "leave it out")
    return runs


def cmd_torture():
    """Build the kernels of the lanes that torture, run each lane for a while, and show what it counted."""
    known = {name: lane for name, lane in lanes.load().items() if lane.torture}
    runs = kernel_runs(Choice(lanes.select(known, os.environ.get("LANES") or "all")), torture.DURATION)
    packages, count = loop.every(runs)
    steps, composed = loop.begin("torture", count, packages, paths.tree_dir())
    results = [result for run in runs for result in loop.carry_out(run, steps, composed)]
    for line in ["", *torture.table(results)]:
        ui.say(line)
    return report.finish(results)
