# SPDX-License-Identifier: GPL-2.0
"""Warnings compared with the base, and exceptions."""

import unittest

from harness import ui
from harness.runs import check


class Warnings(unittest.TestCase):
    """From a build log to what can be compared."""

    def test_line_numbers_do_not_matter(self):
        one = check.warnings("../../../tree/6.1/mm/x.c:12:3: warning: unused variable 'a' [-Wunused-variable]\n", "/t")
        two = check.warnings("/t/mm/x.c:99:3: warning: unused variable 'a' [-Wunused-variable]\n", "/t")
        self.assertEqual(one, two)
        self.assertEqual(list(one), [("W=1", "mm/x.c: unused variable 'a' [-Wunused-variable]")])

    def test_sparse(self):
        found = check.warnings("mm/x.c:1:2: warning: context imbalance in 'f' - wrong count at exit\n", "/t")
        self.assertEqual([kind for kind, _ in found], ["sparse"])

    def test_counted(self):
        line = "mm/x.c:1:2: warning: context imbalance in 'f'\n"
        self.assertEqual(list(check.warnings(line * 2, "/t").values()), [2])

    def test_nothing(self):
        self.assertFalse(check.warnings("  CC      mm/x.o\nmm/x.c: In function 'f':\n", "/t"))


class Rules(unittest.TestCase):
    """series/check-exceptions."""

    def test_allow(self):
        rules = check.Exceptions("# why\nA_B * always\nC 02-* once # really\nD 03-x never\n")
        self.assertTrue(rules.allow("A_B", "01-x"))
        self.assertTrue(rules.allow("C", "02-y"))
        self.assertFalse(rules.allow("C", "03-y"))
        self.assertEqual(rules.stale(), ["D 03-x"])

    def test_no_reason(self):
        with self.assertRaises(ui.Failure):
            check.Exceptions("A_B *\n")


if __name__ == "__main__":
    unittest.main()
