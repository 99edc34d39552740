# SPDX-License-Identifier: GPL-2.0
"""`make torture`: lanes that load the torture module of the software IO TLB, for DURATION seconds of the guest.

The guest loads it twice, see torture.c: the first run goes to its end, the second is unloaded in the middle.
`make test` has a short one.
"""

import os
import re

from harness import paths, ui
from harness.guest import guest
from harness.report import report
from harness.runs import lanes
from harness.source import debian

DURATION = 120
SUITE = "swiotlb_torture"
PARAMETERS = ["kunit.enable=0", "swiotlb_torture.relaxed=1"]
END = re.compile(r"swiotlb-torture: --- End of test: (\w+)")
ERROR = re.compile(r"swiotlb-torture: (!!! .*)")
STATS = re.compile(r"swiotlb-torture: (bounced: .*)")
FILE = re.compile(r"^torture: (\w+) (\d+)$", re.M)
LEFT = ("buffers", "bytes", "io_tlb_used")      # files that have to be zero in the end
COLUMNS = ("bounced", "direct", "failed", "irq", "synced", "overflowed", "errors")


def duration(lane):
    """Seconds: those of the lane, or what the user says for all."""
    text = os.environ.get("DURATION") or str(lane.torture)
    if not text.isdecimal() or not int(text):
        raise ui.Failure(f"DURATION={text} is no number of seconds", "make torture DURATION=600")
    return int(text)


def counted(console):
    """{name: number} of the first run's last line of statistics, and of the files in the end."""
    first = console.split("--- End of test", 1)[0]
    lines = STATS.findall(first)
    found = {name: int(number) for name, number in re.findall(r"(\w+): (\d+)", lines[-1] if lines else "")}
    files = {name: int(number) for name, number in FILE.findall(console)}
    return {**found, **files, "overflowed": files.get("total", 0)}


def parse(console, name, log=""):
    """The Report of a console: what the module said, and what was left behind."""
    console = "\n".join(report.STAMP.sub("", line.rstrip()) for line in console.splitlines())
    found, ends = counted(console), END.findall(console)
    cases = {case: report.Case(SUITE, case) for case in ("runs_to_its_end", "unloaded_in_the_middle",
                                                         "pool_overflows", "nothing_is_left")}
    for number, case in enumerate(("runs_to_its_end", "unloaded_in_the_middle")):
        if len(ends) <= number:
            cases[case].fail("the end of the test was not reached")
        elif ends[number] != "SUCCESS":
            text = console.split("--- End of test")[number]
            for line in ERROR.findall(text) or [ends[number]]:
                cases[case].fail(line)
    if not found["overflowed"]:
        cases["pool_overflows"].fail("no mapping got a transient buffer")
    for file in LEFT:
        if found.get(file) != 0:
            cases["nothing_is_left"].fail(f"{file}: {found.get(file, 'not to be read')}")
    suite = report.Suite(SUITE, len(cases), all(case.status == "passed" for case in cases.values()),
                         list(cases.values()))
    result = report.Report(name, str(log), [suite], ended=bool(report.END.search(console)))
    result.problems += [line for line in console.splitlines() if report.TROUBLE.search(line)]
    return result


def boot(lane, use=""):
    """Boot a lane's kernel with the module, and return the Report, not yet judged."""
    build, arch, seconds = lanes.build_dir(lane.kernel, use), lane.kernel.arch, duration(lane)
    log = lanes.log_dir(use) / f"{lane.name}.console.log"
    init, program = (guest.program(arch, name, lanes.out(use) / "guest", lanes.log_dir(use) / f"{arch}.{name}.log")
                     for name in ("init", "torture"))
    initrd = build / "initramfs"
    module = build / "kernel/dma/swiotlb_torture.ko"
    initrd.write_bytes(guest.initramfs(init, programs=[program], others=[("torture/swiotlb_torture.ko", module)]))
    parameters = [*PARAMETERS, f"swiotlb_torture.duration={seconds}", *lane.boot]
    problem = None
    try:
        guest.boot(arch, build, initrd, log, parameters, [word for text in lane.qemu for word in text.split()])
    except ui.Failure as failure:
        problem = failure.what
    result = parse(log.read_text(encoding="utf-8", errors="replace"), lane.name, ui.short(log))
    result.problems += [problem] if problem else []
    return result


def table(results):
    """What each lane counted."""
    rows = []
    for result in results:
        found = counted(open(result.log, encoding="utf-8", errors="replace").read().replace("\r", ""))
        rows.append((result.lane, *(found.get(name, 0) for name in COLUMNS)))
    return report.table(("lane", *COLUMNS), rows)


def cmd_torture():
    """Build the kernels of the lanes that torture, and run each for a while."""
    from harness.runs import commands
    known = {name: lane for name, lane in lanes.load(paths.BASE).items() if lane.torture}
    chosen = lanes.select(known, os.environ.get("LANES") or "all")
    os.environ.setdefault("DURATION", str(DURATION))
    kernels = {lane.kernel.name: lane.kernel for lane in chosen}
    steps = ui.Steps("torture", 2 + len(kernels) + len(chosen))
    with steps.step("look for packages"):
        debian.ensure(guest.packages(sorted({kernel.arch for kernel in kernels.values()})))
    with steps.step("compose the series"):
        tip = commands.prepare()
        tip.checkout(tip.tip, lanes.tree_dir())
    results = []
    for kernel in kernels.values():
        with steps.step(f"build {kernel.name}"):
            lanes.build(kernel)
        for lane in chosen:
            if lane.kernel is kernel:
                with steps.step(f"boot {lane.name} for {duration(lane)} s"):
                    results.append(lanes.run(lane))
    ui.say()
    for line in table(results):
        ui.say(line)
    return commands.finish(results)
