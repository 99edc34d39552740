# SPDX-License-Identifier: GPL-2.0
"""What a user sees of reports."""

import re

from harness import paths, ui

STATUSES = ("passed", "failed", "skipped")
SHOWN = 20              # lines of a case's problems


def table(header, rows):
    """Rows of words as aligned lines: the first column to the left, numbers to the right."""
    rows = [[str(word) for word in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*rows)]
    number = [all(re.fullmatch(r"[-+]?[\d.]+%?|-|", word) for word in column[1:]) for column in zip(*rows)]
    return ["  ".join(word.rjust(width) if right else word.ljust(width)
                      for word, width, right in zip(row, widths, number)).rstrip() for row in rows]


def summary(reports):
    """The lines to print for these reports: the table, then skips and failures with their reasons."""
    rows = [(report.lane, suite.name, len(suite.cases),
             *(sum(case.status == status for case in suite.cases) for status in STATUSES))
            for report in reports for suite in report.suites]
    lines = table(("lane", "suite", "cases", *STATUSES), rows) if rows else []
    words = {"skipped": "skipped", "passed": "in part"}
    for report in reports:
        lines += [f"{words[case.status]}: {report.lane}: {case.full}: {case.reason}" for case in report.cases()
                  if case.status in words and case.reason]
        lines += failures(report)
    return lines


def failures(report):
    """What failed and why, and where the log is."""
    lines = []
    for case in report.cases():
        if case.status == "failed":
            lines.append(f"FAILED: {report.lane}: {case.full}")
            lines += [f"    {parameter}: {status}" for parameter, status in case.parameters if status == "failed"]
            lines += [f"    {why}" for why in case.problems[:SHOWN]]
    lines += [f"FAILED: {report.lane}: {why}" for why in report.troubles()]
    return lines + ([f"    log: {report.log}"] if lines and report.log else [])


def show(header, rows, bad, last):
    """Print a table, what is wrong, and the closing line; the exit status."""
    ui.say()
    for line in [*table(header, rows), *bad, last]:
        ui.say(line)
    return 1 if bad or not rows else 0


def finish(reports, passed=0, failed=0):
    """Print the summary and the closing line; the exit status is that of the closing line."""
    for line in ["", *summary(reports)]:
        ui.say(line)
    ui.say(f"logs: {ui.short(paths.OUT / 'log' / paths.BASE)}, reports: {ui.short(paths.OUT / 'report')}")
    passed += sum(report.count("passed") for report in reports)
    failed += sum(report.count("failed") for report in reports)
    skipped = sum(report.count("skipped") for report in reports)
    ui.say(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0
