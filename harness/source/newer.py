# SPDX-License-Identifier: GPL-2.0
"""Sources of newer kernels, which `make bench` compares with.

They are only built, so an unpacked tree in CACHE/source is enough: no git, no series. A tree comes
from KERNEL_SRC_6_12 (for 6.12), which may be a tarball, a linux-source package or an unpacked tree;
from an earlier run; or from apt. Where the machine's own suites do not have the package, SUITES of
the same archive are asked, with lists and sources apart from the machine's.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from harness import paths, ui
from harness.source import base

NAMES = ("6.12", "7.3")
SUITES = ("trixie-backports", "sid", "experimental")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def variable(name):
    """The variable that gives the source of a newer kernel."""
    return "KERNEL_SRC_" + name.replace(".", "_")


def unpack(archive, tree, log):
    """Unpack a kernel tarball, or the one in a package; a tree that exists is complete."""
    with tempfile.TemporaryDirectory(dir=tree.parent) as folder:
        if archive.suffix == ".deb":
            archive = base.inner_tarball(archive, folder)
            if archive is None:
                raise ui.Failure("the package given has no kernel source", "give a linux-source package")
        part = Path(folder) / "tree"
        part.mkdir()
        ui.run(["tar", "-x", "--strip-components=1", "-f", archive, "-C", part], log, name="unpacking")
        part.rename(tree)


def origin():
    """Where the machine gets its release from: the archive's address, as its own sources have it."""
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)', Path("/etc/os-release").read_text(encoding="utf-8"), re.M))
    done = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(COMPONENT) $(RELEASE)",
                           "Created-By: Packages"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, check=False)
    wanted = f" main {release.get('VERSION_CODENAME')}"
    return next((line.removesuffix(wanted) for line in done.stdout.splitlines() if line.endswith(wanted)), None)


def apart(folder, address):
    """Let apt look into SUITES, and leave the machine's lists and sources alone; its options for that."""
    folder.chmod(0o755)             # apt works as a user of its own
    for name in ("lists/partial", "archives/partial", "deb"):
        (folder / name).mkdir(parents=True)
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    (folder / "sources.list").write_text("".join(f"deb {signed}{address} {suite} main\n" for suite in SUITES),
                                         encoding="utf-8")
    values = {"Dir::Etc::sourcelist": folder / "sources.list", "Dir::Etc::sourceparts": "-",
              "Dir::State::lists": folder / "lists", "Dir::Cache": folder, "Acquire::Languages": "none"}
    options = [word for key, value in values.items() for word in ("-o", f"{key}={value}")]
    subprocess.run(["apt-get", "-q", *options, "update"], stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=False)
    return options


def choose(name, packages):
    """The package of that name, or of the newest kernel with its first number."""
    found = [(tuple(map(int, match[1].split("."))), match[0]) for package in packages
             if (match := re.fullmatch(rf"linux-source-({name.split('.')[0]}\.\d+)", package))]
    exact = f"linux-source-{name}"
    return exact if exact in packages else max(found)[1] if found else None


def from_apt(name, log):
    """The tree of a linux-source package: the machine's, or else one that is chosen in SUITES."""
    with tempfile.TemporaryDirectory(dir=paths.CACHE / "source") as folder:
        folder, package, options = Path(folder), f"linux-source-{name}", []
        versions = base.offered(package)
        address = None if versions else origin()
        if address:
            options = apart(folder, address)
            done = subprocess.run(["apt-cache", *options, "pkgnames", "linux-source-"],
                                  stdout=subprocess.PIPE, text=True, check=False)
            package = choose(name, done.stdout.split())
            versions = base.offered(package, options) if package else []
        if not versions:
            raise ui.Failure(f"apt offers no linux-source-{name}")
        version = re.sub(r"[^A-Za-z0-9.+-]", "_", versions[0])
        tree = paths.CACHE / "source" / f"linux-source-{name}_{version}"
        deb = folder / "deb"
        deb.mkdir(exist_ok=True)
        unpack(base.download(package, versions[0], deb, options), tree, log)
    return tree


def source(name, log):
    """The tree of a newer kernel, and its version."""
    given, top = os.environ.get(variable(name)), paths.CACHE / "source"
    top.mkdir(parents=True, exist_ok=True)
    with base.locked(top / f"{name}.lock"):
        if given:
            tree = Path(given).expanduser().resolve()
            if tree.is_file():
                archive, tree = tree, top / f"linux-{base.sha256(tree)[:16]}"
                if not tree.exists():
                    unpack(archive, tree, log)
        else:
            known = sorted(top.glob(f"linux-source-{name}_*"))
            if not known and not shutil.which("apt-get"):
                raise ui.Failure("this is not a Debian system")
            tree = known[-1] if known else from_apt(name, log)
    makefile = tree / "Makefile"
    version = base.kernel_version(makefile.read_bytes()) if makefile.is_file() else None
    if not version:
        raise ui.Failure(f"{given} is no kernel source")
    return tree, version


def sources(log_dir):
    """{name: (tree, version)} of those that can be had; a line for each that cannot."""
    found = {}
    for name in NAMES:
        try:
            found[name] = source(name, log_dir / f"{name}.unpack.log")
        except (ui.Failure, OSError) as failure:
            what = str(failure).splitlines()[0]
            ui.say(f"{name} is left out: {what}; set {variable(name)} to a linux-source package, "
                   "a tarball or an unpacked tree")
    return found
