# SPDX-License-Identifier: GPL-2.0
"""The user space of a guest: an initramfs whose /init is init.c, with modules, programs and other files."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from harness import paths, ui
from harness.guest import userspace
from harness.source import kbuild


def packages(arches):
    """Packages for the kernel, its guest and the guest's programs."""
    return kbuild.packages(arches) + [f"libc6-dev-{userspace.ARCHES[arch]}-cross" for arch in arches
                                      if not kbuild.native(arch)]


def program(arch, name, folder):
    """Compile harness/guest/NAME.c; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{arch}"
    ui.run([f"{kbuild.prefix(arch)}gcc", "-static", "-Os", "-s", "-Wall", "-Werror", "-o", path,
            paths.TOP / f"harness/guest/{name}.c"], paths.OUT / f"log/{path.name}.log", name=f"build of {path.name}")
    return path


def archive(arch, folder, modules=(), programs=(), others=()):
    """Write the initramfs of a guest with init.c and these programs of harness/guest/ below a folder; its path."""
    init, *compiled = [program(arch, name, folder) for name in ("init", *programs)]
    path = folder / "initramfs"
    path.write_bytes(initramfs(init, modules, compiled, others))
    return path


def initramfs(init_program, modules=(), programs=(), others=()):
    """The archive: /init, /modules and /programs in the given order, and other files as (path, file)."""
    files = [("init", init_program), *others]
    for folder, members in (("modules", modules), ("programs", programs)):
        files += [(f"{folder}/{number:02}-{file.name}", file) for number, file in enumerate(members)]
    with tempfile.TemporaryDirectory() as top:
        for path, file in files:
            (Path(top) / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, Path(top) / path)
        names = sorted(str(path.relative_to(top)) for path in Path(top).rglob("*"))      # folders before files
        return subprocess.run(["cpio", "--create", "--format=newc", "--owner=0:0", "--quiet"], cwd=top, check=True,
                              input="\n".join(names).encode(), stdout=subprocess.PIPE).stdout
