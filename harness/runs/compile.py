# SPDX-License-Identifier: GPL-2.0
"""Compiling a patch for `make check`: which kernels and folders, and what that says which the base does not say."""

import hashlib
import os
import re
import shutil
from collections import Counter
from dataclasses import dataclass

from harness import paths, ui
from harness.guest import kernel, qemu
from harness.runs import lanes
from harness.source import kbuild

USE = "check"
MODES = ("off", "on", "module")
COLUMNS = (*MODES, "W=1", "sparse")
DEBUGGING = {"kasan", "kcsan", "lockdep"}       # fragments that change nothing of what is compiled of a part
WARNING = re.compile(r"^(?:\.\./)*(?:tree/[^/]+/)?(\S+?):\d+(?::\d+)?: (?:(?:warning|error): )(.*)$")


@dataclass
class Variant:
    """A kernel with the options of a part off, on or as modules."""
    kernel: lanes.Kernel
    part: str
    mode: str

    @property
    def name(self):
        """Its name for folders and logs; being on does not depend on the part."""
        return f"on-{self.kernel.name}" if self.mode == "on" else f"{self.mode}-{self.part}-{self.kernel.name}"


def warnings(log, tree):
    """What compilers and sparse say in a log, without line numbers, which every patch moves: pairs of
    the kind and the text, and how often each occurs."""
    counted = Counter()
    for line in log.replace(f"{tree}/", "").splitlines():
        match = WARNING.match(line)
        if match:
            kind = "W=1" if "[-W" in match[2] else "sparse"
            counted[kind, f"{match[1]}: {re.sub(r'[0-9]+', 'N', match[2])}"] += 1
    return counted


def arch_of(files, kernels):
    """The architecture for which files can be built."""
    named = {path.split("/")[1] for path in files if path.startswith("arch/")} & {kernel.arch for kernel in kernels}
    return min(named) if named else kernels[0].arch


def variants(part, arch, kernels):
    """The configurations for a patch of a part: on for every kernel of the part, off and module for the first."""
    mine = [kernel for kernel in kernels if kernel.arch == arch]
    mine = [kernel for kernel in mine if f"part-{part}" in kernel.fragments] or mine[:1]
    mine = [kernel for kernel in mine if not DEBUGGING & set(kernel.fragments)] or mine[:1]
    return [*(Variant(kernel, part, "on") for kernel in mine), Variant(mine[0], part, "off"),
            Variant(mine[0], part, "module")]


def folders(files, others, arch, tree):
    """The folders to compile for a patch that touches `files`. If these have no C source but something else that is
    built, such as a header, the folders are those of `others`. One without a Makefile is compiled by the one above."""
    built = [name for name in files if not name.startswith("tools/")
             and not name.endswith((".rst", ".txt", "MAINTAINERS"))]
    found = set()
    for name in [name for name in built if name.endswith(".c")] or (others if built else []):
        here = not name.startswith(("arch/", "tools/")) or name.startswith(f"arch/{arch}/")
        if here and name.endswith(".c"):
            folder = os.path.dirname(name)
            while folder and not any((tree / folder / makefile).exists() for makefile in ("Makefile", "Kbuild")):
                folder = os.path.dirname(folder)
            found.add(f"{folder}/")
    found.discard("/")
    return sorted(folder for folder in found if not any(folder.startswith(other) for other in found - {folder}))


def options(variant, known):
    """(Text without the part's options, lines of the part's options for the mode), as far as a tree knows them."""
    texts = {name: lanes.fragment_of(name, known) for name in variant.kernel.fragments}
    part = texts.pop(f"part-{variant.part}", "")
    text = qemu.config(variant.kernel.arch) + "".join(texts.values())
    lines = [line for line in part.splitlines() if line.startswith("CONFIG_")]
    if variant.mode == "module":
        return f"{text}CONFIG_MODULES=y\n", [line.replace("=y", "=m") for line in lines]
    return text, lines if variant.mode == "on" else []


def configure(variant, tree, complete=False):
    """Write .config, unless it is there for the same options and Kconfig files; what cannot be a module is built in.
    `complete`: no option may be lost. The build folder."""
    build = paths.build_dir(variant.name, USE)
    build.mkdir(parents=True, exist_ok=True)
    kconfig = lanes.kconfig(tree)
    text, wanted = options(variant, lanes.defined(kconfig))
    config, made = build / ".config", build / "configured"
    made_for = hashlib.sha256("\n".join([kconfig, text, *wanted]).encode()).hexdigest()
    valid = config.exists() and made.exists() and made.read_text(encoding="ascii") == made_for

    def lost(lines):
        options = "".join(f"{line}\n" for line in lines)
        if not valid:
            made.unlink(missing_ok=True)
            config.write_text(text + options, encoding="utf-8")
            kbuild.make(tree, build, variant.kernel.arch, ["olddefconfig"],
                        paths.log_dir(USE) / f"{variant.name}.config.log")
        return kernel.lost(options, config.read_text(encoding="utf-8"))

    missing = lost(wanted)
    if missing and variant.mode == "module":
        missing = lost([line.replace("=m", "=y") if line in missing else line for line in wanted])
    made.write_text(made_for, encoding="ascii")
    if missing and complete:
        raise ui.Failure(f"{variant.name}: {missing[0]} is not to be had at the end of the part")
    return build


def compiled(patch, variant, tree, targets):
    """(The first error or None, warnings, log) of compiling folders with W=1 and sparse."""
    build, log = configure(variant, tree), paths.log_dir(USE) / f"{file_name(patch)}.{variant.name}.log"
    status = kbuild.make(tree, build, variant.kernel.arch, ["W=1", "C=1", "--keep-going", *targets], log, check=False,
                         name=f"{variant.name}: {' '.join(targets)}")
    text = log.read_text(encoding="utf-8", errors="replace")
    return (ui.first_error(text) or f"exit status {status}") if status else None, warnings(text, tree), log


def base(wanted, tree):
    """{name of a variant: warnings} of the base, which is checked out in `tree`, for [(variant, folders)]."""
    known, targets = {}, {}
    for variant, found in wanted:
        targets.setdefault(variant.name, (variant, set()))[1].update(found)
    for variant, found in targets.values():
        shutil.rmtree(paths.build_dir(variant.name, USE), ignore_errors=True)
        error, known[variant.name], log = compiled("base", variant, tree, sorted(found))
        if error:
            raise ui.Failure(f"the base does not compile for {variant.name}: {error}", "read the log", log)
    return known


def compare(patch, variant, tree, targets, known):
    """[(column, what, log)]: errors, and warnings that are not known."""
    error, said, log = compiled(patch, variant, tree, targets)
    bad = [(variant.mode, error, log)] if error else []
    return bad + [(kind, f"{kind}: {line}", log) for (kind, line), count in said.items() if count > known[kind, line]]


def link(patch, variant, tree, complete):
    """Link the kernel of a variant, and its modules. `complete`: the tree has all options of the part."""
    if variant.mode == "on":
        fragment = lanes.fragment(f"part-{variant.part}.config")
        named = lanes.OPTION.findall(fragment.read_text(encoding="utf-8")) if complete and fragment.exists() else []
        missing = sorted(set(named) - lanes.defined(lanes.kconfig(tree)))
        if missing:
            raise ui.Failure(f"{variant.name}: CONFIG_{missing[0]} is not to be had at the end of the part")
        return lanes.build(lanes.known_to(tree, variant.kernel, USE), USE, f"{file_name(patch)}.{variant.kernel.name}")
    # W=1 as in compiled(), so that nothing is compiled again
    targets = ["W=1", "vmlinux", *(["modules"] if variant.mode == "module" else [])]
    log = paths.log_dir(USE) / f"{file_name(patch)}.{variant.name}.link.log"
    return kbuild.make(tree, configure(variant, tree, complete), variant.kernel.arch, targets, log,
                       name=f"{variant.name}: vmlinux")


def file_name(patch):
    """part/name as the name of a file."""
    return patch.replace("/", "-").replace(" ", "-")
