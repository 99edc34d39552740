# SPDX-License-Identifier: GPL-2.0
"""`make devices`: NVMe, virtio-blk and e1000e behind a bounce-buffer pool of 1 MB, on the base and on the series.

Each device of bases/BASE/devices/devices.toml has a boot of its own, in which devices.c moves data through it with
Debian's fio, or sends frames from one NIC to another, and compares all of it.
"""

import re
from dataclasses import dataclass, field

from harness import paths, ui
from harness.guest import guest, userspace
from harness.runs import lanes, sides

VALUES = {"compared": "devices.compared", "I/O errors": "devices.errors", "lost frames": "devices.lost",
          "corrupt": "devices.corrupt", "overflow buffers": "devices.overflow_total",
          "overflow buffers left": "devices.overflow_buffers", "overflow bytes": "devices.overflow_peak_bytes"}
# The kernel limits its messages, so these are counts of at least that many
LOG = {
    "I/O errors": [re.compile(r"I/O error, dev |blk_print_req_error: (\d+) callbacks suppressed")],
    "failed mappings": [re.compile(r"swiotlb buffer is full|swiotlb_tbl_map_single: (\d+) callbacks suppressed"),
                        re.compile(r"e1000e .* DMA map failed")],
}
SUITES = {"devices": 2}


@dataclass
class Device:
    """A row of devices.toml."""
    name: str
    rules: dict
    qemu: list
    disk: str = ""              # in the guest; "": two NICs
    about: str = ""
    boots: int = 1
    settings: dict = field(default_factory=dict)        # of the file
    amount: dict = field(default_factory=dict)


def devices(short):
    """{name: Device} of the base."""
    settings, rows = sides.load(paths.TOP / "bases" / paths.BASE / "devices/devices.toml", "device", Device)
    for device in rows.values():
        device.settings, device.amount = settings, settings["short" if short else "full"]
    return rows


def read(device, side, console, silent=False):
    """The Outcome of a boot, from its console."""
    come, booted = sides.outcome(device.name, side, console, SUITES, silent)
    sides.measured(come, console, booted, VALUES, LOG)
    figures = come.figures
    figures["MB compared"] = round(figures.pop("compared", 0) / 1e6, 1)
    if "overflow bytes" in figures:
        figures["overflow KB, at most"] = -(-figures.pop("overflow bytes") // 1024)
    sides.hold(come, console, device.settings, device.rules)
    if figures["failed mappings"]:
        come.problem(f"{figures['failed mappings']} failed mappings", "retried")
    return come


def build(composed, side):
    """Build a side's kernel, and the guest's user space."""
    side.build(composed)
    folder = lanes.out(side.run)
    init, program = (guest.program(side.arch, name, folder, folder / f"log/{name}.log") for name in ("init", "devices"))
    version, files = userspace.files(side.arch)
    files.append(("etc/devices.fio", paths.TOP / "harness/guest/devices.fio"))
    (folder / "initramfs").write_bytes(guest.initramfs(init, (), [program], files))
    ui.say(f"  with fio {version}")


def boot(device, side, _number):
    """Boot one side with one device; the Outcome."""
    folder, jobs, megabytes = lanes.out(side.run), device.settings["jobs"], device.amount["megabytes"]
    qemu, disk = [word for text in device.qemu for word in text.split()], folder / "disk"
    if device.disk:
        qemu = ["-drive", f"if=none,id=disk,format=raw,cache=unsafe,file={disk}", *qemu]
        with open(disk, "wb") as file:
            file.truncate(jobs * megabytes << 20)
    parameters = [*device.settings["boot"], f"DEVICE={device.disk or 'eth'}", f"JOBS={jobs}", f"SIZE={megabytes}m",
                  f"FRAMES={device.amount['frames']}"]
    try:
        return read(device, side.name, *side.boot(device.name, folder / "initramfs", parameters, qemu))
    finally:
        disk.unlink(missing_ok=True)


RUN = sides.Run("devices", "arm64", "DEVICE", devices, build, boot)
cmd_devices = RUN.command
