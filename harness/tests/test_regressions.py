# SPDX-License-Identifier: GPL-2.0
"""`make regressions`: what counts as a surprise, and the tree without a fix."""

import contextlib
import io
import os
import tempfile
import types
import unittest
from pathlib import Path
from unittest import mock

from harness import git, paths, report, ui
from harness.runs import lanes, regressions

TEXT = """
[[fix]]
commit = "mm/fix"
test = "mm/test"
lane = "plain"
cases = ["s.a"]
"""


def lane():
    """A lane with suite s."""
    return lanes.Lane("plain", lanes.Kernel("k", "arm64", ["common"]), {"s": 2})


def fix(cases=("s.a",), crash=False):
    """An entry."""
    return regressions.Fix("mm/fix", "mm/test", lane(), list(cases), crash)


def console(statuses, end=True, planned=None):
    """The report of suite s, whose cases end like that."""
    lines = ["KTAP version 1", "1..1", "    KTAP version 1", "    # Subtest: s", f"    1..{planned or len(statuses)}"]
    lines += [f"    {status} {i} {name}" for i, (name, status) in enumerate(statuses.items(), 1)]
    good = all(status.startswith("ok") for status in statuses.values())
    lines += [f"{'ok' if good else 'not ok'} 1 s", "reboot: Power down"] if end else ["Kernel panic"]
    booted = report.parse("\n".join(lines), "lane", "log")
    return report.judge(booted, {"s": len(booted.cases())})


class Judged(unittest.TestCase):
    """Without and with a fix."""

    def judged(self, without, having, cases=("s.a",), **options):
        """(rows, surprises)."""
        reports = [boot if isinstance(boot, report.Report) else console(boot) for boot in (without, having)]
        return regressions.judged(fix(cases, **options), {"s": reports[0]}, {"s": reports[1]})

    def test_as_it_should_be(self):
        rows, bad = self.judged({"a": "not ok", "b": "ok"}, {"a": "ok", "b": "ok"})
        self.assertEqual((rows, bad), ([("mm/fix", "s.a", "failed", "passed")], []))

    def test_named_case_passes_without(self):
        self.assertEqual(self.judged({"a": "ok"}, {"a": "ok"})[1], ["mm/fix: s.a does not fail without the fix"])

    def test_other_case_fails_without(self):
        self.assertIn("mm/fix: s.b fails without the fix",
                      self.judged({"a": "not ok", "b": "not ok"}, {"a": "ok", "b": "ok"})[1])

    def test_other_case_is_missing_without(self):
        self.assertIn("mm/fix: s.b does not run without the fix", self.judged({"a": "not ok"}, {"a": "ok", "b": "ok"})[1])

    def test_case_fails_with(self):
        self.assertIn("mm/fix: s.a fails with the fix", self.judged({"a": "not ok"}, {"a": "not ok"})[1])

    def test_case_does_not_exist(self):
        self.assertIn("mm/fix: there is no case s.z", self.judged({"a": "ok"}, {"a": "ok"}, ["s.z"])[1])

    def test_trouble_that_is_no_case(self):
        loud = console({"a": "ok"})
        loud.problems.append("BUG: x")
        self.assertTrue(self.judged({"a": "not ok"}, loud)[1])
        loud = console({"a": "not ok"})
        loud.problems.append("BUG: x")
        self.assertTrue(self.judged(loud, {"a": "ok"})[1])

    def test_crash(self):
        after = {"first": "ok", "a": "ok", "b": "ok"}
        crashed = console({"first": "ok", "a": "not ok"}, end=False, planned=3)
        crashed.suites[0].cases = crashed.suites[0].cases[:2]
        self.assertEqual(self.judged(crashed, after, crash=True)[1], [])
        self.assertTrue(self.judged(crashed, after)[1])
        # the guest ends before the case has said its name: its position tells which one it was
        unnamed = console({"first": "ok"}, end=False, planned=3)
        self.assertEqual(unnamed.suites[0].cases[1].name, "case 2 of 3")
        rows, bad = self.judged(unnamed, after, crash=True)
        self.assertEqual((rows[0], bad), (("mm/fix", "s.a", "failed", "passed"), []))
        self.assertIn("mm/fix: s: the guest does not crash without the fix",
                      self.judged({"first": "ok", "a": "not ok", "b": "ok"}, after, crash=True)[1])
        early = console({"first": "ok"}, end=False, planned=3)
        early.suites[0].cases = early.suites[0].cases[:1]
        self.assertIn("mm/fix: the guest ended before any of the cases", self.judged(early, after, crash=True)[1])


class Read(unittest.TestCase):
    """regressions.toml."""

    def test_good(self):
        found, = regressions.read(TEXT, {"plain": lane()})
        self.assertEqual((found.commit, found.suites, found.crash), ("mm/fix", ["s"], False))

    def test_bad(self):
        for old, new in (("plain", "odd"), ('cases = ["s.a"]', "cases = []"), ("s.a", "t.a"), ("[[fix]]", "[[fux]]"),
                         ("test =", "tests ="), ('lane = "plain"', 'lane = "plain"\nmore = 1')):
            with self.subTest(new), self.assertRaises(ui.Failure):
                regressions.read(TEXT.replace(old, new), {"plain": lane()})

    def test_repository(self):
        text = (paths.TOP / "bases/6.1/regressions.toml").read_text(encoding="utf-8")
        for found in regressions.read(text, lanes.load()):
            self.assertEqual(len(found.cases), len(set(found.cases)))

    def test_chosen(self):
        fixes = [fix(), fix()]
        fixes[1].commit = "other/fix"
        with mock.patch.dict(os.environ, {"FIX": "other/*"}):
            self.assertEqual(regressions.chosen(fixes), fixes[1:])
        with mock.patch.dict(os.environ, {"FIX": "no"}), self.assertRaises(ui.Failure):
            regressions.chosen(fixes)


class Tree(unittest.TestCase):
    """The test's commit without the fix, in a real repository."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        top = Path(folder.name)
        git.own(top).raw("init", "-q")
        self.repo = git.own(top, **git.identity("a", "a@b", "1000000000 +0000"))
        commits = []
        for name, text, test in (("base", "a\nb\nc\nd\ne\nf\ng\nh\n", ""), ("mm/fix", "A\nb\nc\nd\ne\nf\ng\nh\n", ""),
                                 ("mm/test", "A\nb\nc\nd\ne\nf\ng\nH\n", "test\n")):
            (top / "x.c").write_text(text, encoding="ascii")
            (top / "test.c").write_text(test, encoding="ascii")
            self.repo.raw("add", "x.c", "test.c")
            tree = self.repo.out("write-tree")
            parents = ["-p", commits[-1].commit] if commits else []
            commits.append(types.SimpleNamespace(id=name, tree=tree, commit=self.repo.out("commit-tree", tree, *parents,
                                                                                          stdin=b"x\n")))
        self.base, *self.commits = commits
        self.composed = types.SimpleNamespace(
            base=types.SimpleNamespace(repo=self.repo), commits=self.commits,
            parent=lambda commit: self.base.commit if commit is self.commits[0] else self.commits[0].commit)

    def test_without(self):
        commit = regressions.without(self.composed, fix())
        self.assertEqual(self.repo.blob(f"{commit}:x.c"), b"a\nb\nc\nd\ne\nf\ng\nH\n")
        self.assertEqual(self.repo.blob(f"{commit}:test.c"), b"test\n")

    def test_cannot_be_taken_back(self):
        self.commits[1].commit = self.base.commit
        with self.assertRaises(ui.Failure):
            regressions.without(self.composed, fix())

    def test_order(self):
        other = fix()
        other.test = "mm/fix"
        self.assertEqual(regressions.ordered([fix(), other], self.composed), [(0, other), (1, fix())])
        for name in ("commit", "test"):
            wrong = fix()
            setattr(wrong, name, "mm/none")
            with self.assertRaises(ui.Failure):
                regressions.ordered([wrong], self.composed)
        wrong.commit, wrong.test = "mm/test", "mm/fix"
        with self.assertRaises(ui.Failure):
            regressions.ordered([wrong], self.composed)

    def test_verify(self):
        with mock.patch.object(regressions, "load", lambda: [fix()]):
            regressions.check(self.composed)
            self.commits.pop(0)
            with self.assertRaisesRegex(ui.Failure, "mm/fix, which is no commit"):
                regressions.check(self.composed)


class Command(unittest.TestCase):
    """`make regressions` as a whole, without kernels."""

    def run_with(self, without, having):
        """(exit status, what is printed) for one fix."""
        boots, built = iter((without, having)), []

        def boot(composed, commit, entry, when):
            built.append((commit, when))
            found = next(boots)
            if isinstance(found, Exception):
                raise found
            return {"s": console(found)}
        composed = types.SimpleNamespace(commits=[types.SimpleNamespace(id="mm/fix", commit="1"),
                                                  types.SimpleNamespace(id="mm/test", commit="2")])
        out = io.StringIO()
        with mock.patch.multiple(regressions, read=lambda *_: [fix()], boot=boot, without=lambda *_: "2 without"), \
                mock.patch("harness.source.debian.ensure"), \
                mock.patch("harness.series.compose.prepare", lambda: composed), contextlib.redirect_stdout(out), \
                mock.patch.dict(os.environ, {"FIX": ""}):
            status = regressions.cmd_regressions()
        self.assertEqual(built[0], ("2 without", "without"))
        if len(built) > 1:
            self.assertEqual(built[1], ("2", "with"))
        return status, out.getvalue()

    def test_good(self):
        self.assertEqual(self.run_with({"a": "not ok", "b": "ok"}, {"a": "ok", "b": "ok"})[0], 0)

    def test_surprise(self):
        status, text = self.run_with({"a": "ok", "b": "ok"}, {"a": "ok", "b": "ok"})
        self.assertEqual(status, 1)
        self.assertIn("FAILED: mm/fix: s.a does not fail without the fix", text)

    def test_build_that_fails(self):
        status, text = self.run_with(ui.Failure("no compiler"), {"a": "ok"})
        self.assertEqual(status, 1)
        self.assertIn("FAILED: no compiler", text)

    def test_boot(self):
        """It is judged by what ran, as the suite may be shorter at that commit, but what did not run is a failure."""
        composed = types.SimpleNamespace(checkout=lambda *_: None)
        with mock.patch.multiple(lanes, known_to=lambda *_: lane().kernel, build=lambda *_: None,
                                 boot=lambda *_: report.parse("reboot: Power down\n")):
            self.assertTrue(regressions.boot(composed, "1", fix(), "with")["s"].count("failed"))
        with mock.patch.multiple(lanes, known_to=lambda *_: lane().kernel, build=lambda *_: None,
                                 boot=lambda *_: console({"a": "ok"})):
            self.assertEqual(regressions.boot(composed, "1", fix(), "with")["s"].count("failed"), 0)
