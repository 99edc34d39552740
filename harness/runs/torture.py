# SPDX-License-Identifier: GPL-2.0
"""`make torture`: lanes that load the torture module of the software IO TLB, for DURATION seconds of the guest.

torture.c in the guest loads it twice: the first run goes to its end, the second is unloaded in the middle.
`make test` has a short one.
"""

import os

from harness import paths, report, ui
from harness.guest import image, qemu
from harness.runs import lanes
from harness.series import compose
from harness.source import debian

DURATION = 120          # seconds, unless the user says something else
PARAMETERS = ["kunit.enable=0", "swiotlb_torture.relaxed=1"]
MODULE = "kernel/dma/swiotlb_torture.ko"
COLUMNS = ("bounced", "direct", "failed", "irq", "synced", "overflowed", "errors")


def duration(lane, usual=0):
    """Seconds: what the user says for all lanes, or `usual`, or those of the lane."""
    text = os.environ.get("DURATION") or str(usual or lane.torture)
    if not text.isdecimal() or not int(text):
        raise ui.Failure(f"DURATION={text} is no number of seconds", "make torture DURATION=600")
    return int(text)


def boot(lane, use="", seconds=0):
    """Boot a lane's kernel with the module, and return the Report, not yet judged."""
    build, arch, logs = paths.build_dir(lane.kernel.name, use), lane.kernel.arch, paths.log_dir(use)
    seconds = seconds or duration(lane)
    init, program = (image.program(arch, name, paths.out(use) / "guest", logs / f"{arch}.{name}.log")
                     for name in ("init", "torture"))
    initrd, log = build / "initramfs", logs / f"{lane.name}.console.log"
    initrd.write_bytes(image.initramfs(init, programs=[program], others=[("torture/swiotlb_torture.ko",
                                                                          build / MODULE)]))
    hung = qemu.start(arch, build, initrd, log, [*PARAMETERS, f"swiotlb_torture.duration={seconds}", *lane.boot],
                      [word for text in lane.qemu for word in text.split()], timeout=qemu.TIMEOUT + seconds)
    return report.guest(log.read_text(encoding="utf-8", errors="replace"), lane.name, ui.short(log), hung)


def table(results):
    """What each lane counted."""
    return report.table(("lane", *COLUMNS), [
        (result.lane, *(result.values().get(name, ("-",))[0] for name in COLUMNS)) for result in results])


def cmd_torture():
    """Build the kernels of the lanes that torture, and run each for a while."""
    known = {name: lane for name, lane in lanes.load(paths.BASE).items() if lane.torture}
    chosen = lanes.select(known, os.environ.get("LANES") or "all")
    seconds = [duration(lane, DURATION) for lane in chosen]
    kernels = {lane.kernel.name: lane.kernel for lane in chosen}
    steps = ui.Steps("torture", 2 + len(kernels) + len(chosen))
    with steps.step("look for packages"):
        debian.ensure(image.packages(sorted({kernel.arch for kernel in kernels.values()})))
    with steps.step("compose the series"):
        tip = compose.prepare()
        tip.checkout(tip.tip, paths.tree_dir())
    results = []
    for kernel in kernels.values():
        with steps.step(f"build {kernel.name}"):
            lanes.build(kernel)
        for lane, amount in zip(chosen, seconds):
            if lane.kernel is kernel:
                with steps.step(f"boot {lane.name} for {amount} s"):
                    results.append(report.judge(boot(lane, seconds=amount), lane.suites, lane.may_skip))
                    report.write(results[-1], paths.report_dir())
    ui.say()
    for line in table(results):
        ui.say(line)
    return report.finish(results)
