# SPDX-License-Identifier: GPL-2.0
"""What came of a device, from its console; what bases/6.1/devices/devices.toml wants of it."""

import itertools
import os
import re
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness import paths, ui
from harness.runs import devices, sides
from harness.tests.test_sides import END, ktap

FULL = "[    2.5] nvme 0000:00:01.0: swiotlb buffer is full (sz: 4096 bytes), total 512 (slots), used 480 (slots)\n"
IO_ERROR = "[    3.0] I/O error, dev vda, sector 8 op 0x1:(WRITE) flags 0x8800 phys_seg 1 prio class 2\n"
OVERFLOW = {"overflow_buffers": 0, "overflow_total": 9, "overflow_peak_bytes": 5000}
RUN = devices.run()
ALL = RUN.rows


def disk(overflow=OVERFLOW, result="ok", **values):
    """The console of a guest in which fio came to its end; without overflow counters for a kernel that has none."""
    data = {"compared": 2000000, "errors": 0, "corrupt": 0, **values}
    return ktap("devices", [("data", data, result), ("overflow_buffers", overflow or {}, "ok" if overflow else "skip")])


def nics(overflow=OVERFLOW, **values):
    """The console of a guest in which frames were sent."""
    data = {"compared": 300000, "lost": 0, "corrupt": 0, **values}
    return ktap("devices", [("data", data), ("overflow_buffers", overflow or {}, "ok" if overflow else "skip")])


def read(console, side="series", device="nvme", silent=False):
    """The Outcome of a console."""
    return devices.read(RUN.rows[device], RUN.settings, side, console, silent)


class Read(unittest.TestCase):
    """From a console to an outcome."""

    def check(self, come, *problems, result="wrong"):
        """The outcome has this result and these problems."""
        self.assertEqual((come.result, come.problems), (result, list(problems)))

    def test_disk_without_fault(self):
        come = read(disk() + END)
        self.check(come, result="ok")
        self.assertEqual(come.figures, {"I/O errors": 0, "failed mappings": 0, "corrupt": 0, "overflow buffers": 9,
                                        "overflow buffers left": 0, "MB compared": 2.0, "overflow KB at most": 5})

    def test_base_without_overflow_buffers(self):
        come = read(disk(overflow=None) + END, "base")
        self.check(come, result="ok")
        self.assertNotIn("overflow buffers", come.figures)

    def test_errors_and_corruption(self):
        self.check(read(disk(errors=3, corrupt=2) + END), "3 I/O errors", "2 corrupt")
        self.check(read(disk(errors=3) + END, "base"), "3 I/O errors")
        self.check(read(disk(corrupt=1) + END, "base"), "1 corrupt")

    def test_errors_that_only_the_kernel_tells(self):
        more = "[    7.5] blk_print_req_error: 40 callbacks suppressed\n"
        self.check(read(IO_ERROR + IO_ERROR + more + disk() + END), "42 I/O errors")

    def test_failed_mappings_are_retried(self):
        more = "[    7.5] swiotlb_tbl_map_single: 40 callbacks suppressed\n"
        for side in sides.SIDES:
            self.check(read(FULL + FULL + more + disk() + END, side), "42 failed mappings", result="retried")
        failed = "[    3.0] e1000e 0000:00:01.0 eth0: DMA map failed\n"
        self.check(read(FULL + failed * 2 + nics() + END, device="e1000e"), "2 failed mappings", result="retried")

    def test_frames(self):
        come = read(nics(overflow=None) + END, "base", "e1000e")
        self.check(come, result="ok")
        self.assertEqual((come.figures["MB compared"], come.figures["lost frames"]), (0.3, 0))
        self.check(read(nics(lost=10, corrupt=2) + END, "series", "e1000e"), "10 lost frames", "2 corrupt")

    def test_nothing_compared(self):
        for side in sides.SIDES:
            self.check(read(nics(compared=0) + END, side, "e1000e"), "no data was compared")

    def test_overflow_buffers_have_to_be_used_and_freed(self):
        never = "the pool was never full, so this shows nothing"
        self.check(read(disk(overflow=None) + END), never)
        self.check(read(disk(overflow={**OVERFLOW, "overflow_total": 0}) + END), never)
        self.check(read(disk(overflow={**OVERFLOW, "overflow_buffers": 2}) + END), "2 overflow buffers left")

    def test_pool_with_room(self):
        room = {**OVERFLOW, "overflow_total": 0}
        for name in ("nvme-room", "nvme-untrusted-room-64k"):
            self.check(read(disk(room, pool_slots=9) + END, device=name), result="ok")
            self.check(read(disk(OVERFLOW, pool_slots=9) + END, device=name), "9 overflow buffers")
            for side in sides.SIDES:
                self.check(read(disk(room, pool_slots=0) + END, side, name), "nothing was bounced, so this shows nothing")

    def test_trusted_device_behind_an_iommu_is_not_bounced(self):
        none = {**OVERFLOW, "overflow_total": 0}
        for name in ("nvme-smmu", "nvme-smmu-room-64k"):
            self.check(read(disk(none, pool_slots=0) + END, device=name), result="ok")
            self.check(read(disk(none, pool_slots=2) + END, "base", name), "2 pool slots")
            self.check(read(disk(OVERFLOW, pool_slots=0) + END, device=name), "9 overflow buffers")

    def test_fio_that_breaks_off(self):
        self.check(read(disk(result="not ok") + END), "data: failed")

    def test_hung(self):
        text = disk(hung=60)
        come = read(IO_ERROR * 2 + text[:text.index("    ok 1")], "base", "virtio-blk")
        self.assertEqual((come.result, come.problems[0]), ("hung", "data: hung for 60 s"))
        self.assertEqual(come.figures["I/O errors"], 2)
        self.assertEqual(read("100 requests done\n", silent=True).result, "hung")
        self.assertEqual(read(FULL + "100 requests done\n", "base").result, "hung")
        self.assertEqual(read(disk()).result, "hung")


class Guest(unittest.TestCase):
    """What the guest is given."""

    def boot(self, device, short=False):
        """Parameters of the kernel and QEMU's arguments, with the size of the disk."""
        given = []

        def boot_guest(run, _side, _name, initramfs, parameters, qemu, variant):
            file = folder / "devices/disk"
            self.assertEqual(initramfs, folder / f"devices/series/build/6.1/arm64-series-{variant}/initramfs")
            given.append((parameters, qemu, file.stat().st_size if file.exists() else None, variant))
            return (disk(pool_slots=5) if run.rows[device].device.disk else nics()) + END, False

        run = devices.run(short=short)
        with tempfile.TemporaryDirectory() as top, mock.patch("harness.paths.OUT", Path(top)), \
                mock.patch.object(sides.Run, "boot_guest", boot_guest):
            folder = Path(top)
            (folder / "devices").mkdir()
            self.assertEqual(run.boot(run.rows[device], "series", 0).row, device)
            self.assertFalse((folder / "devices/disk").exists())
        return given[0]

    def test_disk(self):
        parameters, qemu, size, pages = self.boot("nvme")
        self.assertEqual(parameters, ["rcupdate.rcu_cpu_stall_suppress=1", "swiotlb=force", "swiotlb=512",
                                      "DEVICE=nvme0n1", "SIZE=48m", "FRAMES=16384"])
        self.assertEqual(pages, "4k")
        self.assertEqual((qemu[0], qemu[2:], size), ("-drive", ["-device", "nvme,serial=1,drive=disk"], 192 << 20))
        self.assertEqual(self.boot("nvme", short=True)[2], 32 << 20)

    def test_nics(self):
        parameters, qemu, size, _ = self.boot("e1000e", short=True)
        self.assertEqual((parameters[3], parameters[-1], size), ("DEVICE=eth", "FRAMES=2048", None))
        self.assertEqual(qemu.count("-netdev"), 2)

    def test_untrusted(self):
        parameters, qemu, _, pages = self.boot("nvme-untrusted-room-64k")
        self.assertEqual(parameters[1:3], ["iommu.strict=1", "swiotlb=65536"])
        self.assertEqual(parameters[-2:], ["--", "/untrusted.ko"])
        self.assertEqual((qemu[2:4], pages), (["-device", "nvme,serial=1,drive=disk"], "64k"))
        self.assertEqual(qemu[4:], ["-machine", "iommu=smmuv3"])
        self.assertNotIn("--", self.boot("nvme-smmu")[0])

    def test_rows(self):
        axes = ("", "-marked", "-smmu", "-untrusted"), ("", "-room"), ("", "-64k")
        names = ["nvme", "virtio-blk", "virtio-blk-packed", "e1000e"]
        self.assertEqual(list(ALL), ["".join(words) for words in itertools.product(names, *axes)])
        self.assertEqual(list(devices.run(rows="run").rows), names)
        tested = list(devices.run(["series"], short=True).rows)
        self.assertEqual(tested[:4], names)
        self.assertTrue(set(tested) <= set(ALL) and any("untrusted" in name for name in tested))

    def test_disk_has_room_for_the_jobs_of_fio(self):
        text = (paths.TOP / "harness/guest/devices.fio").read_text(encoding="utf-8")
        jobs = [name for name in re.findall(r"^\[(.+)\]$", text, re.M) if name != "global"]
        self.assertEqual(RUN.settings["jobs"], len(jobs))
        self.assertEqual(re.findall(r"^offset=(\d+)%?$", text, re.M), [str(100 * i // len(jobs))
                                                                      for i in range(len(jobs))])

    def test_kernels(self):
        """One for each page size on each side, with the module that marks devices and an initramfs of its own."""
        built, archives = [], []

        def build_kernel(_run, _composed, side, *targets, variant):
            built.append((side, targets, variant))
            return "tree"
        with tempfile.TemporaryDirectory() as top, mock.patch("harness.paths.OUT", Path(top)), \
                mock.patch.object(sides.Run, "build_kernel", build_kernel), \
                mock.patch("harness.runs.devices.userspace.files", lambda arch: ("3.33", [("usr/bin/fio", "fio")])), \
                mock.patch("harness.runs.devices.kernel.modules", lambda tree, folder, *_: folder / "untrusted"), \
                mock.patch("harness.runs.devices.image.archive",
                           lambda arch, folder, programs, others: archives.append((folder.name, dict(others)))):
            devices.run().build(None, "base")
        self.assertEqual(built, [("base", ("modules",), "4k"), ("base", ("modules",), "64k")])
        self.assertEqual([name for name, _ in archives], ["arm64-base-4k", "arm64-base-64k"])
        for name, others in archives:
            self.assertEqual(list(others), ["usr/bin/fio", "etc/devices.fio", "untrusted.ko"])
            self.assertEqual(others["untrusted.ko"].parts[-3:], (name, "untrusted", "untrusted.ko"))

    def test_choice(self):
        with mock.patch.dict(os.environ, {"DEVICE": "e1000e,nvme"}):
            self.assertEqual(list(devices.run(["series"], short=True).rows), ["nvme", "e1000e"])
        with mock.patch.dict(os.environ, {"DEVICE": "floppy"}), self.assertRaisesRegex(ui.Failure, "no device floppy"):
            devices.cmd_devices()


if __name__ == "__main__":
    unittest.main()
