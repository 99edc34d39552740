# SPDX-License-Identifier: GPL-2.0
"""Names that have moved, until nobody uses them here any more."""

from harness.guest import image, userspace
from harness.guest.image import init, initramfs, program
from harness.guest.kernel import build
from harness.guest.qemu import start

DONE = "\nok 1 init"
__all__ = ["DONE", "build", "init", "initramfs", "packages", "program", "start"]


def packages(arches):
    """Packages for guests, devices.py's too."""
    return [*image.packages(arches), *userspace.PACKAGES]
