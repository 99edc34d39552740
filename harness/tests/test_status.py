# SPDX-License-Identifier: GPL-2.0
"""The tables of README.md."""

import unittest

from harness import ui
from harness.runs import lanes, status

LANES = """
[kernel.k]
arch = "arm64"
fragments = ["common"]

[lane.short]
kernel = "k"
boot = ["slub_debug=FZPU"]
suites = { s = 3 }

[lane.slow]
kernel = "k"
suites = { s = 3, t = 1 }
long = true
"""


class Tables(unittest.TestCase):
    def test_patches_and_lanes(self):
        lines = status.tables("6.1", ["mm: first", "mm: second"], lanes.read(LANES).values())
        self.assertIn("| 0002 | mm: second |", lines)
        self.assertIn("| short | `slub_debug=FZPU` | s 3 | yes |", lines)
        self.assertIn("| slow |  | s 3, t 1 | LANES=all |", lines)

    def test_only_what_is_between_the_marks_changes(self):
        text = f"top\n{status.BEGIN}\nold\n{status.END}\nbottom\n"
        self.assertEqual(status.replaced(text, ["new"]), f"top\n{status.BEGIN}\nnew\n{status.END}\nbottom\n")

    def test_lost_mark(self):
        with self.assertRaises(ui.Failure):
            status.replaced(f"top\n{status.BEGIN}\n", ["new"])
