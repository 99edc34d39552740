# SPDX-License-Identifier: GPL-2.0
"""Litmus tests: what herd7 says, which barriers are needed, and the tie to C."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness import git, paths, report, ui
from harness.runs import litmus, ordering
from harness.tests.fixture import Case, plain_git, write


def text(*threads, result="Never"):
    """A litmus test; in a thread `|` is the end of a line."""
    bodies = "".join(f"P{n}(int *x, int *y,\n   spinlock_t *l) // T\n{{\n\tint r0;\n\t" + "\n\t".join(body.split("|"))
                     + "\n}\n\n" for n, body in enumerate(threads))
    return (f"C t\n\n(*\n * Result: {result}\n *\n * smp_mb() is in the comment (* only.\n *)\n\n{{int x = 1;}}\n\n"
            f"{bodies}exists (1:r0=1 /\\ x=2) (* Bad. *)\n")


X, Y = "WRITE_ONCE(*x, 1);", "WRITE_ONCE(*y, 1);"
RX, RY = "r0 = READ_ONCE(*x);", "r0 = READ_ONCE(*y);"


class Barriers(unittest.TestCase):
    """Dropping them one by one."""

    def dropped(self, *threads):
        """What is dropped, and the code lines that then differ from the whole test."""
        whole = text(*threads)
        plain = litmus.strip_comments(whole).splitlines()
        found = []
        for label, changes in litmus.barriers(whole):
            lines = litmus.changed(whole, changes).splitlines()
            self.assertEqual(len(lines), len(plain))
            found.append((label, [new.strip() for old, new in zip(plain, lines) if old != new]))
        return found

    def test_fences(self):
        self.assertEqual(self.dropped(f"{X}|smp_wmb();\t// smp_mb()|{Y}", f"{RY}|if (r0) {{|smp_rmb();|}}|{RX}"),
                         [("P0 smp_wmb()", ["barrier();"]), ("P1 smp_rmb()", ["barrier();"])])
        for fence in ("smp_mb", "smp_mb__after_spinlock", "synchronize_rcu"):
            self.assertEqual(self.dropped(f"{X}|{fence}();"), [(f"P0 {fence}()", ["barrier();"])])

    def test_each_of_several(self):
        self.assertEqual(len(self.dropped(f"{X}|smp_mb();|{Y}|smp_mb();")), 2)

    def test_accesses_lose_their_ordering(self):
        self.assertEqual(self.dropped("smp_store_release(x, r0);|rcu_assign_pointer(*y, x);",
                                      "r0 = smp_load_acquire(x);"),
                         [("P0 smp_store_release()", ["WRITE_ONCE(*x, r0);"]),
                          ("P0 rcu_assign_pointer()", ["WRITE_ONCE(*y, x);"]),
                          ("P1 smp_load_acquire()", ["r0 = READ_ONCE(*x);"])])

    def test_lock_is_dropped_everywhere(self):
        held = "spin_lock({0});|{1}|spin_unlock({0});"
        self.assertEqual(self.dropped(held.format("l", X), held.format("l", RX), held.format("m", RX)),
                         [("spin_lock(l)", ["barrier();"] * 4), ("spin_lock(m)", ["barrier();"] * 2)])

    def test_critical_sections_count_where_there_is_a_grace_period(self):
        reader = f"rcu_read_lock();|{RX}|rcu_read_unlock();"
        self.assertEqual(self.dropped(reader), [])
        self.assertEqual(self.dropped(f"{X}|synchronize_rcu();", reader),
                         [("P0 synchronize_rcu()", ["barrier();"]), ("P1 rcu_read_lock()", ["barrier();"] * 2)])

    def test_unknown_call(self):
        for body in ("xchg(x, 1);", "smp_mb__after_atomic();", "r0 = atomic_read(x);"):
            with self.subTest(body), self.assertRaisesRegex(ui.Failure, r"\(\) would not be dropped"):
                litmus.barriers(text(body))

    def test_comments(self):
        self.assertEqual(litmus.strip_comments("a (* b *) WRITE_ONCE(*x, 1); // c\n(*\n *)d"),
                         "a   WRITE_ONCE(*x, 1);  \n\nd")


class Verdict(unittest.TestCase):
    """The case of suite herd7."""

    def judge(self, *threads, needs=(), result="Never", sound=None, flags=()):
        """For a test that needs these words: without any one of them what must not be comes out."""
        def run(words, _):
            code = litmus.strip_comments(words)
            return ("Sometimes" if any(need not in code for need in needs) else sound or "Never"), list(flags)
        case = report.Case("herd7", "t")
        litmus.judge(case, text(*threads, result=result), run)
        return case

    def test_all_needed(self):
        case = self.judge(f"{X}|smp_wmb();|{Y}", f"{RY}|smp_rmb();|{RX}", needs=("smp_wmb()", "smp_rmb()"))
        self.assertEqual((case.status, case.full), ("passed", "herd7.t"))
        self.assertEqual(case.proofs, ["t: Never, and possible without any one of its 2 barriers"])

    def test_one_too_many(self):
        case = self.judge(f"{X}|smp_wmb();|smp_store_release(y, 1);", needs=("smp_store_release",))
        self.assertEqual((case.status, case.problems, case.proofs), ("failed", ["P0 smp_wmb() is not needed"], []))

    def test_weaker_is_a_note(self):
        case = self.judge(f"{X}|smp_mb();|{Y}", needs=("mb()",))
        self.assertEqual((case.status, case.proofs[:-1]),
                         ("passed", ["t: smp_wmb() would do for P0 smp_mb()", "t: smp_rmb() would do for P0 smp_mb()"]))
        self.assertEqual(len(self.judge(f"{X}|smp_mb();|{Y}", needs=("smp_mb()",)).proofs), 1)

    def test_result(self):
        for sound, result in (("Sometimes", "Never"), ("Never", "Sometimes"), ("Always", "Sometimes"), ("Never", "?")):
            with self.subTest(sound):
                case = self.judge(X, sound=sound, result=result)
                self.assertEqual((case.status, len(case.problems)), ("failed", 1))
                self.assertRegex(case.problems[0], f"^{sound}, but it says Result: ")
        self.assertEqual(self.judge(f"{X}|smp_mb();", sound="Sometimes", result="Sometimes").status, "passed")

    def test_flag(self):
        self.assertEqual(self.judge(X, flags=["data-race"]).problems, ["herd7 says data-race"])


class Herd(unittest.TestCase):
    """What it prints."""

    def outcome(self, words):
        """For a run that prints this."""
        def run(_, log, **__):
            log.write_text(words, encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(ui, "run", run):
            log = Path(folder) / "log/t.0.log"
            try:
                return litmus.outcome(["herd7"], folder, "C t\n", log)
            finally:
                self.assertEqual(log.with_name("t.0.litmus").read_text(encoding="utf-8"), "C t\n")

    def test_outcome(self):
        for word in ("Never", "Sometimes", "Always"):
            self.assertEqual(self.outcome(f"Test t Allowed\nNo\nObservation t {word} 0 7\nTime t 0.03\n"), (word, []))
        self.assertEqual(self.outcome("Flag data-race\nObservation t Never 0 7\n"), ("Never", ["data-race"]))

    def test_failure(self):
        with self.assertRaisesRegex(ui.Failure, "herd7 cannot run it: Warning: x"):
            self.outcome("Warning: x\nObservation of nothing\n")
        with self.assertRaisesRegex(ui.Failure, "no output"):
            self.outcome("")


class Run(Case):
    """The report."""

    def setUp(self):
        super().setUp()
        self.write_test("// kernel/a.c:f()|smp_wmb();")
        write(self.top, {"kernel/a.c": "void f(void)\n{\n\tsmp_wmb();\n}\n"})

    def write_test(self, *threads):
        """The only test of the repository."""
        write(self.top, {f"{litmus.FOLDER}/t.litmus": text(*threads)})

    def run_all(self, **herd):
        """(status of the case in herd7, in litmus), and the report in self.report."""
        with mock.patch.object(litmus, "herd", **herd):
            self.report = litmus.run(self.top)
        return tuple(case.status for case in self.report.cases())

    def test_passed(self):
        with mock.patch.object(litmus, "outcome", side_effect=[("Never", []), ("Sometimes", [])]):
            self.assertEqual(self.run_all(return_value=["herd7"]), ("passed", "passed"))
        self.assertEqual([case.full for case in self.report.cases()], ["herd7.t", "litmus.t"])
        self.assertEqual(self.report.count("failed"), 0)

    def test_herd_that_cannot_be_had_is_a_skip(self):
        self.assertEqual(self.run_all(side_effect=ui.Failure("no network", "x")), ("skipped", "passed"))
        self.assertEqual(self.report.cases()[0].reason, "there is no herd7: no network")
        self.assertEqual([self.report.count(status) for status in ("passed", "failed", "skipped")], [1, 0, 1])

    def test_herd_that_fails_is_a_failure(self):
        with mock.patch.object(litmus, "outcome", side_effect=ui.Failure("herd7 cannot run it")):
            self.assertEqual(self.run_all(return_value=["herd7"]), ("failed", "passed"))

    def test_code_that_differs(self):
        write(self.top, {"kernel/a.c": "void f(void)\n{\n\tsmp_mb();\n}\n"})
        self.assertEqual(self.run_all(side_effect=OSError("x")), ("skipped", "failed"))

    def test_no_tests(self):
        (self.top / f"{litmus.FOLDER}/t.litmus").unlink()
        self.run_all(return_value=["herd7"])
        self.assertEqual(self.report.count("failed"), 1)

    def test_name(self):
        (self.top / f"{litmus.FOLDER}/t.litmus").rename(self.top / f"{litmus.FOLDER}/u.litmus")
        self.assertIn("another name inside", self.refused(litmus.load))

    def test_command(self):
        """`make litmus` runs on the files of the composed series, and fails if a case does."""
        files = {f"{litmus.MODEL}/linux-kernel.cfg": "model\n", "kernel/a.c": "committed\n", "kernel/b.c": "unused\n"}
        write(self.tmp / "repo", files)
        plain_git(self.tmp / "repo", "init", "-q")
        plain_git(self.tmp / "repo", "add", ".")
        plain_git(self.tmp / "repo", "commit", "-q", "-m", "x")
        tree = self.tmp / "tree"
        tree.mkdir()
        litmus.extract(git.own(self.tmp / "repo"), "HEAD", tree)
        self.assertEqual({str(path.relative_to(tree)): path.read_text() for path in tree.rglob("*") if path.is_file()},
                         {name: words for name, words in files.items() if name != "kernel/b.c"})
        broken = report.Case("litmus", "t")
        self.assertEqual(self.command(report.Case("litmus", "t")), 0)
        broken.fail("differs")
        self.assertEqual(self.command(broken), 1)
        self.assertIn("FAILED: litmus: litmus.t", self.output)
        self.assertIn("0 passed, 1 failed", self.output)

    def command(self, case):
        """What cmd_litmus() returns if the tests give this case."""
        result = report.Report("litmus", suites=[report.Suite("litmus", 1, True, [case])], ended=True)
        with mock.patch.object(litmus.compose, "prepare"), mock.patch.object(litmus, "extract"), \
                mock.patch.object(litmus, "run", return_value=result):
            return self.quiet(litmus.cmd_litmus)


TIED = text("WRITE_ONCE(*x, 1); // fill|// kernel/a.c:publish()|WRITE_ONCE(*z, 1); // set_bit()|"
            "// spin_lock()|rcu_assign_pointer(*p, x); // hlist_add_head_rcu()|smp_mb();|WRITE_ONCE(*y, 1); // hand on",
            "r0 = READ_ONCE(*y);|// include/a.h:look()|smp_rmb();|r2 = READ_ONCE(*x);|// look_up()")
C = {"kernel/a.c": """\
static void publish(struct buf *buf);
/* publish() { smp_wmb(); } */
static void publish(struct buf *buf)
{
	if (buf->bit) {
		set_bit(buf->bit, &buf->bits);	// smp_mb()
	}
	spin_lock(bucket_lock(buf, "smp_mb()"));
	hlist_add_head_rcu(&buf->node, &bucket);
	smp_mb();
}

void user(void)
{
	publish(buf);
	smp_wmb();
}
""", "include/a.h": """\
#ifdef A
static inline bool look(void)
{
	smp_rmb();
	return READ_ONCE(x) && look_up();
}
#else
static inline bool look(void) { return false; }
#endif
"""}


class Tie(unittest.TestCase):
    """Threads and functions."""

    def untied(self, file="", old="", new="", tied=TIED):
        """With one thing changed in the code."""
        with tempfile.TemporaryDirectory() as tmp:
            write(tmp, {name: code.replace(old, new, 1) if name == file else code for name, code in C.items()})
            return ordering.untied("t", tied, Path(tmp))

    def test_declared(self):
        self.assertEqual(ordering.declared("t", TIED), [
            ("P0", "kernel/a.c", "publish", ["set_bit", "spin_lock", "hlist_add_head_rcu", "smp_mb"]),
            ("P1", "include/a.h", "look", ["smp_rmb", "READ_ONCE", "look_up"])])

    def test_tied(self):
        self.assertEqual(self.untied(), [])

    def test_changes_of_the_code(self):
        for file, old, new in (("kernel/a.c", "\tsmp_mb();\n}\n\nvoid", "}\n\nvoid"), ("kernel/a.c", "_rcu(", "("),
                               ("kernel/a.c", "\tsmp_mb();\n}\n\nvoid", "\tsmp_wmb();\n}\n\nvoid"),
                               ("kernel/a.c", "\tspin_lock", "\tsmp_wmb();\n\tspin_lock"),
                               ("include/a.h", "\tsmp_rmb();\n", ""), ("include/a.h", "READ_ONCE(x)", "x"),
                               ("include/a.h", "READ_ONCE(x) && look_up()", "look_up() && READ_ONCE(x)"),
                               ("include/a.h", "return false", "smp_rmb(); return false"),
                               ("kernel/a.c", "publish(struct buf *buf)\n", "issue(struct buf *buf)\n")):
            with self.subTest(new):
                self.assertEqual(len(self.untied(file, old, new)), 1)

    def test_nothing_modelled(self):
        self.assertEqual(self.untied(tied=text(X, RX)), ["names no function that it models"])

    def test_no_file(self):
        self.assertIn("No such file", self.untied(tied=TIED.replace("include/a.h", "include/b.h"))[0])

    def test_fences_have_to_stand_for_something(self):
        for body in ("smp_mb();", "// kernel/a.c:f()|smp_mb(); // because", "// kernel/a.c:f()|smp_mb(); smp_mb();"):
            with self.subTest(body), self.assertRaises(ui.Failure):
                ordering.declared("t", text(body))
        self.assertEqual(ordering.declared("t", text("smp_mb(); // the driver")), [])


class Files(unittest.TestCase):
    """The litmus tests of this repository."""

    def test_all_have_barriers_to_drop(self):
        for name, words in litmus.load().items():
            with self.subTest(name):
                self.assertTrue(litmus.barriers(words))

    def test_all_are_tied(self):
        for name, words in litmus.load().items():
            with self.subTest(name):
                self.assertEqual(ordering.untied(name, words, paths.TOP), [])


if __name__ == "__main__":
    unittest.main()
