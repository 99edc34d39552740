# SPDX-License-Identifier: GPL-2.0
"""make am: the patches go on a tree completely, or the tree stays as it was to the bit."""
import os
import shutil
from pathlib import Path
from unittest import mock

from harness import git
from harness.series import am, compose
from harness.tests.fixture import KERNEL, SLAB, Case, plain_git, snapshot, write


class Am(Case):
    def setUp(self):
        super().setUp()
        self.once(compose.cmd_series)
        self.tree_dir = self.tmp / "user's tree"

    def user_tree(self, changes=()):
        """A git tree of the base, with `changes` ({path: text}) in a second commit."""
        shutil.copytree(self.shared / "linux", self.tree_dir, symlinks=True)
        plain_git(self.tree_dir, "init", "-q", "-b", "main")
        (self.tree_dir / ".git/info").mkdir(exist_ok=True)
        (self.tree_dir / ".git/info/attributes").write_text("* -text\n")
        plain_git(self.tree_dir, "add", "-f", "-A", ".")
        plain_git(self.tree_dir, "commit", "-q", "-m", "base")
        if changes:
            write(self.tree_dir, dict(changes))
            plain_git(self.tree_dir, "add", "-f", *dict(changes))
            plain_git(self.tree_dir, "commit", "-q", "-m", "changes")

    def am(self, tree, part=""):
        """make am TREE= PART=."""
        with mock.patch.dict(os.environ, {"TREE": str(tree), "PART": part}):
            am.cmd_am()

    def unchanged(self, *words):
        before = snapshot(self.tree_dir)
        said = self.refused(self.am, self.tree_dir)
        self.assertEqual(snapshot(self.tree_dir), before)
        for word in words:
            self.assertIn(word, said)
        return said

    def apply(self):
        self.quiet(self.am, self.tree_dir)

    def test_recorded_base(self):
        self.user_tree()
        self.apply()
        tip = plain_git(self.tree_dir, "rev-parse", "HEAD^{tree}")
        self.assertEqual(tip, (self.top / "bases/6.1/trees").read_text().split()[-1])
        self.assertEqual(plain_git(self.tree_dir, "log", "-1", "--format=%an %cn"), "Jane Doe User")
        self.assertIn("byte for byte; `make test` has not passed on it yet", self.output)
        self.assertIn("scripts/config -e KUNIT -e REACH && make", self.output)
        self.assertEqual(plain_git(self.tree_dir, "status", "--porcelain"), "")

    def test_tested_is_said_of_what_has_passed(self):
        self.user_tree()
        write(self.top, {"bases/6.1/tested": (self.top / "bases/6.1/trees").read_text().split()[-1] + "\n"})
        self.apply()
        self.assertIn("this is the tested source, byte for byte", self.output)

    def test_one_part(self):
        self.user_tree()
        self.quiet(self.am, self.tree_dir, "foo")
        self.assertEqual(plain_git(self.tree_dir, "log", "-2", "--format=%s"), "foo: return 2\nbase")
        self.assertIn("there is no part nix", self.refused(self.am, self.tree_dir, "nix"))

    def test_trees_of_another_series_are_noticed(self):
        self.user_tree()
        path = self.top / "bases/6.1/trees"
        path.write_text(path.read_text().replace(path.read_text().split()[-1], "1" * 40))
        self.unchanged("do not belong together")

    def test_drifted_point_release(self):
        self.user_tree({"mm/slab.c": "int more;\n" + SLAB, "Makefile": KERNEL["Makefile"].replace("192", "195")})
        self.apply()
        self.assertIn("was not tested here", self.output)
        self.assertIn("int slab_16(void);\nint reach(void);\n", (self.tree_dir / "mm/slab.c").read_text())

    def test_settings_of_the_user_do_not_change_the_result(self):
        self.user_tree()
        for key, value in (("am.threeWay", "true"), ("apply.whitespace", "fix"), ("core.autocrlf", "input"),
                           ("apply.ignoreWhitespace", "change"), ("mailinfo.scissors", "true")):
            plain_git(self.tree_dir, "config", key, value)
        self.apply()
        self.assertIn("byte for byte", self.output)

    def test_no_git_tree(self):
        write(self.tree_dir, KERNEL)
        self.unchanged("is not a git tree")
        self.assertIn("is no directory", self.refused(self.am, self.tmp / "nowhere"))
        self.assertIn("which tree?", self.refused(self.am, ""))

    def test_folder_of_a_tree(self):
        self.user_tree()
        self.assertIn("is a folder inside the git tree", self.refused(self.am, self.tree_dir / "mm"))

    def test_empty_repository(self):
        self.tree_dir.mkdir()
        plain_git(self.tree_dir, "init", "-q")
        self.unchanged("has no commit yet")

    def test_dirty(self):
        self.user_tree()
        write(self.tree_dir, {"kernel/foo.c": "int dirty;\n"})
        self.unchanged("in no commit: kernel/foo.c")
        plain_git(self.tree_dir, "add", "-f", "kernel/foo.c")
        self.unchanged("in no commit: kernel/foo.c")

    def test_looking_does_not_even_refresh_the_index(self):
        self.user_tree({"mm/slab.c": SLAB.replace("slab_15", "slap_15")})
        os.utime(self.tree_dir / "kernel/foo.c", ns=(10**18, 10**18))
        self.unchanged("mm/slab.c: hunk at line")

    def test_untracked_file_in_the_way(self):
        self.user_tree()
        write(self.tree_dir, {"mm/reach.c": "mine\n"})
        self.unchanged("not known to git", "mm/reach.c")

    def test_file_in_the_place_of_a_folder(self):
        write(self.top, {"mm/tests/reach_kunit.c": "int t;\n"})
        self.edit_file("series/foo/foo.msg", "Date: ", "Files: mm/tests/reach_kunit.c\nDate: ")
        self.quiet(compose.cmd_series)
        self.user_tree()
        write(self.tree_dir, {"mm/tests": "mine\n"})
        self.unchanged("not known to git", "its own: mm/tests\n")
        (self.tree_dir / "mm/tests").unlink()
        (self.tree_dir / "mm/reach.c").symlink_to("nowhere")
        self.unchanged("not known to git", "its own: mm/reach.c\n")

    def test_in_the_middle_of_something(self):
        self.user_tree()
        for name in git.BUSY:
            with self.subTest(name):
                (self.tree_dir / ".git" / name).mkdir()
                self.unchanged("in the middle of")
                (self.tree_dir / ".git" / name).rmdir()

    def test_other_version(self):
        self.user_tree({"Makefile": KERNEL["Makefile"].replace("PATCHLEVEL = 1", "PATCHLEVEL = 12")})
        self.unchanged("is Linux 6.12.192, the patches are for Linux 6.1")

    def test_conflicts_are_listed_for_all_patches(self):
        self.user_tree({"mm/slab.c": SLAB.replace("slab_15", "slap_15"),
                        "kernel/foo.c": KERNEL["kernel/foo.c"].replace("1", "9")})
        self.unchanged("mm/slab.c: hunk at line", "expected 'int slab_15(void);' found 'int slap_15(void);'",
                       "kernel/foo.c: hunk at line", "expected 'return 1;' found 'return 9;'")

    def test_ends_of_lines_that_differ_are_shown(self):
        self.user_tree({"kernel/foo.c": KERNEL["kernel/foo.c"].replace("\n", "\r\n")})
        self.unchanged(r"expected 'int foo(void)' found 'int foo(void)\r'")

    def test_already_applied(self):
        self.user_tree()
        self.apply()
        self.unchanged("has the series already: all 3 patches")

    def test_partly_applied(self):
        self.user_tree()
        self.apply()
        plain_git(self.tree_dir, "reset", "-q", "--hard", "HEAD~2")
        self.unchanged("has 1 of the 3 patches already", "mm: add reach")

    def test_parts_one_after_the_other(self):
        """A part that is there is not applied again; with others that need it, and after it was reverted."""
        self.user_tree()
        self.quiet(self.am, self.tree_dir, "reach")
        self.apply()
        self.assertIn("has part reach already", self.output)
        self.assertIn("1 patches applied", self.output)
        self.assertEqual(plain_git(self.tree_dir, "log", "-2", "--format=%s"),
                         "foo: return 2\nDocumentation: tell of reach")
        plain_git(self.tree_dir, "reset", "-q", "--hard", "HEAD~1")
        plain_git(self.tree_dir, "revert", "--no-edit", "HEAD~2..HEAD")
        self.apply()
        self.assertIn("3 patches applied", self.output)

    def test_tree_with_other_ends_of_lines(self):
        self.user_tree({path: text.replace("\n", "\r\n") for path, text in KERNEL.items()
                        if path in ("Makefile", "kernel/foo.c")})
        self.unchanged("end with CR LF", "core.autocrlf=false")

    def test_reverted_series_can_come_again(self):
        self.user_tree()
        self.apply()
        plain_git(self.tree_dir, "revert", "--no-edit", "HEAD~3..HEAD")
        self.apply()
        self.assertIn("byte for byte", self.output)

    def test_nobody(self):
        self.user_tree()
        with mock.patch.dict(os.environ, {"GIT_COMMITTER_NAME": ""}):
            self.unchanged("git does not know who you are")

    def test_failure_midway_is_taken_back(self):
        self.user_tree()
        hooks = self.tree_dir / ".git/hooks"
        hooks.mkdir(exist_ok=True)
        (hooks / "pre-applypatch").write_text("#!/bin/sh\ntest ! -e Documentation/reach.rst\n")
        (hooks / "pre-applypatch").chmod(0o755)
        head = plain_git(self.tree_dir, "rev-parse", "HEAD")
        files = {k: v for k, v in snapshot(self.tree_dir).items() if not k.startswith(".git/")}
        said = self.refused(self.am, self.tree_dir)
        self.assertIn("it was taken back", said)
        self.assertEqual(plain_git(self.tree_dir, "rev-parse", "HEAD"), head)
        self.assertEqual({k: v for k, v in snapshot(self.tree_dir).items() if not k.startswith(".git/")}, files)
        self.assertFalse((self.tree_dir / ".git/rebase-apply").exists())

    def test_result_is_compared_not_believed(self):
        self.user_tree()
        hooks = self.tree_dir / ".git/hooks"
        hooks.mkdir(exist_ok=True)
        (hooks / "pre-applypatch").write_text("#!/bin/sh\necho extra >> kernel/foo.c && git add kernel/foo.c\n")
        (hooks / "pre-applypatch").chmod(0o755)
        head = plain_git(self.tree_dir, "rev-parse", "HEAD")
        self.refused(self.am, self.tree_dir)
        self.assertEqual(plain_git(self.tree_dir, "rev-parse", "HEAD"), head)
        self.assertEqual(plain_git(self.tree_dir, "status", "--porcelain"), "")

    def test_other_tree_after_am_is_taken_back(self):
        self.user_tree()
        real = git.Repo.try_

        def meddling(repo, *args, **keys):
            done = real(repo, *args, **keys)
            if "am" in args and "--abort" not in args:
                path = Path(repo.cwd) / "kernel/foo.c"
                path.write_text("meddled\n")
                plain_git(repo.cwd, "commit", "-q", "-a", "--amend", "-m", "x")
            return done
        head = plain_git(self.tree_dir, "rev-parse", "HEAD")
        with mock.patch.object(git.Repo, "try_", meddling):
            self.assertIn("other files than expected", self.refused(self.am, self.tree_dir))
        self.assertEqual(plain_git(self.tree_dir, "rev-parse", "HEAD"), head)

    def test_interrupted_midway_is_taken_back(self):
        self.user_tree()
        real = git.Repo.try_

        def interrupted(repo, *args, **keys):
            if "am" in args and "--abort" not in args:
                real(repo, "am", "-q", args[-1])
                (Path(repo.cwd) / "kernel/foo.c").write_text("half\n")
                raise KeyboardInterrupt
            return real(repo, *args, **keys)
        head = plain_git(self.tree_dir, "rev-parse", "HEAD")
        with mock.patch.object(git.Repo, "try_", interrupted), self.assertRaises(KeyboardInterrupt):
            self.quiet(lambda: self.am(self.tree_dir))
        self.assertEqual(plain_git(self.tree_dir, "rev-parse", "HEAD"), head)
        self.assertEqual(plain_git(self.tree_dir, "status", "--porcelain"), "")

    def test_worktree_of_another_repository(self):
        self.user_tree()
        plain_git(self.tree_dir, "worktree", "add", "-q", "--detach", str(self.tmp / "second"))
        self.tree_dir = self.tmp / "second"
        self.apply()
        self.assertIn("byte for byte", self.output)
