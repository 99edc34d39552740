# SPDX-License-Identifier: GPL-2.0
"""Calling git so that it does the same on every machine.

Two kinds of calls exist.  `fixed_env()` is for the harness's own repositories: no
configuration, attribute or identity of the user gets in, so the same series gives the
same bytes everywhere.  `user_env()` is for somebody's own tree: their identity and
settings count there, only variables that would point git elsewhere are removed.
"""
import os
import re
import subprocess
from pathlib import Path

from harness.ui import Failure, short

# Set for every call on the harness's own repositories.  git reads the attribute file in
# the home directory even when the configuration in it is switched off, hence
# attributesFile; the hunk headers of C files come from an expression of our own because
# git's built-in one differs between versions of git.
CONFIG = {
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
    "core.hooksPath": os.devnull,
    "core.autocrlf": "false",
    "core.quotePath": "false",
    "core.fsmonitor": "false",
    "core.compression": "1",
    "checkout.workers": "2",
    "diff.kernel.xfuncname": "!^[A-Za-z_][A-Za-z_0-9]*:\n^([A-Za-z_].*)$",
    "gc.auto": "0",
    "commit.gpgSign": "false",
    "safe.directory": "*",
    "advice.detachedHead": "false",
}
# For info/attributes, which outranks every .gitattributes: no byte of a file is changed.
ATTRIBUTES = "* -text -ident -filter -working-tree-encoding\n*.c diff=kernel\n*.h diff=kernel\n"

# Every option that decides a byte of a diff, so that a hook and a patch have one form; STAT
# are those that count for a diffstat too (the others make git show the diff itself).
STAT = ["--no-renames", "--diff-algorithm=myers", "--indent-heuristic", "--no-color", "--no-ext-diff",
        "--no-textconv", "-O" + os.devnull]
DIFF = ["-p", "--binary", "--full-index", "--unified=3", "--inter-hunk-context=0", "--src-prefix=a/",
        "--dst-prefix=b/", *STAT]


INDEX = re.compile(rb"^index [0-9a-f]{40}\.\.[0-9a-f]{40}(?: [0-7]{6})?\n", re.M)     # no line of a hunk begins so


def kept(diff):
    """A diff as the repository keeps it: without the ids of blobs, which conflict where no line does."""
    return INDEX.sub(b"", diff)


# What a user's repository can be in the middle of, by the file in .git that shows it.
BUSY = {"rebase-apply": "a git am or rebase", "rebase-merge": "a rebase", "MERGE_HEAD": "a merge",
        "CHERRY_PICK_HEAD": "a cherry-pick", "REVERT_HEAD": "a revert", "BISECT_LOG": "a bisection"}


def user_env():
    """The caller's environment; of git's variables only those that do not point it to another place."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")
           or k.startswith(("GIT_AUTHOR_", "GIT_COMMITTER_", "GIT_CONFIG_", "GIT_SSH"))}
    return {**env, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_EDITOR": "true", "GIT_PAGER": "cat"}


def fixed_env(**extra):
    """An environment in which nothing of the user's git set-up has a say."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    env.update(LC_ALL="C", TZ="UTC", GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL=os.devnull,
               GIT_ATTR_NOSYSTEM="1", GIT_TERMINAL_PROMPT="0", GIT_EDITOR="true",
               GIT_CONFIG_COUNT=str(len(CONFIG)))
    for i, (key, value) in enumerate(CONFIG.items()):
        env[f"GIT_CONFIG_KEY_{i}"] = key
        env[f"GIT_CONFIG_VALUE_{i}"] = value
    return {**env, **extra}


def identity(name, email, date):
    """Environment of a commit whose id depends on nothing but its content."""
    return {f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", name), ("EMAIL", email), ("DATE", date))}


def complaint(done):
    """The lines that a finished git has said about a failure."""
    return done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]


def _entries(listing):
    """(path, word, word, word) of each entry that `git ls-tree -z` or `git ls-files -s -z` lists."""
    for entry in listing.split(b"\0"):
        if entry:
            about, path = entry.split(b"\t", 1)
            yield os.fsdecode(path), *about.decode().split()


class Repo:
    """A git repository; `env` decides whose rules hold in it."""

    def __init__(self, cwd, env):
        self.cwd, self.env = str(cwd), env

    def with_env(self, **extra):
        """The same repository with more variables."""
        return Repo(self.cwd, {**self.env, **extra})

    def try_(self, *args, stdin=b""):
        """Run git and return the finished process with bytes in stdout and stderr."""
        return subprocess.run(["git", *map(str, args)], cwd=self.cwd, env=self.env, input=stdin, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def raw(self, *args, stdin=b""):
        """Output of git in bytes; a failure of git is a Failure with git's own words."""
        done = self.try_(*args, stdin=stdin)
        if done.returncode:
            raise Failure(f"git {args[0]} failed in {self.cwd}: {'; '.join(complaint(done)[:4])}")
        return done.stdout

    def out(self, *args, stdin=b""):
        """Output of git as text."""
        return self.raw(*args, stdin=stdin).decode(errors="surrogateescape").rstrip("\n")

    def lines(self, *args, stdin=b""):
        """Output of git in lines."""
        return self.out(*args, stdin=stdin).splitlines()

    def resolve(self, name):
        """The object id of `name`, or None when it names nothing."""
        done = self.try_("rev-parse", "--verify", "--quiet", "--end-of-options", name)
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def blob(self, name):
        """The bytes of a blob (`commit:path`, `:path`, an id), or None when there is none."""
        done = self.try_("cat-file", "blob", name)
        return done.stdout if done.returncode == 0 else None

    def apply(self, diff, *options):
        """Apply a diff to the index."""
        return self.try_("-c", "apply.ignoreWhitespace=no", "apply", "--cached", "--whitespace=nowarn", "-p1", *options,
                         stdin=diff)

    def stage(self, entries):
        """Put {path: (mode, blob), or None to remove it} into the index."""
        self.raw("update-index", "-z", "--add", "--index-info", stdin=b"".join(
            os.fsencode("{} {}\t{}\0".format(*(entry or ("0", "0" * 40)), path)) for path, entry in entries.items()))

    def staged(self):
        """{path: (mode, blob)} of the index."""
        return {path: (mode, blob) for path, mode, blob, _ in _entries(self.raw("ls-files", "-s", "-z"))}

    def files(self, tree, paths):
        """{path: (mode, blob)} of those paths that are files in a tree."""
        found = _entries(self.raw("--literal-pathspecs", "ls-tree", "-z", "-r", "--full-tree", tree, "--", *paths))
        return {path: (mode, blob) for path, mode, _, blob in found if path in paths}

    def trees(self, tree, changes):
        """The trees that a tree becomes: one id after each {path: (mode, blob), or None to remove it} of `changes`.
        Only the folders of these paths are read and written, which is faster than an index of all others."""
        steps = [{"": {}} for _ in changes]             # {folder: {name: (mode, id) or None}}
        for step, change in zip(steps, changes, strict=True):
            for path, entry in change.items():
                folder, name = os.path.split(path)
                step.setdefault(folder, {})[name] = entry
                while folder:
                    folder = os.path.dirname(folder)
                    step.setdefault(folder, {})
        for folder in sorted({folder for step in steps for folder in step}, key=lambda name: (-len(name), name)):
            concerned = [step for step in steps if folder in step]
            for step, made in zip(concerned, self._states(tree, folder, concerned), strict=True):
                step[folder] = made
                if folder:
                    parent, name = os.path.split(folder)
                    step[parent][name] = ("040000", made) if made else None
        return [step[""] for step in steps]

    def _states(self, tree, folder, steps):
        """The ids of one folder after each step, None where it has nothing left."""
        found = _entries(self.try_("ls-tree", "-z", f"{tree}:{folder}").stdout)
        entries, texts = {name: (mode, made) for name, mode, _, made in found}, []
        for step in steps:
            entries.update(step[folder])
            entries = {name: entry for name, entry in entries.items() if entry}
            texts.append(b"".join(os.fsencode(f"{mode} {'tree' if mode == '040000' else 'blob'} {made}\t{name}\0")
                                  for name, (mode, made) in entries.items()))
        ids = iter(self.out("mktree", "-z", "--batch", stdin=b"\0".join(text for text in texts if text)).split())
        return [next(ids) if text else None for text in texts]

    def check_idle(self):
        """Nobody is in the middle of something in the work tree."""
        for name, what in BUSY.items():
            if (Path(self.cwd) / self.out("rev-parse", "--git-path", name)).exists():
                raise Failure(f"{short(self.cwd)} is in the middle of {what}", "finish or abort it first")

    def check_committed(self, hint, *options):
        """The work tree has no changes, as `git status` tells with these options."""
        dirty = self.lines("status", "--porcelain", *options)
        if dirty:
            more = f" and {len(dirty) - 4} more" if len(dirty) > 4 else ""
            raise Failure(f"{short(self.cwd)} has changes that are in no commit: "
                          + ", ".join(line[3:] for line in dirty[:4]) + more, hint)


def borrowing(path, objects, branch):
    """Make a repository with a work tree in the empty folder `path` that reads the objects of another one, and where
    a user's git writes the same bytes as the harness."""
    own(path).raw("init", "-q", "-b", branch, "--template=")
    repo = own(path, GIT_DIR=path / ".git", GIT_WORK_TREE=path)
    for key in ("core.autocrlf", "gc.auto", "diff.kernel.xfuncname"):
        repo.raw("config", key, CONFIG[key])
    borrow(path, objects)
    file = path / ".git/info/attributes"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(ATTRIBUTES, encoding="utf-8")
    return repo


def borrow(path, objects):
    """Let a repository read the objects of another one, which may have been moved since it was made."""
    file = path / ".git/objects/info/alternates"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{objects}\n", encoding="utf-8")


def own(cwd, **extra):
    """A repository of the harness itself."""
    return Repo(cwd, fixed_env(**extra))
