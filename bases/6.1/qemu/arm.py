# SPDX-License-Identifier: GPL-2.0
#
# For kunit.py --qemu_config. 32-bit Arm with LPAE; 4 GB from 1 GB on, so 1 GB lies above 4 GB.
# A crash ends the guest at once.
from ..qemu_config import QemuArchParams

QEMU_ARCH = QemuArchParams(linux_arch='arm',
			   kconfig='''
CONFIG_ARCH_VIRT=y
CONFIG_SERIAL_AMBA_PL011=y
CONFIG_SERIAL_AMBA_PL011_CONSOLE=y''',
			   qemu_arch='arm',
			   kernel_path='arch/arm/boot/zImage',
			   kernel_command_line='console=ttyAMA0 oops=panic panic=-1',
			   extra_qemu_params=['-machine', 'virt', '-cpu', 'cortex-a15',
					      '-smp', '2', '-m', '4G'])
