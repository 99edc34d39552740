# SPDX-License-Identifier: GPL-2.0
"""LANES=, PART=, SUITE= and CASE=, before anything is built."""

import os
import unittest
from unittest import mock

from harness import ui
from harness.runs import choice, lanes

TEXT = """
[suites]
slab = ["slab", "slab_sysfs"]
swiotlb = ["swiotlb", "torture"]
[kernel.k]
arch = "arm64"
fragments = ["common"]
[kernel.other]
arch = "arm64"
fragments = ["common"]
[lane.first]
kernel = "k"
suites = { slab = 3, slab_sysfs = 1, swiotlb = 5 }
may_skip = ["slab.kfence"]
[lane.second]
kernel = "other"
suites = { slab = 3, slab_sysfs = 1 }
[lane.beaten]
kernel = "k"
torture = 10
suites = { torture = 4 }
[lane.slow]
kernel = "k"
suites = { swiotlb = 5 }
long = true
"""
OTHERS = {"devices": "swiotlb", "ddw": "ddw"}


class Read(unittest.TestCase):
    """What is chosen."""

    def setUp(self):
        self.known = lanes.read(TEXT)
        there = {"slab": {"kfence", "below_4g"}, "torture": {"kfence"}, "swiotlb": {"search"}}
        patch = mock.patch.object(choice, "cases", lambda top, suite: there[suite])
        patch.start()
        self.addCleanup(patch.stop)

    def read(self, **environ):
        """(names of the lanes, other runs, whether that is everything)."""
        with mock.patch.dict(os.environ, environ, clear=True):
            self.found = choice.read(self.known, OTHERS)
        return [lane.name for lane in self.found.lanes], self.found.others, self.found.everything

    def boots(self, lane):
        """What of a lane is booted."""
        return self.found.boots(self.known[lane])

    def test_default(self):
        self.assertEqual(self.read(), (["first", "second", "beaten"], ["devices", "ddw"], True))
        self.assertEqual(self.boots("first"), [("", {"slab": 3, "slab_sysfs": 1, "swiotlb": 5})])

    def test_all(self):
        self.assertEqual(self.read(LANES="all"), (["first", "second", "beaten", "slow"], ["devices", "ddw"], True))

    def test_lanes(self):
        self.assertEqual(self.read(LANES="slow"), (["slow"], [], False))

    def test_part(self):
        self.assertEqual(self.read(PART="slab"), (["first", "second"], [], False))
        self.assertEqual(self.boots("first"), [("slab*", {"slab": 3, "slab_sysfs": 1})])
        self.assertEqual(self.boots("second"), [("", {"slab": 3, "slab_sysfs": 1})])
        self.assertEqual(self.read(PART="swiotlb"), (["first", "beaten"], ["devices"], False))
        self.assertEqual(self.boots("first"), [("swiotlb", {"swiotlb": 5})])
        self.assertEqual(self.read(PART="ddw"), ([], ["ddw"], False))

    def test_part_without_a_glob_of_its_own(self):
        self.known["first"].suites = {"slab": 3, "other": 1, "slab_sysfs": 1, "slab_x": 2}
        self.known["first"].parts = {"slab": "slab", "other": "slab", "slab_sysfs": "slab", "slab_x": "swiotlb"}
        self.read(PART="slab")
        self.assertEqual(self.boots("first"), [("slab", {"slab": 3}), ("other", {"other": 1}),
                                               ("slab_sysfs", {"slab_sysfs": 1})])
        self.known["first"].suites = {"slab": 3, "slab_sysfs": 1, "slab_x": 2}
        self.assertEqual(self.boots("first"), [("slab", {"slab": 3}), ("slab_sysfs", {"slab_sysfs": 1})])

    def test_suite(self):
        self.assertEqual(self.read(SUITE="slab_sysfs"), (["first", "second"], [], False))
        self.assertEqual(self.boots("second"), [("slab_sysfs", {"slab_sysfs": 1})])
        self.assertEqual(self.read(SUITE="devices"), ([], ["devices"], False))

    def test_case(self):
        self.assertEqual(self.read(CASE="slab.below_4g"), (["first"], [], False))
        self.assertEqual(self.boots("first"), [("slab.below_4g", {"slab": 1})])
        self.assertEqual(self.read(CASE="slab.below_4g", LANES="second")[0], ["second"])

    def test_case_runs_where_it_does_not_skip(self):
        self.assertEqual(self.read(CASE="slab.kfence")[0], ["second"])

    def test_lane_that_only_all_has(self):
        self.known["first"].suites = {"slab": 3}
        self.assertEqual(self.read(SUITE="swiotlb")[0], ["slow"])

    def test_refused(self):
        for told, *environs in (("no lane nowhere", {"LANES": "nowhere"}), ("no tests", {"PART": "memory"}),
                                ("no suite slob", {"SUITE": "slob"}, {"CASE": "slob.kfence"}),
                                ("of the form", {"CASE": "slab"}, {"CASE": "slab."}, {"CASE": "slab.*"}),
                                ("no KUnit case", {"CASE": "slab.nothing"}),
                                ("no KUnit case slab.search", {"CASE": "slab.search"}),
                                ("not in SUITE", {"CASE": "slab.kfence", "SUITE": "swiotlb"}),
                                ("tests part slab", {"PART": "swiotlb", "SUITE": "slab"}),
                                ("no lane has", {"LANES": "slow", "SUITE": "slab"}, {"CASE": "torture.kfence"})):
            for environ in environs:
                with self.subTest(environ), self.assertRaises(ui.Failure) as caught:
                    self.read(**environ)
                self.assertIn(told, caught.exception.what)


class Cases(unittest.TestCase):
    """Names of cases are looked up in the sources."""

    def test_repository(self):
        for suite, case in (("arm_v7s", "map_beyond_input_size_refused"),       # KUNIT_CASE
                            ("swiotlb", "address_keeps_alignment")):            # KUNIT_CASE_PARAM
            self.assertIn(case, choice.cases(choice.paths.TOP, suite))
        self.assertNotIn("map_beyond_input_size_refused", choice.cases(choice.paths.TOP, "swiotlb"))
        self.assertEqual(choice.cases(choice.paths.TOP, "nix"), set())


class Matching(unittest.TestCase):
    """PATCHES= and the like."""

    def test_matching(self):
        for value, names in (("", ["a/x", "b/x"]), ("b/*", ["b/x"]), ("b/x, a/*", ["a/x", "b/x"])):
            with mock.patch.dict(os.environ, {"PATCHES": value}):
                self.assertEqual(choice.matching("PATCHES", ["a/x", "b/x"], "patch"), names)
        with mock.patch.dict(os.environ, {"PATCHES": "a/* c/*"}), self.assertRaises(ui.Failure):
            choice.matching("PATCHES", ["a/x", "b/x"], "patch")
