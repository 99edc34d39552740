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
from harness.guest import image, qemu
from harness.runs import lanes
from harness.series import compose
from harness.source import debian, kbuild

DEBIAN = {"arm64": "arm64", "arm": "armhf", "x86_64": "amd64", "powerpc": "ppc64el"}    # its names of architectures
PACKAGE = "busybox-static"
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
    """The program; it is downloaded once and kept."""
    kept = paths.CACHE / "userspace" / f"busybox-{arch}"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as work:
            work = Path(work)
            options = debian.private(work / "apt", arch=DEBIAN[arch])
            versions = debian.offered(PACKAGE, options)
            if not versions:
                raise ui.Failure(f"apt offers no {PACKAGE} for {DEBIAN[arch]}",
                                 "the first time needs a network, and apt sources that offer that architecture")
            package = debian.download(PACKAGE, versions[0], work / "package", options)
            ui.run(["dpkg-deb", "-x", package, work / "files"], paths.OUT / "log/busybox.log")
            shutil.move(next((work / "files").glob("**/bin/busybox")), kept)
    return kept


def initramfs(arch, folder):
    """The archive; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "init"
    script.write_text(INIT, encoding="ascii")
    script.chmod(0o755)
    archive = folder / f"{arch}.cpio"
    archive.write_bytes(image.initramfs(script, others=[("bin/busybox", busybox(arch))]))
    return archive


def command(lane, archive):
    """QEMU with the serial console and the monitor on the terminal."""
    machine, arch = qemu.MACHINES[lane.kernel.arch], lane.kernel.arch
    parameters = [*qemu.parameters(arch), "kunit.enable=0", *lane.boot]
    return [f"qemu-system-{machine.qemu}", "-nodefaults", "-nographic", "-no-reboot", "-serial", "mon:stdio",
            *machine.machine, "-smp", "2", *(word for text in lane.qemu for word in text.split()),
            "-kernel", str(lanes.build_dir(lane.kernel) / machine.kernel), "-initrd", str(archive),
            "-append", " ".join(parameters)]


def chosen(known):
    """The lane that LANE= names, or the first."""
    return lanes.select(known, os.environ.get("LANE") or next(iter(known)))[0]


def build(lane):
    """Build its kernel and the archive, which it has to be able to unpack."""
    steps = ui.Steps("shell", 4)
    with steps.step("look for packages"):
        debian.ensure(kbuild.packages([lane.kernel.arch]))
    with steps.step(f"fetch Linux {paths.BASE} and compose the series"):
        composed = compose.prepare()
        composed.checkout(composed.tip, paths.tree_dir())
    with steps.step(f"build {lane.kernel.name}"):
        lanes.build(lane.kernel)
    config = lanes.build_dir(lane.kernel) / ".config"
    if OPTION not in config.read_text(encoding="utf-8").splitlines():
        raise ui.Failure(f"kernel {lane.kernel.name} takes no initramfs", f"add {OPTION} to one of its fragments")
    with steps.step("make a user space with Debian's busybox"):
        return initramfs(lane.kernel.arch, paths.out("shell"))


def cmd_shell():
    """The exit status of QEMU."""
    lane = chosen(lanes.load(paths.BASE))
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ui.Failure("make shell needs a terminal, on stdin and on stdout",
                         "run it in one; without, make test LANES= CASE= runs a case and keeps the console")
    with ui.alone(paths.OUT):
        archive = build(lane)
    return subprocess.run(command(lane, archive), check=False).returncode
