# SPDX-License-Identifier: GPL-2.0
"""fio and its libraries of another architecture, from Debian's packages through this machine's apt sources.

mmdebstrap unpacks fio and all that it depends on into a temporary folder; nothing foreign runs, the machine's own
packages stay as they are, and no privilege is needed. What fio is linked to, 85 of 240 MB, is kept in CACHE by
version, and serves without a network.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from harness import paths, ui
from harness.source import kbuild

PACKAGES = ["mmdebstrap"]
PROGRAM = "usr/bin/fio"
DEBIAN = {"arm64": "arm64", "x86_64": "amd64"}      # Debian's names of the architectures
APT = Path("/etc/apt")


def files(arch):
    """(Version of fio, [(path in the guest, file)]), fetched if it was not yet."""
    place = paths.CACHE / "userspace"
    known = sorted(place.glob(f"fio_*_{DEBIAN[arch]}"), key=lambda path: path.stat().st_mtime)
    folder = known[-1] if known else fetch(arch, place)
    return folder.name.split("_")[1], [(str(path.relative_to(folder)), path)
                                       for path in sorted(folder.rglob("*")) if path.is_file()]


def fetch(arch, place):
    """Unpack the packages, and keep what fio needs."""
    place.mkdir(parents=True, exist_ok=True)
    debian, log = DEBIAN[arch], paths.OUT / "log/userspace.log"
    sources = [path for path in [APT / "sources.list", *sorted(APT.glob("sources.list.d/*"))]
               if path.suffix in (".list", ".sources") and path.is_file() and path.stat().st_size]
    with tempfile.TemporaryDirectory(dir=place) as work:
        root, kept, settings = Path(work) / "root", Path(work) / "kept", Path(work) / "apt.conf"
        with open(settings, "wb") as out:               # proxies and the like
            subprocess.run(["apt-config", "dump", "Acquire"], stdout=out, check=True)
        try:
            ui.run(["mmdebstrap", "--variant=extract", "--mode=chrootless", f"--architectures={debian}",
                    "--include=fio", f"--aptopt={settings}", "--skip=cleanup/apt", "", root, *sources],
                   log, env={"LC_ALL": "C", "TMPDIR": work}, name=f"download of fio for {debian}")
        except ui.Failure as failure:
            raise ui.Failure(f"apt cannot get fio for {debian}: {failure.what}",
                             f"the first time needs a network, and apt sources that offer {debian}", log) from failure
        for path, file in needed(root, kbuild.prefix(arch)).items():
            (kept / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, kept / path)
        return kept.rename(place / f"fio_{version(root)}_{debian}")


def version(root):
    """That of fio, without an epoch, which is no part of a file's name."""
    package = next(root.glob("var/cache/apt/archives/fio_*.deb"))
    return package.name.split("_")[1].rpartition("%3a")[2]


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
