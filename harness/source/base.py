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
Files go into git without passing through a work tree: no .gitignore (Debian's ends with
`/*`), no attribute and no line-end setting can change or drop one.

A finished import is found again through refs/base/<key>, where the key is the checksum of
the source, the package version or the tree id.  That ref is written last, therefore an
interrupted import leaves nothing that a later run believes.
"""
import contextlib
import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from harness import git, paths
from harness.ui import Failure, Pulse, say

IDENTITY = git.identity("Linux base", "base@localhost", "1000000000 +0000")
INDEX = ".dma-reach.index"      # marks a checked-out tree as ours, and is its git index
OFFLINE = "or set KERNEL_SRC to a tarball, a linux-source .deb, a source tree or a git repository"


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
    found = dict(re.findall(rb"^(VERSION|PATCHLEVEL|SUBLEVEL)[ \t]*=[ \t]*(\d+)[ \t]*$",
                            makefile or b"", re.M))
    if b"VERSION" not in found or b"PATCHLEVEL" not in found:
        return None
    return b".".join([found[b"VERSION"], found[b"PATCHLEVEL"], found.get(b"SUBLEVEL", b"0")]).decode()


def is_series(kernel, name):
    """Does release `kernel` (6.1.192) belong to base `name` (6.1)?"""
    return kernel is not None and kernel.split(".")[:2] == name.split(".")[:2]


def quoted(path):
    """A path as git fast-import wants it."""
    raw = os.fsencode(path)
    if re.search(rb'["\\\n ]', raw):
        raw = b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'
    return raw


def offered(package, options=()):
    """Versions of a package that apt can get, newest first; `options` are apt's."""
    done = subprocess.run(["apt-cache", *options, "madison", package], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=False)
    versions = {line.split("|")[1].strip() for line in done.stdout.splitlines()
                if line.count("|") >= 2 and line.rstrip().endswith("Packages")}

    def compare(a, b):
        return -1 if subprocess.run(["dpkg", "--compare-versions", a, "gt", b],
                                    check=False).returncode == 0 else 1
    return sorted(versions, key=functools.cmp_to_key(compare))


def download(package, version, folder, options=()):
    """Get a package from apt into an empty folder; its path."""
    os.chmod(folder, 0o755)         # apt downloads as a user of its own, which has to see it
    say(f"downloading {package} {version}")
    done = subprocess.run(["apt-get", "-q", *options, "download", f"{package}={version}"], cwd=folder,
                          env={**os.environ, "LC_ALL": "C"}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    found = list(Path(folder).glob("*.deb"))
    if done.returncode or len(found) != 1:
        words = [line for line in done.stdout.splitlines() if line.startswith("E:")]
        raise Failure(f"cannot download {package} {version}: {(words or ['apt failed'])[0]}",
                      "look at the network, " + OFFLINE)
    return found[0]


def inner_tarball(deb, folder):
    """Unpack the kernel's tarball from a linux-source package; its path, or None if there is none."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|", bufsize=1 << 20) as tar:
                for member in tar:
                    if member.isreg() and re.search(r"/linux-source-[^/]*\.tar(\.[a-z0-9]+)?$", member.name):
                        inner = Path(folder) / os.path.basename(member.name)
                        with open(inner, "wb") as out:
                            shutil.copyfileobj(tar.extractfile(member), out, 1 << 20)
                        return inner
        except tarfile.TarError:
            pass
        finally:
            process.kill()
    return None


class Base:
    """A base (`6.1`): its record in bases/<name>/base.toml, and its releases in CACHE."""

    def __init__(self, name, series_dir, cache):
        self.name, self.dir, self.cache = name, Path(series_dir) / name, Path(cache)
        record = self.dir / "base.toml"
        if not record.is_file():
            known = sorted(p.parent.name for p in Path(series_dir).glob("*/base.toml"))
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
        self._release = None

    # -- the repository in CACHE ---------------------------------------------------------

    def _open(self):
        """Create the bare repository, or bring its settings up to date."""
        if not (self.git_dir / "HEAD").is_file():
            self.git_dir.mkdir(parents=True, exist_ok=True)
            git.own(self.git_dir.parent).raw("init", "-q", "--bare", "--template=", str(self.git_dir))
        info = self.git_dir / "info" / "attributes"
        info.parent.mkdir(exist_ok=True)
        info.write_text(git.ATTRIBUTES, encoding="ascii")

    @staticmethod
    def _ref(key):
        return "refs/base/" + re.sub(r"[^A-Za-z0-9+-]", "_", key)

    def _known(self, key):
        """The commit that an earlier run imported under `key`."""
        return self.repo.resolve(self._ref(key) + "^{commit}")

    def _store(self, tree, kernel, keys):
        """Make the base commit of `tree` and, as the last act, its refs."""
        if not is_series(kernel, self.name):
            self._refuse(kernel)
        commit = self.repo.with_env(**IDENTITY).out("commit-tree", tree, "-m", f"Linux {kernel}")
        refs = "".join(f"update {self._ref(key)} {commit}\n" for key in [f"tree-{tree}", *keys])
        self.repo.raw("update-ref", "--stdin", stdin=refs.encode())
        return commit

    def _refuse(self, kernel):
        what = f"Linux {kernel}" if kernel else "no kernel source"
        raise Failure(f"base {self.name} is wanted, but the source given is {what}",
                      f"give a {self.name}.y in KERNEL_SRC, or choose BASE to match")

    # -- import --------------------------------------------------------------------------

    def _import(self, files, keys):
        """Write `files` (path, mode, kind, data) into git and return the commit.

        kind is "file", "link" or "same" (data then names an earlier path: a hard link).
        """
        temporary = f"refs/import/{os.getpid()}"
        process = subprocess.Popen(["git", "fast-import", "--quiet", "--force", "--done", "--depth=0"],
                                   cwd=self.git_dir, env=self.repo.env, stdin=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        pulse, makefile, count = Pulse("import"), None, 0
        pulse.status = lambda: f"{count} files"
        complete = False
        try:
            out = process.stdin
            out.write(b"commit %s\ncommitter import <import> 0 +0000\ndata 0\n" % temporary.encode())
            for path, mode, kind, data in files:
                if kind == "same":
                    out.write(b"C %s %s\n" % (quoted(data), quoted(path)))
                    continue
                if path == "Makefile":
                    makefile = kernel_version(data)
                    if not is_series(makefile, self.name):
                        self._refuse(makefile)
                out.write(b"M %s inline %s\ndata %d\n" % (mode, quoted(path), len(data)))
                out.write(data)
                out.write(b"\n")
                count += 1
                pulse.beat()
            out.write(b"done\n")
            out.close()
            words = process.stderr.read().decode(errors="replace").strip()
            if process.wait():
                raise Failure(f"git fast-import failed: {words.splitlines()[0] if words else 'no message'}",
                              f"is there room in {self.cache}?")
            complete = True
        except BrokenPipeError as error:
            raise Failure("git fast-import ended early: "
                          + (process.stderr.read().decode(errors="replace").strip() or "no message"),
                          f"is there room in {self.cache}?") from error
        finally:
            pulse.done()
            if not complete:
                process.kill()
                with contextlib.suppress(OSError):
                    process.stdin.close()
            process.wait()
            process.stderr.close()
            for rest in (self.git_dir / "objects" / "pack").glob("tmp_*"):
                rest.unlink()
            for rest in self.git_dir.glob("fast_import_crash_*"):
                rest.unlink()
        tree = self.repo.resolve(f"{temporary}^{{tree}}")
        try:
            return self._store(tree, makefile, keys)
        finally:
            self.repo.raw("update-ref", "-d", temporary)

    @staticmethod
    def _tar_files(stream):
        """The files of an open tar stream, below its single top directory."""
        with tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as tar:
            for member in tar:
                path = member.name.removeprefix("./").partition("/")[2]
                if not path or path.startswith("../") or "/../" in path:
                    continue
                if member.isreg():
                    mode = b"100755" if member.mode & 0o100 else b"100644"
                    yield path, mode, "file", tar.extractfile(member).read()
                elif member.issym():
                    yield path, b"120000", "link", os.fsencode(member.linkname)
                elif member.islnk():
                    yield path, None, "same", member.linkname.removeprefix("./").partition("/")[2]

    def _import_tarball(self, path, keys):
        """Import a tarball, packed or not."""
        with open(path, "rb") as file:
            magic = file.read(6)
        unpack = (["xz", "-dcT2"] if magic == b"\xfd7zXZ\0" else
                  ["gzip", "-dc"] if magic[:2] == b"\x1f\x8b" else ["cat"])
        with subprocess.Popen([*unpack, str(path)], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as process:
            def files():
                yield from self._tar_files(process.stdout)
                while process.stdout.read(1 << 20):         # what follows the end mark of the archive
                    pass
                if process.wait():
                    raise Failure(f"{path} is damaged: {unpack[0]} cannot unpack it to the end",
                                  "get it again")
            try:
                return self._import(files(), keys)
            except (tarfile.TarError, EOFError) as error:
                raise Failure(f"{path} is not a complete kernel tarball ({error})", "get it again") from error
            finally:
                process.kill()

    def _import_deb(self, path, keys):
        """Import the tarball inside a linux-source package."""
        with tempfile.TemporaryDirectory(dir=self.cache) as tmp:
            inner = inner_tarball(path, tmp)
            if inner is None:
                raise Failure(f"{path} is not a linux-source package", "give one such as "
                              f"{self.package}_{self.version}_all.deb")
            checksum = sha256(inner)
            known = self._known(f"sha256-{checksum}")
            keys = [*keys, f"sha256-{checksum}"]
            if known:
                return self._store(self.repo.resolve(known + "^{tree}"), self._kernel_of(known), keys)
            return self._import_tarball(inner, keys)

    def _import_directory(self, top):
        """Import an unpacked source tree; a quick look at names, sizes and times tells a known one."""
        names = []
        for folder, folders, files in os.walk(top):
            folders.sort()
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            names += (os.path.relpath(os.path.join(folder, name), top) for name in sorted(files + links))
        if "Makefile" not in names:
            self._refuse(None)
        seen = hashlib.sha256(os.fsencode(str(top)))
        for name in names:
            stat = os.lstat(top / name)
            seen.update(os.fsencode(f"{name}\0{stat.st_mode}\0{stat.st_size}\0{stat.st_mtime_ns}\0"
                                    f"{stat.st_ctime_ns}\0"))
        key = f"directory-{seen.hexdigest()}"

        def files():
            for name in names:
                path = top / name
                if path.is_symlink():
                    yield name, b"120000", "link", os.fsencode(os.readlink(path))
                elif path.is_file():
                    mode = b"100755" if path.stat().st_mode & 0o100 else b"100644"
                    yield name, mode, "file", path.read_bytes()
        return self._known(key) or self._import(files(), [key])

    def _import_git(self, top, revision):
        """Import a revision of somebody's git repository, as its tree and without its history."""
        source = git.Repo(top, git.user_env())
        tree = source.resolve(f"{revision}^{{tree}}")
        if tree is None:
            raise Failure(f"{top} has no revision {revision}, or git does not trust its owner",
                          "name one as KERNEL_SRC=path@revision")
        kernel = kernel_version(source.blob(f"{tree}:Makefile"))
        if not is_series(kernel, self.name):
            self._refuse(kernel)
        if source.try_("diff", "--quiet", "HEAD", "--").returncode:
            say(f"{top} has changes that are not committed; they are not used")
        known = self._known(f"tree-{tree}")
        if known:
            return known
        with subprocess.Popen(["git", "pack-objects", "--revs", "--stdout", "-q"], cwd=top,
                              env=source.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as pack:
            with subprocess.Popen(["git", "index-pack", "--stdin"], cwd=self.git_dir,
                                  env=self.repo.env, stdin=pack.stdout, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE) as index:
                pack.stdin.write(tree.encode() + b"\n")
                pack.stdin.close()
                words = index.stderr.read().decode(errors="replace").strip()
            if index.returncode or pack.wait():
                raise Failure(f"cannot copy the files of {top} at {revision}: {words or 'git failed'}",
                              f"run `git -C {top} fsck`, or give another KERNEL_SRC")
        return self._store(tree, kernel, [])

    # -- which source ----------------------------------------------------------------------

    def _kernel_of(self, commit):
        return kernel_version(self.repo.blob(f"{commit}:Makefile"))

    def _from_source(self, text):
        """The commit of what KERNEL_SRC names."""
        path, revision = Path(text).expanduser(), None
        if not path.exists() and "@" in text:
            name, revision = text.rsplit("@", 1)
            path = Path(name).expanduser()
        if not path.exists():
            raise Failure(f"KERNEL_SRC: there is no {path}", "give the path of " + OFFLINE[10:])
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
        known = self._known(key)
        if known:
            return known
        if path.suffix == ".deb":
            return self._import_deb(path, [key])
        return self._import_tarball(path, [key])

    def _offered(self):
        """Versions of the package that apt can get, newest first."""
        return offered(self.package)

    def _from_debian(self):
        """The commit of the Debian package: the recorded version if it can be had."""
        known = self._known(f"sha256-{self.sha256}")
        if known:
            return known
        installed = Path("/usr/src") / f"{self.package}.tar.xz"
        if installed.is_file() and sha256(installed) == self.sha256:
            return self._import_tarball(installed, [f"sha256-{self.sha256}"])
        if not shutil.which("apt-get"):
            raise Failure("this is not a Debian system: there is no apt-get to get the kernel source with",
                          "use Debian, " + OFFLINE)
        versions = self._offered()
        if not versions:
            say("apt knows no package yet: apt-get update")
            subprocess.run(["apt-get", "-q", "update"], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, check=False)
            versions = self._offered()
        if not versions:
            raise Failure(f"apt offers no {self.package}",
                          "add the Debian release and its security updates to apt's sources, " + OFFLINE)
        version = self.version if self.version in versions else versions[0]
        if version != self.version:
            say(f"apt offers {self.package} {version}, no longer the recorded {self.version}: using it")
        return self._known(f"package-{version}") or self._download(version)

    def _download(self, version):
        with tempfile.TemporaryDirectory(dir=self.cache) as tmp:
            deb = download(self.package, version, tmp)
            commit = self._import_deb(deb, [f"package-{version}"])
        if version == self.version and self._known(f"sha256-{self.sha256}") != commit:
            raise Failure(f"{self.package} {version} does not hold the tarball that base.toml records",
                          f"compare its checksum with sha256 in bases/{self.name}/base.toml")
        return commit

    def fetch(self):
        """The release to work on, imported if it is not yet; see the top of this file."""
        if self._release:
            return self._release
        with locked(self.cache / "git" / f"{self.name}.lock"):
            self._open()
            source = os.environ.get("KERNEL_SRC")
            commit = self._from_source(source) if source else self._from_debian()
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
