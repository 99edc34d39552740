# SPDX-License-Identifier: GPL-2.0
"""`make run`, `make test` and `make verify`: their order, what they count, and their exit status."""

import contextlib
import io
import subprocess
import tempfile
import types
import unittest
from pathlib import Path
from unittest import mock

from harness import paths, report, ui
from harness.runs import choice, kunit, lanes, loop, run, test, verify

TEXT = """
[suites]
one = ["demo"]
[kernel.k]
arch = "arm64"
fragments = ["common"]
[lane.first]
kernel = "k"
suites = { demo = 1 }
[lane.beaten]
kernel = "k"
torture = 10
suites = { demo = 1 }
"""


def result(status="passed", name="lane"):
    """A report with one case."""
    case = report.Case("demo", "a", status, proofs=["so it is"])
    return report.Report(name, suites=[report.Suite("demo", 1, status == "passed", [case])], ended=True)


class Fake:
    """A run."""

    def __init__(self, name, calls, outcome):
        self.name, self.calls, self.outcome = name, calls, outcome

    def packages(self):
        """One."""
        return [f"for-{self.name}"]

    def steps(self):
        """Two."""
        return 2

    def measure(self, steps, _):
        """The outcome, or a failure."""
        self.calls.append(f"measure {self.name}")
        with steps.step(f"build {self.name}"):
            if isinstance(self.outcome, Exception):
                raise self.outcome
        with steps.step(f"boot {self.name}"):
            return [self.outcome], [f"{self.name}: {proof}" for case in self.outcome.cases() for proof in case.proofs]


class Quiet(unittest.TestCase):
    """Output is kept in self.output; OUT and the base's folder are temporary."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tmp = Path(folder.name)
        self.patch(paths, "OUT", self.tmp / "out")
        self.composed = types.SimpleNamespace(
            recorded=True, tip="tip", base_commit="base", base=types.SimpleNamespace(repo=None, name="6.1"),
            release=types.SimpleNamespace(kernel="6.1.999"),
            commits=[types.SimpleNamespace(tree="0123")], checkout=lambda *_: self.calls.append("checkout"))
        self.calls = []

    def patch(self, target, name, value):
        """Replace something for this test."""
        patch = mock.patch.object(target, name, value)
        patch.start()
        self.addCleanup(patch.stop)

    def quiet(self, function, *args, **options):
        """Call a function."""
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                return function(*args, **options)
        finally:
            self.output = out.getvalue()


class Loop(Quiet):
    """carry_out()."""

    def carry_out(self, outcome, show=False):
        """The reports, and the count of steps after it."""
        steps = ui.Steps("x", 9)
        reports = self.quiet(loop.carry_out, Fake("fake", [], outcome), steps, None, show)
        return reports, steps.count

    def test_good(self):
        good = result()
        self.assertEqual(self.carry_out(good), ([good], 2))
        self.assertNotIn("so it is", self.output)
        self.carry_out(good, show=True)
        self.assertIn("fake: so it is", self.output)

    def test_broken_off(self):
        reports, count = self.carry_out(ui.Failure("the compiler is ill", log="/x/log"))
        self.assertEqual((reports[0].count("failed"), reports[0].lane, count), (1, "fake", 2))
        self.assertIn("the compiler is ill", self.output)

    def test_every(self):
        fakes = [Fake(name, [], None) for name in "aba"]
        self.assertEqual(loop.every(fakes), (["for-a", "for-b"], 6))


class Kernel(Quiet):
    """The lanes of a kernel."""

    def setUp(self):
        super().setUp()
        self.known = lanes.read(TEXT)
        self.patch(lanes, "build", lambda kernel: self.calls.append(f"build {kernel.name}"))
        self.patch(lanes, "boot", lambda lane, glob, name: self.calls.append(f"boot {name} {glob}") or result(name=name))
        self.patch(kunit.torture, "boot", lambda lane, seconds: self.calls.append(f"torture {lane.name}") or result())
        self.patch(kunit.torture, "duration", lambda lane, usual: 10)

    def measured(self, **chosen):
        """What one kernel gives."""
        whole, = kunit.kernel_runs(choice.Choice(list(self.known.values()), **chosen))
        steps = ui.Steps("x", whole.steps())
        reports, lines = self.quiet(whole.measure, steps, None)
        self.assertEqual(steps.count, whole.steps())
        self.assertEqual(lines, ["  so it is"] * len(reports))
        return sum(report_.count("failed") for report_ in reports)

    def test_built_once_and_booted_in_each_lane(self):
        self.assertEqual(self.measured(), 0)
        self.assertEqual(self.calls, ["build k", "boot first ", "torture beaten"])

    def test_too_few_cases(self):
        self.known["first"].suites["demo"] = 2
        self.assertTrue(self.measured())

    def test_chosen_case(self):
        del self.known["beaten"]
        self.assertEqual(self.measured(case="demo.a", suite="demo"), 0)
        self.assertEqual(self.calls[1], "boot first.demo.a demo.a")
        self.assertTrue(self.measured(case="demo.b", suite="demo"))

    def test_chosen_suite(self):
        del self.known["beaten"]
        self.known["first"].suites["more"], self.known["first"].parts["more"] = 1, "one"
        self.assertTrue(self.measured())
        self.assertEqual(self.measured(suite="demo"), 0)
        self.assertEqual(self.calls[-1], "boot first.demo demo")

    def test_boot_that_cannot_begin(self):
        self.patch(kunit.torture, "boot", mock.Mock(side_effect=ui.Failure("no compiler")))
        self.assertTrue(self.measured_with_failure())

    def measured_with_failure(self):
        """How many failures there are if the torture lane does not boot."""
        whole, = kunit.kernel_runs(choice.Choice(list(self.known.values())))
        return sum(report_.count("failed") for report_ in self.quiet(whole.measure, ui.Steps("x", 3), None)[0])

    def test_wrong_duration_is_told_before_anything_is_built(self):
        self.patch(kunit.torture, "duration", mock.Mock(side_effect=ui.Failure("DURATION=xx")))
        with self.assertRaises(ui.Failure):
            kunit.kernel_runs(choice.Choice(list(self.known.values())))


class Run(Quiet):
    """`make run`."""

    def status(self, *outcomes):
        """Its exit status for runs a, b, ..."""
        self.patch(run.compose, "prepare", lambda: self.calls.append("compose") or self.composed)
        self.patch(run.debian, "ensure", lambda names: self.calls.append(f"ensure {names[0]}"))
        self.patch(run, "demonstration", lambda: [Fake(name, self.calls, outcome) for name, outcome in zip("abc", outcomes)])
        return self.quiet(run.cmd_run)

    def test_first_proof_comes_before_the_packages_of_the_rest(self):
        self.assertEqual(self.status(result(), result()), 0)
        self.assertEqual(self.calls, ["compose", "checkout", "ensure for-a", "measure a", "ensure for-b", "measure b"])
        self.assertLess(self.output.index("a: so it is"), self.output.index("build b"))
        self.assertIn("[7 of 7", self.output)

    def test_failure_goes_on(self):
        self.assertEqual(self.status(result("failed"), result()), 1)
        self.assertIn("measure b", self.calls)
        self.assertIn("1 passed, 1 failed", self.output)

    def test_what_is_shown(self):
        whole = run.demonstration()
        self.assertEqual([one.name for one in whole], ["arm64-slub", "devices", "ddw"])
        self.assertEqual(whole[0].steps(), 2)


class Test(Quiet):
    """`make test`."""

    def status(self, *outcomes, everything=True, harness=(5, 0), verified=(5, 0), litmus="passed"):
        """Its exit status."""
        self.patch(test.compose, "prepare", lambda: self.composed)
        self.patch(test.debian, "ensure", lambda names: self.calls.append(" ".join(names)))
        self.patch(test, "own_tests", lambda: harness)
        self.patch(verify, "verify", lambda composed: verified)
        self.patch(test.litmus, "run", lambda tree: result(litmus))
        self.patch(test, "chosen", lambda: (choice.Choice([], everything=everything),
                                            [Fake(name, self.calls, outcome) for name, outcome in zip("abc", outcomes)]))
        self.patch(paths, "TOP", self.tmp)
        paths.base_dir().mkdir(parents=True)
        return self.quiet(test.cmd_test)

    def tested(self):
        """The tree that has been tested."""
        path = paths.base_dir() / "tested"
        return path.read_text(encoding="ascii") if path.exists() else None

    def test_all_pass(self):
        self.assertEqual(self.status(result(), result()), 0)
        self.assertIn("13 passed, 0 failed", self.output)
        self.assertEqual(self.calls, ["for-a for-b", "checkout", "measure a", "measure b"])
        self.assertIn("[9 of 9", self.output)
        self.assertEqual(self.tested(), "0123\n")

    def test_chosen_is_not_everything(self):
        self.assertEqual(self.status(result(), everything=False, harness=(0, 1)), 0)
        self.assertIn("\n1 passed, 0 failed", self.output)
        self.assertIsNone(self.tested())

    def test_failures(self):
        for name, counts in (("harness", (4, 1)), ("verified", (4, 1)), ("litmus", "failed")):
            with self.subTest(name):
                self.tearDown()
                self.setUp()
                self.assertEqual(self.status(result(), **{name: counts}), 1)
                self.assertIn(", 1 failed", self.output)
                self.assertIsNone(self.tested())

    def test_lane_fails(self):
        self.assertEqual(self.status(result("failed"), result()), 1)
        self.assertIn("measure b", self.calls)
        self.assertIsNone(self.tested())

    def test_run_that_breaks_off(self):
        self.assertEqual(self.status(ui.Failure("no"), result()), 1)
        self.assertIn("measure b", self.calls)

    def test_composing_fails(self):
        self.composed.checkout = mock.Mock(side_effect=ui.Failure("disk full"))
        self.assertEqual(self.status(result()), 1)
        self.assertIn("5 passed, 1 failed", self.output)

    def test_other_release_is_not_what_has_been_tested(self):
        self.composed.recorded = False
        self.assertEqual(self.status(result()), 0)
        self.assertIsNone(self.tested())

    def test_what_runs(self):
        with mock.patch.dict("os.environ", {}, clear=True):
            found, runs = test.chosen()
        self.assertTrue(found.everything)
        self.assertEqual([one.name for one in runs][-2:], ["devices", "ddw"])


class Counts(unittest.TestCase):
    """What unittest prints."""

    def test_counts(self):
        ran = "....\n" + "-" * 70 + "\nRan 8 tests in 0.1s\n\n"
        for end, status, counts in (("OK\n", 0, (8, 0)), ("OK (skipped=2)\n", 0, (6, 0)),
                                    ("FAILED (failures=1, errors=2, skipped=1)\n", 1, (4, 3)),
                                    ("FAILED (unexpected successes=1)\n", 1, (7, 1)), ("OK\n", 1, (7, 1))):
            with self.subTest(end):
                self.assertEqual(test.counts(ran + end, status), counts)
        self.assertEqual(test.counts("Killed\n", 137), (0, 1))
        self.assertEqual(test.counts("", 0), (0, 1))


class Own(Quiet):
    """The harness's own tests."""

    def test_own_tests(self):
        seen = []

        def tests(cmd, log, env, **_):
            seen.append((cmd[1:4], env["LANES"]))
            log.parent.mkdir(parents=True)
            log.write_text("FAIL: test_x\nRan 3 tests in 1s\n\nFAILED (failures=1)\n", encoding="utf-8")
            return 1
        self.patch(ui, "run", tests)
        self.assertEqual(self.quiet(test.own_tests), (2, 1))
        self.assertEqual(seen, [(["-B", "-m", "unittest"], "")])
        self.assertIn("FAIL: test_x", self.output)


class Verify(Quiet):
    """`make verify`."""

    def checks(self, *bad):
        """Three checks, of which those named fail."""
        def check(name):
            def function(_):
                if name in bad:
                    raise ui.Failure(f"{name} is bad")
            return name, function
        self.patch(verify, "CHECKS", tuple(check(name) for name in ("a", "b", "c")))
        self.patch(verify.compose, "prepare", lambda: self.composed)

    def test_counts(self):
        self.checks("b")
        self.assertEqual(self.quiet(verify.verify, self.composed), (2, 1))
        self.assertIn("FAILED: b", self.output)
        self.assertEqual(self.quiet(verify.cmd_verify), 1)

    def test_good(self):
        self.checks()
        self.assertEqual(self.quiet(verify.verify, self.composed), (3, 0))
        self.assertEqual(self.quiet(verify.cmd_verify), 0)

    def test_other_release(self):
        self.checks("a")
        self.composed.recorded = False
        self.assertEqual(self.quiet(verify.verify, self.composed), (0, 0))
        self.assertIn("not verified", self.output)

    def test_everything_is_in_it(self):
        names = [name for name, _ in verify.CHECKS]
        self.assertIn("every mutant applies", names)
        self.assertIn("README.md says what there is", names)
        self.assertIn("regressions.toml names commits", names)
        self.assertIn("check-exceptions names commits", names)
        self.assertGreaterEqual(len(names), 9)


class Ci(unittest.TestCase):
    """.ci/run, with a make of ours."""

    def run_ci(self, script):
        """(exit status, last line)."""
        with tempfile.TemporaryDirectory() as tmp:
            make = Path(tmp) / "make"
            make.write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
            make.chmod(0o755)
            done = subprocess.run([paths.TOP / ".ci/run"], stdout=subprocess.PIPE, text=True, check=False,
                                  env={"PATH": f"{tmp}:/usr/bin:/bin"})
            return done.returncode, done.stdout.splitlines()[-1]

    def test_verdicts(self):
        for script, status, last in (
                ("echo 3 passed, 0 failed", 0, "3 passed, 0 failed"),
                ("echo 3 passed, 0 failed, 2 skipped", 0, "3 passed, 0 failed"),
                ("echo 3 passed, 1 failed; exit 1", 1, "3 passed, 1 failed"),
                ("echo 3 passed, 1 failed", 1, "3 passed, 1 failed"),
                ("echo 3 passed, 0 failed; exit 2", 1, "3 passed, 1 failed"),
                ("echo 0 passed, 0 failed", 1, "0 passed, 1 failed"),
                ("echo 9 passed, 0 failed; echo 1 passed, 2 failed; exit 1", 1, "1 passed, 2 failed"),
                ("echo oops", 1, "0 passed, 1 failed"), ("exit 1", 1, "0 passed, 1 failed")):
            with self.subTest(script):
                self.assertEqual(self.run_ci(script), (status, last))

    def test_arguments(self):
        self.assertEqual(self.run_ci('case "$*" in *test) echo 1 passed, 0 failed;; *) echo 0 passed, 1 failed;; esac'),
                         (0, "1 passed, 0 failed"))
