# SPDX-License-Identifier: GPL-2.0
"""What the torture module's console says."""

import os
import unittest
from unittest import mock

from harness import ui
from harness.runs import lanes, torture

STATS = "[    1.0] swiotlb-torture: bounced: {} direct: 5 failed: 0 nomem: 0 irq: 1 synced: 2 unmapped: 15 errors: 0\n"
GOOD = (STATS.format(3) + STATS.format(10) + "[    1.1] swiotlb-torture: --- End of test: SUCCESS: nmappers=4\n"
        + STATS.format(4) + "[    2.1] swiotlb-torture: --- End of test: SUCCESS: nmappers=4\n"
        "torture: io_tlb_used 0\r\ntorture: total 7\r\ntorture: buffers 0\r\ntorture: bytes 0\r\n"
        "[    3.0] reboot: Restarting system\n")


class Console(unittest.TestCase):
    """From console to report."""

    def failed(self, console):
        """Cases that fail with that console."""
        return [case.name for case in torture.parse(console, "lane").cases() if case.status == "failed"]

    def test_good(self):
        result = torture.parse(GOOD, "lane")
        self.assertEqual((result.count("passed"), result.count("failed"), result.ended), (4, 0, True))
        self.assertEqual(torture.counted(GOOD.replace("\r", ""))["bounced"], 10)
        self.assertEqual(torture.counted(GOOD.replace("\r", ""))["overflowed"], 7)

    def test_failure(self):
        bad = GOOD.replace("SUCCESS", "FAILURE", 1).replace("[    1.1]", "[ 1.0] swiotlb-torture: !!! bytes\n[    1.1]")
        self.assertEqual(self.failed(bad), ["runs_to_its_end"])
        self.assertEqual(torture.parse(bad, "lane").find("swiotlb_torture.runs_to_its_end").problems, ["!!! bytes"])

    def test_no_end(self):
        self.assertEqual(self.failed(GOOD[:GOOD.rindex("[    2.1]")]),
                         ["unloaded_in_the_middle", "pool_overflows", "nothing_is_left"])

    def test_no_overflow(self):
        self.assertEqual(self.failed(GOOD.replace("total 7", "total 0")), ["pool_overflows"])

    def test_left_over(self):
        self.assertEqual(self.failed(GOOD.replace("buffers 0", "buffers 2")), ["nothing_is_left"])
        self.assertEqual(self.failed(GOOD.replace("torture: bytes 0\r\n", "")), ["nothing_is_left"])

    def test_trouble(self):
        self.assertEqual(torture.parse(GOOD + "[    1.5] BUG: KCSAN: data-race in a / b\n", "lane").problems,
                         ["BUG: KCSAN: data-race in a / b"])


class Duration(unittest.TestCase):
    """DURATION=."""

    def test_of_user(self):
        lane = lanes.Lane("a", None, {}, torture=10)
        with mock.patch.dict(os.environ, {"DURATION": "7"}):
            self.assertEqual(torture.duration(lane), 7)
        with mock.patch.dict(os.environ, {"DURATION": "x"}), self.assertRaises(ui.Failure):
            torture.duration(lane)
        with mock.patch.dict(os.environ, {"DURATION": ""}):
            self.assertEqual(torture.duration(lane), 10)


if __name__ == "__main__":
    unittest.main()
