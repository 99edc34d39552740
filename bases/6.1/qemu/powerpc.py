# SPDX-License-Identifier: GPL-2.0
#
# For kunit.py --qemu_config. 64-bit little-endian pseries: firmware, hypercalls and DMA windows are QEMU's own.
# TCG has none of the mitigations that the machine promises by default. A crash ends the guest at once.
from ..qemu_config import QemuArchParams

QEMU_ARCH = QemuArchParams(linux_arch='powerpc',
			   kconfig='''
CONFIG_PPC64=y
CONFIG_CPU_LITTLE_ENDIAN=y
CONFIG_PPC_PSERIES=y
CONFIG_PPC_OF_BOOT_TRAMPOLINE=y
CONFIG_HVC_CONSOLE=y''',
			   qemu_arch='ppc64',
			   kernel_path='vmlinux',
			   kernel_command_line='console=hvc0 oops=panic panic=-1',
			   extra_qemu_params=['-machine', 'pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,'
					      'cap-ccf-assist=off', '-cpu', 'power9', '-smp', '2', '-m', '2G',
					      '-vga', 'none'])
