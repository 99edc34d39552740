# SPDX-License-Identifier: GPL-2.0
"""Where things are. Everything that is built goes under OUT, everything that is worth keeping
between clones (the base's source, the compiler cache) under CACHE.

Each use of kernels ("" for `make test`, "check", "mutants", ...) has a folder of its own below OUT. All
are laid out alike, so that compiler results in ccache, which know relative paths only, serve every use."""

import os
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
OUT = Path(os.environ.get("OUT") or TOP / "out").expanduser().resolve()
CACHE = Path(os.environ.get("CACHE")
             or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dma-reach"
             ).expanduser().resolve()
BASE = os.environ.get("BASE") or "6.1"


def base_dir():
    """What the repository knows about the base: lanes, configurations, recorded trees."""
    return TOP / "bases" / BASE


def out(use=""):
    """The folder of one use."""
    return OUT / use if use else OUT


def tree_dir(use=""):
    """The work tree."""
    return out(use) / "tree" / BASE


def build_dir(name, use=""):
    """The objects of the kernel with that name."""
    return out(use) / "build" / BASE / name


def log_dir(use=""):
    """The logs."""
    return out(use) / "log" / BASE


def report_dir():
    """Reports as JSON and as JUnit XML."""
    return OUT / "report"
