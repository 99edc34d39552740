# SPDX-License-Identifier: GPL-2.0
"""The kernel that a series is made for: where its source comes from, and its copy in git.

The source comes from KERNEL_SRC, which needs no network, or else from the Debian package
that bases/<base>/base.toml names.  KERNEL_SRC may be

    a tarball                   linux-6.1.192.tar.xz (also .tar, .tar.gz)
    a Debian package            linux-source-6.1_6.1.192-2_all.deb
    an unpacked source tree     a directory without .git
    a git repository            a directory, with `@revision` after it if HEAD is not meant

Whatever it is, its files become one commit without parent in CACHE/git/<base>.git.  The
commit's identity and date are fixed, so equal files give an equal commit id everywhere.
`git add -f` under attributes that change nothing takes them in: no .gitignore (Debian's ends
with `/*`), no attribute and no line-end setting can drop or change one.

A finished import is found again through refs/base/<key>, where the key is the checksum of
the source, the package version or the tree id.  That ref is written last, therefore an
interrupted import leaves nothing that a later run believes.
"""
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

from harness import git, paths, ui
from harness.source import debian
from harness.ui import Failure, say

IDENTITY = git.identity("Linux base", "base@localhost", "1000000000 +0000")
INDEX = ".dma-reach.index"      # marks a checked-out tree as ours, and is its git index
RECORD = ("package", "version", "kernel", "sha256", "tree")
KINDS = "a tarball, a linux-source .deb, a source tree or a git repository"


@dataclass(frozen=True)
class Release:
    """One imported release of a base."""
    commit: str
    tree: str
    kernel: str         # what its Makefile says, e.g. 6.1.192
    recorded: bool      # is it, byte for byte, the release in base.toml


@contextlib.contextmanager
def locked(path):
    """Keep a second run of the harness out until the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sha256(path):
    """Checksum of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def kernel_version(makefile):
    """`6.1.192` from the bytes of a kernel's top Makefile; None if it is not one."""
    numbers = dict(re.findall(rb"^(VERSION|PATCHLEVEL|SUBLEVEL)[ \t]*=[ \t]*(\d+)[ \t\r]*$", makefile or b"", re.M))
    if b"VERSION" not in numbers or b"PATCHLEVEL" not in numbers:
        return None
    return b".".join([numbers[b"VERSION"], numbers[b"PATCHLEVEL"], numbers.get(b"SUBLEVEL", b"0")]).decode()


def version_of(tree):
    """The kernel version of an unpacked source tree; None if it is none."""
    makefile = tree / "Makefile"
    return kernel_version(makefile.read_bytes()) if makefile.is_file() else None


def is_series(kernel, name):
    """Does release `kernel` (6.1.192) belong to base `name` (6.1)?"""
    return kernel is not None and kernel.split(".")[:2] == name.split(".")[:2]


def inner_tarball(deb, folder):
    """The kernel's tarball in a linux-source package, unpacked below `folder`."""
    try:
        ui.run(["dpkg-deb", "-x", deb, folder / "deb"], paths.OUT / "log/unpack.log")
    except Failure as failure:
        raise Failure(f"{deb} is not a complete package", "get it again", failure.log) from failure
    tarball = next((folder / "deb/usr/src").glob("linux-source-*.tar*"), None)
    if tarball is None:
        raise Failure(f"{deb} is not a linux-source package", "give one such as linux-source-6.1_6.1.192-2_all.deb")
    return tarball


def unpack(tarball, folder):
    """Unpack a kernel's tarball into a new folder, without its top directory."""
    if not shutil.which("xz"):
        debian.ensure(["xz-utils"])
    folder.mkdir()
    try:
        ui.run(["tar", "-x", "--no-same-owner", "--strip-components=1", "-f", tarball, "-C", folder],
               paths.OUT / "log/unpack.log", name=f"unpacking {tarball.name}")
    except Failure as failure:
        raise Failure(f"{tarball} is not a complete kernel tarball, or there is no room in {paths.CACHE}",
                      "get it again, or make room", failure.log) from failure


class Base:
    """A base (`6.1`): its record in bases/<name>/base.toml, and its releases in CACHE."""

    def __init__(self, name):
        self.name, self.dir = name, paths.TOP / "bases" / name
        try:
            values = tomllib.loads((self.dir / "base.toml").read_text(encoding="utf-8"))
            self.package, self.version, self.kernel, self.sha256, self.tree = (values[key] for key in RECORD)
        except (tomllib.TOMLDecodeError, KeyError) as error:
            raise Failure(f"bases/{name}/base.toml: {error}", f"it needs {', '.join(RECORD)}") from error
        self.git_dir = paths.CACHE / "git" / f"{name}.git"
        self.objects = self.git_dir.resolve() / "objects"
        self.repo = git.own(self.git_dir, GIT_DIR=self.git_dir)
        self._work = self.git_dir.with_suffix(".work")          # exists during fetch() only

    # -- the repository in CACHE ---------------------------------------------------------

    def _open(self):
        """Create the bare repository, or bring its settings up to date and clear what a killed run left."""
        (self.git_dir / "info").mkdir(parents=True, exist_ok=True)
        (self.git_dir / "info/attributes").write_text(git.ATTRIBUTES, encoding="ascii")
        self.repo.raw("init", "-q", "--bare", "--template=")
        for pattern in ("objects/pack/tmp_*", "index*.lock"):
            for rest in self.git_dir.glob(pattern):
                rest.unlink()
        shutil.rmtree(self._work, ignore_errors=True)

    @staticmethod
    def _ref(key):
        return "refs/base/" + re.sub(r"[^A-Za-z0-9+-]", "_", key)

    def _known(self, key):
        """The commit that an earlier run imported under `key`."""
        return self.repo.resolve(f"{self._ref(key)}^{{commit}}")

    def _store(self, tree, keys):
        """Make the base commit of `tree` and, as the last act, its refs."""
        kernel = kernel_version(self.repo.blob(f"{tree}:Makefile"))
        commit = self.repo.with_env(**IDENTITY).out("commit-tree", tree, "-m", f"Linux {kernel}")
        refs = "".join(f"update {self._ref(key)} {commit}\n" for key in [f"tree-{tree}", *keys])
        self.repo.raw("update-ref", "--stdin", stdin=refs.encode())
        return commit

    def _check_series(self, kernel):
        """Source is imported only if it is a release of this base."""
        if not is_series(kernel, self.name):
            what = f"Linux {kernel}" if kernel else "no kernel source"
            raise Failure(f"base {self.name} is wanted, but the source given is {what}",
                          f"give a {self.name}.y in KERNEL_SRC, or choose BASE to match")

    # -- import --------------------------------------------------------------------------

    def _import_archive(self, path, keys):
        """Import a tarball, or the one in a linux-source package."""
        if path.suffix == ".deb":
            path = inner_tarball(path, self._work)
            keys = [*keys, f"sha256-{sha256(path)}"]
        unpack(path, self._work / "source")
        return self._import_directory(self._work / "source", self._work / "index", keys)

    def _import_directory(self, top, index, keys):
        """Import an unpacked source tree; git's index tells what has changed since it was last used."""
        self._check_series(version_of(top))
        tree = git.own(top, GIT_DIR=self.git_dir, GIT_WORK_TREE=top, GIT_INDEX_FILE=index)
        # `env -i` keeps out any GIT_... variable of the user's.  Files larger than this threshold go into
        # one pack; otherwise git would store each on its own.
        ui.run(["env", "-i", *(f"{name}={value}" for name, value in tree.env.items()),
                "git", "-c", "core.bigFileThreshold=1", "add", "-f", "-A", "."],
               paths.OUT / "log/import.log", cwd=top, name="import")
        return self._store(tree.out("write-tree"), keys)

    def _import_git(self, top, revision):
        """Import a revision of somebody's git repository, as its tree and without its history."""
        source = git.Repo(top, git.user_env())
        tree = source.resolve(f"{revision}^{{tree}}")
        if tree is None:
            raise Failure(f"{top} has no revision {revision}, or git does not trust its owner",
                          "name one as KERNEL_SRC=path@revision")
        self._check_series(kernel_version(source.blob(f"{tree}:Makefile")))
        if source.try_("diff", "--quiet", "HEAD", "--").returncode == 1:
            say(f"{top} has changes that are not committed; they are not used")
        known = self._known(f"tree-{tree}")
        if known:
            return known
        # A tree brings its files and no history, and git gives out any object if that is allowed.
        server = "git -c uploadpack.allowAnySHA1InWant=true -c safe.directory=* upload-pack"
        done = self.repo.try_("fetch", "-q", "--no-tags", "--no-write-fetch-head", f"--upload-pack={server}", top, tree)
        if done.returncode:
            raise Failure(f"cannot copy the files of {top} at {revision}: {git.complaint(done)[0]}",
                          f"run `git -C {top} fsck`, or give another KERNEL_SRC")
        return self._store(tree, [])

    # -- which source ----------------------------------------------------------------------

    def _from_source(self, text):
        """The commit of what KERNEL_SRC names."""
        path, revision = Path(text).expanduser(), None
        if not path.exists() and "@" in text:
            name, revision = text.rsplit("@", 1)
            path = Path(name).expanduser()
        if not path.exists():
            raise Failure(f"KERNEL_SRC: there is no {path}", f"give the path of {KINDS}")
        path = path.resolve()
        if path.is_dir():
            bare = (path / "HEAD").is_file() and (path / "objects").is_dir()
            if (path / ".git").exists() or bare:
                return self._import_git(path, revision or "HEAD")
            if revision:
                raise Failure(f"KERNEL_SRC: {path} is not a git repository, so it has no {revision}",
                              "leave out what follows the @")
            index = f"index-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}"
            return self._import_directory(path, self.git_dir / index, [])
        key = f"sha256-{sha256(path)}"
        return self._known(key) or self._import_archive(path, [key])

    def _from_debian(self):
        """The commit of the Debian package: the recorded version if it can be had."""
        key = f"sha256-{self.sha256}"
        known = self._known(key)
        if known:
            return known
        installed = Path("/usr/src") / f"{self.package}.tar.xz"
        if installed.is_file() and sha256(installed) == self.sha256:
            return self._import_archive(installed, [key])
        options, versions = (), debian.offered(self.package)
        if not versions:
            options = debian.private(self._work / "apt")
            versions = debian.offered(self.package, options)
        if not versions:
            raise Failure(f"apt offers no {self.package}", "look at the network, add the Debian release and its "
                          f"security updates to apt's sources, or set KERNEL_SRC to {KINDS}")
        version = self.version if self.version in versions else versions[0]
        if version != self.version:
            say(f"apt offers {self.package} {version}, no longer the recorded {self.version}: using it")
        commit = self._known(f"package-{version}") or self._import_archive(
            debian.download(self.package, version, self._work / "download", options), [f"package-{version}"])
        if version == self.version and self._known(key) != commit:
            raise Failure(f"{self.package} {version} does not hold the tarball that base.toml records",
                          f"compare its checksum with sha256 in bases/{self.name}/base.toml")
        return commit

    def fetch(self):
        """The release to work on, imported if it is not yet; see the top of this file."""
        with locked(self.git_dir.with_suffix(".lock")):
            self._open()
            self._work.mkdir()
            try:
                source = os.environ.get("KERNEL_SRC")
                commit = self._from_source(source) if source else self._from_debian()
            finally:
                shutil.rmtree(self._work, ignore_errors=True)
        tree = self.repo.resolve(commit + "^{tree}")
        if self._known(f"sha256-{self.sha256}") == commit and tree != self.tree:
            raise Failure(f"the recorded release has the tree {tree}, bases/{self.name}/base.toml says "
                          f"{self.tree or 'nothing'}", "if sha256 there is right, correct the tree there")
        kernel = kernel_version(self.repo.blob(f"{tree}:Makefile"))
        if tree != self.tree:
            say(f"this Linux {kernel} is not the recorded release {self.package} {self.version}: "
                "hooks have to apply, tree ids are not compared")
        return Release(commit, tree, kernel, tree == self.tree)

    # -- work trees --------------------------------------------------------------------------

    def checkout(self, commit, path):
        """Bring the work tree at `path` to `commit`, touching only files that differ.

        The tree has no .git: the kernel's build would otherwise put the commit into its
        version and rebuild.  Its index is in the tree, so that it goes when the tree goes,
        and says that the tree is the harness's: edits in it are overwritten.
        """
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        index = path / INDEX
        with locked(path.parent / f".{path.name}.lock"):
            if not index.exists() and any(path.iterdir()):
                raise Failure(f"{path} is not a source tree of this harness, so it is left alone",
                              "move it away")
            for rest in path.glob(f"{INDEX}.lock"):     # left by a run that was killed
                rest.unlink()
            tree = git.own(path, GIT_DIR=self.git_dir, GIT_WORK_TREE=path, GIT_INDEX_FILE=index)
            if not index.exists():
                tree.raw("read-tree", "--empty")
            tree.try_("update-index", "-q", "--refresh")
            tree.raw("read-tree", "--reset", "-u", commit)
            tree.raw("checkout-index", "-a", "-f", "-u", "-q")
        return path


def load():
    """The base that BASE chooses."""
    return Base(paths.BASE)
