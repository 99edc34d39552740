# SPDX-License-Identifier: GPL-2.0
"""Headers of mutants, and what a boot says about one."""

import unittest

from harness import ui
from harness.report import report
from harness.runs import mutants

TEXT = """\
Property: objects lie below 4 GB
Breaks: demo.second
Lane: arm64-slub

--- a/mm/x.c
+++ b/mm/x.c
@@ -1 +1 @@
-a
+b
"""


def boot(*lines, end=True):
    """A report of suite demo."""
    tail = ["not ok 1 demo", "reboot: Power down"] if end else []
    return report.parse("\n".join(["KTAP version 1", "1..1", "    KTAP version 1", "    # Subtest: demo",
                                   "    1..2", *lines, *tail]))


SOUND = boot("    ok 1 first", "    ok 2 second")


class Header(unittest.TestCase):
    """What has to stand before the diff."""

    def test_good(self):
        mutant = mutants.read("name", TEXT)
        self.assertEqual((mutant.property, mutant.breaks, mutant.lane, mutant.suites),
                         ("objects lie below 4 GB", ["demo.second"], "arm64-slub", ["demo"]))

    def test_several(self):
        mutant = mutants.read("name", TEXT.replace("demo.second", "demo.a, other.b demo.c"))
        self.assertEqual((mutant.breaks, mutant.suites), (["demo.a", "other.b", "demo.c"], ["demo", "other"]))

    def test_bad(self):
        for old, new in (("Property: objects lie below 4 GB\n", ""), ("demo.second", "second"),
                         ("demo.second", "panic demo.second"), ("Lane", "Line"), ("--- a", "-- a")):
            with self.subTest(new), self.assertRaises(ui.Failure):
                mutants.read("name", TEXT.replace(old, new))


class Verdict(unittest.TestCase):
    """killed, survived, invalid."""

    def verdict(self, result, breaks="demo.second"):
        """For a mutant that should break this."""
        return mutants.verdict(mutants.read("name", TEXT.replace("demo.second", breaks)), result, SOUND)[0]

    def test_killed(self):
        self.assertEqual(self.verdict(boot("    ok 1 first", "    not ok 2 second")), "killed")

    def test_killed_by_a_report(self):
        self.assertEqual(self.verdict(boot("    ok 1 first", "BUG: x", "    ok 2 second")), "killed")

    def test_survived(self):
        self.assertEqual(self.verdict(SOUND), "survived")

    def test_another_case_does_not_count(self):
        self.assertEqual(self.verdict(boot("    not ok 1 first", "    ok 2 second")), "survived")

    def test_no_suite(self):
        self.assertEqual(self.verdict(report.parse("Kernel panic - not syncing\n")), "invalid")

    def test_no_such_case(self):
        self.assertEqual(self.verdict(SOUND, "demo.third"), "invalid")

    def test_skipped(self):
        self.assertEqual(self.verdict(boot("    ok 1 first", "    ok 2 second # SKIP x")), "invalid")

    def test_crash_in_the_case_or_before(self):
        crash = "Kernel panic - not syncing: x"
        self.assertEqual(self.verdict(boot("    ok 1 first", crash, end=False)), "killed")
        self.assertEqual(self.verdict(boot(crash, end=False)), "invalid")
        self.assertEqual(self.verdict(boot(crash, end=False), "panic"), "killed")
        self.assertEqual(self.verdict(SOUND, "panic"), "survived")

    def test_hang(self):
        self.assertEqual(self.verdict(SOUND, "hang"), "survived")
        hung = boot("    ok 1 first", end=False)
        hung.hung = True
        self.assertEqual(self.verdict(hung, "hang"), "killed")


if __name__ == "__main__":
    unittest.main()
