# SPDX-License-Identifier: GPL-2.0
"""Litmus tests: what the memory model allows, which barriers are needed, and the tie to C."""

import tempfile
import unittest
from pathlib import Path

from harness import ui
from harness.runs import litmus, lkmm, mutants, ordering
from harness.series import mutants as patches
from harness.tests.fixture import write


def text(exists, *threads, init="", result="Never"):
    """A litmus test; in a thread `|` is the end of a line."""
    bodies = "".join(f"P{n}({', '.join(f'int *{name}' for name in 'xyzpqlm')}) // T\n{{\n\tint r0;\n\tint *r1;\n\t"
                     + "\n\t".join(body.split("|")) + "\n}\n\n" for n, body in enumerate(threads))
    return f"C t\n\n(*\n * Result: {result}\n *)\n\n{{{init}}}\n\n{bodies}exists ({exists}) (* Bad. *)\n"


def outcome(*args, **more):
    """Never or Sometimes."""
    return litmus.run(litmus.read(text(*args, **more)))[0]


X, Y = "WRITE_ONCE(*x, 1);", "WRITE_ONCE(*y, 1);"
RX, RY = "r0 = READ_ONCE(*x);", "r0 = READ_ONCE(*y);"
# message passing: what is between the two accesses of each side
MP = "1:r0=1 /\\ 1:r2=0"


def passing(write_side, read_side):
    """MP with these fences."""
    return outcome(MP, f"{X}|{write_side}{Y}", f"{RY}|{read_side}r2 = READ_ONCE(*x);")


class Relations(unittest.TestCase):
    """Rel."""

    def test_operators(self):
        a, b = lkmm.Rel.of(4, [(0, 1), (1, 2)]), lkmm.Rel.of(4, [(1, 3), (2, 0)])
        self.assertEqual((a @ b).pairs(), [(0, 3), (1, 0)])
        self.assertEqual((a | b).pairs(), [(0, 1), (1, 2), (1, 3), (2, 0)])
        self.assertEqual(a.inverse().pairs(), [(1, 0), (2, 1)])
        self.assertEqual(a.plus().pairs(), [(0, 1), (0, 2), (1, 2)])
        self.assertEqual(len(a.star().pairs()), 7)
        self.assertTrue(a.acyclic())
        self.assertFalse((a | b).acyclic())
        self.assertTrue((a | b).irreflexive())

    def test_nested_sections_are_one(self):
        events = [lkmm.Event(0, "F", note) for note in ("rcu-lock", "rcu-lock", "rcu-unlock", "rcu-unlock")]
        self.assertEqual(lkmm.sections(events), [(0, 3)])
        for wrong in (events[:3], events[1:]):
            with self.assertRaises(ValueError):
                lkmm.sections(wrong)


class Model(unittest.TestCase):
    """What is forbidden and what is not; the tests that come with the base say the same of theirs in `make litmus`."""

    def test_message_passing(self):
        for write_side, read_side, expected in (
                ("", "", "Sometimes"), ("smp_wmb();|", "", "Sometimes"), ("", "smp_rmb();|", "Sometimes"),
                ("smp_wmb();|", "smp_rmb();|", "Never"), ("smp_mb();|", "smp_mb();|", "Never"),
                ("smp_rmb();|", "smp_rmb();|", "Sometimes"), ("smp_wmb();|", "smp_wmb();|", "Sometimes")):
            with self.subTest(write_side + read_side):
                self.assertEqual(passing(write_side, read_side), expected)

    def test_release_acquire(self):
        self.assertEqual(outcome(MP, f"{X}|smp_store_release(y, 1);", "r0 = smp_load_acquire(y);|r2 = READ_ONCE(*x);"),
                         "Never")

    def test_address_dependency(self):
        reader = "r1 = rcu_dereference(*p);|r2 = READ_ONCE(*r1);"
        for publish, expected in (("rcu_assign_pointer(*p, x);", "Never"), ("WRITE_ONCE(*p, x);", "Sometimes")):
            self.assertEqual(outcome("1:r1=x /\\ 1:r2=0", f"{X}|{publish}", reader, init="p=z;"), expected)

    def test_control_dependency_orders_stores_inside_only(self):
        other = f"{RY}|smp_mb();|{X}"
        for body, expected in ((f"if (r0) {{ {Y} }}", "Never"), (f"if (r0) {{ }} {Y}", "Sometimes")):
            self.assertEqual(outcome("0:r0=1 /\\ 1:r0=1", f"{RX}|{body}", other), expected)

    def test_store_buffering(self):
        for fence, expected in (("smp_mb();|", "Never"), ("smp_wmb();|", "Sometimes"), ("", "Sometimes")):
            self.assertEqual(outcome("0:r0=0 /\\ 1:r0=0", f"{X}|{fence}{RY}", f"{Y}|{fence}{RX}"), expected)

    def test_cumulativity(self):
        # smp_wmb() does not order the store that was read from; smp_mb() and a store release do
        for middle, expected in ((f"smp_mb();|{Y}", "Never"), (f"smp_wmb();|{Y}", "Sometimes"),
                                 ("smp_store_release(y, 1);", "Never"),
                                 (f"smp_store_release(z, 1);|smp_wmb();|{Y}", "Never"), (Y, "Sometimes")):
            with self.subTest(middle):
                self.assertEqual(outcome("1:r0=1 /\\ 2:r0=1 /\\ 2:r2=0", X, f"{RX}|{middle}",
                                         f"{RY}|smp_rmb();|r2 = READ_ONCE(*x);"), expected)

    def test_strong_fence_before_any_way(self):
        for fence, expected in (("smp_mb();", "Never"), ("smp_wmb();", "Sometimes")):
            self.assertEqual(outcome("1:r0=1 /\\ 2:r0=1 /\\ 2:r2=0", f"{X}|{fence}|{Y}", f"{RY}|WRITE_ONCE(*z, r0);",
                                     "r0 = READ_ONCE(*z);|smp_rmb();|r2 = READ_ONCE(*x);"), expected)

    def test_lock(self):
        held = "spin_lock(l);|{}|spin_unlock(l);"
        other = "spin_lock(m);|{}|spin_unlock(m);"
        for lock, expected in ((held, "Never"), (other, "Sometimes")):
            self.assertEqual(outcome("1:r0=1 /\\ 1:r2=0", X + "|" + held.format(Y),
                                     lock.format(RY) + "|r2 = READ_ONCE(*x);"), expected)

    def test_mutual_exclusion(self):
        add = "spin_lock(l);|r0 = READ_ONCE(*x);|WRITE_ONCE(*x, {});|spin_unlock(l);"
        self.assertEqual(outcome("0:r0=0 /\\ 1:r0=0", add.format(1), add.format(2)), "Never")
        self.assertEqual(outcome("0:r0=0 /\\ 1:r0=1 /\\ x=2", add.format(1), add.format(2)), "Sometimes")

    def test_grace_period(self):
        reader = "rcu_read_lock();|r0 = READ_ONCE(*y);|r2 = READ_ONCE(*x);|rcu_read_unlock();"
        self.assertEqual(outcome(MP, f"{X}|synchronize_rcu();|{Y}", reader), "Never")
        self.assertEqual(outcome(MP, f"{X}|{Y}", reader), "Sometimes")
        self.assertEqual(outcome(MP, f"{X}|synchronize_rcu();|{Y}", reader.replace("|rcu_read_unlock();", "")
                                 .replace("rcu_read_lock();|", "")), "Sometimes")

    def test_coherence(self):
        self.assertEqual(outcome("1:r0=2 /\\ 1:r2=1", f"{X}|WRITE_ONCE(*x, 2);", f"{RX}|r2 = READ_ONCE(*x);"), "Never")

    def test_pointer_that_is_none(self):
        self.assertEqual(outcome("0:r0=0", "r1 = READ_ONCE(*p);|r0 = READ_ONCE(*r1);"), "Never")


class Reading(unittest.TestCase):
    """The language."""

    def test_either(self):
        for condition, expected in (("0:r0=1 \\/ 0:r0=2 /\\ x=5", "Sometimes"),
                                    ("(0:r0=1 \\/ 0:r0=2) /\\ x=5", "Never")):
            self.assertEqual(outcome(condition, f"{X}|{RX}"), expected)

    def test_else(self):
        self.assertEqual(outcome("y=2", f"{RX}|if (r0 == 1) {{ {Y} }} else {{ WRITE_ONCE(*y, 2); }}"), "Sometimes")

    def test_comments(self):
        self.assertEqual(litmus.strip_comments("a (* b *) WRITE_ONCE(*x, 1); // c\n(*\n *)d"),
                         "a   WRITE_ONCE(*x, 1);  \n\nd")

    def test_not_known(self):
        for body in ("xchg(x, 1);", "r0 = atomic_read(x);", "*x = 1;", "r0 = *x;", "spin_lock(l);", "rcu_read_lock();",
                     "WRITE_ONCE(r0, 1);", "r0 = READ_ONCE(*x)"):
            with self.subTest(body), self.assertRaises(litmus.Unsupported):
                outcome("x=0", body)
        with self.assertRaises(litmus.Unsupported):
            outcome("~(x=0)", X)

    def test_values_without_end(self):
        with self.assertRaises(litmus.Unsupported):
            outcome("x=0", f"{RX}|WRITE_ONCE(*y, r0 + 1);", RY)


class Barriers(unittest.TestCase):
    """Dropping them one by one."""

    def judge(self, *args, **more):
        """The counted barriers, and what is wrong."""
        row, notes, bad = litmus.judge(litmus.read(text(*args, **more)))
        return row[-1], notes, bad

    def test_all_needed(self):
        found = self.judge("1:r0=1 /\\ 2:r0=1 /\\ 2:r2=0", X, f"{RX}|smp_mb();|{Y}",
                           f"{RY}|smp_rmb();|r2 = READ_ONCE(*x);")
        self.assertEqual(found, ("2 of 2", [], []))

    def test_one_too_many(self):
        found = self.judge(MP, f"{X}|smp_wmb();|smp_store_release(y, 1);", f"{RY}|smp_rmb();|r2 = READ_ONCE(*x);")
        self.assertEqual(found, ("1 of 3", [], ["P0 smp_wmb() is not needed", "P0 smp_store_release() is not needed"]))

    def test_weaker(self):
        found = self.judge(MP, f"{X}|smp_mb();|{Y}", "r0 = smp_load_acquire(y);|r2 = READ_ONCE(*x);")
        self.assertEqual(found, ("2 of 2", ["smp_wmb() would do for P0 smp_mb()"], []))

    def test_pairs_go_together(self):
        reader = "rcu_read_lock();|r0 = READ_ONCE(*y);|r2 = READ_ONCE(*x);|rcu_read_unlock();"
        found = self.judge(MP, f"{X}|synchronize_rcu();|{Y}", reader)
        self.assertEqual(found, ("2 of 2", [], []))
        held = "spin_lock(l);|{}|spin_unlock(l);"
        found = self.judge(MP, held.format(f"{X}|{Y}"), held.format(f"{RY}|r2 = READ_ONCE(*x);"))
        self.assertEqual(found, ("1 of 1", [], []))

    def test_wrong_result(self):
        self.assertEqual(self.judge(MP, f"{X}|{Y}", f"{RY}|r2 = READ_ONCE(*x);")[2],
                         ["Sometimes, but it says Result: Never"])
        self.assertEqual(self.judge("x=2", X, result="Sometimes")[2], ["Never, but it says Result: Sometimes"])


TIED = text(MP, "WRITE_ONCE(*x, 1); // fill|// kernel/a.c:publish()|WRITE_ONCE(*z, 1); // set_bit()|"
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
        self.assertEqual(self.untied(tied=text(MP, X, RX)), ["names no function that it models"])

    def test_no_file(self):
        self.assertIn("No such file", self.untied(tied=TIED.replace("include/a.h", "include/b.h"))[0])

    def test_fences_have_to_stand_for_something(self):
        for body in ("smp_mb();", "// kernel/a.c:f()|smp_mb(); // because", "// kernel/a.c:f()|smp_mb(); smp_mb();"):
            with self.subTest(body), self.assertRaises(ui.Failure):
                ordering.declared("t", text(MP, body))
        self.assertEqual(ordering.declared("t", text(MP, "smp_mb(); // the driver")), [])


class Mutants(unittest.TestCase):
    """The litmus lane of `make mutants`."""

    def mutant(self, breaks="litmus.A+b", lane="litmus"):
        """With this header."""
        return patches.read("m", f"Property: p\nBreaks: {breaks}\nLane: {lane}\n\n--- a/x\n+++ b/x\n")

    def test_header(self):
        self.assertEqual(self.mutant().breaks, ["litmus.A+b"])
        for breaks, lane in (("litmus.A+b", "arm64-slub"), ("demo.case", "litmus"), ("hang", "litmus"),
                             ("litmus.A+b demo.case", "litmus")):
            with self.subTest(breaks), self.assertRaises(ui.Failure):
                self.mutant(breaks, lane)

    def test_verdict(self):
        for found, expected in (({"litmus.A+b": ["differs"]}, "killed"), ({"litmus.A+b": []}, "survived"),
                                ({"litmus.C": ["differs"]}, "invalid")):
            self.assertEqual(mutants.untied(self.mutant().breaks, found)[0], expected)


class Files(unittest.TestCase):
    """The litmus tests of this repository."""

    def test_result_and_barriers(self):
        for test in litmus.load().values():
            with self.subTest(test.name):
                self.assertEqual(litmus.judge(test)[2], [])


if __name__ == "__main__":
    unittest.main()
