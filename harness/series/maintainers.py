# SPDX-License-Identifier: GPL-2.0
"""MAINTAINERS: put our entries where the kernel's scripts/parse-maintainers.pl wants them.

The repository's own MAINTAINERS holds the entries once; each commit names those that it
inserts into the base's file.  Computing the place instead of keeping a hunk means that a
point release which adds a neighbour costs nothing.
"""
import re

FIELD = re.compile(rb"[A-Z]:[ \t]")
LIST = re.compile(rb"^Maintainers List\s*$", re.M | re.I)


def entries(text):
    """[(title, first line, line after the last)] in file order, lines counted from 0."""
    lines = text.split(b"\n")
    heading = LIST.search(text)
    start = text.count(b"\n", 0, heading.start()) if heading else 0
    found = []
    for i in range(start, len(lines) - 1):
        line = lines[i]
        if not line.strip() or line[:1].isspace() or FIELD.match(line) or not FIELD.match(lines[i + 1]):
            continue
        end = i + 1
        while end < len(lines) and (FIELD.match(lines[end]) or lines[end][:1] in (b" ", b"\t")):
            end += 1
        found.append((line.decode(errors="surrogateescape").rstrip(), i, end))
    return found


def titles(text):
    """The titles of all entries."""
    return [title for title, _, _ in entries(text)]


def entry(text, title):
    """The lines of one entry, joined, without a line end; None when there is none."""
    for name, start, end in entries(text):
        if name == title:
            return b"\n".join(text.split(b"\n")[start:end])
    return None


def _key(title):
    return title.upper().replace("THE REST", "ZZZZZZ")


def insert(text, block):
    """Add one entry in alphabetical place, with a blank line between it and its neighbours.

    The kernel's file is not always in order.  The place taken is the one with the fewest
    entries on the wrong side, so a single stray entry cannot pull ours away.
    """
    key = _key(block.split(b"\n", 1)[0].decode(errors="surrogateescape").rstrip())
    found = entries(text)
    wrong = sum(_key(title) <= key for title, _, _ in found)
    best, place = wrong, 0
    for i, (title, _, _) in enumerate(found, 1):
        wrong += -1 if _key(title) <= key else 1
        if wrong < best:
            best, place = wrong, i
    lines = text.split(b"\n")
    if place < len(found):
        at = found[place][1]
        return b"\n".join([*lines[:at], block, b"", *lines[at:]])
    at = found[-1][2] if found else len(lines) - 1
    before = [b""] if at else []
    return b"\n".join([*lines[:at], *before, block, *lines[at:]])


def remove(text, title):
    """Undo insert()."""
    found = entries(text)
    for i, (name, start, end) in enumerate(found):
        if name == title:
            lines = text.split(b"\n")
            if i + 1 < len(found) and lines[end] == b"":
                end += 1
            elif start and lines[start - 1] == b"":
                start -= 1
            return b"\n".join(lines[:start] + lines[end:])
    return text
