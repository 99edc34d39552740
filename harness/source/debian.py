# SPDX-License-Identifier: GPL-2.0
"""Debian packages."""
from harness.source.packages import ensure  # noqa: F401
