# SPDX-License-Identifier: GPL-2.0
"""Decides what passed."""

from harness.report import ktap


def guest(console, lane="", log="", hung=False):
    """The Report of the console of a guest with the harness's /init, which has to do all of its work."""
    report = ktap.parse(console, lane, log)
    report.hung = hung
    if report.done is None:
        report.problems.append("the guest's /init did not say that all is done")
    return report


def judge(report, suites, may_skip=()):
    """Hold a report against what the lane expects: suites with their number of cases, allowed skips."""
    seen = {suite.name: suite for suite in report.suites}
    report.problems += [f"suite {name} did not run" for name in suites if name not in seen]
    for suite in report.suites:
        suite.problems += faults(suite, suites.get(suite.name))
    for case in report.cases():
        if case.status != "failed" and case.reason and case.full not in may_skip:
            case.fail(f"skipped, which this lane does not allow: {case.reason}")
    if report.hung:
        report.problems.append("the guest hung, and was ended from outside")
    elif not report.ended:
        report.problems.append("the guest did not power off by itself")
    return report


def faults(suite, expected):
    """What is wrong with a suite as a whole; `expected` is its number of cases, None if no lane lists it."""
    ran = len(suite.cases)
    if expected is None:
        yield "ran, but the lane does not list it"
    elif ran != expected:
        yield f"{ran} cases ran, {expected} were expected"
    elif suite.result and suite.planned not in (None, ran):
        yield f"{ran} cases ran, it had planned {suite.planned}"
    if suite.result is None:
        yield "did not come to its end"
    elif not suite.result and not suite.problems and all(case.status != "failed" for case in suite.cases):
        yield "failed, though none of its cases did"
