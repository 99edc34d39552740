# SPDX-License-Identifier: GPL-2.0
#
# For kunit.py --qemu_config. The virt machine's RAM starts at 1 GB, so 8 GB put 5 GB above 4 GB: the
# zone below is DMA (4 GB minus 1), DMA32 is empty. A crash ends the guest at once.
from ..qemu_config import QemuArchParams

QEMU_ARCH = QemuArchParams(linux_arch='arm64',
			   kconfig='''
CONFIG_SERIAL_AMBA_PL011=y
CONFIG_SERIAL_AMBA_PL011_CONSOLE=y''',
			   qemu_arch='aarch64',
			   kernel_path='arch/arm64/boot/Image.gz',
			   kernel_command_line='console=ttyAMA0 oops=panic panic=-1',
			   extra_qemu_params=['-machine', 'virt', '-cpu', 'cortex-a57',
					      '-smp', '2', '-m', '8G'])
