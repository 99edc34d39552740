# SPDX-License-Identifier: GPL-2.0
"""fio and its libraries of another architecture, from Debian's packages through this machine's apt sources.

apt gets a state of its own in a temporary folder, so the machine's own architectures and packages stay as
they are, and no privilege is needed. What was fetched once is kept in CACHE, by version, and serves without a
network.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from harness import paths, ui
from harness.source import kbuild

PROGRAM = "usr/bin/fio"
DEBIAN = {"arm64": "arm64", "x86_64": "amd64"}      # Debian's names of the architectures


def files(arch):
    """(Version of fio, [(path in the guest, file)]), fetched if it was not yet."""
    place = paths.CACHE / "userspace"
    known = sorted(place.glob(f"fio_*_{DEBIAN[arch]}"), key=lambda path: path.stat().st_mtime)
    folder = known[-1] if known else fetch(arch, place)
    found = [(str(path.relative_to(folder)), path) for path in sorted(folder.rglob("*")) if path.is_file()]
    return folder.name.split("_")[1], found


def fetch(arch, place):
    """Download, and keep what fio needs."""
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as work:
        work = Path(work)
        version, root = unpack(download(DEBIAN[arch], work), work)
        kept = work / "kept"
        for path, file in needed(root, kbuild.prefix(arch)):
            (kept / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, kept / path)
        return kept.rename(place / f"fio_{version}_{DEBIAN[arch]}")


def download(debian, work):
    """The packages of fio and of all that it depends on."""
    state = {"Dir::State": work / "state", "Dir::State::status": work / "status", "Dir::Cache": work / "cache",
             "APT::Architecture": debian, "APT::Architectures": debian, "APT::Install-Recommends": "false",
             "APT::Sandbox::User": "root"}
    options = [f"-o{name}={value}" for name, value in state.items()]
    for name in ("state/lists/partial", "cache/archives/partial"):
        (work / name).mkdir(parents=True)
    (work / "status").touch()
    for number, words in enumerate((["update"], ["install", "--download-only", "--yes", "fio"])):
        log = paths.OUT / f"log/userspace-{number}.log"
        try:
            ui.run(["apt-get", "-q", *options, *words], log, env={"LC_ALL": "C"}, name=f"download of fio for {debian}")
        except ui.Failure as failure:
            raise ui.Failure(f"apt cannot get fio for {debian}: {failure.what}",
                             f"the first time needs a network, and apt sources that offer {debian}", log) from failure
    return sorted((work / "cache/archives").glob("*.deb"))


def unpack(packages, work):
    """(Version of fio, folder with the files of all packages)."""
    root, version = work / "root", None
    for package in packages:
        ui.run(["dpkg-deb", "-x", package, root], paths.OUT / "log/userspace-unpack.log")
        if package.name.startswith("fio_"):
            version = subprocess.run(["dpkg-deb", "-f", package, "Version"], stdout=subprocess.PIPE, text=True,
                                     check=True).stdout.strip()
    return version, root


def needed(root, prefix):
    """fio, and the libraries that it asks for, directly or not, as (path in the guest, file)."""
    libraries = {path.name: path for path in sorted(root.rglob("*.so*")) if path.is_file()}
    found, todo = {PROGRAM: root / PROGRAM}, [root / PROGRAM]
    while todo:
        for name in asks_for(todo.pop(), prefix):
            if name not in libraries:
                raise ui.Failure(f"no package of fio's brings {name}", "look at the dependencies of the package fio")
            if f"lib/{name}" not in found:
                found[f"lib/{name}"] = libraries[name]
                todo.append(libraries[name])
    return list(found.items())


def asks_for(file, prefix):
    """Names of the libraries that a program or library is linked to."""
    done = subprocess.run([f"{prefix}readelf", "-d", os.fspath(file)], stdout=subprocess.PIPE, text=True, check=True)
    return re.findall(r"\(NEEDED\).*\[(.*)\]", done.stdout)
