# SPDX-License-Identifier: GPL-2.0
"""`make torture`, from a console to the table, and DURATION=."""

import os
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from harness import paths, report, ui
from harness.guest import image, qemu
from harness.runs import kunit, lanes, loop, torture

CASES = ("runs_to_its_end", "unloaded_in_the_middle", "pool_overflows", "nothing_is_left")
VALUES = {"runs_to_its_end": {"bounced": 10, "direct": 5, "failed": 0, "irq": 1, "synced": 2, "errors": 0},
          "unloaded_in_the_middle": {"bounced": 4}, "pool_overflows": {"overflowed": 7}}
INIT = ("KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: init\n    1..1\n    ok 1 work\nok 1 init\n"
        "[    3.0] reboot: Restarting system\n")
LANE = SimpleNamespace(name="lane", kernel=SimpleNamespace(name="k", arch="arm64"), suites={"swiotlb_torture": 4},
                       boot=["swiotlb=512"], torture=10, arguments=lambda: ["-smp", "4"])


def console(failed=(), end=INIT):
    """What the guest prints."""
    lines = ["KTAP version 1", "1..1", "    KTAP version 1", "    # Subtest: swiotlb_torture", "    1..4"]
    for number, case in enumerate(CASES, 1):
        lines.append("[    1.0] swiotlb-torture: bounced: 3 direct: 5 failed: 0")
        lines += [f"    # {case}: value: {name} {value}" for name, value in VALUES.get(case, {}).items()]
        lines += [f"    # {case}: !!! bytes"] if case in failed else []
        lines.append(f"    {'not ok' if case in failed else 'ok'} {number} {case}")
    return "\n".join([*lines, f"{'not ok' if failed else 'ok'} 1 swiotlb_torture", end])


class Boot(unittest.TestCase):
    """A boot of a lane."""

    def boot(self, text, hung=False, seconds=10):
        """(the judged report, what QEMU was called with)."""
        def start(*words, **options):
            words[3].write_text(text.replace("\n", "\r\n"), encoding="utf-8")
            self.called = words, options
            return hung
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(paths, "OUT", Path(folder)), \
                mock.patch.object(image, "archive"), mock.patch.object(qemu, "start", start):
            paths.build_dir("k").mkdir(parents=True)
            paths.log_dir().mkdir(parents=True)
            return report.judge(torture.boot(LANE, seconds), LANE.suites)

    def test_good(self):
        result = self.boot(console())
        self.assertEqual((result.count("passed"), result.count("failed")), (4, 0))
        self.assertEqual([line.split() for line in torture.table([result])],
                         [["lane", *torture.COLUMNS], ["lane", *"10 5 0 1 2 7 0".split()]])

    def test_arguments(self):
        self.boot(console())
        (_, _, _, _, parameters, machine), options = self.called
        self.assertEqual(parameters[-2:], ["swiotlb_torture.duration=10", "swiotlb=512"])
        self.assertEqual((machine, options), (["-smp", "4"], {"timeout": qemu.TIMEOUT + 10}))
        self.boot(console(), seconds=7)
        self.assertIn("swiotlb_torture.duration=7", self.called[0][4])

    def test_each_case_fails(self):
        for case in CASES:
            result = self.boot(console([case]))
            self.assertEqual([bad.name for bad in result.cases() if bad.status == "failed"], [case])
            self.assertEqual(result.find(f"swiotlb_torture.{case}").problems, ["!!! bytes"])

    def test_no_end(self):
        self.assertEqual(self.boot(console(end="")).count("failed"), 2)
        self.assertIn("the guest hung, and was ended from outside", self.boot(console(), hung=True).troubles())

    def test_no_numbers(self):
        self.assertEqual(torture.table([self.boot("")])[1].split(), ["lane", *"-------"])

    def test_trouble(self):
        self.assertEqual(self.boot(console(end="BUG: KCSAN: data-race in a / b\n" + INIT)).troubles(),
                         ["BUG: KCSAN: data-race in a / b"])


class Duration(unittest.TestCase):
    """DURATION=."""

    def test_user_comes_first(self):
        for text, usual, seconds in (("7", 0, 7), ("7", 120, 7), ("", 0, 10), ("", 120, 120)):
            with mock.patch.dict(os.environ, {"DURATION": text}):
                self.assertEqual(torture.duration(LANE, usual), seconds)

    def test_refused_where_nothing_lasts(self):
        with mock.patch.dict(os.environ, {"DURATION": "5"}):
            self.assertRaisesRegex(ui.Failure, "lanes that torture", kunit.kernel_runs, mock.Mock(lanes=[]))

    def test_refused_before_anything_is_done(self):
        for variable, text in (("DURATION", "x"), ("DURATION", "0"), ("DURATION", "-1"), ("DURATION", "604801"),
                               ("DURATION", "9" * 5000), ("LANES", "nonsense"), ("LANES", "arm64-slub")):
            with self.subTest(text), mock.patch.dict(os.environ, {variable: text}), \
                    mock.patch.object(loop.debian, "ensure", side_effect=AssertionError), \
                    self.assertRaises(ui.Failure):
                kunit.cmd_torture()


class Command(unittest.TestCase):
    """The exit status."""

    def status(self, text):
        """That of `make torture` when all guests print this."""
        def boot(lane, seconds):
            result = report.parse(text, lane.name)
            result.done = True
            self.assertEqual(seconds, torture.DURATION)
            return result
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(paths, "OUT", Path(folder)), \
                mock.patch.dict(os.environ, {"DURATION": "", "LANES": "arm64-torture"}), \
                mock.patch.object(loop.debian, "ensure"), mock.patch.object(loop.compose, "prepare"), \
                mock.patch.object(lanes, "build"), mock.patch.object(torture, "boot", boot), mock.patch.object(ui, "say"):
            return kunit.cmd_torture()

    def test_status(self):
        self.assertEqual(self.status(console()), 0)
        self.assertEqual(self.status(console(["nothing_is_left"])), 1)
        self.assertEqual(self.status(console(end="")), 1)


if __name__ == "__main__":
    unittest.main()
