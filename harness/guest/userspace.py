# SPDX-License-Identifier: GPL-2.0
"""Programs of Debian's for guests, of another architecture or a newer release, through this machine's apt sources.

Packages are downloaded and unpacked into a temporary folder; nothing foreign runs, the machine's own packages stay as
they are, and no privilege is needed. Of fio, what it is linked to is kept in CACHE by version, and serves without a
network.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from harness import paths, ui
from harness.source import debian, kbuild

PROGRAM = "usr/bin/fio"
ARCHES = {"arm64": "arm64", "arm": "armhf", "x86_64": "amd64", "powerpc": "ppc64el"}     # Debian's names of them


def unpack(package, folder, suites=(), arch=""):
    """Download a package, of other suites or for one of ARCHES, and what it depends on; (version, where they are)."""
    options = debian.private(folder, suites, ARCHES[arch] if arch else "")
    versions = debian.offered(package, options)
    if not versions:
        where = f"{', '.join(suites) or 'its sources'} for {arch or 'this machine'}"
        raise ui.Failure(f"apt offers no {package} in {where}",
                         "the first time needs a network, and apt sources that offer it")
    for file in debian.download_all(package, folder, options):
        ui.run(["dpkg-deb", "-x", file, folder / "root"], paths.OUT / "log/unpack.log")
    return versions[0], folder / "root"


def files(arch):
    """(Version of fio, [(path in the guest, file)]), fetched if it was not yet."""
    place = paths.CACHE / "userspace"
    known = sorted(place.glob(f"fio_*_{ARCHES[arch]}"), key=lambda path: path.stat().st_mtime)
    folder = known[-1] if known else fetch(arch, place)
    return folder.name.split("_")[1], [(str(path.relative_to(folder)), path)
                                       for path in sorted(folder.rglob("*")) if path.is_file()]


def fetch(arch, place):
    """Unpack the packages, and keep what fio needs."""
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as work:
        version, root = unpack("fio", Path(work), arch=arch)
        kept = Path(work) / "kept"
        for path, file in needed(root, kbuild.prefix(arch)).items():
            (kept / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, kept / path)
        return kept.rename(place / f"fio_{version.rpartition(':')[2]}_{ARCHES[arch]}")


def needed(root, prefix):
    """{path in the guest: file} of fio and the libraries that it asks for, directly or not."""
    libraries = {path.name: path for path in sorted(root.rglob("*.so*")) if path.is_file()}
    kept, todo = {PROGRAM: root / PROGRAM}, [root / PROGRAM]
    for file in todo:
        for name in asks_for(file, prefix):
            if name not in libraries:
                raise ui.Failure(f"no package of fio's brings {name}", "look at the dependencies of the package fio")
            if f"lib/{name}" not in kept:
                kept[f"lib/{name}"] = libraries[name]
                todo.append(libraries[name])
    return kept


def asks_for(file, prefix):
    """Names of the libraries that a program or library is linked to."""
    done = subprocess.run([f"{prefix}readelf", "-d", file], stdout=subprocess.PIPE, text=True, check=True)
    return re.findall(r"\(NEEDED\).*\[(.*)\]", done.stdout)
