# SPDX-License-Identifier: GPL-2.0
"""Sources of newer kernels, which `make bench` compares with.

They are only built, so an unpacked tree in CACHE/source is enough: no git, no series.  A tree comes
from KERNEL_SRC_6_12 (for 6.12), which may be a tarball, a linux-source package or an unpacked tree;
from an earlier run; or from apt, if need be from a newer suite.
"""
import os
import re
import subprocess
import tempfile
from pathlib import Path

from harness import paths, ui
from harness.source import base, debian

NAMES = ("6.12", "7.3")


def variable(name):
    """The variable that gives the source of a newer kernel."""
    return "KERNEL_SRC_" + name.replace(".", "_")


def choose(name, packages):
    """The package of that name, or of the newest kernel with its first number."""
    numbered = [(tuple(map(int, match[1].split("."))), match[0]) for package in packages
                if (match := re.fullmatch(rf"linux-source-({name.split('.')[0]}\.\d+)", package))]
    exact = f"linux-source-{name}"
    return exact if exact in packages else max(numbered)[1] if numbered else None


def unpack(archive, folder, tree):
    """Unpack a tarball or a linux-source package below `folder`, then move it to `tree`, which is thus complete."""
    tarball = base.inner_tarball(archive, folder) if archive.suffix == ".deb" else archive
    base.unpack(tarball, folder / "tree")
    return (folder / "tree").rename(tree)


def from_apt(name, top, folder):
    """Unpack the linux-source package of the machine's own suites, or of a newer one."""
    package, options = f"linux-source-{name}", ()
    versions = debian.offered(package)
    if not versions:
        options = debian.private(folder / "apt", debian.NEWER)
        names = subprocess.run(["apt-cache", *options, "pkgnames", "linux-source-"], stdout=subprocess.PIPE, text=True,
                               check=False).stdout.split()
        package = choose(name, names)
        versions = debian.offered(package, options) if package else []
    if not versions:
        raise ui.Failure(f"apt offers no linux-source-{name}")
    tree = top / f"linux-source-{name}_{re.sub(r'[^A-Za-z0-9.+-]', '_', versions[0])}"
    return unpack(debian.download(package, versions[0], folder / "download", options), folder, tree)


def source(name):
    """The tree of a newer kernel, and its version."""
    given, top = os.environ.get(variable(name)), paths.CACHE / "source"
    with base.locked(top / f"{name}.lock"), tempfile.TemporaryDirectory(dir=top) as folder:
        if given:
            tree = Path(given).expanduser().resolve()
            if tree.is_file():
                archive, tree = tree, top / f"linux-{base.sha256(tree)[:16]}"
                if not tree.exists():
                    unpack(archive, Path(folder), tree)
        else:
            known = sorted(top.glob(f"linux-source-{name}_*"))
            tree = known[-1] if known else from_apt(name, top, Path(folder))
    version = base.version_of(tree)
    if not version:
        raise ui.Failure(f"{tree} is no kernel source")
    return tree, version


def sources():
    """{name: (tree, version)} of those that can be had; a line for each that cannot."""
    trees = {}
    for name in NAMES:
        try:
            trees[name] = source(name)
        except (ui.Failure, OSError) as failure:
            ui.say(f"{name} is left out: {str(failure).splitlines()[0]}; set {variable(name)} to a linux-source "
                   "package, a tarball or an unpacked tree")
    return trees
