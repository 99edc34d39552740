# SPDX-License-Identifier: GPL-2.0
"""From files to commits: read series/, compose the commits on a base, write patches/.

A commit is made of its message (series/NN-name.msg), the new files that the message names
(at their landing path in this repository), its entries of MAINTAINERS, and its hook
(series/<base>/NN-name.patch), the edits to files that the base has.
"""
import os
import re
import subprocess
import tempfile
import textwrap
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from harness.source import base as bases
from harness import git, paths
from harness.series import diffs, maintainers
from harness.source import debian
from harness.ui import Failure, Steps, say

# Directories of a kernel tree: a file below one of them, here, is a new kernel file.
KERNEL = ("Documentation LICENSES arch block certs crypto drivers fs include init io_uring ipc kernel "
          "lib mm net rust samples scripts security sound tools usr virt").split()
JUNK = re.compile(r"~$|\.(orig|rej|o|ko|cmd|swp|pyc)$|^\.#|^__pycache__$|^\.DS_Store$")
ID = re.compile(r"\d{2,}-[a-z0-9]+(-[a-z0-9]+)*")
# What mail tools take for the end of the commit message.
CUT = re.compile(r"^(diff -|Index: |---(\s|$)|-+ *>8)", re.M)
PATCH = re.compile(r"\d{4}-.*\.patch|0000-cover-letter\.txt")
WIDTH = 72


@dataclass
class Message:
    """series/NN-name.msg."""
    head: str           # header lines as they are in the file
    files: list
    titles: list        # of MAINTAINERS entries
    date: str           # ISO 8601 with offset
    text: str           # subject, blank line, body

    @property
    def subject(self):
        return self.text.split("\n", 1)[0]


@dataclass(frozen=True)
class Commit:
    """One composed commit; iterates as (id, commit, tree)."""
    id: str
    commit: str
    tree: str
    hook: bytes         # the hook in the one form that `make series` keeps

    def __iter__(self):
        return iter((self.id, self.commit, self.tree))


def parse_message(name, data):
    """Read a .msg; `name` is for what is said about mistakes in it."""
    head, blank, text = data.decode().partition("\n\n")
    if not blank:
        raise Failure(f"{name}: no blank line between the header and the commit message")
    message = Message(head, [], [], None, text)
    for line in head.splitlines():
        key, colon, value = line.partition(":")
        if key == "Files" and colon:
            message.files += value.split()
        elif key == "Maintainers" and colon:
            message.titles.append(value.strip())
        elif key == "Date" and colon:
            message.date = value.strip()
        else:
            raise Failure(f"{name}: unknown header line: {line}",
                          "Files:, Maintainers: and Date: are known")
    try:
        if datetime.fromisoformat(message.date or "").tzinfo is None:
            raise ValueError
    except ValueError as error:
        raise Failure(f"{name}: Date: is missing or not like 2026-11-21T12:00:00+00:00") from error
    lines = text.split("\n")
    if not lines[0].strip() or (len(lines) > 1 and lines[1].strip()):
        raise Failure(f"{name}: the message has to start with its subject and a blank line")
    if text != "\n".join(line.rstrip() for line in text.rstrip().split("\n")) + "\n" or "\n\n\n" in text:
        raise Failure(f"{name}: the message has spaces at a line's end, blank lines in a row or a bad end",
                      "git am would clean them away and get another commit")
    cut = CUT.search(text)
    if cut:
        line = text[cut.start():].split("\n", 1)[0]
        raise Failure(f"{name}: git am takes the line `{line}` for the end of the message", "indent it")
    if re.match(r"\s*\[", lines[0]):
        raise Failure(f"{name}: the subject starts with `[`, which git am cuts off")
    return message


def git_date(iso):
    """A date for git, which knows seconds since 1970 and an offset whatever its version."""
    date = datetime.fromisoformat(iso)
    return f"{int(date.timestamp())} {date.strftime('%z')[:5]}"


class Series:
    """What series/, MAINTAINERS and the kernel files below `top` say; mistakes are told at once."""

    def __init__(self, top, base_name):
        self.top, self.base_name = Path(top), base_name
        self.dir = self.top / "series"
        self.hook_dir = self.dir / base_name
        self.ids = self._order()
        self.author = self._author()
        self.messages = {i: parse_message(f"series/{i}.msg", self._read(f"series/{i}.msg"))
                         for i in self.ids}
        self.hooks = {i: (self.hook_dir / f"{i}.patch").read_bytes() for i in self.ids
                      if (self.hook_dir / f"{i}.patch").is_file()}
        self._check_names()
        self._check_files()
        self._check_entries()

    def _read(self, name):
        try:
            return (self.top / name).read_bytes()
        except OSError as error:
            raise Failure(f"{name}: {error.strerror}") from error

    def _order(self):
        ids = [line.split("#")[0].strip() for line in self._read("series/order").decode().splitlines()]
        ids = [i for i in ids if i]
        if not ids:
            raise Failure("series/order names no commit")
        for i in ids:
            if not ID.fullmatch(i):
                raise Failure(f"series/order: `{i}` is not of the form 01-some-name")
            if ids.count(i) > 1:
                raise Failure(f"series/order names {i} twice")
        return ids

    def _author(self):
        text = self._read("series/author").decode().strip()
        found = re.fullmatch(r"([^<>\n]+?) <([^<> ]+)>", text)
        if not found:
            raise Failure("series/author has to be one line: Name <email>")
        return found.groups()

    def _check_names(self):
        for path in [*self.dir.glob("[0-9]*.msg"), *self.hook_dir.glob("[0-9]*.patch")]:
            if path.stem not in self.ids:
                raise Failure(f"{path.relative_to(self.top)}: series/order does not name {path.stem}")
        subjects = [self.messages[i].subject for i in self.ids]
        for subject in subjects:
            if subjects.count(subject) > 1:
                raise Failure(f"two commits have the subject `{subject}`")

    def _check_files(self):
        owner = {}
        for i in self.ids:
            for name in self.messages[i].files:
                if name in owner:
                    raise Failure(f"{name} is named by series/{owner[name]}.msg and by series/{i}.msg")
                owner[name] = i
                path = self.top / name
                if path.is_symlink() or not path.is_file():
                    raise Failure(f"series/{i}.msg names {name}, which is no file of this repository")
        for name in self.kernel_files():
            if name not in owner:
                raise Failure(f"{name}: no commit brings this file",
                              "name it in the Files: line of one series/*.msg, or remove it")
        for name in owner:
            if name.split("/")[0] not in KERNEL:
                raise Failure(f"series/{owner[name]}.msg names {name}, which is in no kernel directory")

    def kernel_files(self):
        """All new kernel files in the repository."""
        for folder in KERNEL:
            for where, folders, files in os.walk(self.top / folder):
                folders[:] = sorted(name for name in folders if not JUNK.search(name))
                for name in sorted(files):
                    if not JUNK.search(name):
                        yield Path(where, name).relative_to(self.top).as_posix()

    def _check_entries(self):
        path = self.top / "MAINTAINERS"
        self.entries = path.read_bytes() if path.is_file() else b""
        owner = {}
        for i in self.ids:
            for title in self.messages[i].titles:
                if title in owner:
                    raise Failure(f"series/{owner[title]}.msg and series/{i}.msg both insert `{title}`")
                owner[title] = i
                if maintainers.entry(self.entries, title) is None:
                    raise Failure(f"series/{i}.msg inserts `{title}`, which MAINTAINERS does not have")
        for title in maintainers.titles(self.entries):
            if title not in owner:
                raise Failure(f"MAINTAINERS: no commit inserts the entry `{title}`",
                              "name it in a Maintainers: line of one series/*.msg, or remove it")

    # -- compose ---------------------------------------------------------------------------

    def compose(self, base, release):
        """Make the commits on a release, in an index of its own and without a work tree."""
        commits, parent, tree = [], release.commit, release.tree
        with tempfile.TemporaryDirectory() as tmp:
            repo = base.repo.with_env(GIT_INDEX_FILE=Path(tmp) / "index")
            repo.raw("read-tree", parent)
            for i in self.ids:
                before = tree
                message = self.messages[i]
                if i in self.hooks:
                    self._apply_hook(repo, i, release)
                hook_tree = repo.out("write-tree")
                self._add_entries(repo, i)
                self._add_files(repo, i, hook_tree)
                tree = repo.out("write-tree")
                if tree == before:
                    raise Failure(f"commit {i} changes nothing", "give it a hook or new files, or drop it")
                who = git.identity(*self.author, git_date(message.date))
                parent = repo.with_env(**who).out("commit-tree", tree, "-p", parent,
                                                  stdin=message.text.encode())
                hook = repo.raw("diff-tree", *git.DIFF, before, hook_tree) \
                    if hook_tree != before else b""
                commits.append(Commit(i, parent, tree, hook))
        return Composed(self, base, release, commits)

    def _apply_hook(self, repo, i, release):
        name = f"series/{self.base_name}/{i}.patch"
        data = self.hooks[i]
        for part in diffs.parse(data):
            if part.added:
                raise Failure(f"{name} creates {part.path}: new files are kept as files",
                              f"put it at {part.path} and name it in series/{i}.msg")
        done = repo.try_("apply", "--cached", "--whitespace=nowarn", "-p1", stdin=data)
        if done.returncode:
            reasons = [line for _, line in diffs.conflicts(data, f"hook {i}", lambda p: repo.blob(f":{p}"))]
            reasons = reasons or done.stderr.decode(errors="replace").strip().splitlines()
            raise Failure(f"the series does not apply to Linux {release.kernel}:\n  " + "\n  ".join(reasons),
                          f"mend {name}")

    def _add_entries(self, repo, i):
        wanted = self.messages[i].titles
        if not wanted:
            return
        text = repo.blob(":MAINTAINERS")
        if text is None:
            raise Failure(f"series/{i}.msg inserts MAINTAINERS entries, but the base has no MAINTAINERS")
        for title in wanted:
            if maintainers.entry(text, title) is not None:
                raise Failure(f"the base's MAINTAINERS has an entry `{title}` already",
                              f"choose another title in MAINTAINERS and series/{i}.msg")
            text = maintainers.insert(text, maintainers.entry(self.entries, title))
        blob = repo.out("hash-object", "-w", "--stdin", stdin=text)
        repo.raw("update-index", "--cacheinfo", f"100644,{blob},MAINTAINERS")

    def _add_files(self, repo, i, tree):
        files = self.messages[i].files
        if not files:
            return
        there = repo.raw("ls-tree", "-z", "--name-only", tree, "--", *files).split(b"\0")
        for name in files:
            if os.fsencode(name) in there:
                raise Failure(f"series/{i}.msg brings {name}, but the base has it already",
                              "edit files of the base through a hook")
        blobs = repo.lines("hash-object", "-w", "--no-filters", "--stdin-paths",
                           stdin="".join(f"{(self.top / name).absolute()}\n" for name in files).encode())
        entries = []
        for name, blob in zip(files, blobs, strict=True):
            mode = "100755" if os.access(self.top / name, os.X_OK) else "100644"
            entries.append(f"{mode} {blob}\t{name}\0")
        repo.raw("update-index", "-z", "--add", "--index-info", stdin="".join(entries).encode())


class Composed:
    """A series on a release: `.base_commit`, `.tip`, `.commits`, `.recorded`, `.checkout()`."""

    def __init__(self, series, base, release, commits):
        self.series, self.base, self.release, self.commits = series, base, release, commits
        self.base_commit, self.tip = release.commit, commits[-1].commit
        self.recorded = release.recorded

    def checkout(self, commit, path):
        """See Base.checkout()."""
        return self.base.checkout(commit, path)

    @property
    def trees(self):
        """The text of bases/<base>/trees."""
        return "".join(f"{commit.id} {commit.tree}\n" for commit in self.commits)

    def patches(self):
        """{file name: bytes} of patches/<base>."""
        repo, found = self.base.repo, {}
        with tempfile.TemporaryDirectory() as tmp:
            repo.raw("format-patch", "-q", "-o", tmp, *git.DIFF, f"--stat={WIDTH}", "--summary",
                     "--zero-commit", "--no-signature", "--numbered", "--subject-prefix=PATCH",
                     "--start-number=1", "--suffix=.patch", "--no-attach", "--no-thread", "--no-cover-letter",
                     "--no-base", "--no-notes", "--encode-email-headers", "--filename-max-length=64",
                     f"{self.base_commit}..{self.tip}")
            for path in Path(tmp).iterdir():
                found[path.name] = path.read_bytes()
        found["0000-cover-letter.txt"] = self.cover()
        return dict(sorted(found.items()))

    def cover(self):
        """The cover letter: series/cover.msg, the subjects and the diffstat."""
        path = self.series.dir / "cover.msg"
        if not path.is_file():
            raise Failure("series/cover.msg is missing", "write the cover letter: subject, blank line, text")
        subject, _, body = path.read_text(encoding="utf-8").partition("\n")
        name, email = self.series.author
        count = len(self.commits)
        date = datetime.fromisoformat(self.series.messages[self.commits[-1].id].date)
        subjects = [self.series.messages[i].subject for i, _, _ in self.commits]
        base = self.base
        stat = self.base.repo.raw("diff", *git.STAT, f"--stat={WIDTH}", "--summary", self.base_commit,
                                  self.tip).decode(errors="replace").rstrip("\n")
        digits = len(str(count))
        return "\n".join([
            "From " + "0" * 40 + " Mon Sep 17 00:00:00 2001",
            f"From: {name} <{email}>",
            f"Date: {date.strftime('%a, %-d %b %Y %H:%M:%S %z')}",
            f"Subject: [PATCH {0:0{digits}}/{count}] {subject.strip()}",
            "",
            body.strip("\n"),
            "",
            f"Base: {base.package} {base.version} (Linux {base.kernel}), tree {base.tree}",
            "",
            f"{name} ({count}):",
            *(textwrap.fill(line, WIDTH, initial_indent="  ", subsequent_indent="    ",
                            break_long_words=False, break_on_hyphens=False) for line in subjects),
            "",
            stat,
            ""]).encode()

    # -- write ---------------------------------------------------------------------------------

    def outputs(self):
        """{path below the repository: bytes, or None for a file to remove} of all that is generated."""
        name = self.base.name
        wanted = {f"patches/{name}/{file}": data for file, data in self.patches().items()}
        wanted[f"bases/{name}/trees"] = self.trees.encode()
        for commit in self.commits:
            if commit.id in self.series.hooks:
                wanted[f"series/{name}/{commit.id}.patch"] = commit.hook or None
        for path in (self.series.top / "patches" / name).glob("*"):
            if PATCH.fullmatch(path.name):
                wanted.setdefault(f"patches/{name}/{path.name}", None)
        return wanted

    def differing(self):
        """Those outputs that are not what the repository holds."""
        found = {}
        for name, data in self.outputs().items():
            path = self.series.top / name
            if (path.read_bytes() if path.is_file() else None) != data:
                found[name] = data
        return found

    def write_patches(self):
        """Write patches/, trees and the hooks' line numbers and blob ids; only on the recorded release."""
        if not self.recorded:
            say(f"the series applies; nothing is written, because patches/{self.base.name} belongs to "
                f"{self.base.package} {self.base.version}")
            return {}
        changes = self.differing()
        write_files(self.series.top, changes)
        return changes

    # -- verify ----------------------------------------------------------------------------------

    def check_generated(self):
        """The repository holds what composing gives, byte for byte."""
        for name, data in self.differing().items():
            what = "is stale" if data is None else "is not what composing the series gives"
            raise Failure(f"{name} {what}", "make series, then commit the result")

    def check_preimages(self):
        """Every blob that a patch names as its starting point is there, at its path."""
        before = self.base_commit
        for commit, name in zip(self.commits, self._patch_names(), strict=True):
            for part in diffs.parse((self._patch_dir / name).read_bytes()):
                if part.old is None:
                    raise Failure(f"patches/{self.base.name}/{name}: no full blob ids for {part.path}",
                                  "make series")
                there = self.base.repo.resolve(f"{before}:{part.path}") or "0" * len(part.old)
                if there != part.old:
                    raise Failure(f"patches/{self.base.name}/{name}: {part.path} starts from blob {part.old}, "
                                  f"the tree has {there}", "make series")
            before = commit.commit

    def check_am(self):
        """`git am` gives the recorded tree and the message after every patch.

        Its exit status is not believed: on a tree that has moved it can succeed and give
        something else.
        """
        files = self._patch_names()
        with tempfile.TemporaryDirectory() as tmp:
            repo = git.borrowing(Path(tmp), self.base.objects, "main").with_env(
                GIT_COMMITTER_NAME="Harness", GIT_COMMITTER_EMAIL="harness@localhost")
            repo.raw("config", "core.sparseCheckout", "true")
            (Path(tmp) / ".git/info/sparse-checkout").write_text(
                "".join(f"/{path}\n" for path in self.touched()), encoding="utf-8")
            repo.raw("update-ref", "HEAD", self.base_commit)
            repo.raw("read-tree", "-m", "-u", "HEAD")
            done = repo.try_("am", "-q", "--whitespace=nowarn", "--no-3way",
                             *(str((self._patch_dir / name).resolve()) for name in files))
            made = repo.lines("rev-list", "--reverse", f"{self.base_commit}..HEAD")
            for i, commit in enumerate(self.commits):
                where = f"patches/{self.base.name}/{files[i]}"
                if i >= len(made):
                    words = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
                    raise Failure(f"{where}: git am does not apply it: {words[0]}", "make series")
                if repo.resolve(made[i] + "^{tree}") != commit.tree:
                    raise Failure(f"{where}: git am gives another tree than bases/{self.base.name}/trees",
                                  "make series")
                theirs, ours = (r.out("log", "-1", "--format=%an%n%ae%n%ad%n%B", "--date=raw", c) for r, c in
                                ((repo, made[i]), (self.base.repo, commit.commit)))
                if theirs != ours:
                    raise Failure(f"{where}: git am changes the commit message or its author",
                                  f"look at series/{commit.id}.msg")
            if done.returncode or len(made) != len(self.commits):
                raise Failure(f"git am gives {len(made)} commits for {len(self.commits)} patches", "make series")

    def check_patch(self):
        """`patch -p1 --fuzz=0` gives the same files."""
        debian.ensure(["patch"])
        with tempfile.TemporaryDirectory() as tmp:
            tmp = Path(tmp)
            for name in self.touched():
                content = self.base.repo.blob(f"{self.base_commit}:{name}")
                if content is not None:
                    (tmp / name).parent.mkdir(parents=True, exist_ok=True)
                    (tmp / name).write_bytes(content)
                    if self.base.repo.out("ls-tree", self.base_commit, name).startswith("100755"):
                        (tmp / name).chmod(0o755)
            for commit, name in zip(self.commits, self._patch_names(), strict=True):
                file = (self._patch_dir / name).resolve()
                done = subprocess.run(["patch", "-p1", "--fuzz=0", "--batch", "--silent",
                                       "--no-backup-if-mismatch", "-i", str(file)], cwd=tmp,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
                                      env={**os.environ, "LC_ALL": "C"})
                if done.returncode:
                    raise Failure(f"patches/{self.base.name}/{name}: patch says "
                                  f"{(done.stdout.strip().splitlines() or ['nothing'])[0]}", "make series")
                for part in diffs.parse(file.read_bytes()):
                    path = tmp / part.path
                    if (path.read_bytes() if path.is_file() else None) != \
                            self.base.repo.blob(f"{commit.commit}:{part.path}"):
                        raise Failure(f"patches/{self.base.name}/{name}: patch gives another {part.path} "
                                      "than git", "make series")

    def touched(self):
        """The paths that the series adds, edits or removes."""
        out = self.base.repo.raw("log", "--format=", "--name-only", "--no-renames", "-z",
                                 f"{self.base_commit}..{self.tip}")
        return sorted({os.fsdecode(name.strip(b"\n")) for name in out.split(b"\0")} - {""})

    @property
    def _patch_dir(self):
        return self.series.top / "patches" / self.base.name

    def _patch_names(self):
        return patch_names(self._patch_dir)


def patch_names(directory):
    """The patches of a directory in order, without the cover letter."""
    return sorted(path.name for path in directory.glob("[0-9]*.patch"))


def write_files(top, changes):
    """Write {path: bytes, (bytes, executable) or None to remove}, each file in one step."""
    for name, data in changes.items():
        path = Path(top) / name
        if data is None:
            path.unlink(missing_ok=True)
            for parent in path.parents:
                if parent == Path(top) or any(parent.iterdir()):
                    break
                parent.rmdir()
            continue
        data, executable = data if isinstance(data, tuple) else (data, None)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, tmp = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        if executable is None:
            executable = path.is_file() and os.access(path, os.X_OK)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(tmp, (0o777 if executable else 0o666) & ~mask)
        os.replace(tmp, path)


def prepare(base_name=None):
    """Fetch the base, read the series and compose it."""
    base = bases.load(base_name)
    series = Series(paths.TOP, base.name)
    return series.compose(base, base.fetch())


def cmd_series():
    """make series: compose, and write patches/ when the release is the recorded one."""
    steps = Steps("series", 3)
    base = bases.load()
    series = Series(paths.TOP, base.name)
    with steps.step(f"fetch base {base.name}"):
        release = base.fetch()
    with steps.step(f"compose {len(series.ids)} commits on Linux {release.kernel}"):
        composed = series.compose(base, release)
    with steps.step(f"write patches/{base.name}"):
        changes = composed.write_patches()
    for name, data in changes.items():
        say(f"  {'removed' if data is None else 'written'} {name}")
    if composed.recorded and not changes:
        say(f"  patches/{base.name} is up to date")
    return series


def cmd_verify():
    """make check's part for the series: patches/ is what it should be and applies as it should."""
    composed = prepare()
    if not composed.recorded:
        say(f"the series applies to Linux {composed.release.kernel}; patches/ can only be verified on "
            f"the recorded release {composed.base.package} {composed.base.version}")
        return
    steps = Steps("verify", 4)
    with steps.step("composing again gives the committed bytes"):
        composed.check_generated()
    with steps.step("pre-image blobs exist"):
        composed.check_preimages()
    with steps.step("git am gives the recorded trees"):
        composed.check_am()
    with steps.step("patch -p1 --fuzz=0 gives the same files"):
        composed.check_patch()
