# SPDX-License-Identifier: GPL-2.0
"""Runs that boot the base and the series side by side: devices and DMA windows.

A run has rows (devices, scenarios), which bases/BASE/NAME/*.toml describes with what has to come out.  Each row is
booted on each side; what its guest prints as KTAP, and what the kernel's log has, become the figures of the table.
The base may do anything; on the series, any result but "ok" is a failure.
"""

import textwrap
import time
import tomllib
from dataclasses import asdict, dataclass, field

from harness import paths, report, ui
from harness.guest import image, kernel, qemu
from harness.runs.loop import begin, carry_out

SIDES = ("base", "series")
# retried: mappings failed, and the driver made up for it; hung: no more progress; crash: the kernel's own end
RESULTS = ("ok", "retried", "wrong", "hung", "crash")
SILENT = 60             # seconds; a guest prints something every 5, unless it hangs
RULES = ("figures", "need", "says", "percent", "series")        # see the comments in the TOML files
MAY_SKIP = ["devices.overflow_buffers"]                         # where the kernel has none
WIDTH = 118


@dataclass
class Outcome:
    """What came of a row on one side.  Figures that were not measured are absent."""
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
    """(The Outcome of a console, without figures; its Report).  `suites`: those that have to run, {name: cases}."""
    booted, come = report.parse(console), Outcome(row, side)
    lines = [report.STAMP.sub("", line) for line in console.splitlines() if line.strip()]
    trouble = next((line for line in lines if report.TROUBLE.search(line)), None)
    hung = [f"{case.name}: hung for {case.values['hung'][0]} s" for case in booted.cases() if "hung" in case.values]
    hung += [f"the guest printed nothing for {SILENT} s"] if silent else []
    if trouble:
        come.problem(trouble)
    if hung:
        come.problem(hung[0], "hung")
    elif not booted.ended:
        come.problem(f"the guest did not come to its end; its last line: {lines[-1] if lines else ''}",
                     "crash" if trouble else "hung")
    else:
        for why in report.judge(booted, suites, MAY_SKIP).troubles():
            come.problem(why)
    for case in booted.cases():
        if case.status == "failed":
            come.problem(f"{case.name}: {' / '.join(case.problems[:3]) or 'failed'}")
    return come, booted


def count(console, *patterns):
    """How often the kernel printed a line; a number in it is how many such lines it left out.  Several patterns are for
    one event, so that the highest count is right."""
    return max(sum(int(line[1] or 1) if pattern.groups else 1 for line in pattern.finditer(console))
               for pattern in patterns)


def measured(come, console, booted, values, log):
    """Fill in figures: sums of the cases' values, {figure: suite.value}, and the kernel's log, {figure: patterns}; the
    higher number where there are both."""
    for name in dict.fromkeys([*values, *log]):
        suite, _, value = values.get(name, "").partition(".")
        given = [case.values[value][0] for case in booted.cases() if case.suite == suite and value in case.values]
        numbers = ([sum(given)] if given else []) + ([count(console, *log[name])] if name in log else [])
        if numbers:
            come.figures[name] = max(numbers)


def hold(come, console, *levels):
    """Hold an outcome against the rules of its file and of its row."""
    for rule in [*levels, *(level.get("series", {}) for level in levels if come.side == "series")]:
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
    first.boots = len(outcomes)
    for other in others:
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


def figures(outcomes):
    """A row's figures for people, one outcome beside the other; those that are 0 or absent in all are left out."""
    texts = []
    for name in dict.fromkeys(name for come in outcomes for name in come.figures):
        numbers = [come.figures.get(name, "-") for come in outcomes]
        if set(numbers) - {0, "-"}:
            texts.append(f"{name} {' -> '.join(map(str, numbers if len(set(numbers)) > 1 else numbers[:1]))}")
    return texts + [f"{come.boots} boots" for come in outcomes[:1] if come.boots > 1]


def wrapped(start, texts):
    """A line with the texts and commas in between, which goes on below its start, and ends between texts only."""
    text = ", ".join(text.replace(" ", "\xa0") for text in texts)
    lines = textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False)
    return [line.replace("\xa0", " ") for line in lines] or [start.rstrip()]


def load(path, kind, make):
    """(Settings of a TOML file, {name: row}); `make` makes the rows of its tables called `kind`."""
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
        tables, rows = settings.pop(kind), {}
        for name, table in tables.items():
            table = {**(tables[table["like"]] if "like" in table else {}), **table}
            rules = {key: table.pop(key) for key in RULES if key in table}
            unknown = set(rules.get("series", {})) - set(RULES)
            if unknown:
                raise KeyError(f"series.{unknown.pop()} of {name}")
            rows[name] = make(name=name, rules=rules, **{key: value for key, value in table.items() if key != "like"})
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise ui.Failure(f"{ui.short(path)} is wrong: {error}", "compare with the comment at its top") from error
    return settings, rows


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
class Run:
    """A run as in loop.py.  A row has a name, `rules`, `about` and `boots`.

    What has rows brings build(composed, side), which builds what the boots of a side need, and boot(row, side, number),
    which boots a row for the first, second, ... time and gives the Outcome.
    """
    name: str
    arch: str
    sides: list
    rows: dict
    settings: dict              # of the rows' file

    def kernel(self, side, variant=""):
        """The folder of a side's kernel; each side has its own, so that nothing is built again when they take turns."""
        return paths.build_dir("-".join(filter(None, (self.arch, side, variant))), f"{self.name}/{side}")

    def logs(self, side):
        return paths.log_dir(f"{self.name}/{side}")

    def build_kernel(self, composed, side, *targets, variant=""):
        """Build a side's kernel from the fragments of bases/BASE/NAME/, with VARIANT.config if there is one; the work
        tree."""
        tree = composed.checkout(composed.base_commit if side == "base" else composed.tip,
                                 paths.tree_dir(f"{self.name}/{side}"))
        fragments = [paths.base_dir() / self.name / f"{name}.config" for name in (self.arch, side, variant) if name]
        folder = self.kernel(side, variant)
        kernel.build(tree, folder, self.arch, [path for path in fragments if path.exists()],
                    self.logs(side) / folder.name, *targets)
        return tree

    def boot_guest(self, side, name, initramfs, parameters, arguments, variant=""):
        """(The console of a guest, whether it was ended because it was silent.)"""
        log, silent = self.logs(side) / f"{name}.console.log", False
        try:
            qemu.start(self.arch, self.kernel(side, variant), initramfs, log, parameters, ["-smp", "2", *arguments],
                       watch(log))
        except Silence:
            silent = True
        return log.read_text(encoding="utf-8", errors="replace"), silent

    def packages(self):
        return image.packages([self.arch])

    def steps(self):
        return len(self.sides) * (1 + len(self.rows))

    def measure(self, progress, composed):
        """Build and boot; the reports, and the table."""
        outcomes = self.outcomes(progress, composed)
        return self.reports(outcomes), self.table(outcomes)

    def outcomes(self, progress, composed):
        """Build and boot; the outcomes, which are kept as JSON too."""
        outcomes = {}
        for side in self.sides:
            with progress.step(f"build the kernel for {self.name}, {side}"):
                self.build(composed, side)
            for name, row in self.rows.items():
                with progress.step(f"boot {name}, {side}: {row.about}"):
                    come = added([self.boot(row, side, number) for number in range(row.boots)])
                    if side == "series" and (name, "base") in outcomes:
                        compare(outcomes[name, "base"], come, row.rules.get("series", {}).get("percent", {}))
                    outcomes[name, side] = come
                    ui.say(f"  {': '.join([come.result, *come.problems[:1]])}")
        report.keep(self.name, [asdict(come) for come in outcomes.values()])
        return list(outcomes.values())

    def reports(self, outcomes):
        """The series' outcomes as the Report of a lane, which is kept."""
        suite = report.Suite(self.name, len(self.rows), True)
        for come in outcomes:
            if come.side == "series":
                suite.cases.append(report.Case(self.name, come.row))
                for why in [come.result, *come.problems] if come.result != "ok" else ():
                    suite.cases[-1].fail(why)
        lane = report.Report(f"{self.arch}-{self.name}", ui.short(self.logs("series")), [suite], ended=True)
        report.write(lane)
        return [lane]

    def table(self, outcomes):
        """The lines to print: for each row the results and its figures, then the first problem of each outcome."""
        rows = {name: [come for come in outcomes if come.row == name] for name in self.rows}
        header, *results = report.table((self.name, *self.sides), [(name, *(come.result for come in row))
                                                                   for name, row in rows.items()])
        width = max(map(len, [header, *results])) + 2
        lines = [f"{header:{width}}figures{', base -> series' if len(self.sides) > 1 else ''}"]
        for start, row in zip(results, rows.values()):
            lines += wrapped(f"{start:{width}}", figures(row))
        lines += [f"{come.row}, {come.side}: {come.problems[0]}"[:WIDTH] for come in outcomes if come.problems]
        return [*lines, f"consoles: {', '.join(ui.short(self.logs(side)) for side in self.sides)}"]

    def command(self):
        """`make NAME`: both sides, and one table; the exit status."""
        progress, composed = begin(self.name, self.steps(), self.packages())
        return report.finish(carry_out(self, progress, composed, show=True))
