# SPDX-License-Identifier: GPL-2.0
"""A kernel and the lanes that boot it, as a run (see loop.py)."""

from harness import ui
from harness.guest import image
from harness.report import Report
from harness.runs import lanes, torture
from harness.source import kbuild


class KernelRun:
    """Build a kernel once, and boot it in each of its lanes."""

    def __init__(self, kernel, choice):
        self.name, self.kernel, self.case = kernel.name, kernel, choice.case
        self.boots = [(lane, glob, suites) for lane in choice.lanes if lane.kernel is kernel
                      for glob, suites in choice.boots(lane)]
        self.seconds = [torture.duration(lane) for lane, _, _ in self.boots if lane.torture]     # a wrong one is told now

    def packages(self):
        """Debian packages that it needs."""
        return (image if self.seconds else kbuild).packages([self.kernel.arch])

    def steps(self):
        """How many steps measure() takes."""
        return 1 + len(self.boots)

    def measure(self, steps, composed):
        """The reports, judged, of all boots; the work tree is the caller's to fill."""
        with steps.step(f"build {self.name}"):
            lanes.build(self.kernel)
        reports = []
        for lane, glob, suites in self.boots:
            with steps.step(f"boot {lane.name}{f', {glob}' if glob else ''}"):
                reports.append(self.boot(lane, glob, suites))
        return reports

    def boot(self, lane, glob, suites):
        """One boot; if it cannot even begin, that is in its report."""
        name = f"{lane.name}.{glob}".replace("*", "") if glob else lane.name
        try:
            booted = torture.boot(lane) if lane.torture else lanes.boot(lane, glob=glob, name=name)
        except ui.Failure as failure:
            booted = Report(name, ui.short(failure.log) if failure.log else "", problems=[failure.what])
        return lanes.judge(lane, booted, suites, self.case)

    def reports(self, measured):
        """What measure() gave."""
        return measured

    def table(self, measured):
        """What the cases prove, for people."""
        return [f"  {proof}" for report in measured for case in report.cases() for proof in case.proofs]


def kernel_runs(choice):
    """A run for each kernel, in the order of the lanes."""
    kernels = {lane.kernel.name: lane.kernel for lane in choice.lanes}
    return [KernelRun(kernel, choice) for kernel in kernels.values()]
