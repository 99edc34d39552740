# SPDX-License-Identifier: GPL-2.0
"""Debian's packages, and the newer kernels that come from them."""

import contextlib
import io
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness import paths, ui
from harness.source import debian, newer

TARGETS = """\
http://a.example/packages/ bookworm main
http://a.example/packages/ bookworm main
http://a.example/packages/ bookworm contrib
http://a.example/packages/ bookworm-updates main
http://b.example/security/ bookworm-security main
http://c.example/apt cloud-sdk-bookworm main
http://c.example/node nodistro main
"""


class Ensure(unittest.TestCase):
    """Nothing is fetched if nothing is missing."""

    def test_nothing_missing(self):
        with mock.patch.object(debian, "missing", return_value=[]), mock.patch.object(ui, "run") as run:
            debian.ensure(["gcc"])
        run.assert_not_called()

    def test_ordinary_user(self):
        with mock.patch.object(debian, "missing", return_value=["flex"]), \
                mock.patch("os.geteuid", return_value=1000), mock.patch.object(ui, "run") as run, \
                self.assertRaises(ui.Failure) as caught:
            debian.ensure(["gcc", "flex"])
        run.assert_not_called()
        self.assertRegex(caught.exception.hint, r"^sudo apt-get install .*\bflex$")

    def test_root(self):
        with mock.patch.object(debian, "missing", return_value=["flex"]), \
                mock.patch("os.geteuid", return_value=0), mock.patch.object(ui, "run") as run:
            debian.ensure(["gcc", "flex"])
        self.assertEqual([call.args[0][-1] for call in run.call_args_list], ["update", "flex"])

    def test_no_debian(self):
        with mock.patch.object(subprocess, "run", side_effect=FileNotFoundError), \
                self.assertRaisesRegex(ui.Failure, "not a Debian system"):
            debian.ensure(["gcc"])

    def test_missing(self):
        lines = "gcc installed\nflex not-installed\n"
        with mock.patch.object(subprocess, "run", return_value=subprocess.CompletedProcess([], 1, lines)):
            self.assertEqual(debian.missing(["gcc", "flex", "bison"]), ["flex", "bison"])


class Private(unittest.TestCase):
    """apt apart from the machine's."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "apt"
        for patch in (mock.patch.object(paths, "OUT", Path(folder.name)),
                      mock.patch.object(debian, "KEYRING", Path("/x"))):
            patch.start()
            self.addCleanup(patch.stop)

    def test_own_release(self):
        self.assertEqual(debian.sources(TARGETS, "bookworm"),
                         "deb http://a.example/packages/ bookworm main\n"
                         "deb http://a.example/packages/ bookworm-updates main\n"
                         "deb http://b.example/security/ bookworm-security main\n")

    def test_other_suites(self):
        self.assertEqual(debian.sources(TARGETS, "bookworm", ("trixie", "sid")),
                         "deb http://a.example/packages/ trixie main\ndeb http://a.example/packages/ sid main\n")

    def test_no_archive(self):
        for targets in ("", "http://c.example/apt cloud-sdk-bookworm main\n"):
            with self.assertRaisesRegex(ui.Failure, "no archive of Debian bookworm"):
                debian.sources(targets, "bookworm")

    @unittest.skipUnless(shutil.which("apt-get"), "this is not a Debian system")
    def test_options_keep_apt_in_the_folder(self):
        with mock.patch.object(ui, "run") as run, mock.patch.object(debian, "sources", return_value="deb x y main\n"):
            options = debian.private(self.folder, arch="arm64")
        self.assertEqual(run.call_args.args[0], ["apt-get", "-q", *options, "update"])
        done = subprocess.run(["apt-config", *options, "dump"], stdout=subprocess.PIPE, text=True, check=True,
                              env={**os.environ, "LC_ALL": "C"})
        for line in ("Dir::State::status \"{}/status\"", "Dir::State \"{}\"", "Dir::Cache \"{}\"",
                     "Dir::Etc::sourcelist \"{}/sources.list\"", "Dir::Etc::sourceparts \"-\""):
            self.assertIn(line.format(self.folder) + ";", done.stdout)
        self.assertIn("APT::Architecture \"arm64\";", done.stdout)

    def test_versions(self):
        """In the order of apt, which is that of dpkg; each once, and none of source packages."""
        lines = ("x | 6.1.192-10 | http://b.example bookworm-security/main amd64 Packages\n"
                 "x |  6.1.192-2 | http://a.example bookworm/main amd64 Packages\n"
                 "x |  6.1.192-2 | http://b.example bookworm-security/main amd64 Packages\n"
                 "x |    6.1.9-1 | http://a.example bookworm/main Sources\n")
        with mock.patch.object(subprocess, "run", return_value=subprocess.CompletedProcess([], 0, lines)):
            self.assertEqual(debian.offered("x"), ["6.1.192-10", "6.1.192-2"])

    def test_download_that_fails(self):
        with mock.patch.object(ui, "run", side_effect=ui.Failure("apt-get failed: E: no route")), \
                contextlib.redirect_stdout(io.StringIO()), \
                self.assertRaisesRegex(ui.Failure, "cannot download x: .*no route"):
            debian.download("x", "1", self.folder)


class Newer(unittest.TestCase):
    """Where newer kernels come from."""

    def test_choice_of_package(self):
        names = ["linux-source-6.1", "linux-source-7.9", "linux-source-7.10", "linux-source"]
        self.assertEqual(newer.choose("7.9", names), "linux-source-7.9")
        self.assertEqual(newer.choose("7.3", names), "linux-source-7.10")
        self.assertIsNone(newer.choose("8.0", names))

    def test_given(self):
        with tempfile.TemporaryDirectory() as folder, \
                mock.patch.multiple(newer.paths, CACHE=Path(folder), OUT=Path(folder)):
            tree, archive = Path(folder) / "linux-6.12", Path(folder) / "a.tar"
            tree.mkdir()
            (tree / "Makefile").write_text("VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 3\n", encoding="ascii")
            subprocess.run(["tar", "-cf", archive, "-C", folder, tree.name], check=True)
            for given in (tree, archive):
                with mock.patch.dict("os.environ", {"KERNEL_SRC_6_12": str(given)}):
                    found, version = newer.source("6.12")
                self.assertEqual(version, "6.12.3")
                self.assertEqual((found / "Makefile").read_bytes(), (tree / "Makefile").read_bytes())

    def test_newer_suite_is_asked_if_the_own_has_none(self):
        names = subprocess.CompletedProcess([], 0, "linux-source-7.2\nlinux-source-7.4\n")
        with mock.patch.object(debian, "offered", side_effect=[[], ["7.4~rc1-1"]]) as offered, \
                mock.patch.object(debian, "private", return_value=["-o"]), \
                mock.patch.object(subprocess, "run", return_value=names), \
                mock.patch.object(debian, "download", return_value="x.deb") as download, \
                mock.patch.object(newer, "unpack", lambda archive, folder, tree: tree):
            tree = newer.from_apt("7.3", Path("/top"), Path("/tmp"))
        self.assertEqual(tree, Path("/top/linux-source-7.3_7.4_rc1-1"))
        self.assertEqual([call.args[0] for call in offered.call_args_list], ["linux-source-7.3", "linux-source-7.4"])
        self.assertEqual(download.call_args.args[:2], ("linux-source-7.4", "7.4~rc1-1"))

    def test_left_out(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(newer.paths, "CACHE", Path(folder)), \
                mock.patch.object(newer, "from_apt", side_effect=ui.Failure("apt offers none")), \
                mock.patch.dict("os.environ", {"KERNEL_SRC_6_12": "", "KERNEL_SRC_7_3": "/nowhere"}), \
                mock.patch.object(newer.ui, "say") as said:
            self.assertEqual(newer.sources(), {})
        lines = [call.args[0] for call in said.call_args_list]
        self.assertEqual([line.split(":")[0] for line in lines], ["6.12 is left out", "7.3 is left out"])
        self.assertIn("set KERNEL_SRC_7_3", lines[1])


if __name__ == "__main__":
    unittest.main()
