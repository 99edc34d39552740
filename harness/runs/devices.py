# SPDX-License-Identifier: GPL-2.0
"""`make devices`: NVMe, virtio-blk and e1000e behind a bounce-buffer pool, on the base and on the series.

Each row of bases/BASE/devices/devices.toml has a boot of its own, in which devices.c moves data through its device with
Debian's fio, or sends frames from one NIC to another, and compares all of it.
"""

import itertools
import re
from dataclasses import dataclass, field

from harness import paths, ui
from harness.guest import image, kernel, userspace
from harness.runs import sides
from harness.runs.choice import matching

VALUES = {"compared": "devices.compared", "I/O errors": "devices.errors", "lost frames": "devices.lost",
          "corrupt": "devices.corrupt", "pool slots": "devices.pool_slots",
          "overflow buffers": "devices.overflow_total", "overflow buffers left": "devices.overflow_buffers",
          "overflow bytes": "devices.overflow_peak_bytes"}
# The kernel limits its messages, so these are counts of at least that many
LOG = {
    "I/O errors": [re.compile(r"I/O error, dev |blk_print_req_error: (\d+) callbacks suppressed")],
    "failed mappings": [re.compile(r"swiotlb buffer is full|swiotlb_tbl_map_single: (\d+) callbacks suppressed"),
                        re.compile(r"e1000e .* DMA map failed")],
}
SUITES = {"devices": 2}
MARK, MODULE = paths.TOP / "harness/guest/untrusted", "untrusted.ko"
AXES = ("device", "place", "pool", "pages")


@dataclass
class Table:
    """A table of devices.toml, of any axis; see the comment at its top."""
    name: str
    rules: dict
    about: str
    qemu: list = field(default_factory=list)
    boot: list = field(default_factory=list)
    disk: str = ""
    bounced: bool = False
    untrusted: bool = False


@dataclass
class Device:
    """A row: a table of each axis."""
    device: Table
    place: Table
    pool: Table
    pages: Table
    first: dict                 # {axis: name of its first table}
    rules: dict = field(default_factory=dict)
    boots: int = 1

    @property
    def tables(self):
        return [self.device, self.place, self.pool, self.pages]

    @property
    def name(self):
        return "-".join(table.name for axis, table in zip(AXES, self.tables)
                        if axis == "device" or table.name != self.first[axis])

    @property
    def about(self):
        return ", ".join(table.about for table in self.tables)

    @property
    def levels(self):
        """Levels of rules; those of the pool hold only where it is used."""
        return [table.rules for table in self.tables if table is not self.pool or self.place.bounced]

    def words(self, kind):
        """The words of all tables for QEMU, or for the kernel."""
        return [word for table in self.tables for text in getattr(table, kind) for word in text.split()]


def load(path):
    """(Settings of devices.toml, {name: Device})."""
    tables = {}
    for axis in AXES:
        settings, tables[axis] = sides.load(path, axis, Table)
    first = {axis: next(iter(known)) for axis, known in tables.items()}
    rows = [Device(*chosen, first) for chosen in itertools.product(*(known.values() for known in tables.values()))]
    return settings, {row.name: row for row in rows}


def read(device, settings, side, console, silent=False):
    """The Outcome of a boot, from its console."""
    come, booted = sides.outcome(device.name, side, console, SUITES, silent)
    sides.measured(come, console, booted, VALUES, LOG)
    come.figures = {"MB compared": round(come.figures.pop("compared", 0) / 1e6, 1), **come.figures}
    if "overflow bytes" in come.figures:
        come.figures["overflow KB at most"] = -(-come.figures.pop("overflow bytes") // 1024)
    sides.hold(come, console, settings, *device.levels)
    if come.figures["failed mappings"]:
        come.problem(f"{come.figures['failed mappings']} failed mappings", "retried")
    return come


class Devices(sides.Run):
    def build(self, composed, side):
        """Build the kernels, one for each size of pages, with their modules, and what they boot."""
        version, files = userspace.files(self.arch)
        files.append(("etc/devices.fio", paths.TOP / "harness/guest/devices.fio"))
        for pages in dict.fromkeys(row.pages.name for row in self.rows.values()):
            tree = self.build_kernel(composed, side, "modules", variant=pages)
            folder = self.kernel(side, pages)
            work = kernel.modules(tree, folder, self.arch, MARK, self.logs(side) / f"{folder.name}.modules.log")
            image.archive(self.arch, folder, programs=["devices"], others=[*files, (MODULE, work / MODULE)])
        ui.say(f"  with fio {version}")

    def boot(self, device, side, _number):
        jobs, amount, pages = self.settings["jobs"], self.settings["amount"], device.pages.name
        name, disk, qemu = device.device.disk, paths.out(self.name) / "disk", device.words("qemu")
        if name:
            qemu = ["-drive", f"if=none,id=disk,format=raw,cache=unsafe,file={disk}", *qemu]
            with open(disk, "wb") as file:
                file.truncate(jobs * amount["megabytes"] << 20)
        parameters = [*self.settings["boot"], *device.words("boot"), f"DEVICE={name or 'eth'}",
                      f"SIZE={amount['megabytes']}m", f"FRAMES={amount['frames']}",
                      *(["--", f"/{MODULE}"] if device.place.untrusted else [])]
        try:
            return read(device, self.settings, side, *self.boot_guest(
                side, device.name, self.kernel(side, pages) / "initramfs", parameters, qemu, pages))
        finally:
            disk.unlink(missing_ok=True)


def run(which=sides.SIDES, short=False, rows=""):
    """The Run of all rows, or of those that DEVICE= names, or by default of those in the setting `rows`. `short` is for
    `make test`, and moves less data."""
    settings, known = load(paths.base_dir() / "devices/devices.toml")
    settings["amount"] = settings["short" if short else "full"]
    names = matching("DEVICE", list(known), "device")
    rows = "test" if short else rows
    if rows and len(names) == len(known):
        names = settings[rows]
    return Devices("devices", "arm64", which, {name: known[name] for name in names}, settings)


def cmd_devices():
    return run().command()
