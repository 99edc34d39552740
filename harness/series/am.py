# SPDX-License-Identifier: GPL-2.0
"""make am TREE=...: put the patches, or those of PART= and of what it needs, on somebody's kernel tree, or say why not.

Nothing in the tree changes before it is known that every patch applies: the patches are
tried first on an index and an object store of their own.  That trial also gives the tree
ids that `git am` has to arrive at, because its exit status alone says little on a tree that
is not the recorded release.
"""
import contextlib
import os
import re
import tempfile
from pathlib import Path

from harness import git, paths
from harness.series import diffs
from harness.series.compose import check_parts
from harness.series.series import Series
from harness.source import base as bases
from harness.ui import Failure, say

HISTORY = 5000      # commits that are searched for the patches' subjects


def _subjects(repo, files):
    """{file: subject} as git am will write it."""
    found = {}
    with tempfile.TemporaryDirectory() as tmp:
        for file in files:
            info = repo.raw("mailinfo", f"{tmp}/message", f"{tmp}/patch", stdin=file.read_bytes()).decode()
            found[file] = re.search(r"^Subject: (.*)$", info, re.M).group(1)
    return found


def _check_state(tree):
    """The repository of `tree`, if it is one that a series can be put on."""
    if not tree.is_dir():
        raise Failure(f"{tree} is no directory", "make am TREE=/path/of/your/kernel/tree")
    # Optional locks off: looking at the state must not even refresh the index.
    repo = git.Repo(tree, {**git.user_env(), "GIT_OPTIONAL_LOCKS": "0"})
    top = repo.try_("rev-parse", "--show-toplevel")
    if top.returncode:
        if "dubious ownership" in git.complaint(top)[0]:
            raise Failure(f"git does not trust the owner of {tree}",
                          f"git config --global --add safe.directory {tree}")
        raise Failure(f"{tree} is not a git tree",
                      "for a tree without git: patch -p1 --fuzz=0 -i each of the patches in order")
    top = Path(top.stdout.decode().rstrip("\n"))
    if top != tree:
        raise Failure(f"{tree} is a folder inside the git tree {top}", f"make am TREE={top}")
    repo.check_idle()
    if not repo.resolve("HEAD^{commit}"):
        raise Failure(f"{tree} has no commit yet", "commit the kernel source first")
    repo.check_committed("commit or stash them first", "--untracked-files=no", "--ignore-submodules=dirty")
    return repo


def _check_version(repo, tree, base_name):
    kernel = bases.kernel_version(repo.blob("HEAD:Makefile"))
    if not bases.is_series(kernel, base_name):
        known = sorted(p.name for p in (paths.TOP / "patches").glob("*") if p.is_dir())
        raise Failure(f"{tree} is {'Linux ' + kernel if kernel else 'not a kernel tree'}, "
                      f"the patches are for Linux {base_name}",
                      f"give a Linux {base_name}.y tree, or choose BASE from: {' '.join(known)}")
    return kernel


@contextlib.contextmanager
def _trial(repo):
    """The same repository with an index and an object store that go away."""
    objects = (Path(repo.cwd) / repo.out("rev-parse", "--git-path", "objects")).resolve()
    with tempfile.TemporaryDirectory() as tmp:
        (Path(tmp) / "objects").mkdir()
        trial = repo.with_env(GIT_INDEX_FILE=f"{tmp}/index", GIT_OBJECT_DIRECTORY=f"{tmp}/objects",
                              GIT_ALTERNATE_OBJECT_DIRECTORIES=f'"{objects}"')
        trial.raw("read-tree", "HEAD")
        yield trial


def _expected(repo, files):
    """(the tree after every patch, []) or (None, what does not apply)."""
    trees, reasons, bad = [], [], set()
    with _trial(repo) as trial:
        for file in files:
            data = file.read_bytes()
            read = lambda path: trial.blob(f":{path}")      # noqa: E731
            if trial.apply(data, *(f"--exclude={path}" for path in sorted(bad))).returncode:
                found = diffs.conflicts(data, file.name, read) or [(file.name, f"{file.name}: does not apply")]
                reasons += [line for path, line in found if path not in bad]
                bad |= {path for path, _ in found}
                trial.apply(data, *(f"--exclude={path}" for path in sorted(bad)))
            trees.append(trial.out("write-tree"))
    return (None, reasons) if reasons else (trees, [])


def _is_applied(repo, files):
    """Can all patches be taken back?  Then they are in."""
    with _trial(repo) as trial:
        return all(trial.apply(file.read_bytes(), "-R").returncode == 0 for file in reversed(files))


def _explain(repo, tree, files, kernel, reasons):
    """Raise the Failure that says best why the patches do not apply."""
    if _is_applied(repo, files):
        raise Failure(f"{tree} has the series already: all {len(files)} patches are in it")
    log = {}
    for line in repo.lines("log", f"-{HISTORY}", "--format=%h %s", "HEAD"):
        commit, _, subject = line.partition(" ")
        log.setdefault(subject, commit)
    subjects = _subjects(repo, files)
    there = [f"{log[subjects[f]]} {subjects[f]}" for f in files if subjects[f] in log]
    if there:
        raise Failure(f"{tree} has {len(there)} of the {len(files)} patches already:\n  " + "\n  ".join(there),
                      "go back to the commit before them, or apply the others with git am by hand")
    raise Failure(f"the patches do not apply to {tree} (Linux {kernel}), which is unchanged:\n  "
                  + "\n  ".join(reasons), "revert what conflicts, take single parts (PART=), or use the release "
                  "named in the cover letters")


def _check_collisions(tree, files):
    """git am would stop at an untracked file in the place of a new one."""
    there = [part.path for file in files for part in diffs.parse(file.read_bytes())
             if part.added and (tree / part.path).exists()]
    if there:
        raise Failure(f"{tree} has files, not known to git, where the series adds its own: {', '.join(there)}",
                      "move them away")


def _options(files):
    """The Kconfig symbols that the patches add, without tests that load the machine."""
    found = []
    for file in files:
        where = None
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("+++ "):
                where = line
            symbol = re.match(r"\+(?:menu)?config (\w+)$", line)
            if symbol and where and "Kconfig" in where and symbol[1] not in found \
                    and not symbol[1].endswith("_TORTURE_TEST"):
                found.append(symbol[1])
    return found


def _files(names):
    """The patches of these parts and of what they need, of all parts by default, in order."""
    series = Series(paths.TOP, bases.load().name)
    check_parts(series, names)
    parts = [part.name for part in series.closure(names or list(series.parts))]
    files = sorted((paths.TOP / "patches" / paths.BASE).glob("[0-9]*.patch"))
    return [file for file in files if file.name.split("-")[1] in parts]


def cmd_am():
    """Apply patches/<base> to the git tree that TREE= names with git am, or leave it as it is."""
    if not os.environ.get("TREE"):
        raise Failure("which tree?", "make am TREE=/path/of/your/kernel/tree")
    tree = Path(os.environ["TREE"]).expanduser().resolve()
    names = os.environ.get("PART", "").replace(",", " ").split()
    files = _files(names)
    if not files:
        raise Failure(f"there are no patches for base {paths.BASE}", "make series")
    repo = _check_state(tree)
    kernel = _check_version(repo, tree, paths.BASE)
    if repo.try_("var", "GIT_COMMITTER_IDENT").returncode:
        raise Failure("git does not know who you are", "git config --global user.name and user.email")
    trees, reasons = _expected(repo, files)
    if reasons:
        _explain(repo, tree, files, kernel, reasons)
    _check_collisions(tree, files)

    base = bases.load()
    head = repo.resolve("HEAD")
    recorded = repo.resolve("HEAD^{tree}") == base.tree
    record, tested = base.dir / "trees", base.dir / "tested"
    if recorded and not names and record.is_file():
        wanted = [line.split()[1] for line in record.read_text(encoding="ascii").splitlines()]
        if wanted != trees:
            raise Failure(f"patches/{paths.BASE} and bases/{paths.BASE}/trees do not belong together",
                          "make series")
    work = git.Repo(tree, git.user_env())
    done = work.try_("-c", "apply.ignoreWhitespace=no", "am", "-q", "--no-3way", "--no-scissors", "--no-keep-cr",
                     "--whitespace=nowarn", *map(str, files))
    if done.returncode:
        work.try_("am", "--abort")
        _restored(work, tree, head)
        raise Failure(f"git am stopped ({git.complaint(done)[0]}); it was taken back and {tree} is unchanged",
                      "see whether a hook of that tree objects")
    made = work.lines("rev-list", "--reverse", f"{head}..HEAD")
    if [work.resolve(commit + "^{tree}") for commit in made] != trees:
        work.raw("reset", "-q", "--keep", head)
        _restored(work, tree, head)
        raise Failure(f"git am gave other files than expected; it was taken back and {tree} is unchanged",
                      "see whether git's settings or a hook of that tree change files")
    say(f"{len(made)} patches applied to {tree} (Linux {kernel})")
    if not recorded:
        say(f"this tree is not the recorded release {base.package} {base.version}; every hunk applied "
            "without fuzz and the files are as expected, but that combination was not tested here")
    elif tested.is_file() and trees[-1] in tested.read_text(encoding="ascii").split():
        say("every commit has the recorded tree, and `make test` has passed on the last: this is the tested source, "
            "byte for byte")
    elif names:
        say(f"this is the recorded release; `make check` builds the part{'s' * (len(names) > 1)} {', '.join(names)} "
            "by itself, and `make test` runs the whole series")
    else:
        say("every commit has the recorded tree, byte for byte; `make test` has not passed on it yet")
    symbols = _options(files)
    if symbols:
        say("next, in the tree, to build the series and its KUnit suites:")
        say("  scripts/config " + " ".join(f"-e {name}" for name in ["KUNIT", *symbols]) + " && make olddefconfig")
    say(f"to take it back: git -C {tree} reset --keep {head[:12]}")


def _restored(work, tree, head):
    """Do not claim that a tree is unchanged without looking."""
    if work.resolve("HEAD") != head or work.lines("status", "--porcelain", "--untracked-files=no"):
        raise Failure(f"git am failed and {tree} could not be brought back by itself",
                      f"git -C {tree} am --abort; git -C {tree} reset --hard {head[:12]}")
