# SPDX-License-Identifier: GPL-2.0
"""The table of README.md: the parts, their patches, and what tests them.

It is made from series/ and lanes.toml, so it cannot say what the repository does not have.
"""
from harness.runs import lanes
from harness.ui import Failure

BEGIN = "<!-- parts: written by `make series` -->"
END = "<!-- end of parts -->"


def table(base, ids, titles, chosen):
    """The lines between the marks, for the ids of the commits in order, the titles of the parts, and the lanes."""
    parts = {}
    for number, name in enumerate(ids, 1):
        parts.setdefault(name.split("/")[0], []).append(number)
    lines = ["", f"| part | | patches for {base} | suites and their cases | lanes of `make test`, with `LANES=all` |",
             "| --- | --- | --- | --- | --- |"]
    for part, numbers in parts.items():
        suites, always, every = {}, 0, 0
        for lane in chosen:
            mine = {suite: count for suite, count in lane.suites.items() if lane.parts[suite] == part}
            every, always = every + bool(mine), always + bool(mine and not lane.long)
            suites = mine | suites
        tests = ", ".join(f"`{suite}` {count}" for suite, count in suites.items()) or "-"
        lines.append(f"| {part} | {titles[part]} | {numbers[0]:04}-{numbers[-1]:04} | {tests} | {always}, {every} |")
    return [*lines, ""]


def replaced(text, lines):
    """`text` with what is between the marks replaced."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Failure("README.md has lost the marks of its table of parts", f"put back the lines {BEGIN} and {END}")
    return before + "\n".join([begin, *lines, end]) + after


def current(composed):
    """What README.md should be, as (path, text now, text wanted)."""
    path = composed.series.top / "README.md"
    text = path.read_text(encoding="utf-8")
    ids = [commit.id for commit in composed.commits]
    titles = {part.name: part.title for part in composed.series.parts.values()}
    return path, text, replaced(text, table(composed.base.name, ids, titles, lanes.load().values()))


def check(composed):
    """README.md has the table that `make series` would write."""
    _, text, wanted = current(composed)
    if text != wanted:
        raise Failure("README.md's table of parts is out of date", "make series")


def write(composed):
    """Bring the table up to date; whether it was not."""
    path, text, wanted = current(composed)
    path.write_text(wanted, encoding="utf-8")
    return text != wanted
