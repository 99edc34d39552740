# SPDX-License-Identifier: GPL-2.0
"""A kernel of a dozen small files and a series of three commits on it, in a temporary directory."""
import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness import git, paths
from harness.series import compose, verify
from harness.ui import Failure

SLAB = "".join(f"int slab_{n}(void);\n" for n in range(1, 31))
KERNEL = {
    ".gitignore": "*.o\n#\n# Debian packaging\n#\n/*\n!/debian/\n",
    ".gitattributes": "*.c diff=cpp\n*.txt text eol=crlf\n",
    "Makefile": "# SPDX\nVERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 192\nEXTRAVERSION =\n",
    "MAINTAINERS": ("List of maintainers\n\n\tM: *Mail* patches to\n\nMaintainers List\n----------------\n\n"
                    "ALPHA DRIVER\nM:\tA <a@example.org>\nF:\tmm/a*\n\n"
                    "DELTA DRIVER\nM:\tD <d@example.org>\nF:\tmm/d*\n\n"
                    "THE REST\nM:\tL <l@example.org>\nF:\t*\n"),
    "mm/Makefile": "obj-y := slab.o\n\nobj-m := old.o\n",
    "mm/Kconfig": "config SLAB\n\tbool\n",
    "mm/slab.c": SLAB,
    "mm/old.c": "int old;\n",
    "kernel/foo.c": "int foo(void)\n{\n\treturn 1;\n}\n",
    "Documentation/dos.txt": "line\r\nline\r\n",
    "scripts/run.sh": "#!/bin/sh\n",
    "ignored.o": "an object that is part of the source\n",
}
DATE = "2026-11-21T12:0{}:00+00:00"


def write(top, files):
    """Write {path: text} below `top`."""
    for name, text in files.items():
        path = Path(top) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def make_kernel(top, **changed):
    """An unpacked fake kernel; `changed` replaces files, {path: text}."""
    write(top, {**KERNEL, **changed})
    (Path(top) / "scripts/run.sh").chmod(0o755)
    if not (Path(top) / "mm/link.c").is_symlink():
        (Path(top) / "mm/link.c").symlink_to("slab.c")


def make_tarball(source, path, mode="w:xz"):
    """Pack a source tree the way kernel tarballs are: one top directory."""
    with tarfile.open(path, mode) as tar:
        tar.add(source, "linux-source-6.1")


def snapshot(top):
    """Checksum of every file below `top`, .git included, and its mode."""
    found = {}
    for path in sorted(Path(top).rglob("*")):
        if path.is_file() and not path.is_symlink():
            found[str(path.relative_to(top))] = (hashlib.sha256(path.read_bytes()).hexdigest(),
                                                 path.stat().st_mode)
    return found


def plain_git(cwd, *args, **env):
    """git as a user runs it, with an identity from the environment and no settings."""
    who = {f"GIT_{w}_{k}": v for w in ("AUTHOR", "COMMITTER") for k, v in
           (("NAME", "Contributor"), ("EMAIL", "contributor@example.org"))}
    done = subprocess.run(["git", *args], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          stdin=subprocess.DEVNULL, check=False,
                          env={**git.user_env(), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull,
                               **who, **env})
    if done.returncode:
        raise AssertionError(f"git {args}: {done.stdout}")
    return done.stdout.strip()


def message(subject, head):
    """The bytes of a .msg."""
    return f"{head}\n\n{subject}\n\nBecause it is so.\n"


SERIES = {
    "series/parts.toml": ('[reach]\ntitle = "reach"\nneeds = []\nlist = "reach@example.org"\n\n'
                          '[foo]\ntitle = "foo"\nneeds = []\nlist = "foo@example.org"\n'),
    "series/reach/order": "slab\ndocs\n",
    "series/foo/order": "foo\n",
    "README.md": "what it is\n",
    "series/author": "Jane Doe <jane@example.org>\n",
    "series/reach/cover.msg": "mm: reach memory\n\nThis is why.\n",
    "series/foo/cover.msg": "foo: return more\n\nThis is why.\n",
    "series/reach/slab.msg": message("mm: add reach", f"Files: mm/reach.c\nFiles: mm/reach.sh\n"
                                  "Maintainers: BETA REACH\n"
                                  f"Date: {DATE.format(1)}"),
    "series/reach/docs.msg": message("Documentation: tell of reach",
                                  f"Files: Documentation/reach.rst\nDate: {DATE.format(2)}"),
    "series/foo/foo.msg": message("foo: return 2", f"Date: {DATE.format(3)}"),
    "MAINTAINERS": "BETA REACH\nM:\tJane Doe <jane@example.org>\nF:\tmm/reach.c\n",
    "mm/reach.c": "int reach(void)\n{\n\treturn 0;\n}\n",
    "mm/reach.sh": "#!/bin/sh\nexit 0  \n",
    "Documentation/reach.rst": "Reach\n=====\n",
    "series/reach/6.1/slab.patch": """\
diff --git a/mm/Kconfig b/mm/Kconfig
--- a/mm/Kconfig
+++ b/mm/Kconfig
@@ -1,2 +1,5 @@
 config SLAB
 \tbool
+
+config REACH
+\tbool "reach"
diff --git a/mm/slab.c b/mm/slab.c
--- a/mm/slab.c
+++ b/mm/slab.c
@@ -14,6 +14,7 @@
 int slab_14(void);
 int slab_15(void);
 int slab_16(void);
+int reach(void);
 int slab_17(void);
 int slab_18(void);
 int slab_19(void);
""",
    "series/foo/6.1/foo.patch": """\
diff --git a/kernel/foo.c b/kernel/foo.c
--- a/kernel/foo.c
+++ b/kernel/foo.c
@@ -1,4 +1,4 @@
 int foo(void)
 {
-\treturn 1;
+\treturn 2;
 }
""",
}


class Case(unittest.TestCase):
    """A test with a repository in self.top, its base in KERNEL_SRC, and nothing of the machine's settings."""

    shared_cache = True     # one import for the whole class

    @classmethod
    def setUpClass(cls):
        cls.shared = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.shared)
        make_kernel(cls.shared / "linux")
        make_tarball(cls.shared / "linux", cls.shared / "linux-source-6.1.tar.xz")
        # The expected tree, made in another way than the harness makes it.
        env = {"GIT_DIR": str(cls.shared / "expect.git"), "GIT_WORK_TREE": str(cls.shared / "linux")}
        subprocess.run(["git", "init", "-q", "--bare", env["GIT_DIR"]], check=True)
        (cls.shared / "expect.git/info").mkdir(exist_ok=True)
        (cls.shared / "expect.git/info/attributes").write_text("* -text\n")
        plain_git(cls.shared / "linux", "add", "-f", "-A", ".", **env)
        cls.tree = plain_git(cls.shared / "linux", "write-tree", **env)

    def setUp(self):
        self.tmp = Path(tempfile.mkdtemp()).resolve()
        self.addCleanup(shutil.rmtree, self.tmp)
        self.top = self.tmp / "top"
        self.tarball = self.shared / "linux-source-6.1.tar.xz"
        for patch in (mock.patch.multiple(paths, TOP=self.top, OUT=self.tmp / "out", BASE="6.1",
                                          CACHE=(self.shared if self.shared_cache else self.tmp) / "cache"),
                      mock.patch.dict(os.environ, {"KERNEL_SRC": str(self.tarball), "HOME": str(self.tmp),
                                                   "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull,
                                                   "GIT_AUTHOR_NAME": "", "GIT_AUTHOR_EMAIL": "",
                                                   "GIT_COMMITTER_NAME": "User",
                                                   "GIT_COMMITTER_EMAIL": "user@example.org"})):
            patch.start()
            self.addCleanup(patch.stop)
        for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL"):
            del os.environ[name]
        write(self.top, SERIES)
        (self.top / "mm/reach.sh").chmod(0o755)
        self.record(self.tree)

    def record(self, tree):
        """Write base.toml."""
        checksum = hashlib.sha256(self.tarball.read_bytes()).hexdigest()
        write(self.top, {"bases/6.1/base.toml": f'package = "linux-source-6.1"\nversion = "6.1.192-2"\n'
                         f'kernel = "6.1.192"\nsha256 = "{checksum}"\ntree = "{tree}"\n'})

    def once(self, *functions):
        """Call functions that write to top and out; later tests of the class get a copy of the outcome."""
        kept = self.shared / "kept"
        if not kept.exists():
            for function in functions:
                self.quiet(function)
            kept.mkdir()
            for path in (self.top, self.tmp / "out"):
                if path.exists():
                    shutil.copytree(path, kept / path.name, symlinks=True)
            return
        shutil.rmtree(self.top)
        shutil.copytree(kept, self.tmp, symlinks=True, dirs_exist_ok=True)

    def quiet(self, function, *args):
        """Call a function; its output is in self.output."""
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                return function(*args)
        finally:
            self.output = out.getvalue()

    def verify(self):
        """All checks of patches/."""
        composed = self.quiet(compose.prepare)
        for _, check in verify.CHECKS:
            self.quiet(check, composed)

    def refused(self, function, *args):
        """Call a function that has to fail, and return what it says."""
        with self.assertRaises(Failure) as caught:
            self.quiet(function, *args)
        return str(caught.exception)

    def edit_file(self, name, old, new):
        """Replace text in a file of the repository; it has to be there."""
        path = self.top / name if not str(name).startswith("/") else Path(name)
        text = path.read_text()
        self.assertIn(old, text)
        path.write_text(text.replace(old, new, 1))

    def drifted(self, **changes):
        """KERNEL_SRC becomes point release 6.1.193 with changed files ({path: text})."""
        source = self.tmp / "drifted"
        make_kernel(source, **{"Makefile": KERNEL["Makefile"].replace("192", "193"), **changes})
        os.environ["KERNEL_SRC"] = str(source)
        return source
