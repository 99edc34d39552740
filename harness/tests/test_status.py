# SPDX-License-Identifier: GPL-2.0
"""The table of README.md."""

import tempfile
import types
import unittest
from pathlib import Path
from unittest import mock

from harness import ui
from harness.runs import lanes, status

LANES = """
[suites]
mm = ["s", "t"]
[kernel.k]
arch = "arm64"
fragments = ["common"]

[lane.short]
kernel = "k"
suites = { s = 3 }

[lane.slow]
kernel = "k"
suites = { s = 3, t = 1 }
long = true
"""


class Table(unittest.TestCase):
    """From series/ and lanes.toml to README.md."""

    def test_parts_and_lanes(self):
        lines = status.table("6.1", ["mm/a", "mm/b", "doc/c"], {"mm": "memory", "doc": "text"}, lanes.read(LANES).values())
        self.assertIn("| mm | memory | 0001-0002 | `s` 3, `t` 1 | 1, 2 |", lines)
        self.assertIn("| doc | text | 0003-0003 | - | 0, 0 |", lines)

    def test_only_what_is_between_the_marks_changes(self):
        text = f"top\n{status.BEGIN}\nold\n{status.END}\nbottom\n"
        self.assertEqual(status.replaced(text, ["new"]), f"top\n{status.BEGIN}\nnew\n{status.END}\nbottom\n")

    def test_lost_mark(self):
        with self.assertRaises(ui.Failure):
            status.replaced(f"top\n{status.BEGIN}\n", ["new"])

    def test_check_and_write(self):
        with tempfile.TemporaryDirectory() as tmp, mock.patch.object(lanes, "load", lambda: lanes.read(LANES)):
            readme = Path(tmp) / "README.md"
            readme.write_text(f"top\n{status.BEGIN}\nold\n{status.END}\n", encoding="utf-8")
            composed = types.SimpleNamespace(series=types.SimpleNamespace(top=Path(tmp), parts={
                                                 "mm": types.SimpleNamespace(name="mm", title="memory")}),
                                             base=types.SimpleNamespace(name="6.1"),
                                             commits=[types.SimpleNamespace(id="mm/a")])
            with self.assertRaises(ui.Failure):
                status.check(composed)
            self.assertTrue(status.write(composed))
            status.check(composed)
            self.assertFalse(status.write(composed))
            self.assertIn("| mm | memory | 0001-0001 |", readme.read_text(encoding="utf-8"))
