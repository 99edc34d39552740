# SPDX-License-Identifier: GPL-2.0
"""`make devices`: NVMe, virtio-blk and e1000e behind a bounce-buffer pool of 1 MB, on the base and on the series.

Each device has a boot of its own, in which devices.c moves data through it with Debian's fio, or with frames
from one NIC to another, and checks all of it.  The base may lose data or hang; the series may not.
"""

import json
import re
import time
from dataclasses import asdict, dataclass

from harness import paths, ui
from harness.guest import guest, userspace
from harness.report import report
from harness.runs import lanes
from harness.series import compose
from harness.source import packages
from harness.runs.sides import SIDES, Side

USE = "devices"
ARCH = "arm64"
POOL = "swiotlb=512,force"
SILENT = 60             # seconds without a word after which a guest is ended; it has one every 5. This finds a stall too.
DISK = ["-drive", "if=none,id=disk,format=raw,cache=unsafe,file={disk}", "-device"]
VIRTIO = "virtio-blk-pci,drive=disk,disable-legacy=on,iommu_platform=on,packed="
NIC = "e1000e,romfile=,netdev="
# Name in the table: DEVICE for devices.c, QEMU's arguments. When a mapping fails, the kernel tries again on a
# split ring of virtio, and answers with an I/O error on a packed one.
DEVICES = {
    "nvme": ("nvme0n1", [*DISK, "nvme,serial=1,drive=disk"]),
    "virtio-blk": ("vda", [*DISK, f"{VIRTIO}off"]),
    "virtio-blk-packed": ("vda", [*DISK, f"{VIRTIO}on"]),
    "e1000e": ("eth", ["-netdev", "hubport,id=n0,hubid=0", "-netdev", "hubport,id=n1,hubid=0",
                       "-device", f"{NIC}n0", "-device", f"{NIC}n1"]),
}
JOBS = 4                                        # in devices.fio
FULL = {"megabytes": 48, "frames": 16384}       # megabytes of each job, frames each way
SHORT = {"megabytes": 8, "frames": 2048}

FULL_POOL = re.compile(r"swiotlb buffer is full|swiotlb_tbl_map_single: (\d+) callbacks suppressed")
NOT_MAPPED = re.compile(r"e1000e .* DMA map failed")
IO_ERROR = re.compile(r"I/O error, dev |blk_print_req_error: (\d+) callbacks suppressed")
HEADER = ("device", "", "MB checked", "I/O errors", "lost frames", "corrupt", "failed mappings",
          "overflow buffers", "at most KB", "result")


@dataclass
class Outcome:
    """What came of one device on one side; None is what the device or the kernel does not have."""
    device: str
    side: str
    result: str = "ok"          # or retried, which the driver has made good; or errors, or hung
    moved: int = 0              # bytes that were read back or received, and compared
    errors: int = None          # requests that failed
    lost: int = None            # frames
    corrupt: int = None         # blocks or frames
    unmapped: int = 0           # mappings that failed; at least, for the kernel limits its warnings
    buffers: int = None         # mappings that overflow buffers have served
    peak: int = None            # bytes of overflow buffers
    trouble: str = ""           # what else is wrong, or the first line of the log that says so

    def row(self):
        """A row of the table."""
        peak = None if self.peak is None else -(-self.peak // 1024)
        words = (f"{self.moved / 1e6:.1f}", self.errors, self.lost, self.corrupt, self.unmapped, self.buffers, peak)
        return (self.device, self.side, *("-" if word is None else word for word in words), self.result)

    def failed(self):
        """The base may do what it likes."""
        return self.side == "series" and self.result != "ok"


def fio(console):
    """The one job in fio's output, which is all of them together; None if there is no output."""
    text = "".join(line[len("fio| "):] for line in console.splitlines(True) if line.startswith("fio| "))
    try:
        return json.loads(text[text.index("{"):])["jobs"][0]
    except (ValueError, KeyError, IndexError):
        return None


def count(pattern, console):
    """How often a line was printed; one that tells how many were left out counts as many."""
    return sum(int(found[1] or 1) if pattern.groups else 1 for found in pattern.finditer(console))


def read(device, side, console):
    """The Outcome of a console."""
    console = console.replace("\r", "")
    one = Outcome(device, side, unmapped=max(count(FULL_POOL, console), count(NOT_MAPPED, console)))
    overflow = {name: int(number) for name, number in re.findall(r"^devices: overflow (\w+) (\d+)$", console, re.M)}
    one.buffers, one.peak = overflow.get("total"), overflow.get("peak_bytes")
    frames = re.search(r"^devices: frames sent (\d+) received (\d+) corrupt (\d+) bytes (\d+)$", console, re.M)
    corrupt = re.search(r"^devices: corrupt (\d+)$", console, re.M)
    job = fio(console)
    if frames:
        sent, received, one.corrupt, one.moved = map(int, frames.groups())
        one.lost = sent - received - one.corrupt
    elif job and corrupt:
        one.corrupt, one.moved = int(corrupt[1]), job["read"]["io_bytes"]
        one.errors = max(job.get("total_err", 0) - one.corrupt, 0)
    elif DEVICES[device][0] != "eth":
        one.errors = count(IO_ERROR, console)
    finished = guest.DONE in console and bool(frames or job and corrupt)
    stamped = (report.STAMP.sub("", line) for line in console.splitlines())
    one.trouble = next((line for line in stamped if report.TROUBLE.search(line)), "")
    if finished and not one.trouble and side == "series":
        if not one.buffers:
            one.trouble = "the pool was never full, so this shows nothing"
        elif overflow.get("buffers"):
            one.trouble = f"{overflow['buffers']} overflow buffers were never freed"
    if "devices: hung" in console or not finished and not one.trouble:
        one.result = "hung"
    elif not finished or one.trouble or one.errors or one.lost or one.corrupt or not one.moved:
        one.result = "errors"
    elif one.unmapped:
        one.result = "retried"
    return one


def of(name):
    """One side's work tree, kernel and logs."""
    return Side(USE, ARCH, name)


def initramfs():
    """Make the guests' user space; the version of fio in it."""
    out, logs = lanes.out(USE), lanes.out(USE) / "log"
    init = guest.init(ARCH, out, logs / "init.log")
    program = guest.program(ARCH, "devices", out, logs / "program.log")
    version, files = userspace.files(ARCH)
    files.append(("etc/devices.fio", paths.TOP / "harness/guest/devices.fio"))
    (out / "initramfs").write_bytes(guest.initramfs(init, (), [program], files))
    return version


class Silence(Exception):
    """A guest says nothing any more."""


def watch(log):
    """A function that raises Silence when the log has not grown for a while."""
    size, since = -1, time.monotonic()

    def look():
        nonlocal size, since
        now = log.stat().st_size
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > SILENT:
            raise Silence
    return look


def run(device, side, amount):
    """Boot one side with one device, and read what came of it."""
    name, qemu = DEVICES[device]
    disk, log = lanes.out(USE) / "disk", of(side).logs / f"{device}.console.log"
    with open(disk, "wb") as file:
        file.truncate(JOBS * amount["megabytes"] << 20)
    parameters = [POOL, "rcupdate.rcu_cpu_stall_suppress=1", f"DEVICE={name}", f"SIZE={amount['megabytes']}m",
                  f"FRAMES={amount['frames']}"]
    try:
        guest.start(ARCH, of(side).folder, lanes.out(USE) / "initramfs", log, parameters,
                    ["-smp", "2", *(word.format(disk=disk) for word in qemu)], watch(log))
    except Silence:
        pass                                    # its console does not reach the end: that is "hung"
    finally:
        disk.unlink()
    return read(device, side, log.read_text(encoding="utf-8", errors="replace"))


def steps(sides, _=None):
    """How many steps measure() takes."""
    return 1 + len(sides) * (1 + len(DEVICES))


def measure(progress, tip, sides, amount):
    """Build and boot; the outcomes."""
    found = []
    with progress.step("make a user space with Debian's fio"):
        ui.say(f"  fio {initramfs()}")
    for side in sides:
        with progress.step(f"build the kernel for devices, {side}"):
            of(side).build(tip)
        for device in DEVICES:
            with progress.step(f"boot {device}, {side}, {POOL}"):
                found.append(run(device, side, amount))
                ui.say(f"  {found[-1].result}")
    kept = paths.OUT / "report"
    kept.mkdir(parents=True, exist_ok=True)
    (kept / "devices.json").write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n",
                                         encoding="utf-8")
    return found


def table(outcomes):
    """The lines to print: base beside series for each device."""
    ordered = sorted(outcomes, key=lambda one: list(DEVICES).index(one.device))
    lines = report.table(HEADER, [one.row() for one in ordered])
    return [*lines, f"consoles: {', '.join(ui.short(of(side).logs) for side in SIDES)}"]


def judged(outcomes):
    """The series' outcomes as the Report of a lane."""
    suite = report.Suite("devices", len(DEVICES), True)
    for one in outcomes:
        if one.side == "series":
            case = report.Case(suite.name, one.device)
            if one.failed():
                case.fail(f"{one.result}: " + ", ".join(f"{name} {word}" for name, word in
                                                        zip(HEADER[2:-1], one.row()[2:-1])))
                if one.trouble:
                    case.fail(one.trouble)
            suite.cases.append(case)
    result = report.Report(f"{ARCH}-{USE}", ui.short(of("series").logs), [suite], ended=True)
    report.write(result, paths.OUT / "report")
    return result


def cmd_devices():
    """Both sides, and one table."""
    progress = ui.Steps("devices", 2 + steps(SIDES))
    with progress.step("look for packages"):
        packages.ensure(guest.packages([ARCH]))
    with progress.step(f"fetch Linux {paths.BASE} and compose the series"):
        tip = compose.prepare()
    found = measure(progress, tip, SIDES, FULL)
    ui.say()
    for line in table(found):
        ui.say(line)
    return report.finish([judged(found)])
