# SPDX-License-Identifier: GPL-2.0
"""make edit and make absorb: what the contributor changed, and nothing else."""
import os
import shutil
from unittest import mock

from harness.series import edit, series
from harness.tests.fixture import Case, plain_git, snapshot, write


class Edit(Case):
    def setUp(self):
        super().setUp()
        self.once(series.cmd_series, edit.cmd_edit)
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
        """Absorb; exactly `changed` may differ from before.  The outcome has to verify."""
        self.quiet(edit.cmd_absorb)
        after = snapshot(self.top)
        self.assertEqual({k for k in {*self.before, *after} if self.before.get(k) != after.get(k)}, set(changed))
        self.same_trees()
        self.quiet(series.cmd_series)
        self.quiet(series.cmd_verify)

    def same_trees(self):
        commits = self.git("rev-list", "--reverse", "base..series").split()
        prepared = self.quiet(series.prepare)
        self.assertEqual([self.git("rev-parse", f"{c}^{{tree}}") for c in commits],
                         [tree for _, _, tree in prepared.commits])
        self.assertEqual([self.git("log", "-1", "--format=%B%ad", c) for c in commits],
                         [prepared.base.repo.out("log", "-1", "--format=%B%ad", c) for _, c, _ in prepared.commits])

    def refuses(self, *words):
        before = snapshot(self.top)
        said = self.refused(edit.cmd_absorb)
        self.assertEqual(snapshot(self.top), before)
        for word in words:
            self.assertIn(word, said)

    # -- nothing edited

    def test_no_edit_changes_nothing(self):
        self.absorb()

    def test_rewritten_commits_without_change_change_nothing(self):
        self.git("rebase", "-q", "--force-rebase", "base")
        self.assertNotEqual(self.git("rev-parse", "series"), self.quiet(series.prepare).tip)
        self.absorb()

    # -- edits

    def test_amended_file_hook_and_message(self):
        self.rebase("edit 0", "pick 1", "pick 2")
        self.write(**{"mm/reach.c": "int reach(void);\n"})
        self.git("commit", "-q", "-a", "--amend", "-m", "mm: add a better reach\n\nReasons.")
        self.git("rebase", "--continue")
        self.absorb("mm/reach.c", "series/01-slab.msg")
        self.assertEqual((self.top / "mm/reach.c").read_text(), "int reach(void);\n")
        self.assertIn("\n\nmm: add a better reach\n\nReasons.\n", (self.top / "series/01-slab.msg").read_text())

    def test_amended_hook(self):
        self.write(**{"kernel/foo.c": "int foo(void)\n{\n\treturn 3;\n}\n"})
        self.git("commit", "-q", "-a", "--amend", "--no-edit")
        self.absorb("series/6.1/03-foo.patch")

    def test_reordered(self):
        self.rebase("pick 2", "pick 0", "pick 1")
        self.absorb("series/order")
        self.assertEqual((self.top / "series/order").read_text(), "# the series\n03-foo\n01-slab\n\n# text\n02-docs\n")

    def test_dropped(self):
        self.rebase("pick 0", "pick 2")
        self.absorb("series/order", "series/02-docs.msg", "Documentation/reach.rst")
        self.assertEqual((self.top / "series/order").read_text(), "# the series\n01-slab\n03-foo\n")

    def test_dropped_hook_and_entry(self):
        self.rebase("pick 1", "pick 2")
        self.absorb("series/order", "series/01-slab.msg", "series/6.1/01-slab.patch", "mm/reach.c", "mm/reach.sh",
                    "MAINTAINERS")

    def test_new_commit_with_new_file_entry_and_hook(self):
        self.write(**{"lib/Nächste-x.c": "int x;\n", "mm/Makefile": "obj-y := slab.o reach.o\n\nobj-m := old.o\n"})
        text = (self.tree_dir / "MAINTAINERS").read_text()
        self.write(MAINTAINERS=text.replace("THE REST", "GAMMA RAY\nM:\tG <g@example.org>\n\nTHE REST"))
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "lib: Add the NEXT thing!\n\nYes.",
                 GIT_AUTHOR_NAME="Jane Doe", GIT_AUTHOR_EMAIL="jane@example.org",
                 GIT_AUTHOR_DATE="2026-11-22T01:02:03 +0530")
        self.absorb("series/order", "series/04-add-the-next-thing.msg", "series/6.1/04-add-the-next-thing.patch",
                    "lib/Nächste-x.c", "MAINTAINERS")
        self.assertEqual((self.top / "series/04-add-the-next-thing.msg").read_text(),
                         "Files: lib/Nächste-x.c\nMaintainers: GAMMA RAY\nDate: 2026-11-22T01:02:03+05:30\n\n"
                         "lib: Add the NEXT thing!\n\nYes.\n")
        self.assertEqual((self.top / "MAINTAINERS").read_text(),
                         "BETA REACH\nM:\tJane Doe <jane@example.org>\nF:\tmm/reach.c\n\n"
                         "GAMMA RAY\nM:\tG <g@example.org>\n")

    def test_new_id_lasts(self):
        self.write(**{"kernel/new.c": "int x;\n"})
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "kernel: one")
        self.quiet(edit.cmd_absorb)
        self.git("commit", "-q", "--amend", "-m", "kernel: two")
        self.quiet(edit.cmd_absorb)
        self.assertTrue((self.top / "series/04-one.msg").exists())
        self.assertFalse((self.top / "series/04-two.msg").exists())
        self.assertIn("kernel: two", (self.top / "series/04-one.msg").read_text())

    def test_squashed_and_split(self):
        self.rebase("pick 0", "fixup 1", "edit 2")
        self.git("reset", "-q", "HEAD^")
        self.write(**{"kernel/new.c": "int x;\n"})
        self.git("add", "kernel/new.c")
        self.git("commit", "-q", "-m", "kernel: prepare")
        self.git("commit", "-q", "-a", "-m", "foo: return 2\n\nBecause it is so.",
                 GIT_AUTHOR_DATE="2026-11-21T12:03:00 +0000")
        self.git("rebase", "--continue")
        self.absorb("series/order", "series/01-slab.msg", "series/02-docs.msg", "series/04-prepare.msg",
                    "kernel/new.c")
        self.assertEqual((self.top / "series/order").read_text(), "# the series\n01-slab\n04-prepare\n03-foo\n")
        self.assertIn("Files: mm/reach.c mm/reach.sh\nFiles: Documentation/reach.rst\n",
                      (self.top / "series/01-slab.msg").read_text())

    def test_new_file_taken_out(self):
        self.rebase("edit 0", "pick 1", "pick 2")
        self.git("rm", "-q", "mm/reach.sh")
        self.git("commit", "-q", "--amend", "--no-edit")
        self.git("rebase", "--continue")
        self.absorb("mm/reach.sh", "series/01-slab.msg")
        self.assertTrue((self.top / "series/01-slab.msg").read_text().startswith("Files: mm/reach.c\nMaintainers:"))

    def test_deleted_base_file_and_mode(self):
        self.git("rm", "-q", "mm/old.c")
        (self.tree_dir / "kernel/foo.c").chmod(0o755)
        self.git("commit", "-q", "-a", "--amend", "--no-edit")
        self.absorb("series/6.1/03-foo.patch")

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
        self.absorb("MAINTAINERS", "series/6.1/01-slab.patch")
        self.assertNotIn("BETA", (self.top / "series/6.1/01-slab.patch").read_text())

    # -- refusals

    def test_later_change_of_a_new_file(self):
        self.write(**{"mm/reach.c": "int reach;\n"})
        self.git("commit", "-q", "-a", "-m", "mm: change reach")
        self.refuses("(`mm: change reach`) changes mm/reach.c, which commit", "(`mm: add reach`) brings")

    def test_later_removal_of_a_new_file(self):
        self.git("rm", "-q", "mm/reach.c")
        self.git("commit", "-q", "-m", "mm: drop reach")
        self.refuses("(`mm: drop reach`) changes mm/reach.c")

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
        self.refuses("have changed since `make edit`")

    def test_edit_does_not_lose_edits(self):
        self.write(**{"kernel/foo.c": "int x;\n"})
        self.assertIn("in no commit: kernel/foo.c", self.refused(edit.cmd_edit))
        self.git("commit", "-q", "-a", "--amend", "--no-edit")
        tip = self.git("rev-parse", "series")
        self.assertIn("edits that are not absorbed", self.refused(edit.cmd_edit))
        self.assertEqual(self.git("rev-parse", "series"), tip)

    def test_edit_follows_the_files(self):
        self.edit_file("mm/reach.c", "return 0", "return 4")
        self.quiet(edit.cmd_edit)
        self.assertIn("return 4", (self.tree_dir / "mm/reach.c").read_text())
        self.same_trees()
        self.quiet(edit.cmd_absorb)

    def test_foreign_directory(self):
        shutil.rmtree(self.tree_dir)
        write(self.tree_dir, {"x": "y"})
        self.assertIn("is not a work tree of `make edit`", self.refused(edit.cmd_edit))

    def test_other_release(self):
        self.drifted()
        for command in (edit.cmd_edit, edit.cmd_absorb):
            self.assertIn("works on the recorded release", self.refused(command))

    def test_failure_while_rehearsing_writes_nothing(self):
        self.write(**{"kernel/foo.c": "int x;\n"})
        self.git("commit", "-q", "-a", "--amend", "--no-edit")
        with mock.patch.object(edit, "write_files", lambda *_: None):       # the copy stays as it was
            self.refuses("composing gives another tree")

    def test_interrupted_edit_is_no_tree(self):
        shutil.rmtree(self.tree_dir)
        with mock.patch.object(edit, "_mark", side_effect=KeyboardInterrupt):
            with self.assertRaises(KeyboardInterrupt):
                self.quiet(edit.cmd_edit)
        self.assertFalse(os.path.exists(self.tree_dir))
        self.quiet(edit.cmd_edit)
        self.assertTrue(os.path.exists(self.tree_dir))
