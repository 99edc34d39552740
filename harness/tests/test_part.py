# SPDX-License-Identifier: GPL-2.0
"""make part: the branch that b4 sends."""
import os
from unittest import mock

from harness import git, ui
from harness.series import compose, part
from harness.tests.fixture import Case, plain_git


class Part(Case):
    def prepared(self, name):
        self.edit_file("series/parts.toml", 'title = "foo"\nneeds = []', 'title = "foo"\nneeds = ["reach"]')
        self.edit_file("series/foo/foo.msg", "so.\n", "so.\n---\nMeasured: 7\n")
        self.edit_file("series/reach/docs.msg", "so.\n", "so.\n---\nSeen: 8\n")
        return self.quiet(compose.prepare, [name])

    def branch(self, name):
        composed = self.prepared(name)
        (self.tmp / "tree").mkdir()
        repo = git.borrowing(self.tmp / "tree", composed.base.objects, f"b4/{name}")
        part.write_branch(repo, composed, name)
        return composed, repo

    def test_branch_holds_the_part_on_top_of_what_it_needs(self):
        composed, repo = self.branch("foo")
        self.assertEqual(repo.lines("log", "--format=%s", "base..b4/foo"), ["foo: return 2"])
        self.assertEqual(repo.lines("log", "--format=%s", f"{composed.base_commit}..base"),
                         ["Base of part foo", "Documentation: tell of reach", "mm: add reach"])
        self.assertEqual(repo.resolve("base^{tree}"), repo.resolve("base~1^{tree}"))
        self.assertEqual(repo.resolve("b4/foo^{tree}"), composed.commits[-1].tree)
        self.assertEqual((self.tmp / "tree/kernel/foo.c").read_text(), "int foo(void)\n{\n\treturn 2;\n}\n")

    @staticmethod
    def make():
        """make part PART=foo, without b4."""
        with mock.patch.dict(os.environ, {"PART": "foo"}), mock.patch.object(part.debian, "ensure"), \
                mock.patch.object(part, "enroll"):
            part.cmd_part()

    def test_notes_go_below_the_cut_of_the_parts_own_mails(self):
        _, repo = self.branch("foo")
        self.assertEqual(repo.out("log", "-1", "--format=%B", "b4/foo"),
                         "foo: return 2\n\nBecause it is so.\n---\nMeasured: 7")
        self.assertNotIn("Seen: 8", repo.out("log", "--format=%B", "base"))

    def test_part_that_needs_none_stands_on_the_release(self):
        composed, repo = self.branch("reach")
        self.assertEqual(repo.lines("log", "--format=%s", f"{composed.base_commit}..base"), ["Base of part reach"])
        self.assertEqual(repo.resolve("base^{tree}"), composed.base.tree)
        self.assertEqual(repo.lines("log", "--format=%s", "base..b4/reach"),
                         ["Documentation: tell of reach", "mm: add reach"])

    def test_cover_says_what_it_stands_on(self):
        composed = self.prepared("foo")
        base = f"Base: linux-source-6.1 6.1.192-2 (Linux 6.1.192), tree {composed.base.tree}\n"
        self.assertEqual(part.cover(composed, "foo"), "foo: return more\n\nThis is why.\n\n"
                                                      f"This applies on top of the series for reach.\n\n{base}")
        self.assertEqual(part.cover(composed, "reach"), f"mm: reach memory\n\nThis is why.\n\n{base}")

    def test_part_has_to_be_named(self):
        for name, said in (("", "which part?"), ("nix", "there is no part nix")):
            with mock.patch.dict(os.environ, {"PART": name}), mock.patch.object(part.debian, "ensure"):
                self.assertIn(said, self.refused(part.cmd_part))

    def test_sign_off_stands_above_the_cut(self):
        composed = self.prepared("foo")
        (self.tmp / "tree").mkdir()
        repo = git.borrowing(self.tmp / "tree", composed.base.objects, "b4/foo")
        with mock.patch.dict(os.environ, {"GIT_COMMITTER_NAME": "A Person", "GIT_COMMITTER_EMAIL": "a@example.org"}):
            signer = part.sign_off("1")
        self.assertEqual(signer, "Signed-off-by: A Person <a@example.org>")
        part.write_branch(repo, composed, "foo", signer)
        self.assertEqual(repo.out("log", "-1", "--format=%B", "b4/foo"),
                         f"foo: return 2\n\nBecause it is so.\n\n{signer}\n---\nMeasured: 7")
        self.assertNotIn("Signed-off-by", repo.out("log", "--format=%B", "base"))
        self.assertEqual(part.signed("x: y\n\nFixes: 1\n", signer), f"x: y\n\nFixes: 1\n{signer}\n")
        self.assertEqual(part.signed("Documentation: a word\n", signer), f"Documentation: a word\n\n{signer}\n")
        self.assertIsNone(part.sign_off(""))
        for word in ("0", "no", "yes"):
            self.assertIn(f"SIGNOFF={word} is neither", self.refused(lambda word=word: part.sign_off(word)))

    def test_work_on_a_branch_is_not_lost(self):
        """Made twice: in place of the first one only as long as nobody has changed it."""
        path = part.part_dir("6.1", "foo")
        self.quiet(self.make)
        self.quiet(self.make)
        (path / "kernel/foo.c").write_text("int mine;\n")
        self.assertIn("in no commit: kernel/foo.c", self.refused(self.make))
        plain_git(path, "commit", "-q", "-a", "-m", "mine")
        self.assertIn("has commits that `make part` did not make", self.refused(self.make))
        self.assertEqual((path / "kernel/foo.c").read_text(), "int mine;\n")
        plain_git(path, "branch", "mine")                   # what the message says
        plain_git(path, "reset", "-q", "--hard", part.CLEAN)
        self.quiet(self.make)
        self.assertEqual(plain_git(path, "log", "-1", "--format=%s", "mine"), "mine")

    def test_sign_off_stays(self):
        path = part.part_dir("6.1", "foo")
        who = {"GIT_COMMITTER_NAME": "A Person", "GIT_COMMITTER_EMAIL": "a@example.org"}
        with mock.patch.dict(os.environ, {"SIGNOFF": "1", **who}):
            self.quiet(self.make)
        self.assertIn(f"config --unset {part.SIGNER}", self.output)
        for left in (1, 1, 0):
            if not left:
                plain_git(path, "config", "--unset", part.SIGNER)
            self.quiet(self.make)
            text = plain_git(path, "log", "-1", "--format=%B")
            self.assertEqual(text.count("Signed-off-by: A Person <a@example.org>"), left)

    def test_b4_gets_no_git_variables(self):
        """With GIT_DIR in the environment, as in a hook, it would write into another repository."""
        with mock.patch.dict(os.environ, {"GIT_DIR": "/nowhere", "GIT_AUTHOR_NAME": "x"}), \
                mock.patch.object(part.ui, "run") as run, mock.patch.object(part.Path, "read_text"):
            part.b4(self.tmp, {"GIT_AUTHOR_NAME": "y"}, "prep")
        words = run.call_args.args[0]
        self.assertEqual((words[0], words[-2:]), ("env", ["b4", "prep"]))
        self.assertIn("--unset=GIT_DIR", words)
        self.assertNotIn("--unset=GIT_AUTHOR_NAME", words)

    def test_cache_that_was_moved_is_found(self):
        path = part.part_dir("6.1", "foo")
        self.quiet(self.make)
        (path / ".git/objects/info/alternates").write_text("/nowhere\n")
        self.quiet(self.make)
        self.assertEqual(plain_git(path, "log", "-1", "--format=%s"), "foo: return 2")

    COVER = "branch.b4/foo.description"

    def made_with_cover(self, text):
        """make part PART=foo, with a b4 that writes this cover letter; the one that the tree has afterwards."""
        def enroll(_composed, path, _name):
            plain_git(path, "config", self.COVER, text)
            plain_git(path, "config", "branch.b4/foo.b4-prep-cover-strategy", "branch-description")
            plain_git(path, "config", "branch.b4/foo.b4-tracking", '{"revision": 1}')
        with mock.patch.dict(os.environ, {"PART": "foo"}), mock.patch.object(part.debian, "ensure"), \
                mock.patch.object(part, "enroll", enroll):
            self.quiet(part.cmd_part)
        return plain_git(part.part_dir("6.1", "foo"), "config", self.COVER)

    def test_cover_is_renewed_and_what_b4_adds_to_it_stays(self):
        path = part.part_dir("6.1", "foo")
        self.assertEqual(self.made_with_cover("foo: first\n\nTo: A\n"), "foo: first\n\nTo: A")
        sent = "\n\n---\nChanges in v2:\n- Link to v1: there"
        plain_git(path, "config", self.COVER, "foo: first\n\nTo: A" + sent)
        plain_git(path, "config", "branch.b4/foo.b4-tracking", '{"revision": 2}')
        for _ in range(2):
            self.assertEqual(self.made_with_cover("foo: second\n\nTo: B\n"), "foo: second\n\nTo: B" + sent)
        self.assertEqual(plain_git(path, "config", "branch.b4/foo.b4-tracking").strip(), '{"revision": 2}')
        plain_git(path, "config", part.COVER, "foo: first\n\nTo: A")        # ended half way
        self.assertEqual(self.made_with_cover("foo: second\n\nTo: B\n"), "foo: second\n\nTo: B" + sent)

    def test_tree_without_a_cover_gets_one(self):
        """One that b4 kept in a commit."""
        path = part.part_dir("6.1", "foo")
        self.quiet(self.make)
        plain_git(path, "tag", "base", "base~1")
        plain_git(path, "config", "branch.b4/foo.b4-prep-cover-strategy", "commit")
        self.assertEqual(self.made_with_cover("foo: first\n"), "foo: first")
        self.assertNotIn("was edited", self.output)
        self.assertEqual(plain_git(path, "tag"), "")
        self.assertEqual(plain_git(path, "config", "branch.b4/foo.b4-prep-cover-strategy"), "branch-description")

    def test_cover_that_was_edited_stays(self):
        path = part.part_dir("6.1", "foo")
        self.made_with_cover("foo: first\n\nTo: A\nTo: B\n")
        plain_git(path, "config", self.COVER, "foo: first\n\nTo: B")
        self.assertEqual(self.made_with_cover("foo: second\n\nTo: A\nTo: B\n"), "foo: first\n\nTo: B")
        self.assertIn(f"was edited, and stays; git -C {ui.short(path)} config {part.COVER} shows the new one",
                      self.output)
        self.assertEqual(plain_git(path, "config", part.COVER), "foo: second\n\nTo: A\nTo: B")

    def test_everything_else_in_the_tree_stays(self):
        """Another branch, a stash, a setting and a file that git ignores; but no file in the place of one of the part."""
        path = part.part_dir("6.1", "foo")
        self.quiet(self.make)
        plain_git(path, "switch", "-q", "-c", "mine")
        (path / "kernel/foo.c").write_text("int mine;\n")
        plain_git(path, "commit", "-q", "-a", "-m", "mine")
        self.assertIn("is not on its branch", self.refused(self.make))
        plain_git(path, "checkout", "-q", "b4/foo")
        (path / "kernel/foo.c").write_text("int later;\n")
        plain_git(path, "stash", "-q")
        plain_git(path, "config", "user.name", "Me")
        (path / ".git/info/exclude").write_text("notes\n")
        (path / "notes").write_text("mine\n")
        before = plain_git(path, "rev-parse", "b4/foo")
        self.edit_file("series/foo/foo.msg", "so.\n", "so indeed.\n")
        self.quiet(self.make)
        self.assertNotEqual(plain_git(path, "rev-parse", "b4/foo"), before)
        self.assertIn("so indeed.", plain_git(path, "log", "-1", "--format=%B"))
        self.assertEqual(plain_git(path, "log", "-1", "--format=%s", "mine").strip(), "mine")
        self.assertEqual(plain_git(path, "stash", "list").count("stash@"), 1)
        self.assertEqual(plain_git(path, "config", "user.name").strip(), "Me")
        self.assertEqual((path / "notes").read_text(), "mine\n")
        self.quiet(self.make)                                # and again
        plain_git(path, "rm", "-q", "--cached", "kernel/foo.c")
        plain_git(path, "commit", "-q", "-m", "without")
        plain_git(path, "update-ref", part.CLEAN, "HEAD")
        (path / ".git/info/exclude").write_text("foo.c\nnotes\n")
        self.assertIn("not known to git, where the part has its own: kernel/foo.c", self.refused(self.make))

    def test_other_folder_is_left_alone(self):
        path = part.part_dir("6.1", "foo")
        path.mkdir(parents=True)
        (path / "mine").touch()
        with mock.patch.dict(os.environ, {"PART": "foo"}), mock.patch.object(part.debian, "ensure"):
            self.assertIn("is not a work tree of `make part`", self.refused(part.cmd_part))
        self.assertTrue((path / "mine").exists())
