# SPDX-License-Identifier: GPL-2.0
"""The table of breaks, and how survivors are found."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path

from harness import paths, ui
from harness.runs import verdicts

ENTRY = '[[break]]\nname = "one"\nfile = "harness/runs/a.py"\nold = "return 1"\nnew = "return 0"\n'


class Table(unittest.TestCase):
    """breaks.toml."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        (self.top / "harness/tests").mkdir(parents=True)
        (self.top / "harness/runs").mkdir()
        self.write("harness/runs/a.py", "def f():\n    return 1\n")
        self.write("harness/tests/__init__.py", "")

    def write(self, name, text):
        """A file of the fake repository."""
        (self.top / name).write_text(text, encoding="utf-8")

    def load(self, text):
        """The breaks of a table."""
        self.write(verdicts.TABLE, text)
        return verdicts.load(self.top)

    def test_good(self):
        entry, = self.load(ENTRY)
        self.assertEqual(entry.text(self.top), "def f():\n    return 0\n")

    def test_bad(self):
        for text in (ENTRY.replace("return 1", "return 2"), ENTRY.replace('"return 0"', '"return ("'),
                     ENTRY.replace("new =", "now ="), ENTRY.replace("[[break]]", "[[broke]]"), ENTRY.replace('"one"', '"one')):
            with self.subTest(text), self.assertRaises(ui.Failure):
                self.load(text)
        self.write("harness/runs/a.py", "def f():\n    return 1\n    return 1\n")
        with self.assertRaises(ui.Failure):
            self.load(ENTRY)

    def test_concerned(self):
        self.write("harness/tests/test_a.py", "from harness.runs import a\n")
        self.write("harness/tests/test_b.py", "from harness.runs.b import x\nimport harness.ui\n# .ci/run\n")
        self.write("harness/tests/test_c.py", "from harness import report, ui\n")
        for file, tests in (("harness/runs/a.py", ["a"]), ("harness/runs/b.py", ["b"]), ("harness/ui.py", ["b", "c"]),
                            ("harness/report/ktap.py", ["c"]), ("harness/runs/none.py", []), (".ci/run", ["b"])):
            self.assertEqual(verdicts.concerned(file, self.top), [f"harness.tests.test_{name}" for name in tests], file)

    def test_survives(self):
        entry, = self.load(ENTRY)
        test = "import unittest\nfrom harness.runs import a\nclass T(unittest.TestCase):\n    def test(self):\n        {}\n"
        self.write("harness/tests/test_a.py", test.format("self.assertEqual(a.f(), 1)"))
        self.assertTrue(verdicts.passes(self.top, []))
        self.assertFalse(verdicts.survives(entry, self.top))
        self.write("harness/tests/test_a.py", test.format("a.f()"))
        self.assertTrue(verdicts.survives(entry, self.top))
        # the test that notices does not import the file
        self.write("harness/tests/test_b.py", test.format("self.assertIn('return 1', open('harness/runs/a.py').read())")
                   .replace("from harness.runs import a\n", ""))
        self.assertFalse(verdicts.survives(entry, self.top))
        self.assertEqual((self.top / "harness/runs/a.py").read_text(encoding="utf-8"), "def f():\n    return 1\n")

    def test_no_tests_at_all_do_not_pass(self):
        self.assertFalse(verdicts.passes(self.top, []))

    def test_hunt_and_finish(self):
        entries = [verdicts.Break(name, "f", "a", "b") for name in ("one", "two", "three")]
        found = verdicts.survives
        try:
            verdicts.survives = lambda entry, folder: entry.name == "two"
            results = list(verdicts.hunt(entries, ["copy 0", "copy 1"]))
        finally:
            verdicts.survives = found
        self.assertEqual(results, [(entries[0], False), (entries[1], True), (entries[2], False)])
        with contextlib.redirect_stdout(io.StringIO()) as out:
            self.assertEqual(verdicts.finish(results), 1)
            self.assertEqual(verdicts.finish(results[:1]), 0)
            self.assertEqual(verdicts.finish([]), 1)
        self.assertIn("2 breaks noticed, 1 survived", out.getvalue())


class Repository(unittest.TestCase):
    """The table of this repository can be used as it is."""

    def test_load(self):
        self.assertGreaterEqual(len(verdicts.load(paths.TOP)), 60)


if __name__ == "__main__":
    unittest.main()
