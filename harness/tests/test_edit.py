# SPDX-License-Identifier: GPL-2.0
"""make edit and make absorb: what the contributor changed, and nothing else."""
import os
import shlex
import shutil
import subprocess
from unittest import mock

from harness.series import absorb, compose, edit
from harness.tests.fixture import Case, plain_git, snapshot, write


class Edit(Case):
    def setUp(self):
        super().setUp()
        self.once(compose.cmd_series, edit.cmd_edit)
        self.tree_dir = self.tmp / "out/edit/6.1"
        self.before = snapshot(self.top)

    def git(self, *args, **env):
        return plain_git(self.tree_dir, *args, **env)

    def write(self, **files):
        write(self.tree_dir, files)

    def rebase(self, *todo):
        """git rebase -i with a todo list: lines such as `edit 0` (a number counts the commits)."""
        commits = self.git("rev-list", "--reverse", "base..series").split()
        lines = []
        for line in todo:
            command, _, number = line.partition(" ")
            lines.append(f"{command} {commits[int(number)]}")
        path = self.tmp / "todo"
        path.write_text("\n".join(lines) + "\n")
        return self.git("-c", f"sequence.editor=cp '{path}'", "rebase", "-i", "base")

    def absorb(self, *changed):
        """Absorb; exactly `changed` may differ from before, but for what is generated.  The outcome has to verify."""
        self.quiet(absorb.cmd_absorb)
        after = snapshot(self.top)
        self.assertEqual({k for k in {*self.before, *after} if self.before.get(k) != after.get(k)
                          and not k.startswith(("patches/", "bases/6.1/trees"))}, set(changed))
        self.same_trees()
        self.verify()

    def foo_needs_reach(self):
        self.edit_file("series/parts.toml", 'title = "foo"\nneeds = []', 'title = "foo"\nneeds = ["reach"]')
        self.quiet(compose.cmd_series)
        self.before = snapshot(self.top)

    def same_trees(self):
        commits = self.git("rev-list", "--reverse", "base..series").split()
        prepared = self.quiet(compose.prepare)
        self.assertEqual([self.git("rev-parse", f"{c}^{{tree}}") for c in commits],
                         [commit.tree for commit in prepared.commits])
        self.assertEqual([self.git("log", "-1", "--format=%ad%B", c).split("\n---\n")[0] for c in commits],
                         [prepared.base.repo.out("log", "-1", "--format=%ad%B", c.commit) for c in prepared.commits])

    def refuses(self, *words):
        before = snapshot(self.top)
        said = self.refused(absorb.cmd_absorb)
        self.assertEqual(snapshot(self.top), before)
        for word in words:
            self.assertIn(word, said)

    # -- nothing edited

    def test_no_edit_changes_nothing(self):
        self.absorb()

    def test_rewritten_commits_without_change_change_nothing(self):
        self.git("rebase", "-q", "--force-rebase", "base")
        self.absorb()

    # -- edits

    def test_amended_file_hook_and_message(self):
        self.rebase("edit 0", "pick 1", "pick 2")
        self.write(**{"mm/reach.c": "int reach(void);\n"})
        self.git("commit", "-q", "-a", "--amend", "-m", "mm: add a better reach\n\nReasons.\n---\nId: reach/slab")
        self.git("rebase", "--continue")
        self.absorb("mm/reach.c", "series/reach/slab.msg")
        self.assertEqual((self.top / "mm/reach.c").read_text(), "int reach(void);\n")
        self.assertIn("\n\nmm: add a better reach\n\nReasons.\n", (self.top / "series/reach/slab.msg").read_text())

    def test_amended_hook(self):
        self.write(**{"kernel/foo.c": "int foo(void)\n{\n\treturn 3;\n}\n"})
        self.git("commit", "-q", "-a", "--amend", "--no-edit")
        self.absorb("series/foo/6.1/foo.patch")

    def test_reordered(self):
        self.rebase("pick 1", "pick 0", "pick 2")
        self.absorb("series/reach/order")
        self.assertEqual((self.top / "series/reach/order").read_text(), "docs\nslab\n")

    def test_parts_follow_each_other(self):
        self.rebase("pick 2", "pick 0", "pick 1")
        self.refuses("(`mm: add reach`) of part reach comes after one of part foo")

    def test_dropped(self):
        self.rebase("pick 0", "pick 2")
        self.absorb("series/reach/order", "series/reach/docs.msg", "Documentation/reach.rst")
        self.assertEqual((self.top / "series/reach/order").read_text(), "slab\n")

    def test_dropped_hook_and_entry(self):
        self.rebase("pick 1", "pick 2")
        self.absorb("series/reach/order", "series/reach/slab.msg", "series/reach/6.1/slab.patch", "mm/reach.c",
                    "mm/reach.sh", "MAINTAINERS")

    def test_new_commit_with_new_file_entry_and_hook(self):
        self.write(**{"lib/next-x.c": "int x;\n", "mm/Makefile": "obj-y := slab.o reach.o\n\nobj-m := old.o\n"})
        text = (self.tree_dir / "MAINTAINERS").read_text()
        self.write(MAINTAINERS=text.replace("THE REST", "GAMMA RAY\nM:\tG <g@example.org>\n\nTHE REST"))
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "lib: Add the NEXT thing!\n\nYes.\n---\nMeasured: 7",
                 GIT_AUTHOR_NAME="Jane Doe", GIT_AUTHOR_EMAIL="jane@example.org",
                 GIT_AUTHOR_DATE="2026-11-22T01:02:03 +0530")
        self.absorb("series/foo/order", "series/foo/add-the-next-thing.msg",
                    "series/foo/6.1/add-the-next-thing.patch", "lib/next-x.c", "MAINTAINERS")
        self.assertEqual((self.top / "series/foo/add-the-next-thing.msg").read_text(),
                         "Files: lib/next-x.c\nMaintainers: GAMMA RAY\nDate: 2026-11-22T01:02:03+05:30\n\n"
                         "lib: Add the NEXT thing!\n\nYes.\n---\nMeasured: 7\n")
        self.assertEqual((self.top / "MAINTAINERS").read_text(),
                         "BETA REACH\nM:\tJane Doe <jane@example.org>\nF:\tmm/reach.c\n\n"
                         "GAMMA RAY\nM:\tG <g@example.org>\n")

    def test_id_of_a_new_commit_can_be_chosen(self):
        self.rebase("edit 0", "pick 1", "pick 2")
        self.write(**{"kernel/new.c": "int x;\n"})
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "kernel: one\n---\nId: reach/first-one")
        self.git("rebase", "--continue")
        self.absorb("series/reach/order", "series/reach/first-one.msg", "kernel/new.c")
        self.assertEqual((self.top / "series/reach/order").read_text(), "slab\nfirst-one\ndocs\n")
        self.assertNotIn("Id:", (self.top / "series/reach/first-one.msg").read_text())

    def test_renamed(self):
        self.git("commit", "-q", "--amend", "-m", "foo: return 2\n\nBecause it is so.\n---\nId: foo/two")
        self.absorb("series/foo/order", "series/foo/foo.msg", "series/foo/6.1/foo.patch", "series/foo/two.msg",
                    "series/foo/6.1/two.patch")

    def test_wrong_ids(self):
        for said, complaint in (("nix/foo", "says `Id: nix/foo`, which is no part/name"),
                                ("foo/Foo", "says `Id: foo/Foo`, which is no part/name"),
                                ("reach/docs", "both say `Id: reach/docs`")):
            self.git("commit", "-q", "--amend", "-m", f"foo: x\n---\nId: {said}")
            self.refuses(complaint)

    def test_squashed_and_split(self):
        self.rebase("pick 0", "fixup 1", "edit 2")
        self.git("reset", "-q", "HEAD^")
        self.write(**{"kernel/new.c": "int x;\n"})
        self.git("add", "kernel/new.c")
        self.git("commit", "-q", "-m", "kernel: prepare\n---\nId: foo/prepare")
        self.git("commit", "-q", "-a", "-m", "foo: return 2\n\nBecause it is so.",
                 GIT_AUTHOR_DATE="2026-11-21T12:03:00 +0000")
        self.git("rebase", "--continue")
        self.absorb("series/reach/order", "series/foo/order", "series/reach/slab.msg", "series/reach/docs.msg",
                    "series/foo/prepare.msg", "kernel/new.c")
        self.assertEqual((self.top / "series/foo/order").read_text(), "prepare\nfoo\n")
        self.assertIn("Files: mm/reach.c\nFiles: mm/reach.sh\nFiles: Documentation/reach.rst\n",
                      (self.top / "series/reach/slab.msg").read_text())

    # -- new files that later commits change

    def test_later_change_of_a_new_file(self):
        self.foo_needs_reach()
        self.write(**{"mm/reach.c": "int reach(void)\n{\n\treturn 8;\n}\n"})
        self.git("commit", "-q", "-a", "--amend", "--no-edit")
        self.absorb("mm/reach.c", "series/foo/foo.patch")
        self.assertIn("+\treturn 8;", (self.top / "series/foo/foo.patch").read_text())
        self.git("rebase", "-q", "--force-rebase", "base")
        self.before = snapshot(self.top)
        self.absorb()

    def test_first_state_of_a_file_that_later_commits_change(self):
        self.test_later_change_of_a_new_file()
        self.before = snapshot(self.top)
        self.rebase("edit 0", "pick 1", "pick 2")
        self.write(**{"mm/reach.c": "/* new */\n\n\n\nint reach(void)\n{\n\treturn 0;\n}\n"})
        self.git("commit", "-q", "-a", "--amend", "--no-edit")
        self.git("rebase", "--continue")
        self.absorb("mm/reach.c", "series/foo/foo.patch")
        self.assertIn("return 8", (self.top / "mm/reach.c").read_text())

    def test_later_removal_of_a_new_file(self):
        self.foo_needs_reach()
        self.git("rm", "-q", "mm/reach.c")
        self.git("commit", "-q", "--amend", "--no-edit")
        self.absorb("mm/reach.c", "series/foo/foo.patch")
        self.assertFalse((self.top / "mm/reach.c").exists())

    def test_differences_of_the_base_stay(self):
        self.foo_needs_reach()
        write(self.top, {"series/foo/6.1/foo.patch": (self.top / "series/foo/6.1/foo.patch").read_text() +
                         "diff --git a/mm/reach.c b/mm/reach.c\n--- a/mm/reach.c\n+++ b/mm/reach.c\n@@ -1,4 +1,4 @@\n"
                         " int reach(void)\n {\n-\treturn 0;\n+\treturn 61;\n }\n"})
        self.quiet(compose.cmd_series)
        self.quiet(edit.cmd_edit)
        self.before = snapshot(self.top)
        self.absorb()
        self.write(**{"mm/reach.c": "int reach(void)\n{\n\treturn 61;\n}\n\n\n\nint more;\n",
                      "kernel/foo.c": "int foo(void)\n{\n\treturn 3;\n}\n"})
        self.git("commit", "-q", "-a", "--amend", "--no-edit")
        self.absorb("mm/reach.c", "series/foo/foo.patch", "series/foo/6.1/foo.patch")
        self.assertIn("return 0;\n}\n\n\n\nint more", (self.top / "mm/reach.c").read_text())
        self.write(**{"mm/reach.c": "int reach(void)\n{\n\treturn 62;\n}\n"})
        self.git("commit", "-q", "-a", "--amend", "--no-edit")
        self.refuses("changes mm/reach.c where this base differs")

    def test_commit_that_this_base_does_not_need_stays(self):
        write(self.top, {"series/foo/order": "foo\nother\n", "series/foo/other.msg":
                         "Not-on: 6.1 fixed\nDate: 2026-11-21T12:04:00+00:00\n\nfoo: other\n",
                         "series/foo/7.3/other.patch": ""})
        self.quiet(edit.cmd_edit)
        self.before = snapshot(self.top)
        self.write(**{"kernel/new.c": "int x;\n"})
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "foo: new")
        self.absorb("series/foo/order", "series/foo/new.msg", "kernel/new.c")
        self.assertEqual((self.top / "series/foo/order").read_text(), "foo\nother\nnew\n")

    def test_new_file_taken_out(self):
        self.rebase("edit 0", "pick 1", "pick 2")
        self.git("rm", "-q", "mm/reach.sh")
        self.git("commit", "-q", "--amend", "--no-edit")
        self.git("rebase", "--continue")
        self.absorb("mm/reach.sh", "series/reach/slab.msg")
        self.assertTrue((self.top / "series/reach/slab.msg").read_text().startswith("Files: mm/reach.c\nMaintainers:"))

    def test_deleted_base_file_and_mode(self):
        self.git("rm", "-q", "mm/old.c")
        (self.tree_dir / "kernel/foo.c").chmod(0o755)
        self.git("commit", "-q", "-a", "--amend", "--no-edit")
        self.absorb("series/foo/6.1/foo.patch")

    def test_mode_of_a_new_file(self):
        self.rebase("edit 0", "pick 1", "pick 2")
        (self.tree_dir / "mm/reach.sh").chmod(0o644)
        self.git("commit", "-q", "-a", "--amend", "--no-edit")
        self.git("rebase", "--continue")
        self.absorb("mm/reach.sh")

    def test_entry_edited_and_base_entry_edited(self):
        self.rebase("edit 0", "pick 1", "pick 2")
        text = (self.tree_dir / "MAINTAINERS").read_text()
        self.write(MAINTAINERS=text.replace("F:\tmm/reach.c", "F:\tmm/reach*").replace("F:\tmm/d*", "F:\tmm/d?"))
        self.git("commit", "-q", "-a", "--amend", "--no-edit")
        self.git("rebase", "--continue")
        self.absorb("MAINTAINERS", "series/reach/6.1/slab.patch")
        self.assertNotIn("BETA", (self.top / "series/reach/6.1/slab.patch").read_text())

    # -- refusals

    def test_later_change_of_an_entry(self):
        text = (self.tree_dir / "MAINTAINERS").read_text()
        self.write(MAINTAINERS=text.replace("F:\tmm/reach.c", "F:\tmm/reach*"))
        self.git("commit", "-q", "-a", "-m", "maintain")
        self.refuses("changes the MAINTAINERS entry `BETA REACH`")

    def test_entry_out_of_place(self):
        text = (self.tree_dir / "MAINTAINERS").read_text()
        self.write(MAINTAINERS=text.replace("ALPHA DRIVER", "OMEGA\nM:\tO <o@example.org>\n\nALPHA DRIVER"))
        self.git("commit", "-q", "-a", "-m", "maintain")
        self.refuses("inserts `OMEGA`", "alphabetical place")

    def test_not_committed(self):
        self.write(**{"kernel/foo.c": "int x;\n"})
        self.refuses("in no commit: kernel/foo.c")
        self.git("checkout", "-q", "--", ".")
        self.write(**{"kernel/new.c": "int x;\n"})
        self.refuses("in no commit: kernel/new.c")

    def test_new_file_shows_in_git_status_although_debian_hides_it(self):
        self.write(**{"kernel/new.c": "int x;\n", "kernel/new.o": "built"})
        self.assertEqual(self.git("status", "--porcelain"), "?? kernel/new.c")
        self.git("reset", "-q", "--hard", "base")
        self.git("reset", "-q", "--hard", "series@{1}")
        self.assertEqual(self.git("status", "--porcelain"), "?? kernel/new.c")

    def test_new_file_is_not_forgotten_when_gitignore_came_back(self):
        self.git("update-index", "--no-skip-worktree", ".gitignore")
        self.git("checkout", "--", ".gitignore")
        self.write(**{"kernel/new.c": "int x;\n"})
        self.assertEqual(self.git("status", "--porcelain"), "")
        self.refuses("in no commit: kernel/new.c")

    def test_middle_of_a_rebase(self):
        self.rebase("edit 0", "pick 1", "pick 2")
        self.refuses("in the middle of a rebase")

    def test_merge_fixup_empty_place_link(self):
        for name, do in {
            "has a merge": lambda: (self.git("checkout", "-q", "-b", "side", "base"),
                                    self.git("commit", "-q", "--allow-empty", "-m", "side"),
                                    self.git("checkout", "-q", "series"),
                                    self.git("merge", "-q", "--no-ff", "-m", "merge", "side")),
            "waits for its squash": lambda: (self.write(**{"kernel/foo.c": "x\n"}),
                                             self.git("commit", "-q", "-a", "--fixup=HEAD")),
            "changes nothing": lambda: self.git("commit", "-q", "--allow-empty", "-m", "empty"),
            "not at a place for a kernel file": lambda: (self.write(**{"harness/x.c": "x\n"}),
                                                         self.git("add", "-f", "harness"),
                                                         self.git("commit", "-q", "-m", "place")),
            "not a plain file": lambda: ((self.tree_dir / "mm/l").symlink_to("slab.c"), self.git("add", "mm/l"),
                                         self.git("commit", "-q", "-m", "link")),
            "two commits have the subject": lambda: (self.write(**{"kernel/foo.c": "x\n"}),
                                                     self.git("commit", "-q", "-a", "-m", "foo: return 2")),
            "has no commits": lambda: self.git("reset", "-q", "--hard", "base"),
        }.items():
            with self.subTest(name):
                do()
                self.refuses(name)
                self.git("reset", "-q", "--hard", "refs/harness/clean")

    def test_files_that_changed_meanwhile_are_not_overwritten(self):
        self.edit_file("mm/reach.c", "return 0", "return 4")
        self.write(**{"kernel/foo.c": "int x;\n"})
        self.git("commit", "-q", "-a", "--amend", "--no-edit")
        self.refuses("have changed since `make edit`", "cherry-pick")

    def test_edit_does_not_lose_edits(self):
        self.write(**{"kernel/foo.c": "int x;\n"})
        self.assertIn("in no commit: kernel/foo.c", self.refused(edit.cmd_edit))
        self.git("commit", "-q", "-a", "--amend", "--no-edit")
        tip = self.git("rev-parse", "series")
        self.assertIn("edits that are not absorbed", self.refused(edit.cmd_edit))
        self.assertEqual(self.git("rev-parse", "series"), tip)

    def test_pull_with_edits_that_are_not_absorbed(self):
        """Both sides have changed: what is advised leads to both changes, and nothing is lost."""
        plain_git(self.top, "init", "-q", "-b", "main")
        plain_git(self.top, "add", "-A")
        plain_git(self.top, "commit", "-q", "-m", "first")
        shutil.rmtree(self.tree_dir)
        self.quiet(edit.cmd_edit)
        self.write(**{"kernel/foo.c": "int x;\n"})
        self.git("commit", "-q", "-a", "--amend", "--no-edit")
        self.edit_file("mm/reach.c", "return 0", "return 4")
        self.quiet(compose.cmd_series)
        plain_git(self.top, "commit", "-q", "-a", "-m", "pulled")
        for command in (edit.cmd_edit, absorb.cmd_absorb):
            said = self.refused(command)
            self.assertIn("git switch -c edited", said)
        self.follow(said)
        prepared = self.quiet(compose.prepare)
        self.assertEqual(prepared.base.repo.blob(f"{prepared.tip}:kernel/foo.c"), b"int x;\n")
        self.assertIn(b"return 4", prepared.base.repo.blob(f"{prepared.tip}:mm/reach.c"))
        self.verify()

    def test_pull_with_files_that_were_not_committed(self):
        """As above, with a new commit that is absorbed and not committed, then amended, and an edit in bases/."""
        plain_git(self.top, "init", "-q", "-b", "main")
        plain_git(self.top, "add", "-A")
        plain_git(self.top, "commit", "-q", "-m", "first")
        self.write(**{"kernel/new.c": "int x;\n"})
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "foo: new")
        write(self.top, {"bases/6.1/regressions.toml": "# mine\n"})
        self.quiet(absorb.cmd_absorb)
        self.write(**{"kernel/new.c": "int amended;\n"})
        self.git("commit", "-q", "-a", "--amend", "-m", "foo: new\n\nAmended.\n---\nId: foo/new")
        plain_git(self.top, "add", "-A")
        plain_git(self.top, "commit", "-q", "-m", "absorbed")
        self.edit_file("mm/reach.c", "return 0", "return 4")
        self.quiet(compose.cmd_series)
        said = self.refused(absorb.cmd_absorb)
        self.assertIn("commit what is not committed here; then git switch", said)
        plain_git(self.top, "commit", "-q", "-a", "-m", "pulled")
        self.follow(self.refused(absorb.cmd_absorb))
        self.assertEqual((self.top / "kernel/new.c").read_text(), "int amended;\n")
        self.assertIn("return 4", (self.top / "mm/reach.c").read_text())
        self.assertEqual((self.top / "bases/6.1/regressions.toml").read_text(), "# mine\n")
        self.verify()

    def follow(self, said):
        """Do what is advised."""
        steps = said.split("to do: ")[1].splitlines()[0]
        for step in steps.split(" && "):
            if step.startswith("git "):
                plain_git(self.top, *shlex.split(step)[1:])
            else:
                self.quiet({"make absorb": absorb.cmd_absorb, "make series": compose.cmd_series}[step])

    def test_notes_edited_in_place_stay(self):
        self.edit_file("series/foo/foo.msg", "so.\n", "so.\n---\nMeasured: 7\n")
        self.quiet(edit.cmd_edit)
        self.assertIn("Measured: 7", self.git("log", "-1", "--format=%B"))
        self.edit_file("series/foo/foo.msg", "Measured: 7", "Measured: 8")
        self.refuses("has no edits, and is older than the files", "make edit")
        self.quiet(edit.cmd_edit)
        self.before = snapshot(self.top)
        self.absorb()

    def test_message_of_one_base(self):
        write(self.top, {"series/foo/6.1/foo.msg": "foo: on 6.1\n\nSo.\n"})
        self.quiet(edit.cmd_edit)
        self.before = snapshot(self.top)
        self.absorb()
        self.git("commit", "-q", "--amend", "-m", "foo: on 6.1 only\n\nSo.\n---\nId: foo/foo")
        self.absorb("series/foo/6.1/foo.msg")

    def test_no_commit_takes_the_place_of_the_cover_letter(self):
        self.write(**{"kernel/new.c": "int x;\n"})
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "foo: cover")
        self.absorb("series/foo/order", "series/foo/cover-2.msg", "kernel/new.c")
        self.git("commit", "-q", "--amend", "-m", "foo: cover\n---\nId: foo/cover")
        self.refuses("says `Id: foo/cover`", "is not cover")

    def test_squash_leaves_two_messages(self):
        self.git("commit", "-q", "--amend", "-m", "foo: a\n---\nId: foo/foo\n\nfoo: b\n\n---\nId: foo/b")
        self.refuses("has what is left of two messages below its cut", "reword it")

    def test_message_in_another_encoding(self):
        subprocess.run(["git", "-c", "i18n.commitEncoding=latin1", "commit", "-q", "--amend", "-F", "-"], check=True,
                       input=b"foo: caf\351\n\nSo.\n---\nId: foo/foo\n", cwd=self.tree_dir,
                       env={**os.environ, "GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x"})
        self.absorb("series/foo/foo.msg")
        self.assertIn("foo: caf\u00e9\n", (self.top / "series/foo/foo.msg").read_text(encoding="utf-8"))

    def test_names_that_no_kernel_file_has(self):
        for name in ("mm/a b.c", 'mm/a"b.c', "mm/\u00fc.c"):
            self.write(**{name: "x\n"})
            self.git("add", "-A")
            self.git("commit", "-q", "-m", "mm: odd")
            self.refuses("not at a place for a kernel file")
            self.git("reset", "-q", "--hard", "HEAD^")

    def test_file_of_a_part_that_is_not_needed(self):
        for words in (("rm", "-q", "mm/reach.c"), None):
            if words:
                self.git(*words)
            else:
                self.write(**{"mm/reach.c": "int other;\n"})
            self.git("commit", "-q", "-a", "-m", "mm: change reach")
            self.refuses("changes mm/reach.c of part reach, which it does not need", "Id: reach/NAME")
            self.git("reset", "-q", "--hard", "HEAD^")

    def test_what_a_mail_cannot_carry(self):
        for data in (b"int a;\r\n", b"\0\1"):
            (self.tree_dir / "kernel/odd.c").write_bytes(data)
            self.git("add", "-A")
            self.git("commit", "-q", "-m", "kernel: odd")
            self.refuses("(`kernel: odd`) has kernel/odd.c with ")
            self.git("reset", "-q", "--hard", "HEAD^")

    def test_reset_to_the_base(self):
        self.git("reset", "-q", "--hard", "base")
        said = self.refused(absorb.cmd_absorb)
        self.git(*said.split("to do: git -C ")[1].split()[1:4])
        self.absorb()

    def test_deleted_and_brought_again(self):
        self.foo_needs_reach()
        self.quiet(edit.cmd_edit)
        for path, text in (("mm/reach.c", "int again;\n"), ("mm/old.c", "int again;\n")):
            self.git("rm", "-q", path)
            self.git("commit", "-q", "-m", "mm: drop")
            self.write(**{path: text})
            self.git("add", "-A")
            self.git("commit", "-q", "-m", "mm: again")
            self.refuses(f"(`mm: again`) brings {path} again")
            self.git("reset", "-q", "--hard", "HEAD~2")

    def test_commits_on_a_detached_head_are_kept(self):
        self.git("checkout", "-q", "--detach")
        self.refuses("is not on its branch", "checkout -B series")
        self.git("checkout", "-q", "HEAD^")
        self.refuses("is not on its branch", "checkout series; git log series..HEAD")

    def test_cache_that_was_moved_is_found(self):
        (self.tree_dir / ".git/objects/info/alternates").write_text("/nowhere\n")
        self.quiet(edit.cmd_edit)
        self.same_trees()
        (self.tree_dir / ".git/objects/info/alternates").write_text("/nowhere\n")
        self.quiet(absorb.cmd_absorb)

    def test_edit_follows_the_files(self):
        self.edit_file("mm/reach.c", "return 0", "return 4")
        self.quiet(edit.cmd_edit)
        self.assertIn("return 4", (self.tree_dir / "mm/reach.c").read_text())
        self.same_trees()
        self.quiet(absorb.cmd_absorb)

    def test_foreign_directory(self):
        shutil.rmtree(self.tree_dir)
        write(self.tree_dir, {"x": "y"})
        self.assertIn("is not a work tree of `make edit`", self.refused(edit.cmd_edit))

    def test_other_release(self):
        self.drifted()
        for command in (edit.cmd_edit, absorb.cmd_absorb):
            self.assertIn("works on the recorded release", self.refused(command))

    def test_failure_while_rehearsing_writes_nothing(self):
        self.write(**{"kernel/foo.c": "int x;\n"})
        self.git("commit", "-q", "-a", "--amend", "--no-edit")
        with mock.patch.object(absorb, "write_files", lambda *_: None):       # the copy stays as it was
            self.refuses("composing gives another one")

    def test_interrupted_edit_is_no_tree(self):
        shutil.rmtree(self.tree_dir)
        with mock.patch.object(edit, "mark", side_effect=KeyboardInterrupt):
            with self.assertRaises(KeyboardInterrupt):
                self.quiet(edit.cmd_edit)
        self.assertFalse(os.path.exists(self.tree_dir))
        self.quiet(edit.cmd_edit)
        self.assertTrue(os.path.exists(self.tree_dir))
