# SPDX-License-Identifier: GPL-2.0
"""What lanes.toml may say."""

import unittest

from harness import paths, ui
from harness.runs import lanes
from harness.source import kbuild

TEXT = """
[kernel.plain]
arch = "arm64"
fragments = ["common"]
[lane.first]
kernel = "plain"
suites = { demo = 2 }
[lane.second]
kernel = "plain"
boot = ["slub_debug=FZPU"]
suites = { demo = 2 }
may_skip = ["demo.x"]
long = true
"""


class Read(unittest.TestCase):
    """Parsing."""

    def test_good(self):
        found = lanes.read(TEXT)
        self.assertEqual(list(found), ["first", "second"])
        self.assertIs(found["first"].kernel, found["second"].kernel)
        self.assertEqual(found["second"].boot, ["slub_debug=FZPU"])

    def test_bad(self):
        for old, new in (("arm64", "vax"), ('kernel = "plain"', 'kernel = "odd"'), ("demo = 2", "demo = 0"),
                         ("{ demo = 2 }", "{ }"), ("long = true", "longer = true"), ("[lane.first]", "[lone.first]"),
                         ("[kernel.plain]", "[kernel.plain")):
            with self.subTest(new), self.assertRaises(ui.Failure):
                lanes.read(TEXT.replace(old, new))

    def test_select(self):
        found = lanes.read(TEXT)
        for wanted, names in (("", ["first"]), ("all", ["first", "second"]), ("second, first", ["second", "first"])):
            self.assertEqual([lane.name for lane in lanes.select(found, wanted)], names)
        with self.assertRaises(ui.Failure):
            lanes.select(found, "third")


class Bases(unittest.TestCase):
    """The files of this repository."""

    def test_all(self):
        for path in sorted((paths.TOP / "series").glob("*/lanes.toml")):
            for lane in lanes.load(path.parent.name).values():
                for fragment in lane.kernel.fragments:
                    self.assertTrue((path.parent / "kunit" / f"{fragment}.config").is_file(), fragment)
                self.assertTrue((path.parent / "qemu" / f"{lane.kernel.arch}.py").is_file())
                for case in lane.may_skip:
                    self.assertIn(case.split(".")[0], lane.suites)

    def test_packages_are_named_once(self):
        names = kbuild.packages(list(kbuild.ARCHES))
        self.assertEqual(len(names), len(set(names)))


if __name__ == "__main__":
    unittest.main()
