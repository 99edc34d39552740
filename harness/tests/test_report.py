# SPDX-License-Identifier: GPL-2.0
"""What the report makes of consoles: each line of these logs is of the form that Linux 6.1 prints."""

import json
import tempfile
import unittest
from pathlib import Path
from unittest import mock
from xml.etree import ElementTree

from harness import paths, report, ui

END = "reboot: Restarting system"
WARNING = "WARNING: CPU: 1 PID: 42 at mm/slub.c:1 f+0x1/0x2"


def log(*lines, cases=2, name="demo", end=True, result="ok"):
    """A boot with one suite of so many cases."""
    return "\n".join(["[    0.000000] Booting Linux", "KTAP version 1", "1..1", "    KTAP version 1",
                      f"    # Subtest: {name}", f"    1..{cases}", *lines,
                      *([f"{result} 1 {name}", END] if end else [])]) + "\n"


def judged(text, suites=None, may_skip=()):
    """The report of a boot that should run two cases of `demo`."""
    return report.judge(report.parse(text, "lane", "some.log"), suites or {"demo": 2}, may_skip)


def counts(result):
    """passed, failed, skipped."""
    return tuple(result.count(status) for status in ("passed", "failed", "skipped"))


class Results(unittest.TestCase):
    """Passing, failing, skipping."""

    def test_pass(self):
        result = judged(log("    ok 1 first", "    ok 2 second"))
        self.assertEqual(counts(result), (2, 0, 0))
        self.assertEqual(result.troubles(), [])

    def test_time_stamps(self):
        text = "".join(f"[    1.234567][    T1] {line}\n"
                       for line in log("    ok 1 first", "    ok 2 second").splitlines()[1:])
        self.assertEqual(counts(judged(text)), (2, 0, 0))

    def test_fail_says_why(self):
        result = judged(log("    # first: EXPECTATION FAILED at mm/x.c:1", "    Expected a == b, but",
                            "        a == 1 (0x1)", "    not ok 1 first", "    ok 2 second", result="not ok"))
        self.assertEqual(counts(result), (1, 1, 0))
        self.assertEqual(result.find("demo.first").problems,
                         ["EXPECTATION FAILED at mm/x.c:1", "Expected a == b, but", "a == 1 (0x1)"])

    def test_allowed_skip(self):
        text = log("    ok 1 first # SKIP needs 8 GB", "    ok 2 second")
        result = judged(text, may_skip=["demo.first"])
        self.assertEqual(counts(result), (1, 0, 1))
        self.assertIn("skipped: lane: demo.first: needs 8 GB", report.summary([result]))

    def test_other_skip_fails(self):
        result = judged(log("    ok 1 first # SKIP needs 8 GB", "    ok 2 second"), may_skip=["demo.second"])
        self.assertEqual(counts(result), (1, 1, 0))

    def test_skip_without_reason(self):
        result = judged(log("    ok 1 first # SKIP ", "    ok 2 second"))
        self.assertEqual(counts(result), (1, 1, 0))

    def test_suite_fails_though_no_case_does(self):
        result = judged(log("    ok 1 first", "    ok 2 second", result="not ok"))
        self.assertEqual(result.troubles(), ["demo: failed, though none of its cases did"])

    def test_suite_initialization_fails(self):
        text = "\n".join(["KTAP version 1", "1..1", "    # demo:     # failed to initialize (-12)",
                          "not ok 1 demo", END])
        result = judged(text)
        self.assertIn("demo: its initialization failed", result.troubles())
        self.assertEqual(result.count("passed"), 0)

    def test_two_suites(self):
        text = log("    ok 1 first", "    ok 2 second").replace(END, "") + log("    ok 1 x", cases=1, name="more")
        self.assertEqual(counts(judged(text, {"demo": 2, "more": 1})), (3, 0, 0))


class Parameters(unittest.TestCase):
    """Cases that run once for each parameter count once."""

    LINES = ["        KTAP version 1", "        # Subtest: first", "        ok 1 size 16",
             "        not ok 2 size 32", "    # first: pass:1 fail:1 skip:0 total:2", "    not ok 1 first",
             "    ok 2 second"]

    def test_fail(self):
        result = judged(log(*self.LINES, result="not ok"))
        self.assertEqual(counts(result), (1, 1, 0))
        self.assertEqual(result.find("demo.first").parameters, [("size 16", "passed"), ("size 32", "failed")])
        self.assertIn("    size 32: failed", report.summary([result]))

    def test_some_skip(self):
        lines = [line.replace("not ok", "ok").replace("fail:1 skip:0", "fail:0 skip:1") for line in self.LINES]
        self.assertEqual(counts(judged(log(*lines))), (1, 1, 0))
        result = judged(log(*lines), may_skip=["demo.first"])
        self.assertEqual(counts(result), (2, 0, 0))
        self.assertIn("in part: lane: demo.first: 1 of its parameters skipped", report.summary([result]))

    def test_trouble_belongs_to_the_case(self):
        lines = [line.replace("not ok", "ok") for line in self.LINES]
        lines.insert(3, WARNING)
        result = judged(log(*lines))
        self.assertEqual(result.find("demo.first").problems, [WARNING])


class Count(unittest.TestCase):
    """A test that does not run is a failure."""

    def test_missing_suite(self):
        result = judged(log("    ok 1 first", "    ok 2 second"), {"demo": 2, "other": 3})
        self.assertEqual(result.troubles(), ["suite other did not run"])
        self.assertEqual(counts(result), (2, 1, 0))

    def test_wrong_number_of_cases(self):
        result = judged(log("    ok 1 first", cases=1))
        self.assertEqual(result.troubles(), ["demo: 1 cases ran, 2 were expected"])

    def test_suite_that_nobody_expects(self):
        result = judged(log("    ok 1 first", "    ok 2 second", name="other"), {"demo": 2})
        self.assertEqual(result.troubles(),
                         ["suite demo did not run", "other: ran, but the lane does not list it"])

    def test_lost_result(self):
        """The line of the second case did not get through, and the lane expects one only."""
        result = judged(log("    ok 1 first"), {"demo": 1})
        self.assertEqual(result.troubles(), ["demo: 1 cases ran, it had planned 2"])

    def test_lost_end_of_a_suite(self):
        text = log("    ok 1 first", "    ok 2 second", end=False) + log("    ok 1 x", cases=1, name="more")
        self.assertEqual(judged(text, {"demo": 2, "more": 1}).troubles(), ["demo: did not come to its end"])

    def test_empty_console(self):
        result = judged("")
        self.assertEqual(result.troubles(), ["suite demo did not run", "the guest did not power off by itself"])
        self.assertEqual(counts(result), (0, 2, 0))


class End(unittest.TestCase):
    """The guest has to power off by itself."""

    def test_no_power_off(self):
        result = judged(log("    ok 1 first", "    ok 2 second").replace(END, ""))
        self.assertEqual(result.troubles(), ["the guest did not power off by itself"])

    def test_hung(self):
        for end in (True, False):
            result = report.parse(log("    ok 1 first", "    ok 2 second").replace(END, END if end else ""), "lane")
            result.hung = True
            report.judge(result, {"demo": 2})
            self.assertEqual(result.troubles(), ["the guest hung, and was ended from outside"])
            self.assertEqual(counts(result), (2, 1, 0))

    def test_crash_in_a_case(self):
        result = judged(log("    ok 1 first", "    # second: proof: on the way",
                            "Unable to handle kernel paging request at virtual address 0",
                            "Kernel panic - not syncing: Oops: Fatal exception", end=False))
        case = result.find("demo.second")
        self.assertEqual(case.status, "failed")
        self.assertEqual(case.problems[0], "the guest ended while this case ran")
        self.assertEqual(len(case.problems), 3)
        self.assertIn("demo: did not come to its end", result.troubles())

    def test_crash_in_a_silent_case(self):
        result = judged(log("    ok 1 first", end=False))
        self.assertEqual((result.cases()[1].name, result.cases()[1].status), ("case 2 of 2", "failed"))

    def test_crash_before_any_suite(self):
        result = judged("Kernel panic - not syncing: x\n")
        self.assertIn("Kernel panic - not syncing: x", result.troubles())


class Trouble(unittest.TestCase):
    """Reports of the kernel that nobody asked for."""

    REPORTS = (
        WARNING,
        "BUG: KASAN: slab-use-after-free in f+0x1/0x2",
        "BUG: KFENCE: out-of-bounds read in f+0x1/0x2",
        "BUG: sleeping function called from invalid context at mm/x.c:1",
        "BUG demo_cache (Tainted: G                 N): Redzone overwritten",
        "BUG: KCSAN: data-race in f / g",
        "UBSAN: shift-out-of-bounds in mm/x.c:1:2",
        "WARNING: possible circular locking dependency detected",
        "WARNING: inconsistent lock state",
        "WARNING: suspicious RCU usage",
        "INFO: task kunit_try_catch:9 blocked for more than 120 seconds.",
        "rcu: INFO: rcu_sched self-detected stall on CPU",
        "kernel BUG at mm/slub.c:1!",
        "Internal error: Oops: 96000004 [#1] SMP",
        "Unable to handle kernel NULL pointer dereference at virtual address 0",
        "BUG: unable to handle page fault for address: 0",
        "Unexpected gfp: 0x4 (GFP_DMA32). Fixing up to gfp: 0xcc0 (GFP_KERNEL). Fix your code!",
    )
    HARMLESS = (
        "kasan: KernelAddressSanitizer initialized (generic)",
        "kfence: initialized - using 2097152 bytes for 255 objects at 0x1-0x2",
        "Kernel command line: oops=panic panic=-1",
        "rcu: RCU lockdep checking is enabled.",
        "    # first: looked at BUG: and WARNING: in a text of its own",
    )

    def test_every_kind_fails_its_case(self):
        for line in self.REPORTS:
            with self.subTest(line):
                result = judged(log("    ok 1 first", line, "    ok 2 second"))
                self.assertEqual(result.find("demo.first").status, "passed")
                self.assertEqual(result.find("demo.second").problems, [line])
                self.assertEqual(counts(result), (1, 1, 0))

    def test_harmless_lines(self):
        for line in self.HARMLESS:
            with self.subTest(line):
                self.assertEqual(counts(judged(log(line, "    ok 1 first", "    ok 2 second"))), (2, 0, 0))

    def test_outside_any_case(self):
        for text in (WARNING + "\n" + log("    ok 1 first", "    ok 2 second"),
                     log("    ok 1 first", "    ok 2 second", WARNING),
                     log("    ok 1 first", "    ok 2 second").replace(END, WARNING + "\n" + END),
                     log("    ok 1 first", "    ok 2 second") + WARNING + "\n"):
            result = judged(text)
            self.assertEqual(counts(result), (2, 1, 0))
            self.assertIn(WARNING, result.troubles()[0])


class Announced(unittest.TestCase):
    """A case may ask for a report."""

    NOTICE = "    # first: expect: Unexpected gfp: 0x4"
    LINE = "Unexpected gfp: 0x4 (GFP_DMA32). Fixing up"

    def first(self, *lines):
        """The first case of a boot in which it logs these lines."""
        return judged(log(*lines, "    ok 1 first", "    ok 2 second")).find("demo.first")

    def test_comes(self):
        self.assertEqual(self.first(self.NOTICE, self.LINE).status, "passed")

    def test_absent(self):
        self.assertEqual(self.first(self.NOTICE).problems, ["announced, but did not come: Unexpected gfp: 0x4"])

    def test_once_for_each_notice(self):
        self.assertEqual(self.first(self.NOTICE, self.LINE, self.LINE).problems, [self.LINE])
        self.assertEqual(self.first(self.NOTICE, self.NOTICE, self.LINE, self.LINE).status, "passed")

    def test_too_late(self):
        self.assertEqual(self.first(self.LINE, self.NOTICE).status, "failed")

    def test_other_text(self):
        self.assertEqual(self.first(self.NOTICE, "Unexpected gfp: 0x2 (x)").status, "failed")

    def test_only_in_the_same_case(self):
        result = judged(log(self.NOTICE, "    ok 1 first", self.LINE, "    ok 2 second"))
        self.assertEqual(counts(result), (0, 2, 0))


class Init(unittest.TestCase):
    """The suite of the harness's own /init is the guest's, not a lane's."""

    GOOD = log("    ok 1 first", "    ok 2 second").replace(END, "")

    def test_done(self):
        result = judged(self.GOOD + log("    ok 1 work", cases=1, name="init"))
        self.assertEqual((result.done, counts(result), result.troubles()), (True, (2, 0, 0), []))

    def test_not_reached(self):
        self.assertIsNone(judged(self.GOOD + END).done)

    def test_failed(self):
        result = judged(self.GOOD + log("    # work: /programs/00-x: status 256", "    not ok 1 work", cases=1,
                                        name="init", result="not ok"))
        self.assertEqual((result.done, counts(result)), (False, (2, 1, 0)))
        self.assertEqual(result.troubles(), ["/programs/00-x: status 256"])

    def test_failed_without_a_word(self):
        result = judged(self.GOOD + log("    not ok 1 work", cases=1, name="init", result="not ok"))
        self.assertEqual((result.done, result.troubles()), (False, ["/init failed"]))

    def test_trouble_in_it(self):
        result = judged(self.GOOD + log(WARNING, "    ok 1 work", cases=1, name="init"))
        self.assertEqual(result.troubles(), [WARNING])


class Guest(unittest.TestCase):
    """A guest with our /init."""

    def guest(self, text, hung=False):
        """Its report."""
        return report.judge(report.guest(text.replace("\n", "\r\n"), "lane", hung=hung), {"demo": 2})

    def test_done(self):
        good = Init.GOOD + log("    ok 1 work", cases=1, name="init")
        self.assertEqual((counts(self.guest(good)), self.guest(good).troubles()), ((2, 0, 0), []))
        self.assertEqual(self.guest(good, True).troubles(), ["the guest hung, and was ended from outside"])

    def test_last_line_is_missing(self):
        self.assertEqual(self.guest(Init.GOOD + END).troubles(), ["the guest's /init did not say that all is done"])
        self.assertEqual(self.guest(Init.GOOD + log("    ok 1 work", cases=1, name="init").replace(END, "")).troubles(),
                         ["the guest did not power off by itself"])


class Values(unittest.TestCase):
    """Numbers in notes."""

    def test_kinds(self):
        result = judged(log("    # first: value: a 12.50 ns", "    # first: value: b -3", "    ok 1 first",
                            "    # second: value: c 7 bytes", "    # second: value: b 4",
                            "    # second: value: d x", "    ok 2 second"))
        self.assertEqual(result.find("demo.first").values, {"a": (12.5, "ns"), "b": (-3, "")})
        self.assertEqual(result.find("demo.second").values, {"c": (7, "bytes"), "b": (4, "")})
        self.assertEqual(list(result.values().items()), [("a", (12.5, "ns")), ("b", (-3, "")), ("c", (7, "bytes"))])


class Finish(unittest.TestCase):
    """The closing line and the exit status."""

    def test_show(self):
        """What is below a table decides."""
        with mock.patch.object(ui, "say") as said:
            self.assertEqual(report.show(("a",), [("b",)], [], "1 b"), 0)
            self.assertEqual([call.args for call in said.call_args_list], [(), ("a",), ("b",), ("1 b",)])
            self.assertEqual(report.show(("a",), [("b",)], ["FAILED: b"], "1 b"), 1)
            self.assertEqual([call.args for call in said.call_args_list[4:]], [(), ("a",), ("b",), ("FAILED: b",), ("1 b",)])
            self.assertEqual(report.show(("a",), [], [], "no b"), 1)

    def finish(self, *results, **counted):
        """(exit status, closing line)."""
        with mock.patch.object(ui, "say") as said:
            return report.finish(results, **counted), said.call_args.args[0]

    def test_status(self):
        good = judged(log("    ok 1 first", "    ok 2 second # SKIP why"), may_skip=["demo.second"])
        self.assertEqual(self.finish(good), (0, "1 passed, 0 failed, 1 skipped"))
        self.assertEqual(self.finish(good, failed=1), (1, "1 passed, 1 failed, 1 skipped"))
        self.assertEqual(self.finish(good, judged("")), (1, "1 passed, 2 failed, 1 skipped"))
        self.assertEqual(self.finish(passed=3), (0, "3 passed, 0 failed"))
        self.assertEqual(self.finish(), (1, "0 passed, 0 failed"))


class Output(unittest.TestCase):
    """What is kept and printed."""

    def test_proofs(self):
        result = judged(log("    # first: proof: 0 of 512 above 4 GB", "    ok 1 first", "    ok 2 second"))
        self.assertEqual(result.find("demo.first").proofs, ["0 of 512 above 4 GB"])

    def test_files(self):
        result = judged(log("    # first: \x1b odd", "    not ok 1 first", "    ok 2 second # SKIP why"),
                        {"demo": 2, "other": 1}, ["demo.second"])
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(paths, "OUT", Path(folder)):
            report.write(result)
            data = json.loads((paths.report_dir() / "lane.json").read_text(encoding="utf-8"))
            root = ElementTree.parse(paths.report_dir() / "lane.xml").getroot()
        self.assertEqual((data["passed"], data["failed"], data["skipped"]), (0, 2, 1))
        self.assertEqual([(s.get("name"), s.get("failures"), s.get("skipped")) for s in root],
                         [("demo", "1", "1"), ("lane", "1", "0")])

    def test_table(self):
        self.assertEqual(report.table(("name", "n"), [("a", 1), ("long", 100)]),
                         ["name    n", "a       1", "long  100"])


if __name__ == "__main__":
    unittest.main()
