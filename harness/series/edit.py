# SPDX-License-Identifier: GPL-2.0
"""make edit: a git work tree of the base with one commit for each patch, to change with plain git.

On the branch `series` the contributor amends, reorders, adds and drops commits; absorb.py writes the outcome back.
A message there has a cut, below which stands what is not part of the commit:

    ---
    Id: part/name

    what the mail has below its cut

The line `Id:` tells which commit of the series this is, through every rebase and amend; another id there renames the
commit, and a commit without one is found by its subject, or is new in the part of the commit before it.
"""
import re
import shutil
import tempfile
from pathlib import Path

from harness import git, paths
from harness.series import message
from harness.series.compose import make_commit, prepare
from harness.ui import Failure, say, short

BRANCH = "refs/heads/series"
CLEAN = "refs/harness/clean"            # the branch when it was last written or absorbed
BASE = "refs/tags/base"
STATE = "harness-state"                 # file in .git: the repository's files and what they composed to at that time


def edit_dir(name):
    """Where the work tree of a base is."""
    return paths.OUT / "edit" / name


def opened(path, objects):
    """The repository there, which reads these objects."""
    if not (path / ".git").is_dir():
        raise Failure(f"{short(path)} is not a work tree of `make edit`", "move it away, then make edit")
    git.borrow(path, objects)
    return git.own(path, GIT_DIR=path / ".git", GIT_WORK_TREE=path)


def show_new_files(repo):
    """Let `git status` and `git add` see new files in spite of Debian's .gitignore.

    Its last lines hide the whole tree.  The work tree's copy loses them, and git is told not to look at that copy, so
    that no commit gets the change.
    """
    text = repo.blob(f"{BRANCH}:.gitignore") or b""
    if not re.search(rb"^/\*$", text, re.M) or repo.blob(f"{BASE}:.gitignore") != text:
        return
    plain = re.sub(rb"^(/\*|!/debian/)\n", b"", text, flags=re.M)
    path = Path(repo.cwd) / ".gitignore"
    if path.read_bytes() in (text, plain):
        path.write_bytes(plain)
        repo.raw("update-index", "--skip-worktree", ".gitignore")


def check_clean(repo, path):
    """The work tree is on its branch, finished and committed; new files count."""
    repo.check_idle()
    head = repo.try_("symbolic-ref", "-q", "HEAD").stdout.decode().strip()
    if head != BRANCH:
        ahead = repo.try_("merge-base", "--is-ancestor", BRANCH, "HEAD").returncode == 0
        raise Failure(f"{short(path)} is not on its branch",
                      f"git -C {short(path)} checkout " + ("-B series, which takes the commits of HEAD along" if ahead
                      else "series; git log series..HEAD has what is only here"))
    show_new_files(repo)
    repo.check_committed("commit them there (git commit --amend, git rebase -i base), or remove them",
                         "--untracked-files=all")


def recorded_only(composed, what):
    """Hooks and patches belong to the recorded release."""
    if not composed.recorded:
        raise Failure(f"make {what} works on the recorded release {composed.base.package} "
                      f"{composed.base.version}, not on Linux {composed.release.kernel}",
                      "hooks are kept for that release: unset KERNEL_SRC, or give that release")


def keep_state(base):
    """A commit of the repository that holds the files as they are now, kept under a ref; None without a repository."""
    repo = git.Repo(paths.TOP, git.user_env())
    head = repo.resolve("HEAD")
    if not head:
        return None
    with tempfile.TemporaryDirectory() as tmp:
        files = repo.with_env(GIT_INDEX_FILE=f"{tmp}/index", **git.identity("Harness", "harness@localhost", "1000000000 +0000"))
        files.raw("read-tree", head)
        files.raw("add", "-A", ".")
        tree = files.out("write-tree")
        commit = head if tree == repo.resolve(f"{head}^{{tree}}") else \
            files.out("commit-tree", tree, "-p", head, "-m", "files at make edit")
    repo.raw("update-ref", f"refs/dma-reach/edit/{base}", commit)
    return commit


def recorded_state(repo):
    """[commit, digest] of mark()."""
    path = Path(repo.cwd) / ".git" / STATE
    return (path.read_text(encoding="ascii") if path.is_file() else "\n").split("\n")[:2]


def write_branch(repo, composed):
    """Make the branch: the composed commits, with their ids and notes below the cut of the messages."""
    parent = composed.base_commit
    for commit in composed.commits:
        found = composed.series.messages[commit.id]
        text = message.joined(found.text, f"Id: {commit.id}\n" + (f"\n{found.notes}" if found.notes else ""))
        parent = make_commit(repo, composed.series, commit.id, commit.tree, parent, text)
    repo.raw("update-ref", BRANCH, parent)
    repo.raw("read-tree", "--reset", "-u", "HEAD")
    show_new_files(repo)
    mark(repo, composed)


def mark(repo, composed):
    """Remember the branch as it is now: what is absorbed, where the files are kept, what they compose to."""
    repo.raw("update-ref", CLEAN, BRANCH)
    (Path(repo.cwd) / ".git" / STATE).write_text(f"{keep_state(composed.base.name) or ''}\n{composed.digest}\n",
                                                 encoding="ascii")


def moved_on(repo, path):
    """The way out when both the branch and the files have changed since `make edit`."""
    commit, _ = recorded_state(repo)
    if not commit:
        return f"move {short(path)} to another place, make edit, and git cherry-pick from there"
    # What is generated stays out, for `make series` makes it again.
    made = f"patches bases/{paths.BASE}/trees README.md"
    branch = f"edited-{commit[:7]}"
    steps = [f"git switch -c {branch} {commit[:12]}", "make absorb",
             "git add -A . " + " ".join(f"':!{name}'" for name in made.split()), "git commit -m edited",
             f"git checkout -q HEAD -- {made}", "git clean -fdq patches", "git switch -", f"git cherry-pick {branch}",
             "make series"]
    dirty = git.Repo(paths.TOP, git.user_env()).lines("status", "--porcelain")
    return ("commit what is not committed here; then " if dirty else "") + " && ".join(steps)


def cmd_edit():
    """Make or renew OUT/edit/<base>; edits that are not absorbed are never lost."""
    composed = prepare()
    recorded_only(composed, "edit")
    path = edit_dir(composed.base.name)
    if path.exists():
        repo = opened(path, composed.base.objects)
        check_clean(repo, path)
        if repo.resolve(BRANCH) != repo.resolve(CLEAN):
            raise Failure(f"{short(path)} has edits that are not absorbed",
                          "make absorb" if recorded_state(repo)[1] == composed.digest else moved_on(repo, path))
        if recorded_state(repo)[1] != composed.digest:
            repo.raw("tag", "-f", "base", composed.base_commit)
            write_branch(repo, composed)
    else:
        new = path.with_name(f".{path.name}.new")       # so that a half-made tree is not taken for one
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        repo = git.borrowing(new, composed.base.objects, "series")
        repo.raw("update-ref", BASE, composed.base_commit)
        write_branch(repo, composed)
        new.rename(path)
    say(f"{short(path)}: branch series, {len(composed.commits)} commits after the tag base")
    say(f"  cd {short(path)} && git rebase -i base        then here: make absorb")
