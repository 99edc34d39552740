# SPDX-License-Identifier: GPL-2.0
"""Lanes that load the torture module of the software IO TLB, for DURATION seconds of the guest.

torture.c in the guest loads it twice: the first run goes to its end, the second is unloaded in the middle.
`make test` has a short one, `make torture` a long one.
"""

import os
import re

from harness import paths, report, ui
from harness.guest import image, qemu

DURATION = 120          # seconds of `make torture`, unless the user says something else
LONGEST = 7 * 86400
PARAMETERS = ["kunit.enable=0", "swiotlb_torture.relaxed=1"]
MODULE = "kernel/dma/swiotlb_torture.ko"
COLUMNS = ("bounced", "direct", "failed", "irq", "synced", "overflowed", "errors")


def duration(lane, usual=0):
    """Seconds: what the user says for all lanes, or `usual`, or those of the lane."""
    text = os.environ.get("DURATION") or str(usual or lane.torture)
    if not re.fullmatch("[0-9]{1,6}", text) or not 0 < int(text) <= LONGEST:
        raise ui.Failure(f"DURATION={text} is no number of seconds up to a week, {LONGEST}",
                         "make torture DURATION=600")
    return int(text)


def boot(lane, seconds):
    """Boot a lane's kernel with the module, and return the Report, not yet judged."""
    build, arch, log = paths.build_dir(lane.kernel.name), lane.kernel.arch, paths.log_dir() / f"{lane.name}.console.log"
    initrd = image.archive(arch, paths.OUT / "guest", programs=["torture"],
                           others=[("torture/swiotlb_torture.ko", build / MODULE)])
    hung = qemu.start(arch, build, initrd, log, [*PARAMETERS, f"swiotlb_torture.duration={seconds}", *lane.boot],
                      lane.arguments(), timeout=qemu.TIMEOUT + seconds)
    return report.guest(log.read_text(encoding="utf-8", errors="replace"), lane.name, ui.short(log), hung)


def table(results):
    """What each lane counted."""
    return report.table(("lane", *COLUMNS), [
        (result.lane, *(result.values().get(name, ("-",))[0] for name in COLUMNS)) for result in results])
