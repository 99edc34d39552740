# SPDX-License-Identifier: GPL-2.0
"""Entries go where parse-maintainers.pl puts them, and come out without a trace."""
import unittest

from harness.series import maintainers
from harness.tests.fixture import KERNEL

TEXT = KERNEL["MAINTAINERS"].encode()


def block(title):
    return f"{title}\nM:\tX <x@example.org>".encode()


class Insert(unittest.TestCase):
    def titles_with(self, title, text=TEXT):
        return maintainers.titles(maintainers.insert(text, block(title)))

    def test_place(self):
        rest = ["ALPHA DRIVER", "DELTA DRIVER", "THE REST"]
        for title, place in (("AAA", 0), ("BETA", 1), ("beta", 1), ("EPSILON", 2), ("ZULU", 2)):
            self.assertEqual(self.titles_with(title), rest[:place] + [title] + rest[place:])

    def test_neighbours_keep_one_blank_line(self):
        self.assertIn(b"F:\tmm/a*\n\nBETA\nM:\tX <x@example.org>\n\nDELTA DRIVER\n",
                      maintainers.insert(TEXT, block("BETA")))

    def test_one_stray_entry_does_not_pull_others_along(self):
        text = TEXT.replace(b"ALPHA DRIVER", b"ZEBRA DRIVER\nM:\tZ <z@example.org>\n\nAAA\nM:\tA <a@example.org>\n\n"
                            b"ALPHA DRIVER")
        self.assertEqual(self.titles_with("BETA", text),
                         ["ZEBRA DRIVER", "AAA", "ALPHA DRIVER", "BETA", "DELTA DRIVER", "THE REST"])

    def test_explanations_are_no_entries(self):
        self.assertEqual(maintainers.titles(TEXT), ["ALPHA DRIVER", "DELTA DRIVER", "THE REST"])

    def test_remove_undoes_insert(self):
        for title in ("AAA", "BETA", "ZULU"):
            self.assertEqual(maintainers.remove(maintainers.insert(TEXT, block(title)), title), TEXT)
        last = TEXT.replace(b"THE REST", b"SOME REST")      # so that ours comes to the end of the file
        self.assertEqual(maintainers.remove(maintainers.insert(last, block("ZULU")), "ZULU"), last)
