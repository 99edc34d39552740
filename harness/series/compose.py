# SPDX-License-Identifier: GPL-2.0
"""From files to commits, and from commits to the patches that a user gets.

A commit is made of its message, its new files, its entries of MAINTAINERS, its changes to new files of earlier
commits, and its hook.  The repository holds new files as the last commit leaves them: undoing later changes, from
the last commit to the first, gives each file as the commit that brings it has it.
"""
import hashlib
import os
import re
import tempfile
import textwrap
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from harness import git, paths
from harness.series import diffs, maintainers
from harness.series.message import git_date
from harness.series.series import Series, differing, write_files
from harness.source import base as bases
from harness.ui import Failure, Steps, say

PATCH = re.compile(r"\d{4}-.*\.patch|0000-.*\.txt")
WIDTH = 72


@dataclass(frozen=True)
class Commit:
    """One composed commit."""
    id: str
    commit: str
    tree: str
    hook: bytes         # in the one form that `make series` keeps
    edit: bytes         # likewise, series/<part>/<name>.patch

    @property
    def part(self):
        """The part that it belongs to."""
        return self.id.split("/")[0]

    @property
    def name(self):
        """Its name within the part."""
        return self.id.split("/")[1]


def compose(series, base, release, parts=None):
    """Make the commits of some parts, by default of all, on a release; no work tree is needed."""
    chosen = series.closure(parts) if parts else list(series.parts.values())
    ids = [i for part in chosen for i in part.ids if i in series.ids]
    if not ids:
        raise Failure("series/: no part has a commit for this base")
    with tempfile.TemporaryDirectory() as tmp:
        new_files, edits = _undo(series, base.repo.with_env(GIT_INDEX_FILE=f"{tmp}/new"))
        repo = base.repo.with_env(GIT_INDEX_FILE=f"{tmp}/index")
        hooks, changes = {}, []
        held = _hold(series, ids, new_files, repo, release)
        for i in ids:
            _add_files(repo, i, new_files[i])
            _add_entries(series, repo, i)
            if edits.get(i):
                _apply(repo, f"series/{i}.patch", edits[i], release)
            middle = repo.out("write-tree") if i in series.hooks else None
            if i in series.hooks:
                _check_hook(series, i)
                _apply(repo, series.hook_path(i), series.hooks[i], release)
                hooks[i] = git.kept(repo.raw("diff-tree", *git.DIFF, middle, repo.out("write-tree")))
            before, held = held, repo.staged()
            changes.append({path: held.get(path) for path in before | held if before.get(path) != held.get(path)})
            if not changes[-1]:
                raise Failure(f"commit {i} changes nothing", "give it a hook or new files, or drop it")
    commits, parent = [], release.commit
    for i, tree in zip(ids, base.repo.trees(release.tree, changes), strict=True):
        parent = make_commit(base.repo, series, i, tree, parent, series.messages[i].text)
        commits.append(Commit(i, parent, tree, hooks.get(i, b""), edits.get(i, b"")))
    return Composed(series, base, release, commits, [part.name for part in chosen])


def _hold(series, ids, new_files, repo, release):
    """Fill the index with those files of the release that the series touches, and return them; git reads and writes
    the whole index at each step, which would take much longer with all the others."""
    names = {name for i in ids for name in new_files[i]}
    names |= {part.path for i in ids if i in series.hooks for part in diffs.parse(series.hooks[i])}
    held = repo.files(release.tree, names | {"MAINTAINERS"})
    repo.raw("read-tree", "--empty")
    repo.stage(held)
    return held


def make_commit(repo, series, i, tree, parent, text):
    """A commit with the author and the date of commit `i` of the series."""
    who = git.identity(*series.author, git_date(series.messages[i].date))
    return repo.with_env(**who).out("commit-tree", tree, "-p", parent, stdin=text.encode())


def _undo(series, repo):
    """({id: {path: (mode, blob)}} of the files as the commits bring them, {id: edit in its one form})."""
    names = [name for name in series.owner if (series.top / name).is_file() and not (series.top / name).is_symlink()]
    blobs = repo.lines("hash-object", "-w", "--no-filters", "--stdin-paths",
                       stdin="".join(f"{(series.top / name).absolute()}\n" for name in names).encode())
    repo.raw("read-tree", "--empty")
    repo.stage({name: ("100755" if os.access(series.top / name, os.X_OK) else "100644", blob)
                for name, blob in zip(names, blobs, strict=True)})
    files, edits = {}, {}
    for i in reversed(series.all_ids):
        if i in series.edits:
            for part in diffs.parse(series.edits[i]):
                if part.added or part.path not in series.owner:
                    raise Failure(f"series/{i}.patch changes {part.path}, which no earlier commit brings",
                                  f"edits to files of the base belong into {series.hook_path(i)}")
            after = repo.out("write-tree")
            done = repo.apply(series.edits[i], "-R")
            if done.returncode:
                raise Failure(f"series/{i}.patch is not contained in the files that it changes:\n  "
                              + "\n  ".join(git.complaint(done)),
                              "`git diff` shows what is in no commit: take it back with git checkout or git stash, "
                              "and change new files through make edit, make absorb")
            edits[i] = git.kept(repo.raw("diff-tree", *git.DIFF, repo.out("write-tree"), after))
        files[i] = {}
        for name in series.messages[i].files:
            entry = repo.out("ls-files", "-s", "--", name).split()
            if not entry:
                raise Failure(f"series/{i}.msg names {name}, which is no file of this repository")
            files[i][name] = entry[0], entry[1]
        repo.stage(dict.fromkeys(files[i]))
    return files, edits


def _add_files(repo, i, files):
    present = repo.staged() if files else {}
    for name in files:
        if name in present:
            raise Failure(f"series/{i}.msg brings {name}, but the base has it already",
                          "edit files of the base through a hook")
    repo.stage(files)


def _add_entries(series, repo, i):
    wanted = series.messages[i].titles
    if not wanted:
        return
    text = repo.blob(":MAINTAINERS")
    if text is None:
        raise Failure(f"series/{i}.msg inserts MAINTAINERS entries, but the base has no MAINTAINERS")
    for title in wanted:
        if maintainers.entry(text, title) is not None:
            raise Failure(f"the base's MAINTAINERS has an entry `{title}` already",
                          f"choose another title in MAINTAINERS and series/{i}.msg")
        text = maintainers.insert(text, maintainers.entry(series.entries, title))
    blob = repo.out("hash-object", "-w", "--stdin", stdin=text)
    repo.raw("update-index", "--cacheinfo", f"100644,{blob},MAINTAINERS")


def _check_hook(series, i):
    for part in diffs.parse(series.hooks[i]):
        if part.added:
            raise Failure(f"{series.hook_path(i)} creates {part.path}: new files are kept as files",
                          f"put it at {part.path} and name it in series/{i}.msg")


def _apply(repo, name, data, release):
    done = repo.apply(data)
    if done.returncode:
        reasons = [line for _, line in diffs.conflicts(data, name, lambda path: repo.blob(f":{path}"))]
        raise Failure(f"the series does not apply to Linux {release.kernel}:\n  "
                      + "\n  ".join(reasons or git.complaint(done)), f"correct {name}")


@dataclass
class Composed:
    """Parts of a series on a release."""
    series: Series
    base: bases.Base
    release: bases.Release
    commits: list
    parts: list         # their names

    @property
    def base_commit(self):
        """The commit that the series stands on."""
        return self.release.commit

    @property
    def tip(self):
        """The last commit."""
        return self.commits[-1].commit

    @property
    def digest(self):
        """Differs when the commits do, or what stands below their cuts."""
        notes = [self.series.messages[commit.id].notes for commit in self.commits]
        return hashlib.sha256("\0".join([self.tip, *notes]).encode()).hexdigest()

    @property
    def recorded(self):
        """Whether the release is the one that patches/ is made for."""
        return self.release.recorded

    def checkout(self, commit, path):
        """See Base.checkout()."""
        return self.base.checkout(commit, path)

    def parent(self, commit):
        """The commit before one of `commits`."""
        position = self.commits.index(commit)
        return self.commits[position - 1].commit if position else self.base_commit

    def touched(self):
        """The paths that the series adds, edits or removes."""
        out = self.base.repo.raw("log", "--format=", "--name-only", "--no-renames", "-z",
                                 f"{self.base_commit}..{self.tip}")
        return sorted({os.fsdecode(name.strip(b"\n")) for name in out.split(b"\0")} - {""})

    # -- patches -----------------------------------------------------------------------------

    def patch_name(self, commit):
        """The file of a commit in patches/<base>."""
        return f"{self.commits.index(commit) + 1:04}-{commit.part}-{commit.name}.patch"

    def mails(self):
        """[(commit, bytes of its patch file)]."""
        with tempfile.TemporaryDirectory() as tmp:
            self.base.repo.raw(
                "format-patch", "-q", "-o", tmp, *git.DIFF, f"--stat={WIDTH}", "--summary", "--zero-commit",
                "--no-signature", "--no-numbered", "--subject-prefix=PATCH", "--start-number=1", "--suffix=.patch",
                "--no-attach", "--no-thread", "--no-cover-letter", "--no-base", "--no-notes",
                "--encode-email-headers", f"{self.base_commit}..{self.tip}")
            files = sorted(Path(tmp).iterdir())
            found = []
            for commit, file in zip(self.commits, files, strict=True):
                text, cut, rest = file.read_bytes().partition(b"\n---\n")
                notes = self.series.messages[commit.id].notes
                found.append((commit, text + cut + (f"{notes}\n".encode() if notes else b"") + rest))
            return found

    def patches(self):
        """{file name: bytes} of patches/<base>."""
        found = {self.patch_name(commit): data for commit, data in self.mails()}
        found.update({f"0000-{name}.txt": self.cover(name) for name in self.parts
                      if any(commit.part == name for commit in self.commits)})
        return dict(sorted(found.items()))

    def base_line(self):
        """What the patches are for, in a cover letter."""
        return f"Base: {self.base.package} {self.base.version} (Linux {self.base.kernel}), tree {self.base.tree}"

    def cover(self, name):
        """The cover letter of a part: series/<part>/cover.msg, the subjects and the diffstat."""
        path = self.series.dir / name / "cover.msg"
        if not path.is_file():
            raise Failure(f"series/{name}/cover.msg is missing", "write the cover letter: subject, blank line, text")
        subject, _, body = path.read_text(encoding="utf-8").partition("\n")
        author, email = self.series.author
        part, commits = self.series.parts[name], [commit for commit in self.commits if commit.part == name]
        count = len(commits)
        date = datetime.fromisoformat(self.series.messages[commits[-1].id].date)
        stat = self.base.repo.raw("diff", *git.STAT, f"--stat={WIDTH}", "--summary", self.parent(commits[0]),
                                  commits[-1].commit).decode(errors="replace").rstrip("\n")
        needs = f"Needs: the part{'s' * (len(part.needs) > 1)} {', '.join(part.needs)} of the same series\n" \
            if part.needs else ""
        return "\n".join([
            "From " + "0" * 40 + " Mon Sep 17 00:00:00 2001",
            f"From: {author} <{email}>",
            f"Date: {date.strftime('%a, %-d %b %Y %H:%M:%S %z')}",
            f"Subject: [PATCH {0:0{len(str(count))}}/{count}] {subject.strip()}",
            "",
            body.strip("\n"),
            "",
            f"{needs}{self.base_line()}",
            "",
            f"{author} ({count}):",
            *(textwrap.fill(self.series.messages[commit.id].subject, WIDTH, initial_indent="  ",
                            subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
              for commit in commits),
            "",
            stat,
            ""]).encode()

    def outputs(self):
        """{path below the repository: bytes, or None for a file to remove} of all that is generated."""
        name = self.base.name
        wanted = {f"patches/{name}/{file}": data for file, data in self.patches().items()}
        wanted[f"bases/{name}/trees"] = "".join(f"{commit.id} {commit.tree}\n" for commit in self.commits).encode()
        for commit in self.commits:
            if commit.id in self.series.hooks:
                wanted[self.series.hook_path(commit.id)] = commit.hook or None
            if commit.id in self.series.edits:
                wanted[self.series.edit_path(commit.id)] = commit.edit or None
        for path in (self.series.top / "patches" / name).glob("*"):
            if PATCH.fullmatch(path.name):
                wanted.setdefault(f"patches/{name}/{path.name}", None)
        return wanted

    def differing(self):
        """Those outputs that are not what the repository holds."""
        return differing(self.series.top, self.outputs())

    def write(self):
        """Write patches/, trees, and hooks and edits in their one form; only on the recorded release."""
        if not self.recorded:
            say(f"the series applies; nothing is written, because patches/{self.base.name} belongs to "
                f"{self.base.package} {self.base.version}")
            return {}
        changes = self.differing()
        write_files(self.series.top, changes)
        told(changes)
        return changes


def told(changes):
    """Say which files were written or removed."""
    for name, data in changes.items():
        say(f"  {'removed' if data is None else 'written'} {name}")


def prepare(parts=None):
    """Fetch the base, read the series and compose it, or some parts of it."""
    base = bases.load()
    series = Series(paths.TOP, base.name)
    check_parts(series, parts)
    return compose(series, base, base.fetch(), parts)


def check_parts(series, names):
    """Names of parts that a user gives."""
    for name in names or ():
        if name not in series.parts:
            raise Failure(f"there is no part {name}", f"use one of {' '.join(series.parts)}")


def cmd_series():
    """make series: compose, and write patches/ when the release is the recorded one."""
    steps = Steps("series", 2)
    with steps.step("fetch the base and compose the series"):
        composed = prepare()
    with steps.step(f"write patches/{paths.BASE}"):
        changes = composed.write()
    if composed.recorded and not changes:
        say(f"  patches/{paths.BASE} is up to date")
    return composed
