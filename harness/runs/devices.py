# SPDX-License-Identifier: GPL-2.0
"""`make devices`: NVMe, virtio-blk and e1000e behind a bounce-buffer pool of 1 MB, on the base and on the series.

Each device of bases/BASE/devices/devices.toml has a boot of its own, in which devices.c moves data through it with
Debian's fio, or sends frames from one NIC to another, and compares all of it.
"""

import re
from dataclasses import dataclass

from harness import paths, ui
from harness.guest import image, userspace
from harness.runs import sides
from harness.runs.choice import matching

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
    about: str
    qemu: list
    disk: str = ""              # in the guest; "": two NICs
    boots: int = 1


def read(device, settings, side, console, silent=False):
    """The Outcome of a boot, from its console."""
    come, booted = sides.outcome(device.name, side, console, SUITES, silent)
    sides.measured(come, console, booted, VALUES, LOG)
    come.figures = {"MB compared": round(come.figures.pop("compared", 0) / 1e6, 1), **come.figures}
    if "overflow bytes" in come.figures:
        come.figures["overflow KB at most"] = -(-come.figures.pop("overflow bytes") // 1024)
    sides.hold(come, console, settings, device.rules)
    if come.figures["failed mappings"]:
        come.problem(f"{come.figures['failed mappings']} failed mappings", "retried")
    return come


class Devices(sides.Run):
    def build(self, composed, side):
        self.build_kernel(composed, side)
        version, files = userspace.files(self.arch)
        files.append(("etc/devices.fio", paths.TOP / "harness/guest/devices.fio"))
        image.archive(self.arch, paths.out(self.name), programs=["devices"], others=files)
        ui.say(f"  with fio {version}")

    def boot(self, device, side, _number):
        folder, jobs, amount = paths.out(self.name), self.settings["jobs"], self.settings["amount"]
        qemu, disk = [word for text in device.qemu for word in text.split()], folder / "disk"
        if device.disk:
            qemu = ["-drive", f"if=none,id=disk,format=raw,cache=unsafe,file={disk}", *qemu]
            with open(disk, "wb") as file:
                file.truncate(jobs * amount["megabytes"] << 20)
        parameters = [*self.settings["boot"], f"DEVICE={device.disk or 'eth'}", f"JOBS={jobs}",
                      f"SIZE={amount['megabytes']}m", f"FRAMES={amount['frames']}"]
        try:
            return read(device, self.settings, side,
                        *self.boot_guest(side, device.name, folder / "initramfs", parameters, qemu))
        finally:
            disk.unlink(missing_ok=True)


def run(which=sides.SIDES, short=False):
    """The Run of all devices, or of those that DEVICE= names; `short` moves less data."""
    settings, rows = sides.load(paths.base_dir() / "devices/devices.toml", "device", Device)
    settings["amount"] = settings["short" if short else "full"]
    chosen = {name: rows[name] for name in matching("DEVICE", list(rows), "device")}
    return Devices("devices", "arm64", which, chosen, settings)


def cmd_devices():
    return run().command()
