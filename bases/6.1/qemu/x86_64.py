# SPDX-License-Identifier: GPL-2.0
#
# For kunit.py --qemu_config. 8 GB: DMA, DMA32 and Normal all have memory, with the PCI hole below
# 4 GB. A crash ends the guest at once.
from ..qemu_config import QemuArchParams

QEMU_ARCH = QemuArchParams(linux_arch='x86_64',
			   kconfig='''
CONFIG_SERIAL_8250=y
CONFIG_SERIAL_8250_CONSOLE=y''',
			   qemu_arch='x86_64',
			   kernel_path='arch/x86/boot/bzImage',
			   kernel_command_line='console=ttyS0 oops=panic panic=-1',
			   extra_qemu_params=['-cpu', 'max', '-smp', '2', '-m', '8G'])
