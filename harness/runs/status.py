# SPDX-License-Identifier: GPL-2.0
"""The status table of README.md: the parts, their patches, and what tests them.

It is made from series/ and lanes.toml, so it cannot say what the repository does not have.
"""
from harness import paths
from harness.runs import lanes
from harness.ui import Failure

BEGIN = "<!-- status: written by `make series` -->"
END = "<!-- end of status -->"


def table(base, ids, chosen):
    """The lines between the marks, for the ids of the commits in order, and the lanes."""
    parts = {}
    for number, name in enumerate(ids, 1):
        parts.setdefault(name.split("/")[0], []).append(number)
    lines = ["", f"| part | patches for {base} | suites and their cases | lanes of `make test`, and with `LANES=all` |",
             "| --- | --- | --- | --- |"]
    for part, numbers in parts.items():
        suites, always, long = {}, [], []
        for lane in chosen:
            mine = {suite: count for suite, count in lane.suites.items() if lane.parts[suite] == part}
            if mine:
                (long if lane.long else always).append(lane.name)
                suites = mine | suites
        lines.append(f"| {part} | {numbers[0]:04}-{numbers[-1]:04} "
                     f"| {', '.join(f'{suite} {count}' for suite, count in suites.items()) or '-'} "
                     f"| {', '.join(always) or '-'}{f'; {len(long)} more' if long else ''} |")
    return [*lines, ""]


def replaced(text, lines):
    """`text` with what is between the marks replaced."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Failure("README.md has lost the marks of its status table", f"put back the lines {BEGIN} and {END}")
    return before + "\n".join([begin, *lines, end]) + after


def current(composed):
    """What README.md should be, as (path, text now, text wanted)."""
    path = composed.series.top / "README.md"
    text = path.read_text(encoding="utf-8")
    ids = [commit.id for commit in composed.commits]
    return path, text, replaced(text, table(composed.base.name, ids, lanes.load(paths.BASE).values()))


def check(composed):
    """README.md has the table that `make series` would write."""
    _, text, wanted = current(composed)
    if text != wanted:
        raise Failure("README.md's status is out of date", "make series")


def write(composed):
    """Bring the table up to date; whether it was not."""
    path, text, wanted = current(composed)
    path.write_text(wanted, encoding="utf-8")
    return text != wanted
