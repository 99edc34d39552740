# SPDX-License-Identifier: GPL-2.0
"""A commit's message as series/<part>/<name>.msg has it.

    Files: kernel/dma/x.c               a new file that the commit brings, at its path in this repository
    Maintainers: TITLE                  an entry of MAINTAINERS that it inserts
    Not-on: 7.3 fixed there by ...      a base on which the commit is not needed, and why
    Date: 2026-11-25T12:00:00+00:00

    subject

    body, with Fixes: and Cc: stable
    ---
    what goes below the cut of the mail: what was tested and measured
"""
import re
from dataclasses import dataclass, field
from datetime import datetime

from harness.ui import Failure

# What mail tools take for the end of the commit message.
CUT = re.compile(r"diff -|Index: |---(\s|$)|-+ *>8")
FIXES = re.compile(r'Fixes: [0-9a-f]{12} \("[^\n]+"\)')


@dataclass
class Message:
    """One .msg."""
    text: str           # subject, blank line, body
    notes: str = ""     # what goes below the cut
    date: str = None    # ISO 8601 with offset
    files: list = field(default_factory=list)
    titles: list = field(default_factory=list)      # of MAINTAINERS entries
    not_on: dict = field(default_factory=dict)      # base: reason

    @property
    def subject(self):
        """The first line."""
        return self.text.split("\n", 1)[0]


def split(text):
    """(message, notes) of a text with at most one cut."""
    text, cut, notes = text.partition("\n---\n")
    return (text + "\n" if cut else text), notes


def joined(text, notes):
    """The text with its notes below a cut."""
    return f"{text}---\n{notes}" if notes else text


def parse(name, data):
    """Read a .msg; `name` is for what is said about mistakes in it."""
    head, blank, rest = data.decode().partition("\n\n")
    if not blank:
        raise Failure(f"{name}: no blank line between the header and the commit message")
    message = Message(*split(rest))
    for number, line in enumerate(head.splitlines(), 1):
        key, _, value = line.partition(": ")
        value = value.strip()
        if key == "Files" and value:
            message.files.append(value)
        elif key == "Maintainers" and value:
            message.titles.append(value)
        elif key == "Date" and value:
            message.date = value
        elif key == "Not-on" and value:
            base, _, reason = value.partition(" ")
            if not reason:
                raise Failure(f"{name}:{number}: no reason why the commit is not needed on {base}",
                              "write Not-on: BASE REASON, with the upstream commit if there is one")
            message.not_on[base] = reason
        else:
            raise Failure(f"{name}:{number}: unknown header line: {line}",
                          "Files:, Maintainers:, Not-on: and Date: are known")
    try:
        if datetime.fromisoformat(message.date or "").tzinfo is None:
            raise ValueError
    except ValueError as error:
        raise Failure(f"{name}: Date: is missing or not like 2026-11-21T12:00:00+00:00") from error
    check(name, message, head.count("\n") + 2)
    return message


def check(name, message, above):
    """What git am would change or cut off; `above` lines are over the text in the file."""
    check_text(name, message.text, above)
    check_notes(name, message.notes)


def check_text(name, text, above):
    """Of the text; see check()."""
    lines = text.split("\n")
    if not lines[0].strip() or (len(lines) > 1 and lines[1].strip()):
        raise Failure(f"{name}: the message has to start with its subject and a blank line")
    if text != "\n".join(line.rstrip() for line in text.rstrip().split("\n")) + "\n" or "\n\n\n" in text:
        raise Failure(f"{name}: the message has spaces at a line's end, blank lines in a row or a bad end",
                      "git am would clean them away and get another commit")
    if re.match(r"\s*\[", lines[0]):
        raise Failure(f"{name}: the subject starts with `[`, which git am cuts off")
    for number, line in enumerate(lines, above + 1):
        if CUT.match(line):
            raise Failure(f"{name}:{number}: git am takes the line `{line}` for the end of the message", "indent it")
        if line.lower().startswith("fixes:") and not FIXES.fullmatch(line):
            raise Failure(f"{name}:{number}: `{line}` is not a Fixes: tag",
                          'write Fixes: 12 hexadecimal digits ("subject of the commit")')


def check_notes(name, notes):
    """Notes stand between the cut and the diff, where nothing may look like a diff."""
    for line in notes.split("\n"):
        if CUT.match(line):
            raise Failure(f"{name}: the line `{line}` below the cut looks like a diff", "indent it")
    if notes and (notes.rstrip() + "\n" != notes or not notes.strip()):
        raise Failure(f"{name}: what stands below the cut has a bad end", "end it with one line feed")


def git_date(iso):
    """A date for git, which knows seconds since 1970 and an offset whatever its version."""
    date = datetime.fromisoformat(iso)
    return f"{int(date.timestamp())} {date.strftime('%z')[:5]}"
