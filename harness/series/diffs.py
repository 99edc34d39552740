# SPDX-License-Identifier: GPL-2.0
"""Reading `git diff` output, and saying why a hunk does not fit a file."""
import re
from dataclasses import dataclass, field

HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
INDEX = re.compile(rb"index ([0-9a-f]{40,64})\.\.([0-9a-f]{40,64})")


@dataclass
class Hunk:
    """One @@ hunk: where it stands in the diff, and what it expects to find from which line on."""
    line: int           # of the diff, counted from 1
    start: int          # of the file, counted from 1
    before: list = field(default_factory=list)


@dataclass
class FileDiff:
    """The part of a diff that concerns one file."""
    path: str
    old: str = None     # blob ids of the index line, when it has full ones
    new: str = None
    added: bool = False
    text: bytes = b""   # all of it
    hunks: list = field(default_factory=list)


def parse(data):
    """The FileDiffs of a diff or of a mail that holds one."""
    lines, found, starts, i = data.split(b"\n"), [], [], 0
    while i < len(lines):
        line = lines[i]
        if line.startswith(b"diff --git a/"):
            rest = line[len(b"diff --git "):]
            found.append(FileDiff(rest[2:(len(rest) - 1) // 2].decode(errors="surrogateescape")))
            starts.append(i)
        elif found and line.startswith(b"new file mode"):
            found[-1].added = True
        elif found and INDEX.match(line):
            found[-1].old, found[-1].new = (x.decode() for x in INDEX.match(line).groups())
        elif found and HUNK.match(line):
            start, old, _, new = HUNK.match(line).groups()
            left, right = int(old or 1), int(new or 1)
            hunk = Hunk(i + 1, int(start))
            while (left > 0 or right > 0) and i + 1 < len(lines):
                i += 1
                kind, text = lines[i][:1], lines[i][1:]
                if kind == b"\\":
                    continue
                if kind != b"+":
                    hunk.before.append(text)
                    left -= 1
                if kind != b"-":
                    right -= 1
            found[-1].hunks.append(hunk)
        i += 1
    for part, start, end in zip(found, starts, [*starts[1:], len(lines)]):
        part.text = b"\n".join(lines[start:end]).rstrip(b"\n") + b"\n"
    return found


def _misfit(hunk, lines):
    """(what the hunk expects, what the file has) at the place where it fits best; None if it fits."""
    want, best, place = hunk.before, -1, 0
    for at in range(max(1, len(lines) - len(want) + 1)):
        score = sum(a == b for a, b in zip(want, lines[at:at + len(want)]))
        if score == len(want):
            return None
        if score > best or score == best and abs(at - hunk.start + 1) < abs(place - hunk.start + 1):
            best, place = score, at
    for i, expected in enumerate(want):
        found = lines[place + i] if place + i < len(lines) else None
        if found != expected:
            return expected, found
    return None


def _show(*lines):
    """Lines as a message has them: without the white space around them, unless nothing else differs."""
    said = ["the end of the file" if line is None else repr(line.decode(errors="replace").replace("\t", " ").strip())
            for line in lines]
    return said if len(set(said)) == len(said) else [repr(line.decode(errors="replace")) for line in lines]


def conflicts(data, name, read):
    """Why the diff `data`, called `name`, does not apply: [(path, one line)].

    `read` gives the bytes of a path in the tree that the diff has to fit, None if absent.
    """
    found = []
    for part in parse(data):
        content = read(part.path)
        if part.added:
            if content is not None:
                found.append((part.path, f"{part.path}: {name} brings this file, but it exists already"))
            continue
        if content is None:
            found.append((part.path, f"{part.path}: {name} edits this file, but it does not exist"))
            continue
        lines = content.split(b"\n")
        for hunk in part.hunks:
            misfit = _misfit(hunk, lines)
            if misfit:
                expected, there = _show(*misfit)
                found.append((part.path, f"{part.path}: hunk at line {hunk.line} of {name} does not apply: "
                              f"expected {expected} found {there}"))
    return found
