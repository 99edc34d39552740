# SPDX-License-Identifier: GPL-2.0
"""Where things are. Everything that is built goes under OUT, everything that is worth keeping
between clones (the base's source, the compiler cache) under CACHE."""

import os
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
OUT = Path(os.environ.get("OUT") or TOP / "out").resolve()
CACHE = Path(os.environ.get("CACHE")
             or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dma-reach"
             ).resolve()
BASE = os.environ.get("BASE") or "6.1"
