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
Files go into git by `git fast-import`, or `git add -f` under attributes that change nothing:
no .gitignore (Debian's ends with `/*`), no attribute and no line-end setting can drop or
change one.

A finished import is found again through refs/base/<key>, where the key is the checksum of
the source, the package version or the tree id.  That ref is written last, therefore an
interrupted import leaves nothing that a later run believes.
"""
import contextlib
import fcntl
import hashlib
import lzma
import os
import re
import shutil
import subprocess
import tarfile
import tomllib
import zlib
from dataclasses import dataclass
from pathlib import Path

from harness import git, paths, ui
from harness.source import debian
from harness.ui import Failure, say

IDENTITY = git.identity("Linux base", "base@localhost", "1000000000 +0000")
INDEX = ".dma-reach.index"      # marks a checked-out tree as ours, and is its git index
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
    numbers = dict(re.findall(rb"^(VERSION|PATCHLEVEL|SUBLEVEL)[ \t]*=[ \t]*(\d+)[ \t]*$",
                              makefile or b"", re.M))
    if b"VERSION" not in numbers or b"PATCHLEVEL" not in numbers:
        return None
    return b".".join([numbers[b"VERSION"], numbers[b"PATCHLEVEL"], numbers.get(b"SUBLEVEL", b"0")]).decode()


def version_of(tree):
    """The kernel version of an unpacked source tree; None if it is none."""
    makefile = Path(tree) / "Makefile"
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


def quoted(path):
    """A path as git fast-import wants it."""
    raw = os.fsencode(path)
    if re.search(rb'["\\\n ]', raw):
        raw = b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'
    return raw


def commands(tar):
    """For each file of an open tarball, below its top directory, the command that makes git fast-import store it."""
    for member in tar:
        path = member.name.removeprefix("./").partition("/")[2]
        if ".." in path.split("/"):
            raise tarfile.TarError(f"{member.name} leads out of it")
        if member.islnk():
            yield b"C %s %s\n" % (quoted(member.linkname.removeprefix("./").partition("/")[2]), quoted(path))
        elif path and (member.isreg() or member.issym()):
            data = os.fsencode(member.linkname) if member.issym() else tar.extractfile(member).read()
            mode = b"120000" if member.issym() else b"100755" if member.mode & 0o100 else b"100644"
            yield b"M %s inline %s\ndata %d\n%s\n" % (mode, quoted(path), len(data), data)
    while tar.fileobj.read(1 << 20):        # what follows the end mark of the archive may be damaged, too
        pass


class Base:
    """A base (`6.1`): its record in bases/<name>/base.toml, and its releases in CACHE."""

    def __init__(self, name, bases_dir, cache):
        self.name, self.dir, self.cache = name, Path(bases_dir) / name, Path(cache)
        record = self.dir / "base.toml"
        if not record.is_file():
            known = sorted(p.parent.name for p in Path(bases_dir).glob("*/base.toml"))
            raise Failure(f"there is no base {name}", f"choose BASE from: {' '.join(known) or 'none'}")
        try:
            values = tomllib.loads(record.read_text(encoding="utf-8"))
            self.package, self.version = values["package"], values["version"]
            self.kernel, self.sha256, self.tree = values["kernel"], values["sha256"], values["tree"]
        except (tomllib.TOMLDecodeError, KeyError) as error:
            raise Failure(f"bases/{name}/base.toml: {error}",
                          "it needs package, version, kernel, sha256 and tree") from error
        self.git_dir = self.cache / "git" / f"{name}.git"
        self.objects = self.git_dir.resolve() / "objects"
        self.repo = git.own(self.git_dir, GIT_DIR=self.git_dir)
        self._work = self.cache / "git" / f"{name}.work"        # exists during fetch() only
        self._release = None

    # -- the repository in CACHE ---------------------------------------------------------

    def _open(self):
        """Create the bare repository, or bring its settings up to date and clear what a killed run left."""
        if not (self.git_dir / "HEAD").is_file():
            self.git_dir.mkdir(parents=True, exist_ok=True)
            git.own(self.git_dir.parent).raw("init", "-q", "--bare", "--template=", str(self.git_dir))
        info = self.git_dir / "info" / "attributes"
        info.parent.mkdir(exist_ok=True)
        info.write_text(git.ATTRIBUTES, encoding="ascii")
        for pattern in ("objects/pack/tmp_*", "fast_import_crash_*", "index*.lock"):
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
        tree = self.repo.resolve(tree)
        kernel = self._kernel_of(tree)
        self._check_series(kernel)
        commit = self.repo.with_env(**IDENTITY).out("commit-tree", tree, "-m", f"Linux {kernel}")
        refs = "".join(f"update {self._ref(key)} {commit}\n" for key in [f"tree-{tree}", *keys])
        self.repo.raw("update-ref", "--stdin", stdin=refs.encode())
        return commit

    def _check_series(self, kernel):
        if not is_series(kernel, self.name):
            what = f"Linux {kernel}" if kernel else "no kernel source"
            raise Failure(f"base {self.name} is wanted, but the source given is {what}",
                          f"give a {self.name}.y in KERNEL_SRC, or choose BASE to match")

    def _kernel_of(self, treeish):
        return kernel_version(self.repo.blob(f"{treeish}:Makefile"))

    # -- import --------------------------------------------------------------------------

    def _import_deb(self, path, keys):
        """Import the tarball in a linux-source package."""
        tarball = inner_tarball(path, self._work)
        keys = [*keys, f"sha256-{sha256(tarball)}"]
        known = self._known(keys[-1])
        return self._store(known + "^{tree}", keys) if known else self._import_tarball(tarball, keys)

    def _import_tarball(self, path, keys):
        """Import a tarball.  Its files are not unpacked on the way: that would take several times as long."""
        ref, log, count = "refs/import/tarball", paths.OUT / "log/import.log", 0
        log.parent.mkdir(parents=True, exist_ok=True)
        pulse = ui.Pulse("import", lambda: f"{count} files")
        with open(log, "wb") as errors:
            importer = subprocess.Popen(["git", "fast-import", "--quiet", "--force", "--done", "--depth=0"],
                                        cwd=self.git_dir, env=self.repo.env, stdin=subprocess.PIPE, stderr=errors)
        try:
            importer.stdin.write(b"commit %s\ncommitter import <import> 0 +0000\ndata 0\n" % ref.encode())
            with tarfile.open(path) as tar:
                for command in commands(tar):
                    importer.stdin.write(command)
                    count += 1
                    pulse.beat()
            importer.stdin.write(b"done\n")
            importer.stdin.close()
            if importer.wait():
                raise BrokenPipeError
            return self._store(f"{ref}^{{tree}}", keys)
        except BrokenPipeError as error:
            raise Failure("git cannot import the source", f"is there room in {self.cache}?", log) from error
        except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, OSError) as error:
            raise Failure(f"{path} is not a complete kernel tarball ({error})", "get it again") from error
        finally:
            pulse.done()
            importer.kill()
            with contextlib.suppress(OSError):
                importer.stdin.close()
            importer.wait()
            self.repo.raw("update-ref", "-d", ref)

    def _import_directory(self, top):
        """Import an unpacked source tree; git's index tells what has changed since the last time."""
        if version_of(top) is None:
            self._check_series(None)
        index = self.git_dir / f"index-{hashlib.sha256(os.fsencode(top)).hexdigest()[:16]}"
        env = self.repo.with_env(GIT_WORK_TREE=top, GIT_INDEX_FILE=index).env
        # `env -i` keeps out any GIT_... variable of the user's.  Files larger than this threshold go into
        # one pack; otherwise git would store each on its own.
        ui.run(["env", "-i", *(f"{name}={value}" for name, value in env.items()),
                "git", "-c", "core.bigFileThreshold=1", "add", "-f", "-A", "."],
               paths.OUT / "log/import.log", cwd=top, name="import")
        return self._store(git.Repo(top, env).out("write-tree"), [])

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
            return self._import_directory(path)
        key = f"sha256-{sha256(path)}"
        load_file = self._import_deb if path.suffix == ".deb" else self._import_tarball
        return self._known(key) or load_file(path, [key])

    def _from_debian(self):
        """The commit of the Debian package: the recorded version if it can be had."""
        key = f"sha256-{self.sha256}"
        if self._known(key):
            return self._known(key)
        installed = Path("/usr/src") / f"{self.package}.tar.xz"
        if installed.is_file() and sha256(installed) == self.sha256:
            return self._import_tarball(installed, [key])
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
        commit = self._known(f"package-{version}") or self._import_deb(
            debian.download(self.package, version, self._work / "download", options), [f"package-{version}"])
        if version == self.version and self._known(key) != commit:
            raise Failure(f"{self.package} {version} does not hold the tarball that base.toml records",
                          f"compare its checksum with sha256 in bases/{self.name}/base.toml")
        return commit

    def fetch(self):
        """The release to work on, imported if it is not yet; see the top of this file."""
        if self._release:
            return self._release
        with locked(self.cache / "git" / f"{self.name}.lock"):
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
        self._release = Release(commit, tree, self._kernel_of(commit), tree == self.tree)
        if not self._release.recorded:
            say(f"this Linux {self._release.kernel} is not the recorded release {self.package} {self.version}: "
                "hooks have to apply, tree ids are not compared")
        return self._release

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
            tree = self.repo.with_env(GIT_DIR=self.git_dir, GIT_WORK_TREE=path, GIT_INDEX_FILE=index)
            tree.cwd = str(path)
            if not index.exists():
                tree.raw("read-tree", "--empty")
            tree.try_("update-index", "-q", "--refresh")
            tree.raw("read-tree", "--reset", "-u", commit)
            tree.raw("checkout-index", "-a", "-f", "-u", "-q")
        return path


def load(name=None):
    """The base called `name`, by default the one that BASE chooses."""
    return Base(name or paths.BASE, paths.TOP / "bases", paths.CACHE)
