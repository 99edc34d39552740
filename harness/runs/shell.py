# SPDX-License-Identifier: GPL-2.0
"""`make shell`: boot the kernel of a lane with a prompt on the terminal, and Debian's busybox to look around.

LANE= names the lane, by default the first; its kernel parameters and QEMU arguments are used. Ctrl-a x leaves.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import paths, ui
from harness.guest import image, qemu, userspace
from harness.runs import lanes, loop
from harness.source import kbuild

OPTION = "CONFIG_BLK_DEV_INITRD=y"
INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /dev /proc /sys /tmp /sbin /usr/bin /usr/sbin
/bin/busybox --install -s
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t debugfs none /sys/kernel/debug 2>/dev/null
echo "$(uname -srm); Ctrl-a x leaves"
setsid cttyhack sh
poweroff -f
"""


def busybox(arch):
    """The program, which is downloaded once and kept."""
    kept = paths.CACHE / "userspace" / f"busybox-{arch}"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as work:
            _, root = userspace.unpack("busybox-static", Path(work), arch=arch)
            shutil.move(next(root.glob("**/bin/busybox")), kept)
    return kept


def initramfs(arch, folder):
    """The archive's path."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "init"
    script.write_text(INIT, encoding="ascii")
    script.chmod(0o755)
    archive = folder / f"{arch}.cpio"
    archive.write_bytes(image.initramfs(script, others=[("bin/busybox", busybox(arch))]))
    return archive


def command(lane, archive):
    """QEMU with the serial console and the monitor on the terminal."""
    return qemu.command(lane.kernel.arch, paths.build_dir(lane.kernel.name), archive, ["kunit.enable=0", *lane.boot],
                        ["-smp", "2", *lane.arguments()], "mon:stdio")


def build(lane):
    """Build its kernel and the archive, which it has to be able to unpack."""
    steps, _ = loop.begin("shell", 2, kbuild.packages([lane.kernel.arch]), paths.tree_dir())
    with steps.step(f"build {lane.kernel.name}"):
        lanes.build(lane.kernel)
    config = paths.build_dir(lane.kernel.name) / ".config"
    if OPTION not in config.read_text(encoding="utf-8").splitlines():
        raise ui.Failure(f"kernel {lane.kernel.name} takes no initramfs", f"add {OPTION} to one of its fragments")
    with steps.step("make a user space with Debian's busybox"):
        return initramfs(lane.kernel.arch, paths.out("shell"))


def cmd_shell():
    """The exit status of QEMU."""
    known = lanes.load()
    lane, *_ = lanes.select(known, os.environ.get("LANE") or next(iter(known)))
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ui.Failure("make shell needs a terminal, on stdin and on stdout",
                         "run it in one; without, make test LANES= CASE= runs a case and keeps the console")
    with ui.alone(paths.OUT):
        archive = build(lane)
    return subprocess.run(command(lane, archive), check=False).returncode
