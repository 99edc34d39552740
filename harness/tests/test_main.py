# SPDX-License-Identifier: GPL-2.0
"""The front door: commands, their exit status, the lock, and what the Makefile and the shell call."""

import contextlib
import fcntl
import io
import re
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness import __main__ as door
from harness import paths, ui


class Main(unittest.TestCase):
    """main()."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.patch(mock.patch.object(paths, "OUT", Path(folder.name) / "out"))
        self.patch(mock.patch.object(door.signal, "signal", lambda *_: None))

    def patch(self, patch):
        """For this test only."""
        patch.start()
        self.addCleanup(patch.stop)

    def status(self, function, folder=None, words=("demo",)):
        """The exit status for a command that is this function; what it prints is in self.out and self.err."""
        out, err = io.StringIO(), io.StringIO()
        with mock.patch.dict(door.COMMANDS, {"demo": (function, folder)}), contextlib.redirect_stdout(out), \
                contextlib.redirect_stderr(err):
            try:
                return door.main(list(words))
            finally:
                self.out, self.err = out.getvalue(), err.getvalue()

    def test_results(self):
        for result, status in ((None, None), (0, 0), (1, 1)):
            self.assertEqual(self.status(lambda result=result: result), status)

    def test_failure(self):
        self.assertEqual(self.status(mock.Mock(side_effect=ui.Failure("no", "do this"))), 1)
        self.assertIn("do this", self.err)

    def test_interrupt(self):
        self.assertEqual(self.status(mock.Mock(side_effect=KeyboardInterrupt)), 130)

    def test_ended_by_a_signal(self):
        handlers = {}
        with mock.patch.object(door.signal, "signal", handlers.__setitem__):
            self.status(lambda: 0)
        with self.assertRaises(SystemExit) as caught:
            handlers[door.signal.SIGTERM](door.signal.SIGTERM, None)
        self.assertEqual(caught.exception.code, "ended by SIGTERM")

    def test_usage(self):
        for words in ([], ["nothing"], ["test", "more"]):
            self.assertEqual(self.status(None, words=words), 2)
            self.assertIn("usage:", self.err)

    def test_variable_that_would_be_ignored_is_refused(self):
        with mock.patch.dict(door.TAKES, {"demo": ("CASE",)}):
            for name, status, ran in (("CASE", 0, 1), ("FIX", 1, 0)):
                function = mock.Mock(return_value=0)
                with mock.patch.dict("os.environ", {name: "x"}):
                    self.assertEqual(self.status(function), status)
                self.assertEqual(function.call_count, ran)
        self.assertIn("make demo takes no FIX=", self.err)
        self.assertIn("make regressions does", self.err)

    def test_one_at_a_time(self):
        paths.OUT.mkdir()
        ran = mock.Mock(return_value=0)
        with open(paths.OUT / ".lock", "w", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.assertEqual(self.status(ran, folder=paths.OUT), 1)
            self.assertIn("something else", self.err)
            ran.assert_not_called()
            self.assertEqual(self.status(ran, folder=None), 0)
        self.assertEqual(self.status(ran, folder=paths.OUT), 0)

    def test_folders_that_cannot_be_written(self):
        for name in ("OUT", "CACHE"):
            with tempfile.NamedTemporaryFile() as file, mock.patch.object(paths, name, Path(file.name) / "in"):
                self.assertEqual(self.status(lambda: 0), 1)
            self.assertIn(f"cannot write to {name}=", self.err)

    def test_output_within_a_repository_is_ignored(self):
        self.status(lambda: 0, paths.OUT)
        self.assertEqual((paths.OUT / ".gitignore").read_text(), "*\n")

    def test_unknown_base(self):
        self.patch(mock.patch.object(paths, "BASE", "2.4"))
        ran = mock.Mock()
        self.assertEqual(self.status(ran), 1)
        self.assertIn("6.1", self.err)
        ran.assert_not_called()

    def test_clean(self):
        for name in ("build", "tree", "edit"):
            (paths.OUT / name / "x").mkdir(parents=True)
        door.clean()
        self.assertEqual([path.name for path in paths.OUT.iterdir()], ["edit"])
        (paths.OUT / "log").mkdir()
        with mock.patch.object(door.shutil, "rmtree", side_effect=PermissionError(13, "denied")), \
                self.assertRaises(ui.Failure):
            door.clean()

    def test_commands_that_build_take_the_lock(self):
        taken = {folder: {name for name, (_, mine) in door.COMMANDS.items() if mine == folder}
                 for folder in (None, door.EDITS)}
        self.assertEqual(taken, {None: {"shell", "verify", "am", "litmus", "verdicts"},
                                 door.EDITS: {"series", "edit", "absorb", "part"}})


class Front(unittest.TestCase):
    """What is outside of Python."""

    def test_makefile(self):
        text = (paths.TOP / "Makefile").read_text(encoding="utf-8").replace("\\\n", "")
        self.assertEqual(set(re.search(r"^COMMANDS := (.*)$", text, re.M)[1].split()), set(door.COMMANDS))
        for name in door.COMMANDS:
            self.assertIn(f"'make {name} ", text)

    def test_variables_have_a_command(self):
        self.assertEqual({name for names in door.TAKES.values() for name in names}, set(door.VARIABLES))
        self.assertLessEqual(set(door.TAKES), set(door.COMMANDS))

    def test_exit_status_reaches_make(self):
        """harness/run by itself, and make through it."""
        for cmd, status in (([paths.TOP / "harness/run", "nothing"], 2), ([paths.TOP / "harness/run"], 2),
                            (["make", "-C", paths.TOP, "am", "TREE="], 2),
                            ([paths.TOP / "harness/run", "am"], 1)):
            with self.subTest(cmd), tempfile.TemporaryDirectory() as tmp:
                done = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                                      env={"PATH": "/usr/bin:/bin", "OUT": tmp, "HOME": tmp})
                self.assertEqual(done.returncode, status, done.stderr)

    def test_wrong_words_are_told_before_anything_is_done(self):
        """Nothing is fetched, installed or built for these."""
        for words in (["test", "LANES=nowhere"], ["test", "PART=x"], ["test", "CASE=arm_v7s.nothing"],
                      ["test", "DURATION=xx"], ["torture", "DURATION=xx"], ["mutants", "MUTANTS=x"], ["regressions", "FIX=x"],
                      ["shell", "LANE=x"],
                      ["run", "BASE=2.4"], ["am", "TREE="], ["part", "PART="], ["verdicts", "BREAKS=x"],
                      ["torture", "DURATION=604801"], ["litmus", "PART=v7s"], ["run", "LANES=arm64-slub"]):
            with self.subTest(words), tempfile.TemporaryDirectory() as tmp:
                done = subprocess.run(["make", "-C", paths.TOP, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      check=False, text=True, stdin=subprocess.DEVNULL,
                                      env={"PATH": "/usr/bin:/bin", "OUT": tmp, "HOME": tmp})
                self.assertEqual(done.returncode, 2)
                self.assertIn("to do:", done.stderr)
                self.assertNotIn("[1 of", done.stdout)
                self.assertNotIn("Traceback", done.stderr)
