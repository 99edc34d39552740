# SPDX-License-Identifier: GPL-2.0
"""Reads a guest's console as KTAP and decides what passed.

kunit.py has a parser, but it drops the reasons of skips and cannot tell which case a console line
belongs to. Here every line between two results belongs to the case whose result comes next, so a
warning is that case's failure. A case that provokes a line says so beforehand:

    # <case>: expect: <text>     that text occurs in one later line of the same case, once per notice
    # <case>: proof: <text>      a line for people, shown at the end of `make run`
    # <case>: value: <name> <number> [<unit>]
"""

import json
import re
from dataclasses import asdict, dataclass, field
from xml.etree import ElementTree

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
        """One more reason for which this case failed."""
        self.status = "failed"
        self.problems.append(why)


@dataclass
class Suite:
    """One suite as it ran; `planned` is what the kernel said it would run."""
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
    hung: bool = False                  # it was ended by the watchdog

    def cases(self):
        """All cases, in order."""
        return [case for suite in self.suites for case in suite.cases]

    def find(self, full):
        """The case called "suite.case", or None."""
        return next((case for case in self.cases() if case.full == full), None)

    def troubles(self):
        """Failures that are no case's: those of the lane and those of its suites."""
        return self.problems + [f"{suite.name}: {why}" for suite in self.suites
                                for why in suite.problems]

    def count(self, status):
        """How many cases ended that way; troubles count as failed."""
        own = len(self.troubles()) if status == "failed" else 0
        return own + sum(case.status == status for case in self.cases())


def assign(case, lines):
    """Judge the console lines of a case: proofs, announcements, trouble."""
    announced, skips = [], 0
    for line in lines:
        note = NOTE.match(line)
        if note:
            who, text = note.groups()
            stats, value = STATS.search(text), VALUE.match(text)
            if text.startswith("expect: "):
                announced.append(text[len("expect: "):].strip())
            elif text.startswith("proof: "):
                case.proofs.append(text[len("proof: "):].strip())
            elif value:
                number = float(value[2]) if "." in value[2] else int(value[2])
                case.values[value[1]] = (number, value[3] or "")
            elif stats and who == case.name:
                skips = int(stats[1])
            elif case.status == "failed":
                case.problems.append(text)
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
    if skips and case.status == "passed" and not case.reason:
        case.reason = f"{skips} of its parameters skipped"


def parse(text, lane="", log=""):
    """The Report of a console log, without what the lane expects (see judge())."""
    report = Report(lane, str(log))
    suite, lines, parameters = None, [], []

    def outside(pending):
        (suite or report).problems.extend(line for line in pending
                                          if TROUBLE.search(line) and not NOTE.match(line))

    for raw in text.splitlines():
        line = STAMP.sub("", raw.rstrip())
        subtest, plan, result = SUBTEST.match(line), PLAN.match(line), RESULT.match(line)
        if END.search(line):
            report.ended = True
        elif VERSION.match(line):
            continue
        elif subtest and len(subtest[1]) == CASE:
            outside(lines)
            suite, lines, parameters = Suite(subtest[2]), [], []
            report.suites.append(suite)
        elif plan and suite and suite.planned is None:
            suite.planned = int(plan[1])
        elif plan or subtest:
            continue
        elif result and suite and len(result[1]) == PARAMETER:
            status = "skipped" if result[5] is not None else "passed" if result[2] == "ok" else "failed"
            parameters.append((result[4], status))
        elif result and suite and len(result[1]) == CASE:
            case = Case(suite.name, result[4], parameters=parameters)
            if result[2] == "not ok":
                case.status = "failed"
            elif result[5] is not None:
                case.status, case.reason = "skipped", result[5] or "no reason given"
            assign(case, lines)
            suite.cases.append(case)
            lines, parameters = [], []
        elif result and len(result[1]) == SUITE and result[4]:
            if suite is None or suite.name != result[4]:        # its suite_init failed: no Subtest line
                report.suites.append(Suite(result[4], 0))
                suite = report.suites[-1]
                suite.problems.append("its initialization failed")
            suite.result = result[2] == "ok"
            outside(lines)
            suite, lines = None, []
        else:
            lines.append(line)
    if suite is not None:
        crashed(suite, lines, parameters)
    else:
        outside(lines)
    return report


def crashed(suite, lines, parameters):
    """The log ends within a case: it has failed, and its lines say why."""
    notes = [note[1] for note in map(NOTE.match, lines) if note]
    name = notes[-1] if notes else f"case {len(suite.cases) + 1} of {suite.planned}"
    case = Case(suite.name, name, parameters=parameters)
    case.fail("the guest ended while this case ran")
    assign(case, lines)
    suite.cases.append(case)


def judge(report, suites, may_skip=()):
    """Hold a report against what the lane expects: suites with their number of cases, allowed skips."""
    seen = {suite.name: suite for suite in report.suites}
    for name, count in suites.items():
        if name not in seen:
            report.problems.append(f"suite {name} did not run")
        elif len(seen[name].cases) != count:
            seen[name].problems.append(f"{len(seen[name].cases)} cases ran, {count} were expected")
    for suite in report.suites:
        if suite.name not in suites:
            suite.problems.append("ran, but the lane does not list it")
        elif suite.result is None:
            suite.problems.append("did not come to its end")
        elif not suite.result and not any(c.status == "failed" for c in suite.cases) and not suite.problems:
            suite.problems.append("failed, though none of its cases did")
    for case in report.cases():
        if case.status != "failed" and case.reason and case.full not in may_skip:
            case.fail(f"skipped, which this lane does not allow: {case.reason}")
    if not report.ended:
        report.problems.append("the guest did not power off by itself")
    return report


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
             *(sum(case.status == status for case in suite.cases)
               for status in ("passed", "failed", "skipped")))
            for report in reports for suite in report.suites]
    lines = table(("lane", "suite", "cases", "passed", "failed", "skipped"), rows) if rows else []
    for report in reports:
        for case in report.cases():
            if case.status == "skipped":
                lines.append(f"skipped: {report.lane}: {case.full}: {case.reason}")
            elif case.reason and case.status == "passed":
                lines.append(f"in part: {report.lane}: {case.full}: {case.reason}")
        failed = [case for case in report.cases() if case.status == "failed"]
        for case in failed:
            lines.append(f"FAILED: {report.lane}: {case.full}")
            lines += [f"    {parameter}: {status}" for parameter, status in case.parameters
                      if status == "failed"]
            lines += [f"    {why}" for why in case.problems[:20]]
        lines += [f"FAILED: {report.lane}: {why}" for why in report.troubles()]
        if (failed or report.troubles()) and report.log:
            lines.append(f"    log: {report.log}")
    return lines


def write(report, folder):
    """Keep the report as JSON and as JUnit XML."""
    folder.mkdir(parents=True, exist_ok=True)
    totals = {status: report.count(status) for status in ("passed", "failed", "skipped")}
    (folder / f"{report.lane}.json").write_text(
        json.dumps({**asdict(report), **totals}, indent=1) + "\n", encoding="utf-8")
    root = ElementTree.Element("testsuites", name=report.lane)
    for suite in report.suites:
        node = ElementTree.SubElement(root, "testsuite", name=suite.name, tests=str(len(suite.cases)))
        for case in suite.cases:
            item = ElementTree.SubElement(node, "testcase", name=case.name,
                                          classname=f"{report.lane}.{suite.name}")
            if case.status == "skipped":
                ElementTree.SubElement(item, "skipped", message=printable(case.reason))
            elif case.status == "failed":
                ElementTree.SubElement(item, "failure").text = printable("\n".join(case.problems))
    troubles = report.troubles()
    if troubles:
        node = ElementTree.SubElement(root, "testsuite", name="lane", tests=str(len(troubles)))
        for why in troubles:
            item = ElementTree.SubElement(node, "testcase", name=printable(why), classname=report.lane)
            ElementTree.SubElement(item, "failure")
    for node in root:
        node.set("failures", str(len(node.findall("testcase/failure"))))
        node.set("skipped", str(len(node.findall("testcase/skipped"))))
    ElementTree.ElementTree(root).write(folder / f"{report.lane}.xml", encoding="utf-8",
                                        xml_declaration=True)


def printable(text):
    """Without the control characters that XML does not allow and a console may contain."""
    return re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd]", "?", text)
