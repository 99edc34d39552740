# SPDX-License-Identifier: GPL-2.0
"""Composing: what the commits are, what mistakes are told, what verify notices."""
import os
import subprocess
from unittest import mock

from harness import paths
from harness.series import series
from harness.tests.fixture import KERNEL, SLAB, Case, plain_git, snapshot, write


class Compose(Case):
    def prepare(self):
        return self.quiet(series.prepare)

    def show(self, prepared, path, commit=None):
        return prepared.base.repo.blob(f"{commit or prepared.tip}:{path}")

    def test_commits_hold_files_hooks_and_entries(self):
        prepared = self.prepare()
        self.assertEqual([i for i, _, _ in prepared.commits], ["01-slab", "02-docs", "03-foo"])
        repo = prepared.base.repo
        changed = [repo.lines("diff-tree", "-r", "--name-status", f"{c}^", c) for _, c, _ in prepared.commits]
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
        self.assertEqual([tuple(c) for c in first.commits], [tuple(c) for c in second.commits])
        self.assertEqual(expected, patches)

    def test_conflict_is_told_by_file_and_line(self):
        self.edit_file("series/6.1/03-foo.patch", "-\treturn 1;", "-\treturn 7;")
        self.edit_file("series/6.1/01-slab.patch", "int slab_19", "int slab_91")
        said = self.refused(series.prepare)
        self.assertIn("mm/slab.c: hunk at line 13 of hook 01-slab does not apply: "
                      "expected 'int slab_91(void);' found 'int slab_19(void);'", said)
        self.edit_file("series/6.1/01-slab.patch", "int slab_91", "int slab_19")
        self.assertIn("kernel/foo.c: hunk at line 4 of hook 03-foo does not apply: "
                      "expected 'return 7;' found 'return 1;'", self.refused(series.prepare))

    def test_hook_for_a_file_that_is_gone(self):
        self.edit_file("series/6.1/03-foo.patch", "a/kernel/foo.c b/kernel/foo.c", "a/kernel/bar.c b/kernel/bar.c")
        self.edit_file("series/6.1/03-foo.patch", "--- a/kernel/foo.c\n+++ b/kernel/foo.c",
                       "--- a/kernel/bar.c\n+++ b/kernel/bar.c")
        self.assertIn("kernel/bar.c: hook 03-foo edits this file, but it does not exist",
                      self.refused(series.prepare))

    def test_point_release_with_offset_applies_and_writes_nothing(self):
        self.quiet(series.cmd_series)
        before = snapshot(self.top)
        self.drifted(**{"mm/slab.c": "int more;\nint lines;\n" + SLAB})
        self.quiet(series.cmd_series)
        self.assertIn("nothing is written", self.output)
        self.assertEqual(snapshot(self.top), before)
        prepared = self.prepare()
        self.assertFalse(prepared.recorded)
        self.assertIn(b"int slab_16(void);\nint reach(void);\n", self.show(prepared, "mm/slab.c"))
        self.quiet(series.cmd_verify)
        self.assertIn("can only be verified on the recorded release linux-source-6.1 6.1.192-2", self.output)

    def test_point_release_that_would_need_fuzz_is_refused(self):
        self.drifted(**{"mm/slab.c": SLAB.replace("slab_14(void)", "slab_14(int)")})
        said = self.refused(series.prepare)
        self.assertIn("does not apply to Linux 6.1.193", said)
        self.assertIn("expected 'int slab_14(void);' found 'int slab_14(int);'", said)


class Mistakes(Case):
    """Each mistake in series/ is told by its name."""

    def check(self, words):
        self.assertIn(words, self.refused(series.prepare))

    def test_file_that_nobody_brings(self):
        write(self.top, {"mm/lost.c": "int lost;\n"})
        self.check("mm/lost.c: no commit brings this file")

    def test_file_that_does_not_exist(self):
        (self.top / "mm/reach.c").unlink()
        self.check("series/01-slab.msg names mm/reach.c, which is no file")

    def test_file_named_twice(self):
        self.edit_file("series/02-docs.msg", "Files: ", "Files: mm/reach.c ")
        self.check("mm/reach.c is named by series/01-slab.msg and by series/02-docs.msg")

    def test_file_that_the_base_has(self):
        write(self.top, {"kernel/foo.c": "int foo;\n"})
        self.edit_file("series/02-docs.msg", "Files: ", "Files: kernel/foo.c ")
        self.check("series/02-docs.msg brings kernel/foo.c, but the base has it already")

    def test_entry_that_nobody_inserts(self):
        write(self.top, {"MAINTAINERS": (self.top / "MAINTAINERS").read_text() + "\nGAMMA\nM:\tG <g@example.org>\n"})
        self.check("no commit inserts the entry `GAMMA`")

    def test_entry_that_does_not_exist(self):
        self.edit_file("series/01-slab.msg", "BETA REACH", "OMEGA REACH")
        self.check("inserts `OMEGA REACH`, which MAINTAINERS does not have")

    def test_entry_that_the_base_has(self):
        self.edit_file("MAINTAINERS", "BETA REACH", "DELTA DRIVER")
        self.edit_file("series/01-slab.msg", "BETA REACH", "DELTA DRIVER")
        self.check("has an entry `DELTA DRIVER` already")

    def test_hook_that_brings_a_file(self):
        write(self.top, {"series/6.1/02-docs.patch": "diff --git a/mm/n.c b/mm/n.c\nnew file mode 100644\n"
                         "--- /dev/null\n+++ b/mm/n.c\n@@ -0,0 +1 @@\n+int n;\n"})
        self.check("creates mm/n.c: new files are kept as files")

    def test_hook_and_message_without_order(self):
        write(self.top, {"series/6.1/09-x.patch": ""})
        self.check("series/6.1/09-x.patch: series/order does not name 09-x")
        (self.top / "series/6.1/09-x.patch").unlink()
        write(self.top, {"series/09-x.msg": ""})
        self.check("series/09-x.msg: series/order does not name 09-x")

    def test_order_without_message(self):
        write(self.top, {"series/order": "01-slab\n02-docs\n03-foo\n04-none\n"})
        self.check("series/04-none.msg: No such file")

    def test_commit_that_changes_nothing(self):
        (self.top / "series/6.1/03-foo.patch").unlink()
        self.check("commit 03-foo changes nothing")

    def test_messages_that_mail_would_change(self):
        path = "series/03-foo.msg"
        good = (self.top / path).read_text()
        for old, new, words in (("Because", "diff --git a/x b/x\nBecause", "takes the line `diff --git a/x b/x`"),
                                ("Because", "---\nBecause", "takes the line `---`"),
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
        self.once(series.cmd_series)
        self.dir = self.top / "patches/6.1"

    def test_names_and_cover(self):
        self.assertEqual(sorted(p.name for p in self.dir.iterdir()),
                         ["0000-cover-letter.txt", "0001-mm-add-reach.patch",
                          "0002-Documentation-tell-of-reach.patch", "0003-foo-return-2.patch"])
        cover = (self.dir / "0000-cover-letter.txt").read_text()
        for words in ("Subject: [PATCH 0/3] dma-reach: reach memory\n\nThis is why.\n", f"tree {self.tree}\n",
                      "Jane Doe (3):\n  mm: add reach\n  Documentation: tell of reach\n  foo: return 2\n\n",
                      " 7 files changed", " create mode 100755 mm/reach.sh\n"):
            self.assertIn(words, cover)
        self.assertNotIn("diff --git", cover)

    def test_trees_are_recorded(self):
        lines = [f"{i} {tree}\n" for i, _, tree in self.quiet(series.prepare).commits]
        self.assertEqual((self.top / "bases/6.1/trees").read_text(), "".join(lines))

    def test_hooks_get_their_canonical_form(self):
        hook = (self.top / "series/6.1/03-foo.patch").read_text()
        blob = self.quiet(series.prepare).base.repo.resolve(f"{self.tree}:kernel/foo.c")
        self.assertIn(f"index {blob}..", hook)

    def test_second_run_writes_nothing(self):
        before = {p: p.stat().st_mtime_ns for p in self.top.rglob("*")}
        self.quiet(series.cmd_series)
        self.assertIn("up to date", self.output)
        self.assertEqual({p: p.stat().st_mtime_ns for p in self.top.rglob("*")}, before)

    def test_stale_patches_go_and_other_files_stay(self):
        write(self.dir, {"0004-gone.patch": "x", "README": "mine"})
        self.assertIn("0004-gone.patch is stale", self.refused(series.cmd_verify))
        self.quiet(series.cmd_series)
        self.assertFalse((self.dir / "0004-gone.patch").exists())
        self.assertTrue((self.dir / "README").exists())

    def test_verify_passes(self):
        self.quiet(series.cmd_verify)
        self.assertEqual(self.output.count("done in"), 4)

    def test_verify_notices_every_tampered_file(self):
        for path in [*self.dir.iterdir(), self.top / "bases/6.1/trees", self.top / "series/6.1/03-foo.patch"]:
            good = path.read_bytes()
            with self.subTest(path.name):
                path.write_bytes(good + b"\n")
                self.assertIn("is not what composing the series gives", self.refused(series.cmd_verify))
                path.write_bytes(good)
        self.quiet(series.cmd_verify)

    # The checks below also hold by themselves, should composing and the patches be wrong alike.

    def tampered(self, name, old, new, check):
        self.edit_file(f"patches/6.1/{name}", old, new)
        return self.refused(getattr(self.quiet(series.prepare), check))

    def test_am_is_judged_by_trees(self):
        self.assertIn("0002-Documentation-tell-of-reach.patch: git am gives another tree", self.tampered(
            "0002-Documentation-tell-of-reach.patch", "+=====", "+====-", "check_am"))

    def test_am_that_fails_is_told(self):
        self.assertIn("0003-foo-return-2.patch: git am does not apply it", self.tampered(
            "0003-foo-return-2.patch", "-\treturn 1;", "-\treturn 5;", "check_am"))

    def test_am_that_changes_the_message_is_told(self):
        self.assertIn("git am changes the commit message", self.tampered(
            "0003-foo-return-2.patch", "Because", "For", "check_am"))

    def test_missing_preimage_is_told(self):
        name = "0003-foo-return-2.patch"
        text = (self.dir / name).read_text()
        blob = text[text.index("index ") + 6:][:40]
        self.assertIn(f"kernel/foo.c starts from blob {'1' * 40}",
                      self.tampered(name, blob, "1" * 40, "check_preimages"))

    def test_patch_without_fuzz_is_checked(self):
        self.assertIn("patch says", self.tampered("0001-mm-add-reach.patch", " int slab_14", " int slab_41",
                                                  "check_patch"))
        self.edit_file("patches/6.1/0001-mm-add-reach.patch", " int slab_41", " int slab_14")
        self.assertIn("patch gives another mm/slab.c", self.tampered(
            "0001-mm-add-reach.patch", "+int reach(void);", "+int reach(int);", "check_patch"))

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
        self.assertEqual(plain_git(tree, "rev-parse", "HEAD^{tree}"), self.quiet(series.prepare).commits[-1].tree)


class Deletion(Case):
    def test_hook_may_delete_a_file(self):
        write(self.top, {"series/6.1/02-docs.patch": "diff --git a/mm/old.c b/mm/old.c\ndeleted file mode 100644\n"
                         "--- a/mm/old.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-" + KERNEL["mm/old.c"]})
        self.quiet(series.cmd_series)
        self.quiet(series.cmd_verify)
        prepared = self.quiet(series.prepare)
        self.assertIsNone(prepared.base.repo.blob(f"{prepared.tip}:mm/old.c"))
