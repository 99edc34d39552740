# SPDX-License-Identifier: GPL-2.0
"""Debian packages that a command needs: looked up first, installed only if missing."""

import os
import subprocess

from harness import paths, ui


def missing(names):
    """Those of `names` that are not installed. Needs no network."""
    found = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    installed = {line.split()[0] for line in found.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in installed]


def ensure(names):
    """Install what is missing of `names`; as an ordinary user say how."""
    try:
        lacking = missing(list(names))
    except FileNotFoundError as error:
        raise ui.Failure("this is not a Debian system: dpkg-query is missing",
                         "run in a Debian bookworm machine or container") from error
    if not lacking:
        return
    if os.geteuid():
        raise ui.Failure(f"packages are missing: {' '.join(lacking)}",
                         f"sudo apt-get install --no-install-recommends {' '.join(lacking)}")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    ui.run(["apt-get", "-q", "update"], paths.OUT / "log/apt-update.log", env=env)
    ui.run(["apt-get", "-q", "-y", "--no-install-recommends", "install", *lacking],
           paths.OUT / "log/apt-install.log", env=env, name=f"apt-get install {' '.join(lacking)}")
