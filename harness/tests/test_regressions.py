# SPDX-License-Identifier: GPL-2.0
"""`make regressions`: what counts as a surprise."""

import unittest

from harness import ui
from harness.report import report
from harness.runs import regressions


def console(statuses):
    """The report of a suite whose cases end like that."""
    lines = ["KTAP version 1", "1..1", "    KTAP version 1", "    # Subtest: s", f"    1..{len(statuses)}"]
    lines += [f"    {status} {i} {name}" for i, (name, status) in enumerate(statuses.items(), 1)]
    good = all(status == "ok" for status in statuses.values())
    lines += [f"{'ok' if good else 'not ok'} 1 s", "reboot: Power down"]
    return report.judge(report.parse("\n".join(lines), "lane", "log"), {"s": len(statuses)})


class Judged(unittest.TestCase):
    def judged(self, before, after, expected):
        return regressions.judged("s", console(before), console(after), expected)

    def test_named_case_fails_before_and_passes_after(self):
        rows, bad = self.judged({"a": "not ok", "b": "ok"}, {"a": "ok", "b": "ok"}, ["a"])
        self.assertEqual(rows, [("s.a", "failed", "passed")])
        self.assertEqual(bad, [])

    def test_named_case_that_passes_before(self):
        self.assertEqual(self.judged({"a": "ok"}, {"a": "ok"}, ["a"])[1], ["s.a does not fail without the series"])

    def test_other_case_that_fails_before(self):
        self.assertEqual(self.judged({"a": "not ok"}, {"a": "ok"}, [])[1], ["s.a fails without the series"])

    def test_case_that_fails_after(self):
        self.assertIn("s.a fails with the series", self.judged({"a": "not ok"}, {"a": "not ok"}, ["a"])[1])

    def test_case_that_does_not_exist(self):
        self.assertIn("s has no case z", self.judged({"a": "ok"}, {"a": "ok"}, ["z"])[1])


class Load(unittest.TestCase):
    def test_repository(self):
        known = regressions.lanes.load("6.1")
        for suite, lane, _, cases in regressions.load("6.1", known):
            self.assertIn(suite, lane.suites)
            self.assertEqual(len(cases), len(set(cases)))

    def test_unknown_lane(self):
        with self.assertRaises(ui.Failure):
            regressions.load("6.1", {})


class Options(unittest.TestCase):
    def test_option_that_the_tree_does_not_have_is_left_out(self):
        text = "# A comment\nCONFIG_A=y\nCONFIG_B=1\n# CONFIG_C is not set\n# CONFIG_D is not set\n"
        self.assertEqual(regressions.without_unknown(text, {"A", "D"}),
                         "# A comment\nCONFIG_A=y\n# CONFIG_D is not set\n")
