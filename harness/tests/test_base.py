# SPDX-License-Identifier: GPL-2.0
"""Where a base may come from, and what its copy in git is like."""
import contextlib
import os
import shutil
import subprocess
import tarfile
import unittest
from unittest import mock

from harness.series import compose
from harness.source import base, debian
from harness.tests.fixture import Case, KERNEL, make_kernel, make_tarball, plain_git, write
from harness.ui import Failure


class Packaged(Case):
    """A case that can make a linux-source package."""

    shared_cache = False

    def deb(self, more=""):
        """A package with the tarball, or with a longer one."""
        root = self.tmp / "deb"
        write(root, {"DEBIAN/control": "Package: linux-source-6.1\nVersion: 6.1.192-2\nArchitecture: all\n"
                     "Maintainer: X <x@example.org>\nDescription: x\n"})
        (root / "usr/src").mkdir(parents=True)
        if more:
            make_kernel(self.tmp / "more", Makefile=KERNEL["Makefile"] + more)
            make_tarball(self.tmp / "more", root / "usr/src/linux-source-6.1.tar.xz")
        else:
            shutil.copy(self.tarball, root / "usr/src")
        subprocess.run(["dpkg-deb", "-Znone", "-b", root, self.tmp / "x.deb"], check=True, stdout=subprocess.DEVNULL)
        return self.tmp / "x.deb"


class Sources(Packaged):
    """Every form of KERNEL_SRC gives the same commit."""

    def fetch(self, source=None):
        if source:
            os.environ["KERNEL_SRC"] = str(source)
        return self.quiet(base.load().fetch)

    def refs(self):
        """What a later run would believe."""
        return plain_git(self.tmp / "cache/git/6.1.git", "for-each-ref")

    def test_tarball_gives_the_tree_that_git_add_gives(self):
        release = self.fetch()
        self.assertEqual((release.tree, release.recorded, release.kernel), (self.tree, True, "6.1.192"))

    def test_all_forms_give_one_commit(self):
        expected = self.fetch().commit
        forms = {"directory": self.shared / "linux"}
        for suffix, mode in ((".tar", "w"), (".tar.gz", "w:gz")):
            forms[suffix] = self.tmp / f"linux-6.1.192{suffix}"
            make_tarball(self.shared / "linux", forms[suffix], mode)
        repo = self.tmp / "user linux"
        shutil.copytree(self.shared / "linux", repo, symlinks=True)
        plain_git(repo, "init", "-q", "-b", "main")
        (repo / ".git/info").mkdir(exist_ok=True)
        (repo / ".git/info/attributes").write_text("* -text\n")
        plain_git(repo, "add", "-f", "-A", ".")
        plain_git(repo, "commit", "-q", "-m", "base")
        plain_git(repo, "tag", "v1")
        write(repo, {"kernel/foo.c": "other\n"})
        plain_git(repo, "commit", "-q", "-a", "-m", "more")
        forms["git"] = f"{repo}@v1"
        if shutil.which("dpkg-deb"):
            forms["deb"] = self.deb()
        for name, source in forms.items():
            shutil.rmtree(self.tmp / "cache")       # so that each one is really imported
            with self.subTest(name):
                self.assertEqual(self.fetch(source).commit, expected)
        with self.subTest("git HEAD"):
            release = self.fetch(repo)
            self.assertFalse(release.recorded)
            self.assertIn("is not the recorded release", self.output)

    def test_odd_files(self):
        source = self.tmp / "linux"
        make_kernel(source, **{"a b\nc\"d\\e": "x\n", "empty": "", "Documentation/\u00fc.txt": "x\r\n",
                               "build.o/x": "x\n"})
        (source / "a directory").symlink_to("mm")
        (source / "nowhere").symlink_to("no\nfile")
        os.link(source / "scripts/run.sh", source / "scripts/hard link.sh")
        env = {"GIT_DIR": str(self.tmp / "expect.git"), "GIT_WORK_TREE": str(source)}
        subprocess.run(["git", "init", "-q", "--bare", env["GIT_DIR"]], check=True)
        write(self.tmp, {"expect.git/info/attributes": "* -text\n"})
        plain_git(source, "add", "-f", "-A", ".", **env)
        expected = plain_git(source, "write-tree", **env)
        make_tarball(source, self.tmp / "odd.tar", "w")
        plain_git(source, "commit", "-q", "-m", "x", **env)
        for form in (self.tmp / "odd.tar", source, self.tmp / "expect.git"):
            shutil.rmtree(self.tmp / "cache", ignore_errors=True)
            with self.subTest(form):
                self.assertEqual(self.fetch(form).tree, expected)
                self.assertNotIn("not committed", self.output)

    def test_second_run_does_not_import(self):
        for source in (self.tarball, self.shared / "linux"):
            self.fetch(source)
            objects = sorted((self.tmp / "cache/git/6.1.git/objects").rglob("*"))
            with mock.patch.object(base.Base, "_import_archive", side_effect=AssertionError("imports again")):
                self.fetch(source)
            self.assertEqual(sorted((self.tmp / "cache/git/6.1.git/objects").rglob("*")), objects)

    def test_changed_directory_is_imported_again(self):
        source = self.tmp / "linux"
        make_kernel(source)
        first = self.fetch(source)
        write(source, {"kernel/foo.c": "int foo(void);\n"})
        self.assertNotEqual(first.tree, self.fetch(source).tree)

    def test_other_series_is_refused(self):
        source = self.tmp / "other"
        make_kernel(source, Makefile=KERNEL["Makefile"].replace("PATCHLEVEL = 1", "PATCHLEVEL = 10"))
        make_tarball(source, self.tmp / "other.tar.xz")
        for form in (source, self.tmp / "other.tar.xz"):
            os.environ["KERNEL_SRC"] = str(form)
            self.assertIn("base 6.1 is wanted, but the source given is Linux 6.10.192",
                          self.refused(base.load().fetch))
        self.assertEqual(self.refs(), "")

    def test_wrong_paths_are_told(self):
        for source, words in ((self.tmp / "nowhere", "there is no"), (f"{self.shared}/linux@v1", "not a git"),
                              (self.top / "mm", "no kernel source"),
                              (self.top / "MAINTAINERS", "not a complete kernel tarball")):
            os.environ["KERNEL_SRC"] = str(source)
            with self.subTest(source):
                self.assertIn(words, self.refused(base.load().fetch))
        self.assertEqual(list((self.tmp / "cache/git/6.1.git").glob("index*")), [])     # not even read

    def test_path_outside_of_the_kernel(self):
        with tarfile.open(self.tmp / "outside.tar", "w") as tar:
            for name in ("Makefile", "../../etc/passwd"):
                tar.add(self.shared / "linux/Makefile", f"linux/{name}")
        os.environ["KERNEL_SRC"] = str(self.tmp / "outside.tar")
        self.assertIn("is not a complete kernel tarball", self.refused(base.load().fetch))
        self.assertEqual(self.refs(), "")

    def test_truncated_tarball_leaves_nothing(self):
        data = self.tarball.read_bytes()
        for keep in (len(data) // 2, len(data) - 8):
            (self.tmp / "cut.tar.xz").write_bytes(data[:keep])
            os.environ["KERNEL_SRC"] = str(self.tmp / "cut.tar.xz")
            self.refused(base.load().fetch)
        self.assertEqual(self.refs(), "")

    def test_import_that_is_cut_off_is_not_believed(self):
        def interrupted(*args, **keys):
            run(*args, **keys)
            if keys["name"] == "import":
                raise KeyboardInterrupt
        run = base.ui.run
        with mock.patch.object(base.ui, "run", interrupted):
            with self.assertRaises(KeyboardInterrupt):
                self.fetch()
        self.assertEqual(self.refs(), "")
        self.assertEqual(self.fetch().tree, self.tree)

    def test_what_a_killed_run_left_is_cleared(self):
        self.fetch(self.shared / "linux")
        git_dir = self.tmp / "cache/git/6.1.git"
        index = next(git_dir.glob("index-*"))
        write(self.tmp / "cache/git", {"6.1.git/objects/pack/tmp_pack_1": "x", f"6.1.git/{index.name}.lock": "x",
                                       "6.1.work/deb/file": "x"})
        self.assertEqual(self.fetch(self.shared / "linux").tree, self.tree)
        self.assertEqual(list(git_dir.glob("objects/pack/tmp_*")), [])
        self.assertFalse((self.tmp / "cache/git/6.1.work").exists())

    def test_wrong_tree_in_record_is_told(self):
        self.record("0" * 40)
        self.assertIn(f"has the tree {self.tree}", self.refused(base.load().fetch))

    def test_settings_of_the_user_change_nothing(self):
        write(self.tmp, {".config/git/attributes": "* text eol=crlf\n", ".config/git/config":
                         "[core]\n\tautocrlf = true\n"})
        del os.environ["GIT_CONFIG_GLOBAL"]
        self.assertEqual(self.fetch().tree, self.tree)


@unittest.skipUnless(shutil.which("dpkg-deb"), "this is not a Debian system")
class FromDebian(Packaged):
    """Without KERNEL_SRC the package comes from apt."""

    def setUp(self):
        super().setUp()
        del os.environ["KERNEL_SRC"]
        self.base = base.load()

    def from_debian(self, *offered):
        """The version that is downloaded when apt offers these: first by itself, then with lists of its own."""
        with mock.patch.object(debian, "offered", side_effect=offered), \
                mock.patch.object(debian, "private", return_value=["-o"]) as private, \
                mock.patch.object(debian, "download", side_effect=lambda name, version, *_: version) as download, \
                mock.patch.object(base.Base, "_import_archive", lambda _, version, keys: keys[0]), \
                mock.patch.object(self.base, "_known", lambda key: None if key.startswith("sha") else ""):
            with contextlib.suppress(Failure):          # there is no import to compare with the record
                self.quiet(self.base._from_debian)
        self.private = private.called
        return download.call_args.args[1] if download.called else None

    def test_recorded_version_is_preferred(self):
        self.assertEqual(self.from_debian(["6.1.200-1", "6.1.192-2", "6.1.190-1"]), "6.1.192-2")
        self.assertEqual((self.output, self.private), ("", False))

    def test_newest_otherwise_and_said(self):
        self.assertEqual(self.from_debian(["6.1.200-1", "6.1.190-1"]), "6.1.200-1")
        self.assertIn("6.1.200-1, no longer the recorded 6.1.192-2", self.output)

    def test_lists_are_read_if_apt_has_none(self):
        self.assertEqual(self.from_debian([], ["6.1.192-2"]), "6.1.192-2")
        self.assertTrue(self.private)
        self.assertIsNone(self.from_debian([], []))

    def test_package_with_another_tarball_than_recorded(self):
        with mock.patch.object(debian, "offered", return_value=["6.1.192-2"]), \
                mock.patch.object(debian, "download", return_value=self.deb("other")):
            self.assertIn("does not hold the tarball that base.toml records", self.refused(self.base.fetch))


class Checkout(Case):
    """A work tree follows from commit to commit."""

    def test_only_differing_files_are_touched(self):
        prepared = self.quiet(compose.prepare)
        path = self.tmp / "out/tree/x"
        prepared.checkout(prepared.base_commit, path)
        self.assertEqual((path / "Documentation/dos.txt").read_bytes(), b"line\r\nline\r\n")
        self.assertTrue(os.access(path / "scripts/run.sh", os.X_OK))
        self.assertTrue((path / "mm/link.c").is_symlink())
        before = {p: p.stat().st_mtime_ns for p in path.rglob("*") if p.is_file()}
        for p in before:        # an old time shows a write whatever the clock's resolution
            os.utime(p, ns=(10**18, 10**18), follow_symlinks=False)
        write(path, {"build/out.o": "built\n", "mm/slab.c": "local edit\n"})
        prepared.checkout(prepared.tip, path)
        touched = {str(p.relative_to(path)) for p in before
                   if p.exists() and p.stat().st_mtime_ns != 10**18 and not p.is_symlink()}
        self.assertEqual(touched, {"MAINTAINERS", "kernel/foo.c", "mm/Kconfig", "mm/slab.c", base.INDEX})
        self.assertIn("int reach(void);", (path / "mm/slab.c").read_text())
        self.assertTrue((path / "build/out.o").exists())
        prepared.checkout(prepared.base_commit, path)
        self.assertFalse((path / "mm/reach.c").exists())

    def test_interrupted_and_damaged_trees_are_completed(self):
        release = self.quiet(base.load().fetch)
        path = self.tmp / "out/tree"
        base.load().checkout(release.commit, path)
        (path / f"{base.INDEX}.lock").touch()
        (path / "kernel/foo.c").unlink()
        base.load().checkout(release.commit, path)
        self.assertTrue((path / "kernel/foo.c").exists())

    def test_foreign_directory_is_left_alone(self):
        release = self.quiet(base.load().fetch)
        write(self.tmp / "mine", {"kernel/foo.c": "precious\n"})
        self.assertIn("left alone", self.refused(base.load().checkout, release.commit, self.tmp / "mine"))
        self.assertEqual((self.tmp / "mine/kernel/foo.c").read_text(), "precious\n")
