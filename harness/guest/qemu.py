# SPDX-License-Identifier: GPL-2.0
"""Guests in QEMU: the machines, and how a kernel is booted on one of them."""

import tomllib
from dataclasses import dataclass

from harness import paths, ui


@dataclass(frozen=True)
class Machine:
    """A table of machines.toml."""
    qemu: str
    kernel: str
    console: str
    machine: list
    config: list


MACHINES = {arch: Machine(**table) for arch, table in
            tomllib.loads((paths.TOP / "harness/guest/machines.toml").read_text(encoding="utf-8")).items()}
CRASH = ["oops=panic", "panic=-1"]      # a crash ends the guest at once
TIMEOUT = 1800                          # seconds
TIMED_OUT = (124, 137, -9)             # exit statuses of timeout(1); it dies of the SIGKILL that it sends
# For kunit.py, which looks for the import among its own files, wherever this one is.
KUNIT = """\
from ..qemu_config import QemuArchParams

QEMU_ARCH = QemuArchParams(linux_arch={arch!r}, kconfig={config!r}, qemu_arch={qemu!r}, kernel_path={kernel!r},
                           kernel_command_line={parameters!r}, extra_qemu_params={machine!r})
"""


def config(arch):
    """What the machine wants of a kernel's configuration."""
    return "".join(f"CONFIG_{option}=y\n" for option in MACHINES[arch].config)


def parameters(arch):
    """What every kernel gets on its command line."""
    return [f"console={MACHINES[arch].console}", *CRASH]


def kunit_config(arch):
    """Write the machine, with two processors, as kunit.py wants it; the path for its --qemu_config."""
    machine = MACHINES[arch]
    text = KUNIT.format(arch=arch, config=config(arch), qemu=machine.qemu, kernel=machine.kernel,
                        parameters=" ".join(parameters(arch)), machine=[*machine.machine, "-smp", "2"])
    path = paths.OUT / "guest" / f"{arch}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")
    return path


def command(arch, build, initrd, arguments=(), qemu=(), serial="stdio"):
    """QEMU with a kernel and an initramfs; parameters of the kernel, QEMU's arguments, and where the console is."""
    machine = MACHINES[arch]
    return [f"qemu-system-{machine.qemu}", "-nodefaults", "-nographic", "-no-reboot", "-serial", serial,
            *machine.machine, *qemu, "-kernel", build / machine.kernel, "-initrd", initrd,
            "-append", " ".join([*parameters(arch), *arguments])]


def start(arch, build, initrd, log, arguments=(), qemu=(), watch=None, timeout=TIMEOUT):
    """Boot a kernel, and wait until the guest ends, or `watch` raises; whether it had to be ended."""
    status = ui.run(["timeout", "--kill-after=10", str(timeout), *command(arch, build, initrd, arguments, qemu)], log,
                    check=False, watch=watch, name=f"boot of {arch}")
    return status in TIMED_OUT
