# SPDX-License-Identifier: GPL-2.0
"""Mutants of C code in one program: what they are, that each is what it says, and what comes of one that survives."""

import contextlib
import io
import itertools
import os
import subprocess
import tempfile
import types
import unittest
from pathlib import Path
from unittest import mock

from harness import paths, ui
from harness.runs import lanes, loop, mutation as runs
from harness.series import mutation
from harness.tests.test_mutants import boot

PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>

struct pair {
	int a;
	int b;
};

static int between(int value, const struct pair *pair)
{
	/* Not ( this ) */
	if (value < pair->a || value > pair->b)
		return -1;
	return value - pair->a;
}

static unsigned int sum(unsigned int from, unsigned int to)
{
	unsigned int total = 0, i;

	for (i = from; i <= to; i++) {
		if (i == 5)
			continue;
		total += i;
	}
	return total;
}

int main(int argc, char **argv)
{
	struct pair pair = { 2, 9 };

	mutation = atoi(argv[1]);
	printf("%d %d %d %d %u\n", between(1, &pair), between(2, &pair), between(9, &pair), between(10, &pair), sum(3, 6));
	return 0;
}
"""
# What the program prints, by the name of the mutant; worked out by hand
PRINTED = {
    "between: value < pair->a || value > pair->b is always true": "-1 -1 -1 -1 13",
    "between: value < pair->a || value > pair->b is never true": "-1 0 7 8 13",
    "between: value < pair->a || value > pair->b -> value <= pair->a || value > pair->b": "-1 -1 7 -1 13",
    "between: value < pair->a || value > pair->b -> value < pair->a && value > pair->b": "-1 0 7 8 13",
    "between: value < pair->a || value > pair->b -> value < pair->a || value >= pair->b": "-1 0 -1 -1 13",
    "between: -1 -> -2": "-2 0 7 -2 13",
    "between: value - pair->a -> value + pair->a": "-1 4 11 -1 13",
    "sum: 0 -> 1": "-1 0 7 -1 14",
    "sum: i <= to is never true": "-1 0 7 -1 0",
    "sum: i <= to -> i < to": "-1 0 7 -1 7",
    "sum: i == 5 is always true": "-1 0 7 -1 0",
    "sum: i == 5 is never true": "-1 0 7 -1 18",
    "sum: i == 5 -> i != 5": "-1 0 7 -1 5",
    "sum: i == 5 -> i == 6": "-1 0 7 -1 12",
    "sum: without continue": "-1 0 7 -1 18",
    "sum: total += i -> total -= i": "-1 0 7 -1 4294967283",
    "sum: without total += i": "-1 0 7 -1 0",
    "sum: i <= to is always true": None,        # it does not end
}


class Rewrite(unittest.TestCase):
    """The text with all mutants."""

    def test_each_is_what_it_says(self):
        text, mutants = mutation.rewrite(PROGRAM, skip=("main",))
        self.assertEqual({mutant.name for mutant in mutants}, set(PRINTED))
        with tempfile.TemporaryDirectory() as tmp:
            Path(tmp, "p.c").write_text(f"static unsigned int {mutation.SWITCH};\n{text}", encoding="ascii")
            subprocess.run(["gcc", "-w", "-o", "p", "p.c"], cwd=tmp, check=True)
            for number, printed in [(0, "-1 0 7 -1 13"), *((mutant.number, PRINTED[mutant.name]) for mutant in mutants)]:
                if printed:
                    with self.subTest(number):
                        done = subprocess.run(["./p", str(number)], cwd=tmp, capture_output=True, text=True, check=True)
                        self.assertEqual(done.stdout.strip(), printed)

    def test_line_of_a_mutant(self):
        text, mutants = mutation.rewrite(PROGRAM, skip=("main",))
        for mutant in mutants:
            self.assertTrue(text.split("\n")[mutant.line - 1].startswith(f"/*{mutant.number}*/"), mutant.name)

    def test_functions(self):
        _, mutants = mutation.rewrite(PROGRAM, functions=["sum"])
        self.assertEqual({mutant.function for mutant in mutants}, {"sum"})

    def test_what_is_refused_stays_out(self):
        name = "sum: total += i -> total -= i"
        text, mutants = mutation.rewrite(PROGRAM, skip=("main",), drop={name})
        self.assertNotIn(name, {mutant.name for mutant in mutants})
        self.assertNotIn("total -= i", text)

    def test_the_same_twice_has_two_names(self):
        _, mutants = mutation.rewrite("static void f(int *a)\n{\n\ta[0]--;\n\ta[0]--;\n}\n")
        names = [mutant.name for mutant in mutants]
        self.assertEqual(len(names), len(set(names)))

    def test_messages_are_only_left_out(self):
        _, mutants = mutation.rewrite('static void f(int a)\n{\n\tpr_warn("a %d\\n", a + 1);\n}\n')
        self.assertEqual([mutant.name for mutant in mutants], ['f: without pr_warn("a %d\\n", a + 1)'])

    def test_comment_before_a_function(self):
        _, mutants = mutation.rewrite("/*\n * Call smp_wmb() before.\n */\nstatic void f(int a)\n{\n\tg(a);\n}\n")
        self.assertEqual([mutant.name for mutant in mutants], ["f: without g(a)"])

    def test_what_the_configuration_decides_stays(self):
        _, mutants = mutation.rewrite("static void f(int a)\n{\n\tif (!IS_ENABLED(CONFIG_A))\n\t\treturn;\n"
                                      "\tif (IS_ENABLED(CONFIG_A) && a)\n\t\tg();\n}\n")
        self.assertEqual(sum("is always true" in mutant.name for mutant in mutants), 1)

    def test_declarations_and_directives_stay(self):
        text, _ = mutation.rewrite("static int f(void)\n{\n\tstatic int a = 1;\n#ifdef B\n\tint c[] = { 1, 2 };\n#endif\n"
                                   "\treturn a;\n}\n")
        for line in ("static int a = 1;", "#ifdef B\n", "int c[] = { 1, 2 };", "#endif\n"):
            self.assertIn(line, text)


PLAN = {"lanes": ["a"], "glob": "demo*", "switch": "x.c", "file": [{"path": "x.c"}], "equivalent": []}
LANE = lanes.Lane("a", types.SimpleNamespace(name="k", arch="arm64"), {"demo": 2, "other": 1})
SOURCE = "#include <a.h>\n\nstatic int f(int a)\n{\n\treturn a + 1;\n}\n"


class Plan(unittest.TestCase):
    """mutation.toml, the work tree, and the compiler."""

    def test_repository(self):
        for part, plan in runs.plans(paths.TOP).items():
            for lane in runs.lanes_of(plan):
                self.assertTrue(runs.suites_of(lane, plan), f"{part}: {lane.name}")
            self.assertTrue(all(group["why"].strip() for group in plan["equivalent"]), part)
            self.assertEqual(len(runs.equivalent(plan)), len(set(runs.equivalent(plan))), part)

    def test_unknown_key(self):
        with tempfile.TemporaryDirectory() as tmp:
            folder = Path(tmp, "series/p")
            folder.mkdir(parents=True)
            whole = "lanes = ['a']\nglob = 'a'\nswitch = 'a'\nfile = []\n"
            for wrong in ("lanes = ['a']\nline = 1\n", f"{whole}equivalent = [{{ why = 'a', mutant = [] }}]\n"):
                (folder / "mutation.toml").write_text(wrong, encoding="ascii")
                with self.assertRaises(ui.Failure):
                    runs.plans(Path(tmp))
            (folder / "mutation.toml").write_text(f"{whole}equivalent = [{{ why = 'a', mutants = [] }}]\n", encoding="ascii")
            self.assertEqual(list(runs.plans(Path(tmp))), ["p"])

    def test_unknown_lane(self):
        with mock.patch.object(lanes, "load", return_value={"a": LANE}), self.assertRaisesRegex(ui.Failure, "lane b"):
            runs.lanes_of({**PLAN, "lanes": ["a", "b"]})

    def test_unknown_part(self):
        with mock.patch.dict(os.environ, PART="nothing"), self.assertRaisesRegex(ui.Failure, "nothing"):
            runs.plan_of(paths.TOP)

    def test_work_tree(self):
        with tempfile.TemporaryDirectory() as tmp:
            Path(tmp, "x.c").write_text(SOURCE, encoding="ascii")
            where = runs.instrument(Path(tmp), PLAN, {}, set())
            lines = Path(tmp, "x.c").read_text(encoding="ascii").split("\n")
        self.assertEqual(lines[1], f"extern unsigned int {mutation.SWITCH};")
        self.assertIn(f'early_param("{mutation.SWITCH}", mutation_setup);', lines)
        for mutant in where["x.c"]:
            self.assertIn(f"/*{mutant.number}*/", lines[mutant.line - 1])

    def test_what_the_compiler_refuses(self):
        where = {"kernel/x.c": [mutation.Mutant(1, "f", "one", 10), mutation.Mutant(2, "f", "two", 11)]}
        log = "../tree/6.1/kernel/x.c:11:5: error: invalid\nkernel/x.c:10:2: warning: fine\nkernel/y.c:10:2: error: other\n"
        self.assertEqual(runs.refused(log, where), {"f: two"})
        self.assertEqual(runs.refused("kernel/y.c:10:2: error: other\n", where), set())

    def built(self, kernels, outcomes):
        """What a build of a tree with SOURCE gives, and the kernels in the order of their builds; outcomes: "refused" is
        a line that the compiler refuses."""
        with tempfile.TemporaryDirectory() as tmp:
            Path(tmp, "kernel").mkdir()
            Path(tmp, "kernel/x.c").write_text(SOURCE, encoding="ascii")
            log = Path(tmp, "log")
            log.write_text("kernel/x.c:7:1: error: no\n", encoding="ascii")
            plan = {**PLAN, "switch": "kernel/x.c", "file": [{"path": "kernel/x.c"}]}
            effects = [ui.Failure("no", log=log) if outcome == "refused" else None for outcome in outcomes]
            with mock.patch.object(lanes, "build", side_effect=effects) as called:
                return *runs.build(Path(tmp), kernels, plan), [call[0][0].name for call in called.call_args_list]

    def test_build_without_what_is_refused(self):
        mutants, invalid, _ = self.built([LANE.kernel], ["refused", "good"])
        self.assertEqual(([mutant.what for mutant in mutants], invalid), (["a + 1 -> a + 2"], 1))

    def test_kernels_have_the_same_mutants(self):
        other = types.SimpleNamespace(name="l", arch="arm")
        *_, order = self.built([LANE.kernel, other], ["good", "refused", "good", "good"])
        self.assertEqual(order, ["k", "l", "k", "l"])

    def test_build_that_fails_otherwise(self):
        with tempfile.TemporaryDirectory() as tmp:
            Path(tmp, "x.c").write_text(SOURCE, encoding="ascii")
            with mock.patch.object(lanes, "build", side_effect=ui.Failure("disk")), self.assertRaisesRegex(ui.Failure, "disk"):
                runs.build(Path(tmp), [LANE.kernel], PLAN)


class Verdict(unittest.TestCase):
    """Which mutants survive, and what comes of it."""

    def booted(self, *lines, **more):
        with mock.patch.object(lanes, "boot", return_value=boot(*lines, **more)) as called:
            passed = runs.passes(LANE, PLAN, mutation.Mutant(7, "f", "x"))
        self.assertIn(f"{mutation.SWITCH}=7", called.call_args[0][0].boot)
        self.assertEqual(LANE.boot, [])
        return passed

    def test_passes(self):
        self.assertTrue(self.booted("    ok 1 first", "    ok 2 second"))

    def test_a_case_fails(self):
        self.assertFalse(self.booted("    ok 1 first", "    not ok 2 second"))

    def test_no_end(self):
        self.assertFalse(self.booted("    ok 1 first", end=False))

    def test_ends_early(self):
        for console, ends in (("    ok 1 first\n", False), ("    ok 1 first\n        not ok 2 second", True),
                              ("[    1.0] Internal error: Oops: 1\n", True), ("Kernel panic - not syncing: Oops", True),
                              ("    # a: expect: WARNING:\n", False)):
            self.assertEqual(runs.noticed()(console), ends, console)

    def test_ends_when_nothing_comes(self):
        seen = runs.noticed()
        with mock.patch.object(runs.time, "monotonic", side_effect=itertools.count(0, runs.QUIET / 2)):
            answers = [seen("a"), seen("ab"), seen("ab"), seen("ab")]
        self.assertEqual(answers, [False, False, False, True])

    def test_next_lane(self):
        other = lanes.Lane("b", LANE.kernel, {"demo": 2})
        for passed, survived, booted in (([True, True], True, 2), ([True, False], False, 2), ([False], False, 1)):
            with mock.patch.object(runs, "passes", side_effect=passed) as called:
                self.assertEqual(runs.survives([LANE, other], PLAN, mutation.Mutant(7, "f", "x")), survived)
            self.assertEqual(called.call_count, booted)

    def command(self, outcomes, plan=PLAN, lines=""):
        """The status of the command; `outcomes` by number, and 0 is the boot without a mutant."""
        mutants = [mutation.Mutant(number, "f", f"m{number}") for number in outcomes if number]
        composed = mock.Mock()
        out = io.StringIO()
        with mock.patch.object(runs, "plan_of", return_value=plan), mock.patch.object(lanes, "load", return_value={"a": LANE}), \
                mock.patch.object(loop, "begin", return_value=(ui.Steps("m", 5), composed)), \
                mock.patch.object(runs, "possible", return_value=[f"f: m{number}" for number in outcomes]), \
                mock.patch.object(runs, "build", return_value=(mutants, 0)) as self.build, \
                mock.patch.object(runs, "passes", side_effect=lambda lane, plan, mutant: outcomes[mutant.number]), \
                mock.patch.dict(os.environ, MUTATIONS=lines), contextlib.redirect_stdout(out):
            status = runs.cmd_mutation()
        composed.checkout.assert_called()       # the work tree is left as the series is
        return status, out.getvalue()

    def test_all_killed(self):
        status, out = self.command({0: True, 1: False, 2: False})
        self.assertEqual(status, 0)
        self.assertIn("2 killed, 0 survived", out)

    def test_survivor(self):
        status, out = self.command({0: True, 1: False, 2: True})
        self.assertEqual(status, 1)
        self.assertIn("survived: 2 f: m2", out)

    def test_fails_without_a_mutant(self):
        with self.assertRaisesRegex(ui.Failure, "before anything is broken"):
            self.command({0: False, 1: False})

    def test_equivalent(self):
        status, out = self.command({0: True, 1: False, 2: True}, {**PLAN, "equivalent": [{"why": "so", "mutants": ["f: m2"]}]})
        self.assertEqual(status, 0)
        self.assertIn("1 killed", out)

    def test_stale_equivalent(self):
        with self.assertRaisesRegex(ui.Failure, "f: m9"):
            self.command({0: True, 1: False}, {**PLAN, "equivalent": [{"why": "so", "mutants": ["f: m9"]}]})

    def test_none_is_chosen(self):
        with self.assertRaisesRegex(ui.Failure, "no mutant g"):
            self.command({0: True, 1: False}, lines="g:*")
        self.build.assert_not_called()

    def test_possible(self):
        with tempfile.TemporaryDirectory() as tmp:
            (Path(tmp) / "a.c").write_text("int f(int a)\n{\n\tif (a)\n\t\treturn 1;\n\treturn 0;\n}\n")
            names = runs.possible(Path(tmp), {"file": [{"path": "a.c"}]})
        self.assertIn("f: a is never true", names)

    def test_chosen(self):
        status, out = self.command({0: True, 1: False, 2: True}, lines="f:*m1")
        self.assertEqual(status, 0)
        self.assertIn("1 killed", out)


if __name__ == "__main__":
    unittest.main()
