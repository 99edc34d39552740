# SPDX-License-Identifier: GPL-2.0
"""How this project calls the kernel's own build: cross compilers, ccache, and names and dates that do
not change, so that a rebuild of the same source hits the cache."""

import contextlib
import os
import platform
import time

from harness import paths, ui

PACKAGES = ["bc", "bison", "ccache", "cpio", "flex", "gcc", "kmod", "libc6-dev", "libelf-dev", "libssl-dev",
            "make", "perl", "xz-utils"]
# Linux's name of the architecture, machine name, compiler prefix, packages beyond PACKAGES
ARCHES = {
    "arm64": ("aarch64", "aarch64-linux-gnu-", ["gcc-aarch64-linux-gnu", "qemu-system-arm"]),
    "arm": ("armv7l", "arm-linux-gnueabihf-", ["gcc-arm-linux-gnueabihf", "qemu-system-arm"]),
    "x86_64": ("x86_64", "x86_64-linux-gnu-", ["gcc-x86-64-linux-gnu", "qemu-system-x86"]),
    "powerpc": ("ppc64le", "powerpc64le-linux-gnu-", ["gcc-powerpc64le-linux-gnu", "qemu-system-ppc"]),
}


def native(arch):
    """Whether this machine builds for `arch` with its own compiler."""
    return ARCHES[arch][0] == platform.machine()


def prefix(arch):
    """CROSS_COMPILE; empty on the architecture's own machines."""
    return "" if native(arch) else ARCHES[arch][1]


def packages(arches):
    """Debian packages needed to build and boot these architectures."""
    names = list(PACKAGES)
    for arch in arches:
        compiler, qemu = ARCHES[arch][2]
        names += [qemu] if native(arch) else [compiler, qemu]
    return list(dict.fromkeys(names))


def environment():
    """What every build gets; a CCACHE_DIR of the user's own stays."""
    return {
        "CCACHE_DIR": os.environ.get("CCACHE_DIR") or str(paths.CACHE / "ccache"),
        "CCACHE_BASEDIR": str(paths.OUT),
        "CCACHE_NOHASHDIR": "1",
        "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
        "KBUILD_BUILD_USER": "dma-reach",
        "KBUILD_BUILD_HOST": "dma-reach",
        "KBUILD_BUILD_VERSION": "1",
        "PYTHONDONTWRITEBYTECODE": "1",         # kunit.py is part of the work tree: leave that clean
        "PYTHONUNBUFFERED": "1",
        "LC_ALL": "C",
    }


def variables(arch, tree, build):
    """Compilers, as make variables.  ccache makes the paths of source files relative to `build`;
    -fmacro-prefix-map gives __FILE__ the form that it has without ccache."""
    return [f"CC=ccache {prefix(arch)}gcc", "HOSTCC=ccache gcc",
            f"KCFLAGS=-fmacro-prefix-map={os.path.relpath(tree, build)}/="]


def jobs():
    """One job for each processor that this process may use."""
    return len(os.sched_getaffinity(0))


class Objects:
    """Counts the objects that a build has written so far, as a status for ui.run()."""

    def __init__(self, build):
        self.build, self.start = build, time.time()
        self.next, self.status = 0.0, ""

    def __call__(self):
        now = time.monotonic()
        if now >= self.next:
            count = 0
            for folder, _, names in os.walk(self.build):
                for name in names:
                    if name.endswith(".o"):
                        with contextlib.suppress(OSError):      # it may go meanwhile
                            count += os.stat(os.path.join(folder, name)).st_mtime >= self.start
            self.status, self.next = f"{count} objects", now + 5
        return self.status


def make(tree, build, arch, targets, log, check=True, name=None):
    """`make` in the kernel tree, with its objects in `build`."""
    build.mkdir(parents=True, exist_ok=True)
    return ui.run(["make", f"ARCH={arch}", f"O={build}", f"CROSS_COMPILE={prefix(arch)}",
                   f"--jobs={jobs()}", *variables(arch, tree, build), *targets],
                  log, cwd=tree, env=environment(), check=check, status=Objects(build), name=name)
