# SPDX-License-Identifier: GPL-2.0
"""Kernels for guests with a user space of ours."""

import shutil

from harness import ui
from harness.guest import qemu
from harness.source import kbuild


def lost(text, config):
    """The options in `text` that the configuration does not have so."""
    there = set(config.splitlines())
    not_off = {f"# {line.partition('=')[0]} is not set" for line in there if line.startswith("CONFIG_")}
    return [line for line in text.splitlines() if line in not_off or line.startswith("CONFIG_") and line not in there]


def configure(tree, folder, arch, fragments, log):
    """Write .config from the machine's options and fragments, unless it is there already."""
    folder.mkdir(parents=True, exist_ok=True)
    text = qemu.config(arch) + "".join(path.read_text(encoding="utf-8") for path in fragments)
    config, wanted = folder / ".config", folder / "fragments"
    if config.exists() and wanted.exists() and wanted.read_text(encoding="utf-8") == text:
        return
    config.write_text(text, encoding="utf-8")
    kbuild.make(tree, folder, arch, ["olddefconfig"], log)
    missing = lost(text, config.read_text(encoding="utf-8"))
    if missing:
        raise ui.Failure(f"the kernel's configuration does not take {missing[0]}",
                         f"fix {ui.short(fragments[0].parent)}")
    wanted.write_text(text, encoding="utf-8")


def build(tree, folder, arch, fragments, log, *targets):
    """Configure and build a kernel; the logs are `log` with something added."""
    configure(tree, folder, arch, fragments, f"{log}.config.log")
    kbuild.make(tree, folder, arch, [qemu.MACHINES[arch].kernel.rsplit("/", 1)[-1], *targets], f"{log}.build.log",
                name=f"build of {folder.name}")


def modules(tree, folder, arch, source, log, kbuild_text=""):
    """Build the modules of a folder of this repository, or those that another Kbuild says; the folder with them."""
    work = folder / source.name
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(source, work)
    if kbuild_text:
        (work / "Kbuild").write_text(kbuild_text, encoding="ascii")
    kbuild.make(tree, folder, arch, [f"M={work}", "modules"], log, name=f"modules of {source.name} for {folder.name}")
    return work
