# SPDX-License-Identifier: GPL-2.0
"""patches/<base> is what the files give, and applies as a user applies it.

Each check holds by itself, should composing and the committed patches be wrong alike.
"""
import os
import subprocess
import tempfile
from pathlib import Path

from harness import git
from harness.series import diffs
from harness.series.compose import compose
from harness.source import debian
from harness.ui import Failure


def generated(composed):
    """The repository holds what composing gives, byte for byte."""
    for name, data in composed.differing().items():
        what = "is stale" if data is None else "is not what composing the series gives"
        raise Failure(f"{name} {what}", "make series, then commit the result")


def _patch_files(composed):
    """[(commit, name for messages, path)]."""
    found = []
    for commit in composed.commits:
        name = f"patches/{composed.base.name}/{composed.patch_name(commit)}"
        found.append((commit, name, composed.series.top / name))
        if not found[-1][2].is_file():
            raise Failure(f"{name} is missing", "make series")
    return found


def preimages(composed):
    """Every blob that a patch names as its starting point is there, at its path."""
    before = composed.base_commit
    for commit, name, path in _patch_files(composed):
        for part in diffs.parse(path.read_bytes()):
            if part.old is None:
                raise Failure(f"{name}: no full blob ids for {part.path}", "make series")
            there = composed.base.repo.resolve(f"{before}:{part.path}") or "0" * len(part.old)
            if there != part.old:
                raise Failure(f"{name}: {part.path} starts from blob {part.old}, the tree has {there}", "make series")
        before = commit.commit


def applied_by_am(composed, files):
    """Run git am on the base in a repository that goes away: (what it made as [(tree, author and message)], the
    first line of its complaint)."""
    with tempfile.TemporaryDirectory() as tmp:
        repo = git.borrowing(Path(tmp), composed.base.objects, "main").with_env(
            GIT_COMMITTER_NAME="Harness", GIT_COMMITTER_EMAIL="harness@localhost")
        repo.raw("config", "core.sparseCheckout", "true")
        (Path(tmp) / ".git/info/sparse-checkout").write_text(
            "".join(f"/{path}\n" for path in composed.touched()), encoding="utf-8")
        repo.raw("update-ref", "HEAD", composed.base_commit)
        repo.raw("read-tree", "-m", "-u", "HEAD")
        done = repo.try_("am", "-q", "--whitespace=nowarn", "--no-3way", *(str(file.resolve()) for file in files))
        made = [(repo.resolve(f"{commit}^{{tree}}"), _who_and_what(repo, commit))
                for commit in repo.lines("rev-list", "--reverse", f"{composed.base_commit}..HEAD")]
    return made, git.complaint(done)[0] if done.returncode else None


def _who_and_what(repo, commit):
    return repo.out("log", "-1", "--format=%an%n%ae%n%ad%n%B", "--date=raw", commit)


def am(composed):
    """`git am` gives the recorded tree and the message after every patch.

    Its exit status is not believed: on a tree that has moved it can succeed and give something else.
    """
    found = _patch_files(composed)
    made, complaint = applied_by_am(composed, [path for _, _, path in found])
    for position, (commit, name, _) in enumerate(found):
        if position >= len(made):
            raise Failure(f"{name}: git am does not apply it: {complaint}", "make series")
        tree, text = made[position]
        if tree != commit.tree:
            raise Failure(f"{name}: git am gives another tree than bases/{composed.base.name}/trees", "make series")
        if text != _who_and_what(composed.base.repo, commit.commit):
            raise Failure(f"{name}: git am changes the commit message or its author",
                          f"look at series/{commit.id}.msg")
    if complaint or len(made) != len(found):
        raise Failure(f"git am gives {len(made)} commits for {len(found)} patches", "make series")


def alone(composed):
    """Each part applies with what it needs and nothing else: its files compose, and git am of its patches gives the
    same files."""
    files = {commit.id: path for commit, _, path in _patch_files(composed)}
    for name in dict.fromkeys(commit.part for commit in composed.commits):
        part = compose(composed.series, composed.base, composed.release, [name])
        made, complaint = applied_by_am(part, [files[commit.id] for commit in part.commits])
        if complaint or [tree for tree, _ in made] != [commit.tree for commit in part.commits]:
            what = complaint or "git am gives other files than composing it"
            raise Failure(f"part {name} alone: {what}",
                          "see which hook needs a part that series/parts.toml does not name")


def fuzzless(composed):
    """`patch -p1 --fuzz=0` gives the same files."""
    debian.ensure(["patch"])
    with tempfile.TemporaryDirectory() as tmp:
        tmp, repo = Path(tmp), composed.base.repo
        for name in composed.touched():
            content = repo.blob(f"{composed.base_commit}:{name}")
            if content is not None:
                (tmp / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp / name).write_bytes(content)
                if repo.out("ls-tree", composed.base_commit, name).startswith("100755"):
                    (tmp / name).chmod(0o755)
        for commit, name, path in _patch_files(composed):
            done = subprocess.run(["patch", "-p1", "--fuzz=0", "--batch", "--silent", "--no-backup-if-mismatch", "-i",
                                   str(path.resolve())], cwd=tmp, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
                                  env={**os.environ, "LC_ALL": "C"})
            if done.returncode:
                raise Failure(f"{name}: patch says {(done.stdout.strip().splitlines() or ['nothing'])[0]}",
                              "make series")
            for part in diffs.parse(path.read_bytes()):
                file = tmp / part.path
                if (file.read_bytes() if file.is_file() else None) != repo.blob(f"{commit.commit}:{part.path}"):
                    raise Failure(f"{name}: patch gives another {part.path} than git", "make series")


CHECKS = (("composing again gives the committed bytes", generated),
          ("the pre-images are in the base", preimages),
          ("git am gives the recorded trees", am),
          ("patch --fuzz=0 gives the same files", fuzzless),
          ("each part applies with what it needs alone", alone))
