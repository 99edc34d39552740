# SPDX-License-Identifier: GPL-2.0
"""Numbers of the benchmarks, and the archive that the guest starts from."""

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import ui
from harness.guest import guest
from harness.runs import bench


class Numbers(unittest.TestCase):
    """From console to table."""

    def test_results(self):
        console = "[    1.5] bench: a 12.50 ns\r\nbench: b 3 ns\r\nother: c 3 ns\r\n"
        self.assertEqual(bench.results(console), {"a": (12.5, "ns"), "b": (3.0, "ns")})

    def test_rows(self):
        self.assertEqual(bench.rows("arm64", {"a": (10.0, "ns")}, {"a": (10.5, "ns")}),
                         [("arm64", "a", "10.00", "10.50", "+0.50", "+5.0%", "ns")])

    def test_one_side_only(self):
        with self.assertRaises(ui.Failure):
            bench.rows("arm64", {"a": (1.0, "ns")}, {})


class Swiotlb(unittest.TestCase):
    """The table of all kernels."""

    BASE = {"swiotlb_hit_512_map": (100.0, "ns"), "slab_fast_64": (1.0, "ns")}
    SERIES = {"swiotlb_hit_512_map": (100.0, "ns"), "swiotlb_over_512_sync_1": (100.0, "ns"),
              "swiotlb_over_512_sync_64": (180.0, "ns"), "swiotlb_aligned": (36.0, "of_36")}

    def test_other_table_is_without_it(self):
        self.assertEqual([row[1] for row in bench.rows("arm64", self.BASE, {**self.SERIES, "slab_fast_64": (1.0, "ns")})],
                         ["slab_fast_64"])

    def test_rows(self):
        self.assertEqual(bench.swiotlb_rows("x86_64", [self.BASE, self.SERIES, {}]), [
            ("x86_64", "hit_512_map", "100.00", "100.00", "-", "ns", "<=100", "met"),
            ("x86_64", "over_512_sync_1", "-", "100.00", "-", "ns", "<=170", "met"),
            ("x86_64", "over_512_sync_64", "-", "180.00", "-", "ns", "<=170", "missed"),
            ("x86_64", "aligned", "-", "36.00", "-", "of_36", ">=36", "met"),
            ("x86_64", "over_512_sync_spread", "-", "1.80", "-", "max/min", "<=1.2", "missed")])

    def test_bars_are_of_one_architecture(self):
        self.assertEqual({row[-2:] for row in bench.swiotlb_rows("arm64", [self.BASE, self.SERIES])}, {("", "")})

    def test_no_number_is_a_miss(self):
        self.assertEqual(bench.verdict("back", {}, {}), ("<=1000", "missed"))
        self.assertEqual(bench.verdict("over_64_map_1", {}, {}), ("", ""))


class Archive(unittest.TestCase):
    """The initramfs."""

    def test_alignment(self):
        for length in range(5):
            self.assertEqual(len(guest.member("x" * (length + 1), 1, 0, b"y" * length)) % 4, 0)

    @unittest.skipUnless(shutil.which("cpio"), "cpio is not installed")
    def test_cpio_reads_it(self):
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "b.ko"
            program.write_bytes(b"abcde")
            data = guest.initramfs(program, [program], [], [("etc/x/y", program)])
            done = subprocess.run(["cpio", "-it", "--quiet"], input=data, stdout=subprocess.PIPE, check=True)
        self.assertEqual(done.stdout.decode().split(),
                         ["etc", "etc/x", "modules", "init", "modules/00-b.ko", "etc/x/y"])


if __name__ == "__main__":
    unittest.main()
