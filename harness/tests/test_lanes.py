# SPDX-License-Identifier: GPL-2.0
"""What lanes.toml may say, and what a boot has to give."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness import paths, report, ui
from harness.guest import qemu
from harness.runs import lanes
from harness.source import kbuild

TEXT = """
[suites]
one = ["demo", "demo_more"]
[kernel.plain]
arch = "arm64"
fragments = ["common"]
[lane.first]
kernel = "plain"
suites = { demo = 2 }
[lane.second]
kernel = "plain"
boot = ["slub_debug=FZPU"]
suites = { demo = 2 }
may_skip = ["demo.x"]
outside = ["BUG: of the base"]
long = true
"""


def console(*cases, suite="demo", before=(), end=True):
    """What a guest prints for one suite, of which these are the lines."""
    status = "not ok" if any("not ok" in line for line in cases) else "ok"
    return "\n".join(["KTAP version 1", "1..1", *before, "    KTAP version 1", f"    # Subtest: {suite}",
                      f"    1..{len(cases)}", *(f"    {line}" for line in cases), f"{status} 1 {suite}",
                      *(["reboot: Power down"] if end else [])])


class Read(unittest.TestCase):
    """Parsing."""

    def test_good(self):
        found = lanes.read(TEXT)
        self.assertEqual(list(found), ["first", "second"])
        self.assertIs(found["first"].kernel, found["second"].kernel)
        self.assertEqual(found["second"].boot, ["slub_debug=FZPU"])
        self.assertEqual(found["second"].parts, {"demo": "one"})

    def test_bad(self):
        for old, new in (("arm64", "vax"), ('kernel = "plain"', 'kernel = "odd"'), ("demo = 2", "demo = 0"),
                         ("{ demo = 2 }", "{ }"), ("long = true", "longer = true"), ("[lane.first]", "[lone.first]"),
                         ("[kernel.plain]", "[kernel.plain"), ("{ demo = 2 }", "{ of_no_part = 2 }")):
            with self.subTest(new), self.assertRaises(ui.Failure):
                lanes.read(TEXT.replace(old, new))

    def test_select(self):
        found = lanes.read(TEXT)
        for names, chosen in (("", ["first"]), ("all", ["first", "second"]), ("second, first", ["second", "first"])):
            self.assertEqual([lane.name for lane in lanes.select(found, names)], chosen)
        with self.assertRaises(ui.Failure):
            lanes.select(found, "third")


class Bases(unittest.TestCase):
    """The files of this repository."""

    def test_all(self):
        bases = sorted((paths.TOP / "bases").glob("*/lanes.toml"))
        self.assertTrue(bases)
        for path in bases:
            for lane in lanes.read(path.read_text(encoding="utf-8")).values():
                for fragment in lane.kernel.fragments:
                    self.assertTrue((path.parent / "kunit" / f"{fragment}.config").is_file(), fragment)
                self.assertIn(lane.kernel.arch, qemu.MACHINES)
                for case in lane.may_skip:
                    self.assertIn(case.split(".")[0], lane.suites)

    def test_packages_are_named_once(self):
        names = kbuild.packages(list(kbuild.ARCHES))
        self.assertEqual(len(names), len(set(names)))


class Options(unittest.TestCase):
    """Earlier commits lack options of later ones."""

    def test_of_a_tree(self):
        with tempfile.TemporaryDirectory() as tmp, mock.patch.multiple(paths, TOP=Path(tmp), OUT=Path(tmp) / "out"):
            tree, fragments = Path(tmp) / "tree", paths.base_dir() / "kunit"
            (tree / "mm").mkdir(parents=True)
            (tree / "mm/Kconfig.debug").write_text("config A\n\tbool\nmenuconfig D\n\tbool\n", encoding="utf-8")
            fragments.mkdir(parents=True)
            (fragments / "common.config").write_text(
                "# A comment\nCONFIG_A=y\nCONFIG_B=1\n# CONFIG_C is not set\n# CONFIG_D is not set\n", encoding="utf-8")
            kernel = lanes.known_to(tree, lanes.Kernel("k", "arm64", ["common"]), "check")
            self.assertEqual(lanes.fragment(f"{kernel.fragments[0]}.config").read_text(encoding="utf-8"),
                             "# A comment\nCONFIG_A=y\n# CONFIG_D is not set\n")


class Boot(unittest.TestCase):
    """From kunit.py's output to a verdict."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        patch = mock.patch.object(paths, "OUT", Path(folder.name))
        patch.start()
        self.addCleanup(patch.stop)
        self.lane = lanes.read(TEXT)["second"]

    def boot(self, text, **options):
        """The report of a boot that prints `text`; self.called is how kunit.py was called."""
        def run(cmd, log, watch=None, **_):
            self.called = [str(word) for word in cmd]
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(text, encoding="utf-8")
            if watch:
                watch()
            self.came_to_its_end = True
            return 0
        self.came_to_its_end = False
        with mock.patch.object(ui, "run", run):
            return lanes.boot(self.lane, **options)

    def judged(self, text, **options):
        """How many failures that lane sees in `text`."""
        return lanes.judge(self.lane, self.boot(text), **options).count("failed")

    def test_arguments(self):
        self.boot(console("ok 1 a", "ok 2 b"), glob="demo.a", name="other")
        self.assertEqual(self.called[-1], "demo.a")
        self.assertIn("--kernel_args=slub_debug=FZPU", self.called)
        self.lane.glob = "demo*"
        self.boot("")
        self.assertEqual(self.called[-1], "demo*")

    def test_hung(self):
        booted = self.boot("    # Subtest: demo\nlast words\ntimed out after 9 seconds\n", timeout=9)
        self.assertTrue(booted.hung)
        self.assertIn("last words", "".join(booted.problems))
        self.assertFalse(self.boot("timed out after 8 seconds\n", timeout=9).hung)

    def test_enough(self):
        self.boot("one", enough=lambda text: text == "two")
        self.assertTrue(self.came_to_its_end)
        self.assertFalse(self.boot("one", enough=lambda text: text == "one").ended)
        self.assertFalse(self.came_to_its_end)

    def test_passes(self):
        self.assertEqual(self.judged(console("ok 1 a", "ok 2 b")), 0)
        self.assertTrue((paths.report_dir() / "second.xml").exists())

    def test_counts_are_enforced(self):
        self.assertTrue(self.judged(console("ok 1 a")))
        self.assertTrue(self.judged(console("ok 1 a", "ok 2 b", "ok 3 c")))
        self.assertTrue(self.judged(console("ok 1 a", "ok 2 b", suite="other")))

    def test_skips(self):
        self.assertEqual(self.judged(console("ok 1 x # SKIP why", "ok 2 b")), 0)
        self.assertTrue(self.judged(console("ok 1 a # SKIP why", "ok 2 b")))

    def test_guest_without_its_last_line(self):
        self.assertTrue(self.judged(console("ok 1 a", "ok 2 b", end=False)))

    def test_trouble_outside(self):
        good = console("ok 1 a", "ok 2 b", before=["BUG: of the base"])
        self.assertEqual(self.judged(good), 0)
        self.lane.outside = []
        self.assertTrue(self.judged(good))

    def test_chosen_suite(self):
        self.lane.suites["demo_more"] = 1
        self.assertEqual(self.judged(console("ok 1 a", "ok 2 b"), suites={"demo": 2}), 0)
        self.assertTrue(self.judged(console("ok 1 a"), suites={"demo": 2}))

    def test_chosen_case(self):
        self.assertEqual(self.judged(console("ok 1 a"), suites={"demo": 1}, case="demo.a"), 0)
        self.assertTrue(self.judged(console("ok 1 b"), suites={"demo": 1}, case="demo.a"))
        self.assertTrue(self.judged(console("ok 1 a", "ok 2 b"), suites={"demo": 2}, case="demo.a"))
        self.assertTrue(self.judged(console("not ok 1 a"), suites={"demo": 1}, case="demo.a"))
        self.assertEqual(report.Report("x").count("failed"), 0)


if __name__ == "__main__":
    unittest.main()
