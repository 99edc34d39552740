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


def _part(file):
    return file.name.split("-")[1]


def _patches(names):
    """{file: subject} of the patches of these parts and of what they need, of all parts by default, in order."""
    series = Series(paths.TOP, paths.BASE)
    check_parts(series, names)
    parts = [part.name for part in series.closure(names or list(series.parts))]
    subjects = {i.replace("/", "-"): message.subject for i, message in series.messages.items()}
    found = {file: subjects.get(file.stem[len("0001-"):])
             for file in sorted((paths.TOP / "patches" / paths.BASE).glob("[0-9]*.patch"))
             if _part(file) in parts}
    if not found:
        raise Failure(f"there are no patches for base {paths.BASE}", "make series")
    return found


def _open(tree):
    """The repository at `tree` and its kernel's version, if it is one that a series can be put on."""
    if not tree.is_dir():
        raise Failure(f"{tree} is no directory", "make am TREE=/path/of/your/kernel/tree")
    # Optional locks off: looking at the state must not even refresh the index.
    repo = git.Repo(tree, {**git.user_env(), "GIT_OPTIONAL_LOCKS": "0"})
    top = repo.try_("rev-parse", "--show-toplevel")
    if top.returncode:
        if "dubious ownership" in git.complaint(top)[0]:
            raise Failure(f"git does not trust the owner of {tree}", f"git config --global --add safe.directory {tree}")
        raise Failure(f"{tree} is not a git tree",
                      "for a tree without git: patch -p1 --fuzz=0 -i each of the patches in order")
    top = Path(top.stdout.decode().rstrip("\n"))
    if top != tree:
        raise Failure(f"{tree} is a folder inside the git tree {top}", f"make am TREE={top}")
    repo.check_idle()
    if not repo.resolve("HEAD^{commit}"):
        raise Failure(f"{tree} has no commit yet", "commit the kernel source first")
    repo.check_committed("commit or stash them first", "--untracked-files=no", "--ignore-submodules=dirty")
    kernel = bases.kernel_version(repo.blob("HEAD:Makefile"))
    if not bases.is_series(kernel, paths.BASE):
        known = sorted(path.name for path in (paths.TOP / "patches").glob("*") if path.is_dir())
        raise Failure(f"{tree} is {'Linux ' + kernel if kernel else 'not a kernel tree'}, the patches are for Linux "
                      f"{paths.BASE}", f"give a Linux {paths.BASE}.y tree, or choose BASE from: {' '.join(known)}")
    if repo.try_("var", "GIT_COMMITTER_IDENT").returncode:
        raise Failure("git does not know who you are", "git config --global user.name and user.email")
    return repo, kernel


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
    """(The tree after every patch, what does not apply)."""
    trees, reasons, bad = [], [], set()
    with _trial(repo) as trial:
        for file in files:
            data = file.read_bytes()
            if trial.apply(data, *(f"--exclude={path}" for path in bad)).returncode:
                found = diffs.conflicts(data, file.name, lambda path: trial.blob(f":{path}")) \
                    or [(file.name, f"{file.name}: does not apply")]
                reasons += [line for path, line in found if path not in bad]
                bad |= {path for path, _ in found}
                trial.apply(data, *(f"--exclude={path}" for path in bad))
            trees.append(trial.out("write-tree"))
    return trees, reasons


def _all_in(repo, files):
    """Whether all patches can be taken back, one after the other."""
    with _trial(repo) as trial:
        return all(trial.apply(file.read_bytes(), "-R").returncode == 0 for file in reversed(files))


def _missing(repo, files):
    """The patches without those of whole parts that the tree has; all of them, if it has all."""
    there = set(repo.lines("log", f"-{HISTORY}", "--format=%s", "HEAD"))
    parts = {_part(file) for file, subject in files.items() if subject not in there}
    missing = {file: subject for file, subject in files.items() if _part(file) in parts}
    present = [file for file in files if file not in missing]
    return missing if missing and _all_in(repo, present) else files


def _explain(repo, files, kernel, reasons):
    """Raise the Failure that says best why the patches do not apply."""
    tree = repo.cwd
    if b"\r\n" in repo.blob("HEAD:Makefile"):
        raise Failure(f"the lines of the files in {tree} end with CR LF, those of the kernel with LF",
                      "take the files of the release as they are, with core.autocrlf=false")
    if _all_in(repo, list(files)):
        raise Failure(f"{tree} has the series already: all {len(files)} patches are in it")
    log = dict(reversed(line.split(" ", 1))
               for line in reversed(repo.lines("log", f"-{HISTORY}", "--format=%h %s", "HEAD")))
    there = [f"{log[subject]} {subject}" for subject in files.values() if subject in log]
    if there:
        raise Failure(f"{tree} has {len(there)} of the {len(files)} patches already:\n  " + "\n  ".join(there),
                      "go back to the commit before them, or apply the others with git am by hand")
    raise Failure(f"the patches do not apply to {tree} (Linux {kernel}), which is unchanged:\n  "
                  + "\n  ".join(reasons), "revert what conflicts, take single parts (PART=), or use the release "
                  "named in the cover letters")


def _check_collisions(tree, files):
    """git am would stop at an untracked file in the place of a new one, or of a folder for it."""
    there = {}
    for part in (part for file in files for part in diffs.parse(file.read_bytes()) if part.added):
        folders = (tree / folder for folder in Path(part.path).parents[:-1])
        for path in [*(path for path in folders if os.path.lexists(path) and not path.is_dir()), tree / part.path]:
            if os.path.lexists(path):
                there[str(path.relative_to(tree))] = None
    if there:
        raise Failure(f"{tree} has files, not known to git, where the series adds its own: {', '.join(there)}",
                      "move them away")


def _apply(repo, files, trees):
    """git am, which has to give these trees; if not, it is taken back."""
    tree, head = repo.cwd, repo.resolve("HEAD")

    def take_back():
        repo.try_("am", "--abort")
        repo.try_("reset", "-q", "--hard", head)        # nothing that git knows had changes before
        if repo.resolve("HEAD") != head or repo.lines("status", "--porcelain", "--untracked-files=no"):
            raise Failure(f"git am failed and {tree} could not be brought back by itself",
                          f"git -C {tree} am --abort; git -C {tree} reset --hard {head[:12]}")
    try:
        done = repo.try_("-c", "apply.ignoreWhitespace=no", "am", "-q", "--no-3way", "--no-scissors", "--no-keep-cr",
                         "--whitespace=nowarn", *files)
    except (KeyboardInterrupt, SystemExit):
        take_back()
        say(f"git am was interrupted; it was taken back and {tree} is unchanged")
        raise
    made = [repo.resolve(commit + "^{tree}") for commit in repo.lines("rev-list", "--reverse", f"{head}..HEAD")]
    if done.returncode or made != trees:
        take_back()
        what = f"stopped ({git.complaint(done)[0]})" if done.returncode else "gave other files than expected"
        raise Failure(f"git am {what}; it was taken back and {tree} is unchanged",
                      "see whether git's settings or a hook of that tree object or change files")


def _symbols(files):
    """The Kconfig symbols that the patches add, without tests that load the machine."""
    found = [symbol.decode() for file in files for part in diffs.parse(file.read_bytes()) if "Kconfig" in part.path
             for symbol in re.findall(rb"^\+(?:menu)?config (\w+)$", part.text, re.M)]
    return [symbol for symbol in dict.fromkeys(found) if not symbol.endswith("_TORTURE_TEST")]


def cmd_am():
    """Apply patches/<base> to the git tree that TREE= names with git am, or leave it as it is."""
    if not os.environ.get("TREE"):
        raise Failure("which tree?", "make am TREE=/path/of/your/kernel/tree")
    tree = Path(os.environ["TREE"]).expanduser().resolve()
    names = os.environ.get("PART", "").replace(",", " ").split()
    files, base = _patches(names), bases.load()
    repo, kernel = _open(tree)
    missing = _missing(repo, files)
    trees, reasons = _expected(repo, missing)
    if reasons:
        _explain(repo, files, kernel, reasons)
    for part in dict.fromkeys(_part(file) for file in files if file not in missing):
        say(f"{tree} has part {part} already")
    files = missing
    _check_collisions(tree, files)
    head, recorded = repo.resolve("HEAD"), repo.resolve("HEAD^{tree}") == base.tree
    if recorded and not names:
        lines = (base.dir / "trees").read_text(encoding="ascii").splitlines()
        if [line.split()[1] for line in lines] != trees:
            raise Failure(f"patches/{paths.BASE} and bases/{paths.BASE}/trees do not belong together", "make series")
    _apply(repo, files, trees)
    say(f"{len(trees)} patches applied to {tree} (Linux {kernel})")
    tested = base.dir / "tested"
    if tested.is_file() and trees[-1] in tested.read_text(encoding="ascii").split():
        say("`make test` has passed on these files: this is the tested source, byte for byte")
    elif not recorded:
        say(f"this tree is not the recorded release {base.package} {base.version}; every hunk applied "
            "without fuzz and the files are as expected, but that combination was not tested here")
    elif names:
        say(f"this is the recorded release; `make check` builds the part{'s' * (len(names) > 1)} {', '.join(names)} "
            "by itself, and `make test` runs the whole series")
    else:
        say("every commit has the recorded tree, byte for byte; `make test` has not passed on it yet")
    symbols = _symbols(files)
    if symbols:
        say("next, in the tree, to build the series and its KUnit suites:")
        say("  scripts/config " + " ".join(f"-e {name}" for name in ["KUNIT", *symbols]) + " && make olddefconfig")
    say(f"to take it back: git -C {tree} reset --keep {head[:12]}")
