# SPDX-License-Identifier: GPL-2.0
"""Guests with a user space of ours: an initramfs whose /init is init.c, with modules and programs."""

import os
import re
import stat

from harness import paths, ui
from harness.source import kbuild

# image below the build directory, console, QEMU's machine, processor and memory
MACHINES = {
    "arm64": ("arch/arm64/boot/Image", "ttyAMA0", ["-machine", "virt", "-cpu", "cortex-a57", "-m", "8G"]),
    "x86_64": ("arch/x86/boot/bzImage", "ttyS0", ["-cpu", "qemu64", "-m", "8G"]),
    # TCG has none of the mitigations that the machine promises by default
    "powerpc": ("vmlinux", "hvc0", ["-machine", "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,"
                                    "cap-ccf-assist=off", "-cpu", "power9", "-m", "2G"]),
}
LIBC = {"arm64": "libc6-dev-arm64-cross", "x86_64": "libc6-dev-amd64-cross", "powerpc": "libc6-dev-ppc64el-cross"}
TIMEOUT = 1800
DONE = "init: done, 0 failed"


def packages(arches):
    """Packages for the kernel, its guest and the guest's /init."""
    return kbuild.packages(arches) + [LIBC[arch] for arch in arches if not kbuild.native(arch)]


def cpio(entries):
    """An archive in the form that the kernel unpacks, of {path: (mode, bytes)}. Folders are added."""
    folders = {parent: (stat.S_IFDIR | 0o755, b"") for path in entries
               for parent in parents(path)}
    parts = []
    for number, (path, (mode, data)) in enumerate([*sorted(folders.items()), *entries.items()], 1):
        parts.append(member(path, number, mode, data))
    parts.append(member("TRAILER!!!", 0, 0, b""))
    return b"".join(parts)


def parents(path):
    """a and a/b of a/b/c."""
    words = path.split("/")[:-1]
    return ["/".join(words[:i]) for i in range(1, len(words) + 1)]


def member(path, number, mode, data):
    """One file: a header of hexadecimal numbers, the name, the content, each padded to four bytes."""
    name = path.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def program(arch, name, folder, log):
    """Compile a program for the guest, harness/NAME.c; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{arch}"
    ui.run([f"{kbuild.prefix(arch)}gcc", "-static", "-Os", "-s", "-Wall", "-Werror", "-o", path,
            paths.TOP / f"harness/guest/{name}.c"], log, name=f"build of {name} for {arch}")
    return path


def init(arch, folder, log):
    """Compile /init; its path."""
    return program(arch, "init", folder, log)


def initramfs(program, modules=(), programs=(), others=()):
    """The archive: /init, /modules in the given order, /programs, and other files as (path, file)."""
    found = {"init": (stat.S_IFREG | 0o755, program.read_bytes())}
    for number, path in enumerate(modules):
        found[f"modules/{number:02}-{path.name}"] = (stat.S_IFREG | 0o644, path.read_bytes())
    for number, path in enumerate(programs):
        found[f"programs/{number:02}-{path.name}"] = (stat.S_IFREG | 0o755, path.read_bytes())
    for path, file in others:
        mode = 0o755 if os.access(file, os.X_OK) else 0o644
        found[path] = (stat.S_IFREG | mode, file.read_bytes())
    return cpio(found)


def configure(tree, build, arch, fragments, log):
    """Write .config from fragments, unless it is there already."""
    build.mkdir(parents=True, exist_ok=True)
    text = "".join(path.read_text(encoding="utf-8") for path in fragments)
    wanted = build / "fragments"
    if (build / ".config").exists() and wanted.exists() and wanted.read_text(encoding="utf-8") == text:
        return
    (build / ".config").write_text(text, encoding="utf-8")
    kbuild.make(tree, build, arch, ["olddefconfig"], log)
    config = (build / ".config").read_text(encoding="utf-8").splitlines()
    lost = [line for line in text.splitlines() if re.match(r"CONFIG_|# CONFIG_", line) and
            line not in config and not (line.endswith("not set") and line.split()[1] + "=" not in "\n".join(config))]
    if lost:
        raise ui.Failure(f"the kernel's configuration does not take {lost[0]}",
                         f"mend {ui.short(fragments[0].parent)}")
    wanted.write_text(text, encoding="utf-8")


def build(tree, folder, arch, fragments, log, *targets):
    """Configure and build a kernel; the logs are `log` with something added."""
    configure(tree, folder, arch, fragments, f"{log}.config.log")
    kbuild.make(tree, folder, arch, [MACHINES[arch][0].rsplit("/", 1)[-1], *targets], f"{log}.build.log",
                name=f"build of {folder.name}")


def start(arch, build, initrd, log, parameters=(), qemu=(), watch=None):
    """Boot a kernel with an initramfs, and wait until the guest ends, or `watch` raises."""
    image, console, machine = MACHINES[arch]
    words = [f"console={console}", "oops=panic", "panic=-1", *parameters]
    ui.run(["timeout", "--kill-after=10", str(TIMEOUT),
            f"qemu-system-{kbuild.ARCHES[arch][0]}", "-nodefaults", "-nographic", "-no-reboot",
            "-serial", "stdio", *machine, *qemu,
            "-kernel", build / image, "-initrd", initrd, "-append", " ".join(words)],
           log, check=False, watch=watch, name=f"boot of {arch}")


def boot(arch, build, initrd, log, parameters=(), qemu=()):
    """The console of a guest that has to reach its end."""
    start(arch, build, initrd, log, parameters, qemu)
    text = log.read_text(encoding="utf-8", errors="replace")
    if DONE not in text:
        bad = next((line for line in text.splitlines() if "init: " in line and "failed" in line), None)
        raise ui.Failure(f"the {arch} guest did not do its work: {bad or ui.last_lines(text, 1)}",
                         "read its console", log)
    return text
