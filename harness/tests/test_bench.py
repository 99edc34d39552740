# SPDX-License-Identifier: GPL-2.0
"""`make bench`: from consoles to the table and its bars."""

import json
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness import paths, ui
from harness.guest import image, qemu
from harness.runs import bench

BASE = {"swiotlb_hit_512_map": (100.0, "ns"), "slab_fast_64": (10.0, "ns")}
SERIES = {"swiotlb_hit_512_map": (100.0, "ns"), "slab_fast_64": (10.5, "ns"), "swiotlb_over_512_sync_1": (100.0, "ns"),
          "swiotlb_over_512_sync_64": (180.0, "ns"), "swiotlb_aligned": (36.0, "of_36")}
INIT = ("KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: init\n    1..1\n    ok 1 work\nok 1 init\n"
        "[    3.0] reboot: Restarting system\n")


def console(module, cases, result="ok", notes=(), end=INIT):
    """What a module prints."""
    lines = ["KTAP version 1", "1..1", "    KTAP version 1", f"    # Subtest: {module}", f"    1..{cases}", *notes,
             *(f"    {result} {case} c{case}" for case in range(1, cases + 1)), f"{result} 1 {module}"]
    return "".join(f"[    1.5] {line}\r\n" for line in lines) + end


class Table(unittest.TestCase):
    """Values side by side."""

    def test_rows(self):
        self.assertEqual(list(bench.rows(bench.bars(), "x86_64", [BASE, SERIES, {}])), [
            ("x86_64", "swiotlb_hit_512_map", "100.00", "100.00", "+0.0%", "-", "ns", "<=100", "met"),
            ("x86_64", "slab_fast_64", "10.00", "10.50", "+5.0%", "-", "ns", "", ""),
            ("x86_64", "swiotlb_over_512_sync_1", "-", "100.00", "-", "-", "ns", "<=170", "met"),
            ("x86_64", "swiotlb_over_512_sync_64", "-", "180.00", "-", "-", "ns", "<=170", "missed"),
            ("x86_64", "swiotlb_aligned", "-", "36.00", "-", "-", "of_36", ">=36", "met"),
            ("x86_64", "swiotlb_over_512_sync_spread", "-", "1.80", "-", "-", "max/min", "<=1.1", "missed")])

    def test_bars_are_of_one_architecture(self):
        self.assertEqual({row[-2:] for row in bench.rows(bench.bars(), "arm64", [BASE, SERIES])}, {("", "")})

    def test_nothing_was_measured(self):
        self.assertEqual(list(bench.rows(bench.bars(), "x86_64", [{}, {}])), [])
        rows = bench.rows(bench.bars(), "x86_64", [{"a": (0.0, "ns")}, {"b": (1, "ns")}])
        self.assertEqual([row[2:5] for row in rows], [("0.00", "-", "-"), ("-", "1.00", "-")])


class Verdict(unittest.TestCase):
    """Bars."""

    def test_verdicts(self):
        wanted = {"most": {r"cost_\d+": 100, "same": "base"}, "least": {"good": 36}}
        for name, before, after, expected in (
                ("cost_1", None, 100, ("<=100", True)), ("cost_1", 0, 100.1, ("<=100", False)),
                ("cost_1", 1, None, ("<=100", False)), ("cost_x", 1, 500, (None, True)),
                ("same", 10.0, 10.04, ("<=10", True)), ("same", 10.0, 10.1, ("<=10", False)),
                ("same", 10.0, None, ("<=10", False)), ("same", None, 500, (None, True)),
                ("good", None, 36, (">=36", True)), ("good", 36, 35, (">=36", False)),
                ("good", 36, None, (">=36", False))):
            with self.subTest(name, before=before, after=after):
                self.assertEqual(bench.verdict(wanted, name, before, after), expected)

    def test_the_base_has_bars(self):
        """Each pattern means a value that the modules have; each module is expected to have cases."""
        wanted = bench.bars()
        for name, value in (("swiotlb_over_512_map_4096", 1250), ("swiotlb_over_512_sync_1", 170),
                            ("swiotlb_back", 1000), ("swiotlb_over_512_unmap_all_64", 600),
                            ("swiotlb_over_512_map_spread", 1.1),
                            ("swiotlb_over_512_bytes", 2300), ("swiotlb_over_65536_map_1", 27000),
                            ("swiotlb_hit_512_map", 7.0), ("swiotlb_direct_4096_unmap", 7.0)):
            self.assertEqual(bench.verdict(wanted, name, 7.0, value), (f"<={value:g}", True))
            self.assertFalse(bench.verdict(wanted, name, 7.0, value + 0.1)[1])
        self.assertEqual(bench.verdict(wanted, "swiotlb_aligned", 0, 36), (">=36", True))
        self.assertEqual(set(wanted["cases"]), {path.stem for path in bench.SOURCE.glob("*.c")})


class Measure(unittest.TestCase):
    """A boot."""

    def measure(self, text, hung=False):
        """The values, or the Failure."""
        def start(*words):
            words[3].write_text(text, encoding="utf-8")
            self.called = words
            return hung
        with tempfile.TemporaryDirectory() as top, mock.patch.object(paths, "OUT", Path(top)), \
                mock.patch.object(image, "archive"), \
                mock.patch.object(qemu, "start", start), mock.patch.object(ui, "say"):
            bench.folder("x86_64", "series").mkdir(parents=True)
            paths.log_dir(bench.USE).mkdir(parents=True)
            return bench.measure(bench.bars(), "x86_64", "series", [Path("bench_slab.ko")])

    def test_values(self):
        text = console("bench_slab", 4, notes=["    # c1: value: slab_fast_64 12.50 ns"])
        self.assertEqual(self.measure(text), {"slab_fast_64": (12.5, "ns")})
        self.assertIn("swiotlb_overflow=2G,100", self.called[4])
        self.assertEqual(self.called[5], [*bench.COUNTED, "-cpu", "qemu64"])

    def test_skips_are_allowed(self):
        text = console("bench_slab", 4).replace(" c4", " c4 # SKIP maps fail when the pool is full")
        self.assertEqual(self.measure(text), {})

    def test_failures(self):
        good = console("bench_slab", 4)
        for text, hung in (("", False), (good, True), (good.replace(INIT, ""), False),
                           (console("bench_slab", 3), False),
                           (console("bench_slab", 4, "not ok"), False), (console("bench_x", 4), False),
                           (good.replace("[    1.5] ok", "WARNING: CPU: 1\n[    1.5] ok"), False),
                           (good.replace("ok 1 init", "not ok 1 init"), False)):
            with self.subTest(text), self.assertRaises(ui.Failure):
                self.measure(text, hung)


class Newer(unittest.TestCase):
    """Sources of newer kernels."""

    def test_refused_before_anything_is_done(self):
        with mock.patch.dict(os.environ, {"KERNEL_SRC_6_12": "/nowhere"}), self.assertRaises(ui.Failure), \
                mock.patch("harness.source.debian.ensure", side_effect=AssertionError):
            bench.cmd_bench()


class Command(unittest.TestCase):
    """All of it."""

    def test_sides_and_arches(self):
        order = []

        def measure(_, arch, side, modules):
            order.append((arch, side, modules))
            return BASE if side == "base" else SERIES
        with tempfile.TemporaryDirectory() as top, mock.patch.object(paths, "OUT", Path(top)), \
                mock.patch("harness.source.debian.ensure"), mock.patch("harness.series.compose.prepare") as prepare, \
                mock.patch.object(bench.newer, "sources", return_value={"7.3": ("tree", "7.3.1")}), \
                mock.patch.object(bench, "build", lambda arch, side, tree: tree), \
                mock.patch.object(bench, "measure", measure), mock.patch.object(ui, "say") as said:
            self.assertIsNone(bench.cmd_bench())           # a missed bar is no failure
            kept = json.loads((Path(top) / "report/bench.json").read_text(encoding="utf-8"))
            tree = paths.tree_dir(bench.USE)
        self.assertEqual(order, [("arm64", "base", tree), ("x86_64", "base", tree), ("arm64", "series", tree),
                                 ("x86_64", "series", tree), ("x86_64", "7.3", "tree")])
        self.assertEqual(set(kept), {"arm64-base", "x86_64-base", "arm64-series", "x86_64-series", "x86_64-7.3"})
        given = prepare.return_value
        self.assertEqual([call.args for call in given.checkout.call_args_list],
                         [(commit, tree) for commit in (given.base_commit, given.tip) for _ in bench.ARCHES])
        lines = [call.args[0] for call in said.call_args_list if call.args]
        self.assertTrue(any(line.endswith("missed") for line in lines))


if __name__ == "__main__":
    unittest.main()
