# SPDX-License-Identifier: GPL-2.0
"""What came of a device, from its console."""

import json
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness.runs import devices

END = "ok 1 init\r\n[    9.1] reboot: Restarting system\r\n"
FULL = "[    2.5] nvme 0000:00:01.0: swiotlb buffer is full (sz: 4096 bytes), total 512 (slots), used 480 (slots)\r\n"
OVERFLOW = "devices: overflow buffers {}\r\ndevices: overflow total {}\r\ndevices: overflow peak_bytes 5000\r\n"
FRAMES = "devices: frames sent 512 received {} corrupt {} bytes 300000\r\n"


def disk(errors=0, corrupt=0):
    """The console of a guest in which fio came to its end."""
    job = {"error": 5 if errors else 0, "total_err": errors + corrupt, "read": {"io_bytes": 2000000}}
    text = json.dumps({"jobs": [job]}, indent=2)
    lines = "".join(f"fio| {line}\r\n" for line in ["fio: a note before it", *text.splitlines()])
    return lines + f"devices: corrupt {corrupt}\r\n"


class Read(unittest.TestCase):
    """From console to outcome."""

    def result(self, console, device="nvme"):
        """The word in the last column."""
        return devices.read(device, "series", console).result

    def test_disk_without_fault(self):
        one = devices.read("nvme", "series", disk() + OVERFLOW.format(0, 9) + END)
        self.assertEqual(one.row(), ("nvme", "series", "2.0", 0, "-", 0, 0, 9, 5, "ok"))
        self.assertFalse(one.failed())

    def test_disk_with_errors(self):
        one = devices.read("nvme", "base", disk(3, 2) + END)
        self.assertEqual((one.errors, one.corrupt, one.result, one.peak), (3, 2, "errors", None))
        self.assertFalse(one.failed())

    def test_failed_mappings(self):
        more = "[    7.5] swiotlb_tbl_map_single: 40 callbacks suppressed\r\n"
        one = devices.read("nvme", "series", FULL + FULL + more + disk() + OVERFLOW.format(0, 9) + END)
        self.assertEqual((one.unmapped, one.result, one.failed()), (42, "retried", True))

    def test_frames(self):
        self.assertEqual(devices.read("e1000e", "base", FRAMES.format(512, 0) + END).row(),
                         ("e1000e", "base", "0.3", "-", 0, 0, 0, "-", "-", "ok"))
        one = devices.read("e1000e", "base", FRAMES.format(500, 2) + END)
        self.assertEqual((one.lost, one.corrupt, one.result), (10, 2, "errors"))

    def test_hung(self):
        for console in ("", FULL, "devices: 100 requests done\r\n", "devices: hung, nothing completed for 60 s\r\n",
                        disk(), END):
            with self.subTest(console):
                self.assertEqual(self.result(console), "hung")

    def test_io_errors_before_it_hung(self):
        error = "[    3.0] I/O error, dev vda, sector 8 op 0x1:(WRITE) flags 0x8800 phys_seg 1 prio class 2\r\n"
        one = devices.read("virtio-blk", "base", error + error)
        self.assertEqual((one.errors, one.result), (2, "hung"))

    def test_trouble_is_no_success(self):
        bug = "[    3.0] BUG: sleeping function called from invalid context at x.c:1\r\n"
        self.assertEqual(self.result(bug + disk() + END), "errors")
        self.assertEqual(self.result("[    3.0] Kernel panic - not syncing: x\r\n"), "errors")

    def test_overflow_buffers_have_to_be_used_and_freed(self):
        for counters in ("", OVERFLOW.format(0, 0), OVERFLOW.format(2, 9)):
            with self.subTest(counters):
                self.assertEqual(self.result(disk() + counters + END), "errors")

    def test_nothing_moved(self):
        self.assertEqual(self.result("devices: frames sent 0 received 0 corrupt 0 bytes 0\r\n" + END, "e1000e"), "errors")


class Results(unittest.TestCase):
    """From outcomes to the table and to the counts."""

    def test_base_beside_series(self):
        found = [devices.Outcome(device, side) for side in devices.SIDES for device in devices.DEVICES]
        lines = [line.split()[:2] for line in devices.table(found)[1:-1]]
        self.assertEqual(lines, [[device, side] for device in devices.DEVICES for side in devices.SIDES])

    def test_only_the_series_counts(self):
        found = [devices.Outcome("nvme", "base", "hung"), devices.Outcome("nvme", "series", "ok"),
                 devices.Outcome("e1000e", "series", "errors", lost=3)]
        with tempfile.TemporaryDirectory() as folder, mock.patch("harness.paths.OUT", Path(folder)):
            result = devices.judged(found)
        self.assertEqual((result.count("passed"), result.count("failed")), (1, 1))
        self.assertIn("lost frames 3", result.find("devices.e1000e").problems[0])

    def test_steps(self):
        self.assertEqual(devices.steps(["series"]), 2 + len(devices.DEVICES))


if __name__ == "__main__":
    unittest.main()
