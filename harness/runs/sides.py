# SPDX-License-Identifier: GPL-2.0
"""Runs that boot the base and the series side by side: devices and DMA windows.

A run has rows (a device, a scenario), described in bases/BASE/NAME/*.toml with what has to come out.  Each row is booted
on each side; what its guest printed as KTAP and what the kernel's log has become the figures of the table.  The base
may do anything; on the series, any result but "ok" is a failure.
"""

import json
import os
import textwrap
import time
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from harness import paths, ui
from harness.guest import guest
from harness.report import report
from harness.runs import lanes
from harness.source import packages

SIDES = ("base", "series")
# retried: mappings failed, and the driver made up for it; hung: no more progress; crash: the kernel gave up
RESULTS = ("ok", "retried", "wrong", "hung", "crash")
SILENT = 60             # seconds; a guest prints something every 5, unless it hangs
RULES = {"figures", "need", "says", "percent", "series"}        # see the comments in the TOML files
SKIPPED = "devices.overflow_buffers"                            # where the kernel has none


@dataclass(frozen=True)
class Side:
    """One of SIDES in a run: its work tree, kernel and logs, so that nothing is built again when they take turns."""
    run: str
    arch: str
    name: str

    @property
    def use(self):
        """Its name for lanes.tree_dir() and the like."""
        return f"{self.run}/{self.name}"

    @property
    def folder(self):
        """Objects of its kernel."""
        return lanes.out(self.use) / "build" / paths.BASE / f"{self.arch}-{self.name}"

    @property
    def logs(self):
        """Where its logs go."""
        return lanes.log_dir(self.use)

    def build(self, composed, *targets):
        """Build its kernel, with what bases/BASE/RUN/ has for the architecture and the side; the work tree."""
        commit = composed.base_commit if self.name == "base" else composed.tip
        tree = composed.checkout(commit, lanes.tree_dir(self.use))
        fragments = [paths.TOP / "bases" / paths.BASE / self.run / f"{name}.config" for name in (self.arch, self.name)]
        guest.build(tree, self.folder, self.arch, [path for path in fragments if path.exists()],
                    self.logs / f"{self.arch}-{self.name}", *targets)
        return tree

    def boot(self, name, initramfs, parameters, qemu):
        """Boot it; (its console, whether it was ended because it was silent)."""
        log = self.logs / f"{name}.console.log"
        silent = False
        try:
            guest.start(self.arch, self.folder, initramfs, log, parameters, ["-smp", "2", *qemu], watch(log))
        except Silence:
            silent = True
        return log.read_text(encoding="utf-8", errors="replace"), silent


class Silence(Exception):
    """A guest prints nothing any more."""


def watch(log):
    """A function that raises Silence when the log has not grown for SILENT seconds."""
    size, since = -1, time.monotonic()

    def look():
        nonlocal size, since
        now = log.stat().st_size
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > SILENT:
            raise Silence
    return look


@dataclass
class Outcome:
    """What came of a row on one side. Figures that were not measured are absent."""
    row: str
    side: str
    result: str = "ok"                                  # one of RESULTS
    figures: dict = field(default_factory=dict)         # {name: number}
    problems: list = field(default_factory=list)
    boots: int = 1

    def problem(self, text, result="wrong"):
        """One more problem; the worst result counts."""
        self.problems.append(text)
        self.result = max(self.result, result, key=RESULTS.index)


def outcome(row, side, console, suites, silent=False):
    """(The Outcome of a guest's console, without figures, and its Report.) `suites` are those that the guest has to run,
    with their number of cases."""
    console = console.replace("\r", "")
    lines = [report.STAMP.sub("", line) for line in console.splitlines()]
    booted = report.parse(console)
    come = Outcome(row, side)
    trouble = next((line for line in lines if report.TROUBLE.search(line)), None)
    if trouble:
        come.problem(trouble)
    stuck = next((f"{case.name}: hung for {case.values['hung'][0]} s" for case in booted.cases()
                  if "hung" in case.values), f"the guest printed nothing for {SILENT} s" if silent else None)
    if stuck:
        come.problem(stuck, "hung")
    elif not booted.ended:
        last = next((line for line in reversed(lines) if line.strip()), "nothing at all")
        come.problem(f"the guest did not come to its end, but to: {last}", "crash" if trouble else "hung")
    else:
        for why in report.judge(booted, suites, [SKIPPED]).troubles():
            if why != trouble:
                come.problem(why)
    for case in booted.cases():
        if case.status == "failed":
            come.problem(f"{case.name}: " + (next((why for why in case.problems if why != trouble), "failed")))
    return come, booted


def total(booted, name):
    """The sum of a value, given as suite.value, over a suite's cases; None if no case has it."""
    suite, _, name = name.partition(".")
    values = [case.values[name][0] for case in booted.cases() if case.suite == suite and name in case.values]
    return sum(values) if values else None


def count(console, *patterns):
    """How often the kernel printed a line; a line with a number tells how many were suppressed. The patterns are for
    the same event, so the one that was found most often counts."""
    return max(sum(int(line[1] or 1) if pattern.groups else 1 for line in pattern.finditer(console))
               for pattern in patterns)


def measured(come, console, booted, values, log):
    """Fill in the figures: {figure: suite.value} of the cases, and {figure: patterns} of the kernel's log."""
    for figure in dict.fromkeys([*values, *log]):
        numbers = [count(console, *log[figure])] if figure in log else []
        value = total(booted, values[figure]) if figure in values else None
        numbers += [] if value is None else [value]
        if numbers:
            come.figures[figure] = max(numbers)


def hold(come, console, *levels):
    """Hold an outcome against the rules of a file and of a row."""
    rules = [*levels, *(level.get("series", {}) for level in levels if come.side == "series")]
    for rule in rules:
        for name, number in rule.get("figures", {}).items():
            if come.figures.get(name, number) != number:
                come.problem(f"{come.figures[name]} {name}" + (f", not {number}" if number else ""))
        for name, why in rule.get("need", {}).items():
            if not come.figures.get(name):
                come.problem(why)
        if rule.get("says", "") not in console:
            come.problem(f"the log does not say: {rule['says']}")


def added(outcomes):
    """One Outcome of several boots of a row."""
    first, *others = outcomes
    for other in others:
        first.boots += other.boots
        for name, number in other.figures.items():
            first.figures[name] = first.figures.get(name, 0) + number
        first.problems += other.problems
        first.result = max(first.result, other.result, key=RESULTS.index)
    return first


def compare(base, series, percent):
    """A figure of the series is at most so many percent above that of the base."""
    for name, limit in percent.items():
        before, after = base.figures.get(name), series.figures.get(name)
        if before and after and after > before * (1 + limit / 100):
            series.problem(f"{name}: {after}, {before} on the base")


def change(name, numbers):
    """A figure for people: one number, or "base -> series" if they differ; nothing if they are 0 or absent."""
    if not any(numbers):
        return ""
    texts = ["-" if number is None else f"{number}" for number in numbers]
    return f"{name} {' -> '.join(texts if len(set(texts)) > 1 else texts[:1])}"


def load(path, kind, make):
    """(The settings of a TOML file, {name: row}) where `make` makes the rows of the file's tables called `kind`."""
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
        tables = settings.pop(kind)
        rows = {}
        for name, table in tables.items():
            table = {**tables.get(table.get("like"), {}), **table}
            table.pop("like", None)
            rules = {key: table.pop(key) for key in RULES & set(table)}
            rows[name] = make(name=name, rules=rules, **table)
            unknown = set(rules.get("series", {})) - RULES
            if unknown:
                raise KeyError(f"{name}.series.{unknown.pop()}")
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise ui.Failure(f"{ui.short(path)} is wrong: {error}", "compare with the comment at its top") from error
    return settings, rows


@dataclass(frozen=True)
class Run:
    """`make NAME`. A row has a name, and may have `about`, and `boots`."""
    name: str
    arch: str
    variable: str               # of the environment; chooses rows
    rows_of: Callable           # (short) -> {name: row}
    build: Callable             # (composed, side): build all that the side's boots need
    boot: Callable              # (row, side, number) -> Outcome

    def side(self, name):
        """A Side of this run."""
        return Side(self.name, self.arch, name)

    def rows(self, short=False):
        """The rows to boot, or those that the environment names; `short`: for a run that is a part of others."""
        rows = self.rows_of(short)
        names = os.environ.get(self.variable, "").replace(",", " ").split()
        known = self.rows_of(False)
        for name in names:
            if name not in known:
                raise ui.Failure(f"there is no {self.variable.lower()} {name}",
                                 f"use {self.variable}= with some of {' '.join(known)}")
        return {name: rows.get(name, known[name]) for name in names or rows}

    def steps(self, sides, rows):
        """How many steps measure() takes."""
        return len(sides) * (1 + len(rows))

    def measure(self, progress, composed, sides, rows):
        """Build and boot; the outcomes, which are kept as JSON too."""
        outcomes = {}
        for name in sides:
            with progress.step(f"build the kernel for {self.name}, {name}"):
                self.build(composed, self.side(name))
            for row in rows.values():
                with progress.step(f"boot {row.name}, {name}" + (f": {row.about}" if row.about else "")):
                    come = added([self.boot(row, self.side(name), number) for number in range(row.boots)])
                    if name == "series" and (row.name, "base") in outcomes:
                        compare(outcomes[row.name, "base"], come, row.rules.get("series", {}).get("percent", {}))
                    outcomes[row.name, name] = come
                    ui.say(f"  {come.result}" + "".join(f": {why}" for why in come.problems[:1]))
        folder = paths.OUT / "report"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.json").write_text(
            json.dumps([asdict(come) for come in outcomes.values()], indent=1) + "\n", encoding="utf-8")
        return list(outcomes.values())

    def table(self, outcomes):
        """The lines to print: a row with the result of each side and its figures, then what was wrong first."""
        sides = [side for side in SIDES if any(come.side == side for come in outcomes)]
        lines, rows = [], {}
        for come in outcomes:
            rows.setdefault(come.row, {})[come.side] = come
        head = report.table((self.variable.lower(), *sides),
                            [(name, *(row[side].result if side in row else "-" for side in sides))
                             for name, row in rows.items()])
        width = max(map(len, head)) + 2
        lines.append(f"{head[0]:{width}}figures" + (", base -> series" if len(sides) > 1 else ""))
        for text, row in zip(head[1:], rows.values()):
            names = dict.fromkeys(name for come in row.values() for name in come.figures)
            figures = [change(name, [row[side].figures.get(name) if side in row else None for side in sides])
                       for name in names]
            boots = max(come.boots for come in row.values())
            figures = [f"{boots} boots" if boots > 1 else "", *figures]
            wrapped = textwrap.wrap(", ".join(filter(None, figures)), 118 - width, break_on_hyphens=False) or [""]
            lines += [f"{start:{width}}{figure}".rstrip()
                      for start, figure in zip([text, *[""] * len(wrapped)], wrapped)]
        lines += [f"{name}, {side}: {come.problems[0][:100]}" for name, row in rows.items()
                  for side, come in row.items() if come.problems]
        return [*lines, f"consoles: {', '.join(ui.short(self.side(side).logs) for side in sides)}"]

    def judged(self, outcomes):
        """The series' outcomes as the Report of a lane, which is kept."""
        ours = [come for come in outcomes if come.side == "series"]
        suite = report.Suite(self.name, len(ours), True)
        for come in ours:
            case = report.Case(suite.name, come.row)
            if come.result != "ok":
                for why in [come.result, *come.problems]:
                    case.fail(why)
            suite.cases.append(case)
        lane = report.Report(f"{self.arch}-{self.name}", ui.short(self.side("series").logs), [suite], ended=True)
        report.write(lane, paths.OUT / "report")
        return lane

    def command(self):
        """Both sides, and one table."""
        from harness.runs import commands
        rows = self.rows()
        progress = ui.Steps(self.name, 2 + self.steps(SIDES, rows))
        with progress.step("look for packages"):
            packages.ensure(guest.packages([self.arch]))
        with progress.step(f"fetch Linux {paths.BASE} and compose the series"):
            composed = commands.prepare()
        outcomes = self.measure(progress, composed, SIDES, rows)
        ui.say()
        for line in self.table(outcomes):
            ui.say(line)
        return commands.finish([self.judged(outcomes)])
