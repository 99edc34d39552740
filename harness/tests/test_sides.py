# SPDX-License-Identifier: GPL-2.0
"""Base and series side by side: from consoles to results, tables and reports."""

import json
import re
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from harness import ui
from harness.runs import sides
from harness.runs.sides import Outcome

END = "[    9.1] reboot: Restarting system\n"
OOPS = "[    3.0] BUG: Unable to handle kernel data access at 0xbf458accfff601e8\n"


def ktap(suite, cases, planned=None):
    """What a guest prints of a suite; a case is its name, or (name, {value: number}), or (name, values, result)."""
    lines = ["KTAP version 1", "1..1", "    KTAP version 1", f"    # Subtest: {suite}",
             f"    1..{len(cases) if planned is None else planned}"]
    for number, case in enumerate(cases, 1):
        name, values, result = (case, {}, "ok") if isinstance(case, str) else (*case, "ok")[:3]
        lines += [f"    # {name}: value: {value} {given}" for value, given in values.items()]
        skip = " # SKIP kernel without it" if result == "skip" else ""
        lines.append(f"    {'not ok' if result == 'not ok' else 'ok'} {number} {name}{skip}")
    failed = any(line.startswith("    not ok") for line in lines)
    return "\n".join([*lines, f"{'not ok' if failed else 'ok'} 1 {suite}"]) + "\n"


class Results(unittest.TestCase):
    """From a console to a result."""

    def come(self, console, silent=False, suites=None):
        """The Outcome."""
        return sides.outcome("row", "series", console, suites or {"suite": 2}, silent)[0]

    def test_ok(self):
        come = self.come(ktap("suite", ["a", "b"]) + END)
        self.assertEqual((come.result, come.problems), ("ok", []))

    def test_silent_guest_hung(self):
        come = self.come(ktap("suite", ["a", "b"]), silent=True)
        self.assertEqual((come.result, come.problems), ("hung", ["the guest printed nothing for 60 s"]))
        self.assertEqual(self.come(OOPS, silent=True).result, "hung")

    def test_guest_that_says_so_hung(self):
        text = ktap("suite", ["a", ("b", {"hung": 45})])
        text = text[:text.index("    ok 2")]
        come = self.come(text)
        self.assertEqual((come.result, come.problems[0]), ("hung", "b: hung for 45 s"))
        text += "[   99.0] INFO: task fio:80 blocked for more than 60 seconds.\n"
        self.assertEqual(self.come(text).result, "hung")

    def test_no_end_hung(self):
        come = self.come("qemu: could not load kernel\n")
        self.assertEqual((come.result, come.problems),
                         ("hung", ["the guest did not come to its end; its last line: qemu: could not load kernel"]))
        self.assertEqual(self.come("").result, "hung")
        self.assertEqual(self.come(ktap("suite", ["a", "b"])).result, "hung")

    def test_crash(self):
        text = ktap("suite", ["a", "b"])
        come = self.come(text[:text.index("    ok 2")] + OOPS)
        self.assertEqual((come.result, come.problems[0][:11]), ("crash", "BUG: Unable"))

    def test_trouble_is_wrong(self):
        warning = "[    3.0] WARNING: CPU: 0 PID: 1 at x.c:1 f+0x1/0x2\n"
        for text in (warning + ktap("suite", ["a", "b"]) + END, ktap("suite", ["a", "b"]) + warning + END,
                     ktap("suite", ["a", "b"]).replace("    ok 2", f"{warning}    ok 2") + END):
            with self.subTest(text):
                come = self.come(text)
                self.assertEqual((come.result, come.problems[0][:8]), ("wrong", "WARNING:"))

    def test_failed_case_is_wrong(self):
        text = ktap("suite", ["a", ("b", {}, "not ok")]).replace("    not ok", "    # b: no link\n    not ok")
        come = self.come(text + END)
        self.assertEqual((come.result, come.problems), ("wrong", ["b: no link"]))

    def test_what_did_not_run_is_wrong(self):
        for text in (END, ktap("suite", ["a"]) + END, ktap("other", ["a", "b"]) + END,
                     ktap("suite", ["a", ("b", {}, "skip")]) + END):
            with self.subTest(text):
                self.assertEqual(self.come(text).result, "wrong")

    def test_overflow_buffers_may_be_skipped(self):
        text = ktap("devices", ["data", ("overflow_buffers", {}, "skip")]) + END
        self.assertEqual(self.come(text, suites={"devices": 2}).result, "ok")

    def test_worst_result_counts(self):
        come = Outcome("row", "base")
        for result, worst in (("retried", "retried"), ("wrong", "wrong"), ("retried", "wrong"), ("hung", "hung"),
                              ("crash", "crash"), ("ok", "crash")):
            come.problem("x", result)
            self.assertEqual(come.result, worst)


class Figures(unittest.TestCase):
    """Figures, and what has to come out."""

    def held(self, side, *levels, console="", **figures):
        """Problems of an outcome with these figures."""
        come = Outcome("row", side, figures=figures)
        sides.hold(come, console, *levels)
        self.assertEqual(come.result, "wrong" if come.problems else "ok")
        return come.problems

    def test_count(self):
        patterns = [re.compile(r"full|(\d+) callbacks suppressed"), re.compile("DMA map failed")]
        self.assertEqual(sides.count("full\nfull\n40 callbacks suppressed\nDMA map failed\n", *patterns), 42)
        self.assertEqual(sides.count("full\nDMA map failed\nDMA map failed\n", *patterns), 2)

    def test_values_are_added_and_the_higher_number_counts(self):
        text = ktap("suite", [("a", {"lost": 2, "errors": 1}), ("b", {"lost": 3})])
        text += ktap("other", [("a", {"lost": 50})])
        come, booted = sides.outcome("row", "base", text + "error\nerror\n", {})
        sides.measured(come, text + "error\nerror\n", booted,
                       {"L": "suite.lost", "E": "suite.errors", "none": "suite.x"},
                       {"E": [re.compile("^error", re.M)], "zero": [re.compile("never")]})
        self.assertEqual(list(come.figures.items()), [("L", 5), ("E", 2), ("zero", 0)])
        come, booted = sides.outcome("row", "base", text, {})
        sides.measured(come, text, booted, {"E": "suite.errors"}, {"E": [re.compile("^error", re.M)]})
        self.assertEqual(come.figures, {"E": 1})

    def test_figures(self):
        rule = {"figures": {"lost": 0, "windows": 4}}
        self.assertEqual(self.held("base", rule, lost=0, windows=4), [])
        self.assertEqual(self.held("base", rule), [])
        self.assertEqual(self.held("base", rule, lost=3, windows=0), ["3 lost", "0 windows, not 4"])

    def test_need(self):
        rule = {"need": {"buffers": "the pool was never full"}}
        self.assertEqual(self.held("base", rule, buffers=1), [])
        self.assertEqual(self.held("base", rule, buffers=0), ["the pool was never full"])
        self.assertEqual(self.held("base", rule), ["the pool was never full"])

    def test_says(self):
        self.assertEqual(self.held("base", {"says": "window stays"}, console="the window stays.\n"), [])
        self.assertEqual(self.held("base", {"says": "window stays"}, console="the window goes.\n"),
                         ["the log does not say: window stays"])

    def test_rules_of_the_series_only(self):
        levels = {}, {"series": {"figures": {"left": 0}, "need": {"used": "unused"}, "says": "x"}}
        self.assertEqual(self.held("base", *levels, left=1), [])
        self.assertEqual(self.held("series", *levels, left=1), ["1 left", "unused", "the log does not say: x"])

    def test_both_levels_count(self):
        self.assertEqual(self.held("base", {"figures": {"a": 0}}, {"figures": {"b": 0}}, a=1, b=1), ["1 a", "1 b"])

    def test_percent(self):
        base = Outcome("cost", "base", figures={"map": 100, "unmap": 500})
        for number, problems in ((510, []), (511, ["unmap: 511, 500 on the base"])):
            series = Outcome("cost", "series", figures={"map": 101, "unmap": number})
            sides.compare(base, series, {"map": 2, "unmap": 2, "absent": 2})
            self.assertEqual((series.problems, series.result), (problems, "wrong" if problems else "ok"))

    def test_boots_are_added(self):
        first = Outcome("race", "base", figures={"tries": 16, "mapped": 0})
        second = Outcome("race", "base", "wrong", {"tries": 3, "mapped": 40}, ["a"])
        third = Outcome("race", "base", "crash", {"poison": 2}, ["b"])
        come = sides.added([first, second, third])
        self.assertEqual((come.boots, come.figures), (3, {"tries": 19, "mapped": 40, "poison": 2}))
        self.assertEqual((come.result, come.problems), ("crash", ["a", "b"]))


class Rows(unittest.TestCase):
    """From TOML to rows."""

    def load(self, text):
        """Settings and rows of a text."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.toml"
            path.write_text(text, encoding="utf-8")
            return sides.load(path, "row", lambda name, rules, about, qemu="": (name, rules, about, qemu))

    def test_rules_and_settings(self):
        settings, rows = self.load('boot = "x"\n[row.a]\nabout = "y"\nfigures = { b = 1 }\nseries.says = "z"\n')
        self.assertEqual(settings, {"boot": "x"})
        self.assertEqual(rows["a"], ("a", {"figures": {"b": 1}, "series": {"says": "z"}}, "y", ""))

    def test_like(self):
        _, rows = self.load('[row.a]\nabout = "y"\nqemu = "q"\nneed = { b = "c" }\n[row.d]\nlike = "a"\nabout = "e"\n')
        self.assertEqual(rows["d"], ("d", {"need": {"b": "c"}}, "e", "q"))

    def test_mistakes(self):
        for text in ("", "[row.a]\n", '[row.a]\nabout = "y"\nunknown = 1\n', '[row.a]\nlike = "b"\nabout = "y"\n',
                     '[row.a]\nabout = "y"\nseries.unknown = 1\n', "[row.a\n"):
            with self.subTest(text), self.assertRaises(ui.Failure):
                self.load(text)


class Watch(unittest.TestCase):
    """A guest that prints nothing is ended."""

    def look(self, *steps):
        """Call watch()'s function after each (seconds, bytes of the log)."""
        clock, size = [0], [0]
        log = SimpleNamespace(stat=lambda: SimpleNamespace(st_size=size[0]))
        with mock.patch("harness.runs.sides.time.monotonic", lambda: clock[0]):
            look = sides.watch(log)
            look()
            for clock[0], size[0] in steps:
                look()

    def test_silence(self):
        self.look((59, 0), (60, 10), (119, 10), (120, 11), (180, 11))
        with self.assertRaises(sides.Silence):
            self.look((30, 5), (91, 5))

    def test_boot_of_a_silent_guest(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch("harness.paths.OUT", Path(folder)):
            run = sides.Run("x", "arm64", ["series"], {}, {})

            def start(_arch, _kernel, _initramfs, log, _parameters, qemu, watch):
                self.assertEqual(qemu, ["-smp", "2", "-x"])
                log.parent.mkdir(parents=True)
                log.write_text("one line\r\n", encoding="utf-8")
                watch()
                with mock.patch("harness.runs.sides.SILENT", -1):
                    watch()
            with mock.patch("harness.guest.qemu.start", start):
                self.assertEqual(run.boot_guest("series", "row", "initramfs", [], ["-x"]), ("one line\n", True))


class Letters(sides.Run):
    """A Run whose boots give what the test wants."""
    comes = {}

    def build(self, composed, side):
        self.settings.setdefault("built", []).append(side)

    def boot(self, row, side, number):
        return self.comes[row.name, side](number)


class Runs(unittest.TestCase):
    """From rows to outcomes, table and report."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for patch in (mock.patch("harness.paths.OUT", self.folder), mock.patch("harness.ui.say")):
            patch.start()
            self.addCleanup(patch.stop)
        rows = {name: SimpleNamespace(name=name, rules={}, about="about", boots=1) for name in "ab"}
        self.run_ = Letters("letters", "arm64", sides.SIDES, rows, {})

    def measure(self, **results):
        """Outcomes, with the result of each row and side: a_base="ok"."""
        def boot(key):
            row, side = key.split("_")
            problems = [] if results[key] == "ok" else [f"{key} is {results[key]}"]
            return lambda _number: Outcome(row, side, results[key], {"lost": len(problems), "zero": 0, "moved": 5},
                                           list(problems))
        self.run_.comes = {tuple(key.split("_")): boot(key) for key in results}
        self.run_.sides = [side for side in sides.SIDES if any(key.endswith(side) for key in results)]
        progress = ui.Steps("letters", self.run_.steps())
        outcomes = self.run_.outcomes(progress, None)
        self.assertEqual(progress.count, progress.total)
        return outcomes

    def test_each_row_on_each_side(self):
        outcomes = self.measure(a_base="wrong", b_base="ok", a_series="ok", b_series="ok")
        self.assertEqual([(come.row, come.side) for come in outcomes],
                         [("a", "base"), ("b", "base"), ("a", "series"), ("b", "series")])
        self.assertEqual(self.run_.settings["built"], ["base", "series"])
        kept = json.loads((self.folder / "report/letters.json").read_text(encoding="utf-8"))
        self.assertEqual([(come["row"], come["side"], come["result"]) for come in kept],
                         [("a", "base", "wrong"), ("b", "base", "ok"), ("a", "series", "ok"), ("b", "series", "ok")])

    def test_all_boots_of_a_row(self):
        self.run_.rows["a"].boots = 3
        outcomes = self.measure(a_series="ok", b_series="ok")
        self.assertEqual((outcomes[0].boots, outcomes[0].figures["moved"]), (3, 15))

    def test_costs_are_compared(self):
        self.run_.rows["a"].rules = {"series": {"percent": {"lost": 2}}}
        self.run_.sides = sides.SIDES
        self.run_.comes = {("a", side): lambda _, side=side, lost=lost: Outcome("a", side, figures={"lost": lost})
                           for side, lost in (("base", 100), ("series", 103))}
        del self.run_.rows["b"]
        outcomes = self.run_.outcomes(ui.Steps("letters", 4), None)
        self.assertEqual([come.result for come in outcomes], ["ok", "wrong"])

    def test_only_the_series_counts(self):
        lane, = self.run_.reports(self.measure(a_base="crash", b_base="ok", a_series="ok", b_series="ok"))
        self.assertEqual((lane.count("passed"), lane.count("failed")), (2, 0))

    def test_anything_but_ok_fails(self):
        for result in sides.RESULTS[1:]:
            outcomes = self.measure(a_base="ok", b_base="ok", a_series=result, b_series="ok")
            outcomes[2].problems = []
            lane, = self.run_.reports(outcomes)
            self.assertEqual((lane.count("passed"), lane.count("failed")), (1, 1))
            self.assertEqual(lane.find("letters.a").problems, [result])
        self.assertTrue((self.folder / "report/arm64-letters.json").exists())

    def test_problems_are_told(self):
        lane, = self.run_.reports(self.measure(a_series="wrong", b_series="ok"))
        self.assertEqual(lane.find("letters.a").problems, ["wrong", "a_series is wrong"])

    def test_table(self):
        lines = self.run_.table(self.measure(a_base="wrong", b_base="ok", a_series="ok", b_series="ok"))
        self.assertEqual(lines[:4], ["letters  base   series  figures, base -> series",
                                     "a        wrong  ok      lost 1 -> 0, moved 5",
                                     "b        ok     ok      moved 5",
                                     "a, base: a_base is wrong"])

    def test_table_of_one_side(self):
        self.assertEqual(self.run_.table(self.measure(a_series="ok", b_series="wrong"))[:3],
                         ["letters  series  figures",
                          "a        ok      moved 5",
                          "b        wrong   lost 1, moved 5"])

    def test_long_figures_are_wrapped(self):
        outcomes = self.measure(a_series="ok", b_series="ok")
        outcomes[0].figures = {f"a long name {number}": number for number in range(1, 20)}
        lines = self.run_.table(outcomes)
        self.assertLessEqual(max(map(len, lines[:-1])), sides.WIDTH)
        self.assertRegex(lines[1], r"^a        ok      (a long name \d+ \d+,? ?)+$")
        self.assertRegex(lines[2], r"^                 (a long name \d+ \d+,? ?)+$")

    def test_figures_of_one_side(self):
        outcomes = [Outcome("a", "base", figures={"zero": 0}, boots=2),
                    Outcome("a", "series", figures={"zero": 0, "absent": 0, "buffers": 7}, boots=2)]
        self.assertEqual(sides.figures(outcomes), ["buffers - -> 7", "2 boots"])

    def test_command(self):
        for result, status in (("ok", 0), ("wrong", 1)):
            outcomes = self.measure(a_base="crash", b_base="ok", a_series=result, b_series="ok")
            with mock.patch("harness.source.debian.ensure") as ensure, \
                    mock.patch("harness.series.compose.prepare"), \
                    mock.patch.object(self.run_, "outcomes", return_value=outcomes):
                self.assertEqual(self.run_.command(), status)
            ensure.assert_called_once_with(self.run_.packages())


if __name__ == "__main__":
    unittest.main()
