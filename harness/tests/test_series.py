# SPDX-License-Identifier: GPL-2.0
"""Composing: what the commits are, what mistakes are told, what verify notices."""
import os
import subprocess
from unittest import mock

from harness import paths
from harness.series import compose, verify
from harness.tests.fixture import KERNEL, SLAB, Case, plain_git, snapshot, write


class Compose(Case):
    def prepare(self):
        return self.quiet(compose.prepare)

    def show(self, prepared, path, commit=None):
        return prepared.base.repo.blob(f"{commit or prepared.tip}:{path}")

    def test_commits_hold_files_hooks_and_entries(self):
        prepared = self.prepare()
        self.assertEqual([commit.id for commit in prepared.commits], ["reach/slab", "reach/docs", "foo/foo"])
        repo = prepared.base.repo
        changed = [repo.lines("diff-tree", "-r", "--name-status", f"{c.commit}^", c.commit) for c in prepared.commits]
        self.assertEqual(changed, [["M\tMAINTAINERS", "M\tmm/Kconfig", "A\tmm/reach.c", "A\tmm/reach.sh",
                                    "M\tmm/slab.c"],
                                   ["A\tDocumentation/reach.rst"], ["M\tkernel/foo.c"]])
        self.assertTrue(repo.out("ls-tree", prepared.tip, "mm/reach.sh").startswith("100755"))
        self.assertIn(b"BETA REACH\nM:\tJane Doe <jane@example.org>\nF:\tmm/reach.c\n\nDELTA",
                      self.show(prepared, "MAINTAINERS"))
        self.assertEqual(repo.out("log", "-1", "--format=%an <%ae> %cn %aI %cI%n%B", prepared.commits[0].commit)
                         .replace("Z", "+00:00"),
                         "Jane Doe <jane@example.org> Jane Doe 2026-11-21T12:01:00+00:00 "
                         "2026-11-21T12:01:00+00:00\nmm: add reach\n\nBecause it is so.")

    def test_same_commits_whatever_the_machine(self):
        first = self.prepare()
        expected = first.patches()
        write(self.tmp, {".gitconfig": "[core]\n\tautocrlf = true\n[user]\n\tname = Me\n[diff]\n\tnoprefix = true\n"
                         "\tcontext = 7\n[format]\n\tsignOff = true\n\tsubjectPrefix = RFC\n",
                         ".config/git/attributes": "*.c diff=tex\nKconfig -diff\n"})
        other = {"TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8", "GIT_DIR": "/nowhere", "CACHE": "",
                 "GIT_AUTHOR_DATE": "2001-01-01T00:00:00", "GIT_COMMITTER_EMAIL": "x@example.org"}
        with mock.patch.dict(os.environ, other), mock.patch.object(paths, "CACHE", self.tmp / "cache2"):
            del os.environ["GIT_CONFIG_GLOBAL"], os.environ["GIT_CONFIG_NOSYSTEM"]
            second = self.prepare()
            patches = second.patches()
        self.assertEqual(first.commits, second.commits)
        self.assertEqual(expected, patches)

    def test_conflict_is_told_by_file_and_line(self):
        self.edit_file("series/foo/6.1/foo.patch", "-\treturn 1;", "-\treturn 7;")
        self.edit_file("series/reach/6.1/slab.patch", "int slab_19", "int slab_91")
        said = self.refused(compose.prepare)
        self.assertIn("mm/slab.c: hunk at line 13 of series/reach/6.1/slab.patch does not apply: "
                      "expected 'int slab_91(void);' found 'int slab_19(void);'", said)
        self.edit_file("series/reach/6.1/slab.patch", "int slab_91", "int slab_19")
        self.assertIn("kernel/foo.c: hunk at line 4 of series/foo/6.1/foo.patch does not apply: "
                      "expected 'return 7;' found 'return 1;'", self.refused(compose.prepare))

    def test_hook_for_a_file_that_is_gone(self):
        self.edit_file("series/foo/6.1/foo.patch", "a/kernel/foo.c b/kernel/foo.c", "a/kernel/bar.c b/kernel/bar.c")
        self.edit_file("series/foo/6.1/foo.patch", "--- a/kernel/foo.c\n+++ b/kernel/foo.c",
                       "--- a/kernel/bar.c\n+++ b/kernel/bar.c")
        self.assertIn("kernel/bar.c: series/foo/6.1/foo.patch edits this file, but it does not exist",
                      self.refused(compose.prepare))

    def test_point_release_with_offset_applies_and_writes_nothing(self):
        self.quiet(compose.cmd_series)
        before = snapshot(self.top)
        self.drifted(**{"mm/slab.c": "int more;\nint lines;\n" + SLAB})
        self.quiet(compose.cmd_series)
        self.assertIn("nothing is written", self.output)
        self.assertEqual(snapshot(self.top), before)
        prepared = self.prepare()
        self.assertFalse(prepared.recorded)
        self.assertIn(b"int slab_16(void);\nint reach(void);\n", self.show(prepared, "mm/slab.c"))

    def test_point_release_that_would_need_fuzz_is_refused(self):
        self.drifted(**{"mm/slab.c": SLAB.replace("slab_14(void)", "slab_14(int)")})
        said = self.refused(compose.prepare)
        self.assertIn("does not apply to Linux 6.1.193", said)
        self.assertIn("expected 'int slab_14(void);' found 'int slab_14(int);'", said)


class Mistakes(Case):
    """Each mistake in series/ is told by its name."""

    def check(self, words):
        self.assertIn(words, self.refused(compose.prepare))

    def test_file_that_nobody_brings(self):
        write(self.top, {"mm/lost.c": "int lost;\n"})
        self.check("mm/lost.c: no commit brings this file")

    def test_file_that_does_not_exist(self):
        (self.top / "mm/reach.c").unlink()
        self.check("series/reach/slab.msg names mm/reach.c, which is no file")

    def test_file_named_twice(self):
        self.edit_file("series/reach/docs.msg", "Files: ", "Files: mm/reach.c\nFiles: ")
        self.check("mm/reach.c is named by series/reach/slab.msg and by series/reach/docs.msg")

    def test_file_that_the_base_has(self):
        write(self.top, {"kernel/foo.c": "int foo;\n"})
        self.edit_file("series/reach/docs.msg", "Files: ", "Files: kernel/foo.c\nFiles: ")
        self.check("series/reach/docs.msg brings kernel/foo.c, but the base has it already")

    def test_entry_that_nobody_inserts(self):
        write(self.top, {"MAINTAINERS": (self.top / "MAINTAINERS").read_text() + "\nGAMMA\nM:\tG <g@example.org>\n"})
        self.check("no commit inserts the entry `GAMMA`")

    def test_entry_that_does_not_exist(self):
        self.edit_file("series/reach/slab.msg", "BETA REACH", "OMEGA REACH")
        self.check("inserts `OMEGA REACH`, which MAINTAINERS does not have")

    def test_entry_that_the_base_has(self):
        self.edit_file("MAINTAINERS", "BETA REACH", "DELTA DRIVER")
        self.edit_file("series/reach/slab.msg", "BETA REACH", "DELTA DRIVER")
        self.check("has an entry `DELTA DRIVER` already")

    def test_hook_that_brings_a_file(self):
        write(self.top, {"series/reach/6.1/docs.patch": "diff --git a/mm/n.c b/mm/n.c\nnew file mode 100644\n"
                         "--- /dev/null\n+++ b/mm/n.c\n@@ -0,0 +1 @@\n+int n;\n"})
        self.check("creates mm/n.c: new files are kept as files")

    def test_hook_and_message_without_order(self):
        for path in ("series/foo/6.1/x.patch", "series/foo/x.patch", "series/foo/x.msg", "series/foo/6.1/x.msg"):
            write(self.top, {path: ""})
            self.check(f"{path}: series/foo/order does not name x")
            (self.top / path).unlink()

    def test_order_without_message(self):
        write(self.top, {"series/foo/order": "foo\nnone\n"})
        self.check("series/foo/none.msg: No such file")

    def test_commit_that_changes_nothing(self):
        (self.top / "series/foo/6.1/foo.patch").unlink()
        self.check("commit foo/foo changes nothing")

    def test_messages_that_mail_would_change(self):
        path = "series/foo/foo.msg"
        good = (self.top / path).read_text()
        for old, new, words in (("Because", "diff --git a/x b/x\nBecause", "takes the line `diff --git a/x b/x`"),
                                ("Because", "---- >8\nBecause", "foo.msg:5: git am takes the line `---- >8`"),
                                ("so.\n", "so.\n---\ndiff --git a/x b/x\n", "below the cut looks like a diff"),
                                ("so.\n", "so.\n---\nx\n\n", "below the cut has a bad end"),
                                ("so.\n", 'so.\n\nFixes: 1234 ("x")\n', "foo.msg:7: `Fixes: 1234"),
                                ("Date: ", "Not-on: 6.1\nDate: ", "foo.msg:1: no reason why"),
                                ("foo: return 2\n", "[x] foo: return 2\n", "starts with `[`"),
                                ("so.\n", "so. \n", "spaces at a line's end"),
                                ("so.\n", "so.\n\n", "bad end"),
                                ("Date: ", "Dato: ", "unknown header line"),
                                ("+00:00", "", "Date: is missing or not like")):
            with self.subTest(new):
                write(self.top, {path: good.replace(old, new, 1)})
                self.check(words)


class Patches(Case):
    def setUp(self):
        super().setUp()
        self.once(compose.cmd_series)
        self.dir = self.top / "patches/6.1"

    def test_names_and_covers(self):
        self.assertEqual(sorted(p.name for p in self.dir.iterdir()),
                         ["0000-foo.txt", "0000-reach.txt", "0001-reach-slab.patch", "0002-reach-docs.patch",
                          "0003-foo-foo.patch"])
        cover = (self.dir / "0000-reach.txt").read_text()
        for words in ("Subject: [PATCH 0/2] mm: reach memory\n\nThis is why.\n", f"tree {self.tree}\n",
                      "Jane Doe (2):\n  mm: add reach\n  Documentation: tell of reach\n\n",
                      " 6 files changed", " create mode 100755 mm/reach.sh\n"):
            self.assertIn(words, cover)
        self.assertNotIn("diff --git", cover)
        self.assertIn(" 1 file changed", (self.dir / "0000-foo.txt").read_text())

    def test_mails_carry_no_number_and_their_notes_below_the_cut(self):
        self.edit_file("series/foo/foo.msg", "so.\n", "so.\n---\nMeasured: 7\n")
        self.quiet(compose.cmd_series)
        text = (self.dir / "0003-foo-foo.patch").read_text()
        self.assertIn("Subject: [PATCH] foo: return 2\n", text)
        self.assertIn("so.\n---\nMeasured: 7\n\n kernel/foo.c | 2 +-\n", text)
        self.verify()

    def test_a_commit_more_changes_no_other_file(self):
        before = snapshot(self.dir)
        write(self.top, {"series/foo/order": "foo\nmore\n", "kernel/more.c": "int more;\n", "series/foo/more.msg":
                         "Files: kernel/more.c\nDate: 2026-11-21T12:04:00+00:00\n\nfoo: more\n"})
        self.quiet(compose.cmd_series)
        after = snapshot(self.dir)
        self.assertEqual({name for name in after if after[name] != before.get(name)},
                         {"0000-foo.txt", "0004-foo-more.patch"})

    def test_trees_are_recorded(self):
        lines = [f"{c.id} {c.tree}\n" for c in self.quiet(compose.prepare).commits]
        self.assertEqual((self.top / "bases/6.1/trees").read_text(), "".join(lines))

    def test_hooks_get_their_canonical_form(self):
        hook = (self.top / "series/foo/6.1/foo.patch").read_text()
        self.assertTrue(hook.startswith("diff --git a/kernel/foo.c b/kernel/foo.c\n--- a/kernel/foo.c\n"))

    def test_second_run_writes_nothing(self):
        before = {p: p.stat().st_mtime_ns for p in self.top.rglob("*")}
        self.quiet(compose.cmd_series)
        self.assertIn("up to date", self.output)
        self.assertEqual({p: p.stat().st_mtime_ns for p in self.top.rglob("*")}, before)

    def test_stale_patches_go_and_other_files_stay(self):
        write(self.dir, {"0004-gone.patch": "x", "README": "mine"})
        self.assertIn("0004-gone.patch is stale", self.refused(self.verify))
        self.quiet(compose.cmd_series)
        self.assertFalse((self.dir / "0004-gone.patch").exists())
        self.assertTrue((self.dir / "README").exists())

    def test_verify_passes(self):
        self.verify()

    def test_part_that_needs_another_unsaid_is_told(self):
        self.edit_file("series/foo/6.1/foo.patch", "diff --git", """\
diff --git a/mm/slab.c b/mm/slab.c
--- a/mm/slab.c
+++ b/mm/slab.c
@@ -15,5 +15,6 @@
 int slab_15(void);
 int slab_16(void);
 int reach(void);
+int more(void);
 int slab_17(void);
 int slab_18(void);
diff --git""")
        self.quiet(compose.cmd_series)
        self.assertIn("mm/slab.c", self.refused(verify.alone, self.quiet(compose.prepare)))
        self.edit_file("series/parts.toml", 'title = "foo"\nneeds = []', 'title = "foo"\nneeds = ["reach"]')
        self.quiet(compose.cmd_series)
        self.verify()
        self.assertIn("Needs: the part reach", (self.dir / "0000-foo.txt").read_text())

    def test_verify_notices_every_tampered_file(self):
        for path in [*self.dir.iterdir(), self.top / "bases/6.1/trees", self.top / "series/foo/6.1/foo.patch"]:
            good = path.read_bytes()
            with self.subTest(path.name):
                path.write_bytes(good + b"\n")
                self.assertIn("is not what composing the series gives", self.refused(self.verify))
                path.write_bytes(good)
        self.verify()

    # The checks below also hold by themselves, should composing and the patches be wrong alike.

    def tampered(self, name, old, new, check):
        self.edit_file(f"patches/6.1/{name}", old, new)
        return self.refused(check, self.quiet(compose.prepare))

    def test_am_is_judged_by_trees(self):
        self.assertIn("0002-reach-docs.patch: git am gives another tree", self.tampered(
            "0002-reach-docs.patch", "+=====", "+====-", verify.am))

    def test_am_that_fails_is_told(self):
        self.assertIn("0003-foo-foo.patch: git am does not apply it", self.tampered(
            "0003-foo-foo.patch", "-\treturn 1;", "-\treturn 5;", verify.am))

    def test_am_that_changes_the_message_is_told(self):
        self.assertIn("git am changes the commit message", self.tampered(
            "0003-foo-foo.patch", "Because", "For", verify.am))

    def test_missing_preimage_is_told(self):
        name = "0003-foo-foo.patch"
        text = (self.dir / name).read_text()
        blob = text[text.index("index ") + 6:][:40]
        self.assertIn(f"kernel/foo.c starts from blob {'1' * 40}",
                      self.tampered(name, blob, "1" * 40, verify.preimages))

    def test_patch_without_fuzz_is_checked(self):
        self.assertIn("patch says", self.tampered("0001-reach-slab.patch", " int slab_14", " int slab_41",
                                                  verify.fuzzless))
        self.edit_file("patches/6.1/0001-reach-slab.patch", " int slab_41", " int slab_14")
        self.assertIn("patch gives another mm/slab.c", self.tampered(
            "0001-reach-slab.patch", "+int reach(void);", "+int reach(int);", verify.fuzzless))

    def test_plain_git_am_of_the_whole_directory(self):
        """What README tells: git am patches/6.1/*.patch, in a tree whose .gitignore hides all."""
        tree = self.tmp / "linux"
        subprocess.run(["cp", "-a", self.shared / "linux", tree], check=True)
        plain_git(tree, "init", "-q", "-b", "main")
        (tree / ".git/info").mkdir(exist_ok=True)
        (tree / ".git/info/attributes").write_text("* -text\n")
        plain_git(tree, "add", "-f", "-A", ".")
        plain_git(tree, "commit", "-q", "-m", "base")
        plain_git(tree, "am", "-q", *sorted(map(str, self.dir.glob("*.patch"))))
        self.assertEqual(plain_git(tree, "rev-parse", "HEAD^{tree}"), self.quiet(compose.prepare).commits[-1].tree)


class Deletion(Case):
    def test_hook_may_delete_a_file(self):
        write(self.top, {"series/reach/6.1/docs.patch": "diff --git a/mm/old.c b/mm/old.c\ndeleted file mode 100644\n"
                         "--- a/mm/old.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-" + KERNEL["mm/old.c"]})
        self.quiet(compose.cmd_series)
        self.verify()
        prepared = self.quiet(compose.prepare)
        self.assertIsNone(prepared.base.repo.blob(f"{prepared.tip}:mm/old.c"))


class Evolution(Case):
    """Later commits change new files of earlier ones; the repository has the last state."""

    EDIT = ("diff --git a/mm/reach.c b/mm/reach.c\n--- a/mm/reach.c\n+++ b/mm/reach.c\n@@ -1,4 +1,4 @@\n"
            " int reach(void)\n {\n-\treturn 9;\n+\treturn 0;\n }\n")

    def test_files_grow_commit_by_commit(self):
        write(self.top, {"series/reach/docs.patch": self.EDIT})
        self.quiet(compose.cmd_series)
        self.verify()
        prepared = self.quiet(compose.prepare)
        blobs = [prepared.base.repo.blob(f"{commit.commit}:mm/reach.c") for commit in prepared.commits]
        self.assertEqual([b"return 9" in blob for blob in blobs], [True, False, False])
        self.assertEqual((self.top / "series/reach/docs.patch").read_text(), self.EDIT)

    def test_edit_that_the_file_does_not_contain(self):
        write(self.top, {"series/reach/docs.patch": self.EDIT.replace("+\treturn 0", "+\treturn 5")})
        self.assertIn("series/reach/docs.patch is not contained in the files", self.refused(compose.prepare))

    def test_edit_of_a_file_of_the_base(self):
        write(self.top, {"series/reach/docs.patch": self.EDIT.replace("mm/reach.c", "kernel/foo.c")})
        self.assertIn("changes kernel/foo.c, which no earlier commit brings", self.refused(compose.prepare))

    def test_base_differs_from_the_new_file(self):
        """A hook's hunk on a new file: the repository keeps the newest form, the base gets its own."""
        hook = self.EDIT.replace("-\treturn 9", "-\treturn 0").replace("+\treturn 0", "+\treturn 61")
        path = self.top / "series/reach/6.1/docs.patch"
        write(self.top, {"series/reach/6.1/docs.patch": hook})
        self.quiet(compose.cmd_series)
        self.verify()
        prepared = self.quiet(compose.prepare)
        self.assertIn(b"return 61", prepared.base.repo.blob(f"{prepared.tip}:mm/reach.c"))
        self.assertIn("return 0", (self.top / "mm/reach.c").read_text())
        self.assertIn("return 61", path.read_text())


class Bases(Case):
    def test_commit_that_a_base_does_not_need(self):
        self.edit_file("series/foo/foo.msg", "Date: ", "Not-on: 6.1 fixed by 123456789abc\nDate: ")
        self.assertEqual([commit.id for commit in self.quiet(compose.prepare).commits], ["reach/slab", "reach/docs"])
        self.quiet(compose.cmd_series)
        self.verify()

    def test_commit_with_files_is_needed_everywhere(self):
        self.edit_file("series/reach/docs.msg", "Date: ", "Not-on: 6.1 no\nDate: ")
        self.assertIn("series/reach/docs.msg: brings files", self.refused(compose.prepare))

    def test_parts_are_told_wrong(self):
        good = (self.top / "series/parts.toml").read_text()
        for old, new, words in (("needs = []", 'needs = ["foo"]', "reach needs foo, which is no part before it"),
                                ("needs = []\n", "", "has to be a table with needs, list and title"),
                                ("[reach]", "[reach", "series/parts.toml: "),
                                ("[foo]", "[Foo-1]", "[Foo-1]")):
            write(self.top, {"series/parts.toml": good.replace(old, new, 1)})
            self.assertIn(words, self.refused(compose.prepare))

    def test_base_has_its_own_message(self):
        write(self.top, {"series/foo/6.1/foo.msg": "foo: return 2 on 6.1\n\nOther reasons.\n---\nSeen: 1\n"})
        prepared = self.quiet(compose.prepare)
        self.assertEqual(prepared.base.repo.out("log", "-1", "--format=%B", prepared.tip),
                         "foo: return 2 on 6.1\n\nOther reasons.")
        write(self.top, {"series/foo/6.1/foo.msg": "[x] foo\n"})
        self.assertIn("series/foo/6.1/foo.msg: the subject starts with `[`", self.refused(compose.prepare))

    def test_commit_called_cover(self):
        write(self.top, {"series/foo/order": "foo\ncover\n"})
        self.assertIn("series/foo/order:2: `cover` is not", self.refused(compose.prepare))

    def test_unknown_part(self):
        self.assertIn("there is no part nix", self.refused(compose.prepare, ["nix"]))

    def test_one_part(self):
        self.assertEqual([commit.id for commit in self.quiet(compose.prepare, ["foo"]).commits], ["foo/foo"])
