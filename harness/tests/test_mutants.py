# SPDX-License-Identifier: GPL-2.0
"""Headers of mutants, and what a boot says about one."""

import contextlib
import io
import os
import tempfile
import types
import unittest
from pathlib import Path
from unittest import mock

from harness import git, paths, report, ui
from harness.runs import lanes, mutants
from harness.series import mutants as patches

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
    bad = "not " if any("not ok" in line for line in lines) else ""
    tail = [f"{bad}ok 1 demo", "reboot: Power down"] if end else []
    return report.parse("\n".join(["KTAP version 1", "1..1", "    KTAP version 1", "    # Subtest: demo",
                                   "    1..2", *lines, *tail]))


SOUND = boot("    ok 1 first", "    ok 2 second")


class Header(unittest.TestCase):
    """What has to stand before the diff."""

    def test_good(self):
        mutant = patches.read("name", TEXT)
        self.assertEqual((mutant.property, mutant.breaks, mutant.lane, mutant.suites),
                         ("objects lie below 4 GB", ["demo.second"], "arm64-slub", ["demo"]))

    def test_several(self):
        mutant = patches.read("name", TEXT.replace("demo.second", "demo.a, other.b demo.c"))
        self.assertEqual((mutant.breaks, mutant.suites), (["demo.a", "other.b", "demo.c"], ["demo", "other"]))

    def test_bad(self):
        for old, new in (("Property: objects lie below 4 GB\n", ""), ("demo.second", "second"),
                         ("demo.second", "panic demo.second"), ("Lane", "Line"), ("--- a", "-- a"),
                         ("demo.second", "litmus.x"), ("arm64-slub", "litmus")):
            with self.subTest(new), self.assertRaises(ui.Failure):
                patches.read("name", TEXT.replace(old, new))


class Verdict(unittest.TestCase):
    """killed, survived, invalid."""

    def verdict(self, result, breaks="demo.second"):
        """For a mutant that should break this."""
        return mutants.verdict(patches.read("name", TEXT.replace("demo.second", breaks)).breaks, result, SOUND)[0]

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


class Files(unittest.TestCase):
    """Where mutants are, and that each applies."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        for name in ("series/mm/mutants/zone.patch", "series/6.1/mutants/powerpc-limit.patch",
                     "series/6.1/mutants/v7s-range.patch"):
            (self.top / name).parent.mkdir(parents=True, exist_ok=True)
            (self.top / name).write_text(TEXT, encoding="utf-8")

    def test_names(self):
        self.assertEqual(sorted(patches.files(self.top)), ["ddw/powerpc-limit", "mm/zone", "v7s/range"])

    def test_none(self):
        with tempfile.TemporaryDirectory() as tmp, self.assertRaises(ui.Failure):
            patches.load(tmp)

    def test_chosen(self):
        with mock.patch.dict(os.environ, {"MUTANTS": "mm/* v7s/range"}):
            found = mutants.chosen(self.top, {"arm64-slub": None})
        self.assertEqual(sorted(mutant.name for mutant in found), ["mm/zone", "v7s/range"])
        with mock.patch.dict(os.environ, {"MUTANTS": "x/*"}), self.assertRaises(ui.Failure):
            mutants.chosen(self.top, {"arm64-slub": None})
        with self.assertRaises(ui.Failure):
            mutants.chosen(self.top, {"x86_64": None})

    def test_check(self):
        git.own(self.top).raw("init", "-q")
        repo = git.own(self.top, **git.identity("a", "a@b", "1000000000 +0000"))
        (self.top / "mm").mkdir()
        (self.top / "mm/x.c").write_text("a\n", encoding="ascii")
        repo.raw("add", "mm/x.c")
        composed = types.SimpleNamespace(base=types.SimpleNamespace(repo=repo), tip=repo.out("write-tree"),
                                         series=types.SimpleNamespace(top=self.top))
        patches.check(composed)
        bad = self.top / "series/mm/mutants/zone.patch"
        bad.write_text(TEXT.replace("-a\n", "-c\n"), encoding="utf-8")
        with self.assertRaises(ui.Failure) as caught:
            patches.check(composed)
        self.assertIn("mm/zone", str(caught.exception))

    def test_repository(self):
        known = lanes.load("6.1")
        for mutant in patches.load(paths.TOP):
            self.assertIn(mutant.lane, [*known, patches.LITMUS])


class Command(unittest.TestCase):
    """`make mutants` as a whole, without kernels."""

    def run_with(self, *boots, breaks="demo.second"):
        """(exit status, what is printed) for one mutant and these boots: of the series, then of the mutant."""
        boots = iter(boots)
        mutant = patches.read("mm/zone", TEXT.replace("demo.second", breaks), Path("zone.patch"))
        lane = lanes.Lane("arm64-slub", lanes.Kernel("k", "arm64", []), {"demo": 2})
        composed = types.SimpleNamespace(tip="t", checkout=lambda *_: checkouts.append(1))
        checkouts, out = [], io.StringIO()
        with mock.patch.multiple(mutants, chosen=lambda *_: [mutant], patch=lambda _: None), \
                mock.patch.multiple(lanes, load=lambda _: {"arm64-slub": lane}, build=lambda *_: None,
                                    boot=lambda *_: next(boots)), \
                mock.patch.object(mutants.debian, "ensure"), mock.patch.object(patches, "check"), \
                mock.patch.object(mutants.compose, "prepare", lambda: composed), contextlib.redirect_stdout(out):
            status = mutants.cmd_mutants()
        self.assertEqual(len(checkouts), 3)         # at first, after the mutant, and in the end
        return status, out.getvalue()

    def test_killed(self):
        status, text = self.run_with(boot("    ok 1 first", "    ok 2 second"), boot("    ok 1 first", "    not ok 2 second"))
        self.assertEqual(status, 0)
        self.assertIn("1 killed, 0 survived", text)

    def test_survived(self):
        status, text = self.run_with(boot("    ok 1 first", "    ok 2 second"), boot("    ok 1 first", "    ok 2 second"))
        self.assertEqual(status, 1)
        self.assertIn("0 killed, 1 survived", text)

    def test_invalid(self):
        self.assertEqual(self.run_with(boot("    ok 1 first", "    ok 2 second"), boot(), breaks="demo.third")[0], 1)

    def test_series_fails_without_a_mutant(self):
        with self.assertRaises(ui.Failure):
            self.run_with(boot("    ok 1 first", "    not ok 2 second"), boot("    ok 1 first", "    not ok 2 second"))

    def test_several_suites_have_to_be_killed(self):
        good, bad = boot("    ok 1 first", "    ok 2 second"), boot("    ok 1 first", "    not ok 2 second")
        both = report.Report("x", suites=[*good.suites, report.Suite("more", 1, True, [report.Case("more", "a")])], ended=True)
        with mock.patch.object(mutants, "whole", lambda *_: both):
            self.assertEqual(self.run_with(bad, both, breaks="demo.second more.a")[0], 1)

    def test_finish(self):
        with contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(mutants.finish([("a", "b", "c", "killed")], []), 0)
            self.assertEqual(mutants.finish([("a", "b", "c", "survived")], ["a"]), 1)
            self.assertEqual(mutants.finish([], []), 1)


class Litmus(unittest.TestCase):
    """Mutants of the litmus lane."""

    def test_untied(self):
        self.assertEqual(mutants.untied(["litmus.a"], {"litmus.a": ["differs"]})[0], "killed")
        self.assertEqual(mutants.untied(["litmus.a"], {"litmus.a": []})[0], "survived")
        self.assertEqual(mutants.untied(["litmus.a"], {})[0], "invalid")


if __name__ == "__main__":
    unittest.main()
