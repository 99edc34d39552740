# SPDX-License-Identifier: GPL-2.0
"""Packages of Debian: what this machine lacks, and packages of other releases or architectures.

ensure() installs, as root, what is missing.  For anything that must not be installed, private()
gives apt a state of its own in a folder: lists, cache, and a machine on which nothing is installed.
Its sources are those of the machine, with another suite or architecture if asked for; the machine's
own sources, lists and architectures stay as they are, and no privilege is needed.
"""
import os
import re
import subprocess
from pathlib import Path

from harness import paths, ui
from harness.ui import Failure

NEWER = ("trixie", "sid", "experimental")           # what bookworm lacks is looked for in these suites
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# As another user apt could not write to a folder of root's; without root this has no effect.
SANDBOX = "-oAPT::Sandbox::User=root"


def missing(names):
    """Those of `names` that are not installed.  Needs no network."""
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    installed = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in installed]


def ensure(names):
    """Install what is missing of `names`; an ordinary user is told how to."""
    try:
        lacking = missing(list(names))
    except FileNotFoundError as error:
        raise Failure("this is not a Debian system: dpkg-query is missing",
                      "run in a Debian bookworm machine or container") from error
    if not lacking:
        return
    if os.geteuid():
        raise Failure(f"packages are missing: {' '.join(lacking)}",
                      f"sudo apt-get install --no-install-recommends {' '.join(lacking)}")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    ui.run(["apt-get", "-q", "update"], paths.OUT / "log/apt-update.log", env=env)
    ui.run(["apt-get", "-q", "-y", "--no-install-recommends", "install", *lacking],
           paths.OUT / "log/apt-install.log", env=env, name=f"apt-get install {' '.join(lacking)}")


def sources(targets, codename, suites=()):
    """The text of a sources.list with the machine's archives of its own release, or with `suites` in
    place of that release.  `targets` has a line `address suite component` for each of the machine's."""
    entries = dict.fromkeys(tuple(line.split()) for line in targets.splitlines() if len(line.split()) == 3)
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    lines = [f"deb {signed}{address} {new} {component}\n"
             for address, suite, component in entries
             for new in (suites or (suite,))
             if component == "main" and (suite == codename or not suites and suite.startswith(codename))]
    if not lines:
        raise Failure(f"apt's sources name no archive of Debian {codename}", "see /etc/apt/sources.list.d")
    return "".join(lines)


def private(folder, suites=(), arch=""):
    """Give apt a state of its own in an empty folder, bring its lists up to date, and return the options
    that make apt-get and apt-cache use it.  `arch` is Debian's name of another architecture."""
    if not Path("/usr/bin/apt-get").exists():
        raise Failure("this is not a Debian system: there is no apt-get", "use Debian bookworm")
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)', Path("/etc/os-release").read_text(encoding="utf-8"), re.M))
    targets = subprocess.run(["apt-get", "indextargets", "--no-release-info",
                              "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
    text = sources(targets, release.get("VERSION_CODENAME", "?"), suites)
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(text, encoding="utf-8")
    values = {"Dir::Etc::sourcelist": folder / "sources.list", "Dir::Etc::sourceparts": "-",
              "Dir::State": folder, "Dir::State::status": folder / "status", "Dir::Cache": folder,
              "Acquire::Languages": "none", "APT::Install-Recommends": "false"}
    if arch:
        values.update({"APT::Architecture": arch, "APT::Architectures": arch})
    options = [SANDBOX, *(f"-o{name}={value}" for name, value in values.items())]
    ui.run(["apt-get", "-q", *options, "update"], paths.OUT / "log/apt-update-private.log", env={"LC_ALL": "C"},
           check=False, name="reading the lists of packages")
    return options


def offered(package, options=()):
    """Versions of a package that apt can get, newest first."""
    done = subprocess.run(["apt-cache", *options, "madison", package], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=False)
    return list(dict.fromkeys(line.split("|")[1].strip() for line in done.stdout.splitlines()
                              if line.count("|") >= 2 and line.rstrip().endswith("Packages")))


def download(package, version, folder, options=()):
    """Download one package into an empty folder; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    ui.say(f"  downloading {package} {version}")
    apt(["download", f"{package}={version}"], package, options, folder)
    return next(folder.glob("*.deb"))


def download_all(package, folder, options):
    """Download a package and all that it depends on, with the options of private() in `folder`; their paths."""
    ui.say(f"  downloading {package} and what it depends on")
    apt(["install", "--download-only", "--yes", package], package, options, folder)
    return sorted((folder / "archives").glob("*.deb"))


def apt(arguments, package, options, folder):
    """Run apt-get in `folder`; an error of apt's is a Failure with its words."""
    log = paths.OUT / f"log/apt-{package}.log"
    try:
        ui.run(["apt-get", "-q", SANDBOX, *options, *arguments], log, cwd=folder, env={"LC_ALL": "C"}, name="apt-get")
    except Failure as failure:
        raise Failure(f"cannot download {package}: {failure.what}", "look at the network and at apt's sources",
                      log) from failure
