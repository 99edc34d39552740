# SPDX-License-Identifier: GPL-2.0
"""Steps, heartbeat, and the error that is shown."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness import ui


def printed(function):
    """What a function prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        function()
    return out.getvalue()


class Show(unittest.TestCase):
    """What is printed on the way."""

    def test_steps(self):
        def work():
            steps = ui.Steps("test", 2)
            for name in ("first", "second"):
                with steps.step(name):
                    pass
        self.assertRegex(printed(work), r"^\[1 of 2 \| \d\d:\d\d\] first\n  done in \d\d:\d\d\n"
                                        r"\[2 of 2 \| \d\d:\d\d\] second\n  done in \d\d:\d\d\n$")

    def test_clock(self):
        self.assertEqual([ui.clock(s) for s in (0, 83.9, 3723)], ["00:00", "01:23", "1:02:03"])

    def test_heartbeat(self):
        def work():
            with mock.patch("time.monotonic", side_effect=[100, 129, 130, 131, 160]):
                pulse = ui.Pulse("build", lambda: "7 objects")
                for _ in range(4):
                    pulse.beat()
        self.assertEqual(printed(work), "  00:30 build: 7 objects ...\n  01:00 build: 7 objects ...\n")

    def test_failure(self):
        text = str(ui.Failure("it broke", "mend it", "/nowhere/log"))
        self.assertEqual([line.split(":")[0] for line in text.splitlines()], ["it broke", "  to do", "  log"])


class Run(unittest.TestCase):
    """Commands and their logs."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.log = Path(folder.name) / "sub/log"

    def test_log_is_kept(self):
        self.assertEqual(ui.run(["sh", "-c", "echo out; echo $X >&2"], self.log, env={"X": "err"}), 0)
        self.assertEqual(self.log.read_text(encoding="utf-8"), "out\nerr\n")

    def test_status_without_check(self):
        self.assertEqual(ui.run(["sh", "-c", "exit 3"], self.log, check=False), 3)

    def test_first_error_is_shown(self):
        with self.assertRaises(ui.Failure) as caught:
            ui.run(["sh", "-c", "echo x.c:1:2: error: first; echo x.c:3:4: error: second; exit 1"], self.log)
        self.assertIn("first", caught.exception.what)
        self.assertEqual(caught.exception.log, self.log)

    def test_no_such_command(self):
        with self.assertRaises(ui.Failure):
            ui.run(["/no/such/command"], self.log)


class FirstError(unittest.TestCase):
    """The line of a build log that a person wants to see."""

    def test_kinds(self):
        for line in ("mm/slub.c:12:5: error: 'x' undeclared", "mm/slub.c:3:10: fatal error: y.h: No such file",
                     "ld: mm/slub.o: undefined reference to `f'", "/tmp/x.s:1: Error: unknown mnemonic",
                     "ERROR: modpost: \"f\" [m.ko] undefined!", "E: Unable to locate package x",
                     "make[2]: *** No rule to make target 'x.o'.  Stop.",
                     "Missing: CONFIG_SLAB_DMA32_KUNIT_TEST=y"):
            with self.subTest(line):
                self.assertEqual(ui.first_error(f"  CC      mm/x.o\n{line}\nmake: *** [all] Error 2\n"), line)

    def test_make_only_if_there_is_nothing_else(self):
        self.assertEqual(ui.first_error("make[1]: *** [x.o] Error 1\nx.c:1:1: error: late\n"), "x.c:1:1: error: late")

    def test_none(self):
        self.assertIsNone(ui.first_error("x.c:1:2: warning: unused\nterror: no\n"))

    def test_prefix_of_kunit_is_cut(self):
        self.assertEqual(ui.first_error("ERROR:root:x.c:1:1: error: bad\n"), "x.c:1:1: error: bad")


if __name__ == "__main__":
    unittest.main()
