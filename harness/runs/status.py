# SPDX-License-Identifier: GPL-2.0
"""The status tables of README.md: which patches there are, and what runs them.

They are made from series/ and lanes.toml, so they cannot say what the repository does not have.
"""
from harness import paths
from harness.runs import lanes
from harness.ui import Failure

BEGIN = "<!-- status: written by `make series` -->"
END = "<!-- end of status -->"


def tables(base, subjects, chosen):
    """The lines between the marks, for the subjects of the commits and the lanes."""
    lines = ["", f"| patch for {base} | |", "| --- | --- |"]
    lines += [f"| {number:04} | {subject} |" for number, subject in enumerate(subjects, 1)]
    lines += ["", "| lane | kernel parameters | suites and their cases | in `make test` |", "| --- | --- | --- | --- |"]
    for lane in chosen:
        boot = " ".join(f"`{word}`" for word in lane.boot)
        suites = ", ".join(f"{suite} {cases}" for suite, cases in lane.suites.items())
        lines.append(f"| {lane.name} | {boot} | {suites} | {'LANES=all' if lane.long else 'yes'} |")
    return [*lines, ""]


def replaced(text, lines):
    """`text` with what is between the marks replaced."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Failure("README.md has lost the marks of its status tables", f"put back the lines {BEGIN} and {END}")
    return before + "\n".join([begin, *lines, end]) + after


def current(series):
    """What README.md should be, as (path, text now, text wanted)."""
    path = series.top / "README.md"
    text = path.read_text(encoding="utf-8")
    subjects = [series.messages[i].subject for i in series.ids]
    return path, text, replaced(text, tables(series.base_name, subjects, lanes.load(paths.BASE).values()))
