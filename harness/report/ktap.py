# SPDX-License-Identifier: GPL-2.0
"""Reads a guest's console as KTAP.

kunit.py has a parser, but it drops the reasons of skips and cannot tell which case a console line
belongs to. Here every line between two results belongs to the case whose result comes next, so a
warning is that case's failure. A case that provokes a line says so beforehand:

    # <case>: expect: <text>     that text occurs in one later line of the same case, once per notice
    # <case>: proof: <text>      a line for people, shown at the end of `make run`
    # <case>: value: <name> <number> [<unit>]
"""

import re
from dataclasses import dataclass, field

# Lines that mean trouble, whichever case is running.
TROUBLE = re.compile("|".join((
    r"\bBUG:", r"^BUG \S+ \(", r"kernel BUG at", r"\bWARNING:", r"\bOops", r"Internal error:",
    r"\bKASAN:", r"\bUBSAN:", r"\bKCSAN:", r"\bKFENCE:", r"general protection fault",
    r"possible circular locking", r"inconsistent lock state", r"suspicious RCU usage",
    r"INFO: possible", r"INFO: task .* blocked", r"rcu\S* (?:self-)?detected .*stall",
    r"sleeping function called", r"scheduling while atomic", r"Unexpected gfp", r"Kernel panic",
    r"[Uu]nable to handle", r"debugfs: \w+ '.*' .*already present", r"cannot create duplicate filename")))
END = re.compile(r"reboot: (?:Power down|Restarting system|System halted)")

STAMP = re.compile(r"^\[ *\d+\.\d+\](?:\[[^\]]*\])? ")
VERSION = re.compile(r"^ *KTAP version \d+$")
PLAN = re.compile(r"^ *1\.\.(\d+)$")
SUBTEST = re.compile(r"^( *)# Subtest: (\S+)")
RESULT = re.compile(r"^( *)(not ok|ok) (\d+)(?: -)? ?(.*?)(?: # SKIP ?(.*))?$")
NOTE = re.compile(r"^ *# (\S+): (.*)$")
VALUE = re.compile(r"value: (\S+) (-?[\d.]+)(?: (\S+))?$")
STATS = re.compile(r"pass:\d+ fail:\d+ skip:(\d+) total:(\d+)$")
SUITE, CASE, PARAMETER = 0, 4, 8        # columns in which the results of each start
INIT = "init"                           # the suite of the harness's own /init: whether the guest did its work


@dataclass
class Case:
    """One case: `status` is passed, failed or skipped; `problems` says why it failed."""
    suite: str
    name: str
    status: str = "passed"
    reason: str = ""                    # of a skip
    problems: list = field(default_factory=list)
    parameters: list = field(default_factory=list)
    proofs: list = field(default_factory=list)
    values: dict = field(default_factory=dict)          # name: (number, unit)

    @property
    def full(self):
        """The name as used in lanes.toml and in mutants."""
        return f"{self.suite}.{self.name}"

    def fail(self, why):
        self.status = "failed"
        self.problems.append(why)


@dataclass
class Suite:
    """One suite as it ran; `planned` is how many cases it said it would run."""
    name: str
    planned: int = None
    result: bool = None                 # None: its end was not reached
    cases: list = field(default_factory=list)
    problems: list = field(default_factory=list)


@dataclass
class Report:
    """One boot of one lane. `problems` are failures that belong to no case."""
    lane: str
    log: str = ""
    suites: list = field(default_factory=list)
    problems: list = field(default_factory=list)
    ended: bool = False                 # the guest powered off by itself
    hung: bool = False                  # it was ended by a watchdog
    done: bool = None                   # whether /init did all of its work; None: it did not say so

    def cases(self):
        return [case for suite in self.suites for case in suite.cases]

    def find(self, full):
        """The case called "suite.case", or None."""
        return next((case for case in self.cases() if case.full == full), None)

    def values(self):
        """{name: (number, unit)} of all cases; a name that several have is the first one's."""
        values = {}
        for case in self.cases():
            values = {**values, **case.values, **values}
        return values

    def troubles(self):
        """Failures that are no case's: those of the lane and those of its suites."""
        return self.problems + [f"{suite.name}: {why}" for suite in self.suites
                                for why in suite.problems]

    def count(self, status):
        """How many cases ended that way; troubles count as failed."""
        own = len(self.troubles()) if status == "failed" else 0
        return own + sum(case.status == status for case in self.cases())


def parse(text, lane="", log=""):
    """The Report of a console log, without what the lane expects (see verdict.judge())."""
    reader = Reader(Report(lane, str(log)))
    for line in text.splitlines():
        reader.read(STAMP.sub("", line.rstrip()))
    reader.close()
    return reader.report


class Reader:
    """The state between two lines: the suite, if one runs, and what came since the last result in it."""

    def __init__(self, report):
        self.report, self.suite, self.lines, self.parameters = report, None, [], []

    def read(self, line):
        """One line, without its time stamp."""
        subtest, plan, result = SUBTEST.match(line), PLAN.match(line), RESULT.match(line)
        if END.search(line):
            self.report.ended = True
        elif subtest:
            if len(subtest[1]) == CASE:
                self.begin(subtest[2])
        elif plan:
            if self.suite and self.suite.planned is None:
                self.suite.planned = int(plan[1])
        elif not VERSION.match(line) and not (result and self.result(result)):
            self.lines.append(line)

    def begin(self, name):
        self.outside()
        self.suite, self.parameters = Suite(name), []
        self.report.suites.append(self.suite)

    def result(self, match):
        """Whether this is a result that belongs here: of a suite, a case or one of its parameters."""
        column, name = len(match[1]), match[4]
        status = "failed" if match[2] == "not ok" else "passed" if match[5] is None else "skipped"
        if column == SUITE and name:
            self.end(name, status)
        elif column == CASE and self.suite:
            reason = (match[5] or "no reason given") if status == "skipped" else ""
            self.case(Case(self.suite.name, name, status, reason))
        elif column == PARAMETER and self.suite:
            self.parameters.append((name, status))
        else:
            return False
        return True

    def case(self, case):
        """A case has ended: what came since the one before is its own."""
        case.parameters = self.parameters
        assign(case, self.lines)
        self.suite.cases.append(case)
        self.lines, self.parameters = [], []

    def end(self, name, status):
        """A suite has ended; one whose suite_init fails prints nothing before."""
        if self.suite is None or self.suite.name != name:
            self.suite = Suite(name, 0, problems=["its initialization failed"])
            self.report.suites.append(self.suite)
        self.suite.result = status != "failed"
        self.outside()
        self.suite = None

    def outside(self):
        """The lines so far are no case's: only trouble counts."""
        whose = self.suite or self.report
        whose.problems += [line for line in self.lines if TROUBLE.search(line) and not NOTE.match(line)]
        self.lines = []

    def close(self):
        """The end of the log. If a case was running it has failed, and its lines say why."""
        if self.suite:
            notes = [note[1] for note in map(NOTE.match, self.lines) if note]
            name = notes[-1] if notes else f"case {len(self.suite.cases) + 1} of {self.suite.planned}"
            self.case(Case(self.suite.name, name, "failed", problems=["the guest ended while this case ran"]))
        self.outside()
        for suite in [suite for suite in self.report.suites if suite.name == INIT]:
            self.report.suites.remove(suite)
            why = suite.problems + [why for case in suite.cases for why in case.problems]
            self.report.done = suite.result
            self.report.problems += why if why or suite.result else ["/init failed"]


def assign(case, lines):
    """Judge the console lines of a case: proofs, values, announcements, trouble."""
    announced = []
    for line in lines:
        note = NOTE.match(line)
        if note:
            take_note(case, *note.groups(), announced)
            continue
        asked = next((text for text in announced if text in line), None)
        if asked is not None:
            announced.remove(asked)
        elif TROUBLE.search(line):
            case.fail(line)
        elif case.status == "failed" and line.startswith("    "):
            case.problems.append(line.strip())      # the rest of an assertion's message
    for text in announced:
        case.fail(f"announced, but did not come: {text}")


def take_note(case, who, text, announced):
    kind, _, rest = text.partition(": ")
    value, stats = VALUE.match(text), STATS.search(text)
    if kind == "expect":
        announced.append(rest.strip())
    elif kind == "proof":
        case.proofs.append(rest.strip())
    elif value:
        number = float(value[2]) if "." in value[2] else int(value[2])
        case.values[value[1]] = (number, value[3] or "")
    elif stats and who == case.name:
        if int(stats[1]) and case.status == "passed":
            case.reason = f"{stats[1]} of its parameters skipped"
    elif case.status == "failed":
        case.problems.append(text)
