# SPDX-License-Identifier: GPL-2.0
"""Composes the series, builds it, boots it and reports what its tests said."""
