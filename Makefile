# SPDX-License-Identifier: GPL-2.0
#
# The front door. The work is done in harness/; variables go there through the environment.

COMMANDS := run test series verify am edit absorb bench torture check devices ddw mutants litmus regressions clean

help:
	@echo 'make run       build the series for arm64, boot it in QEMU, show what its tests prove'
	@echo 'make test      everything that has to pass (LANES=all or LANES=name,name to choose)'
	@echo 'make series    write patches/$(BASE)/ from the files and hooks'
	@echo 'make verify    compare patches/$(BASE)/ with the files, the base and the recorded tree ids'
	@echo 'make am        apply the series to your tree: TREE=path'
	@echo 'make edit      a git work tree with one commit for each patch, to change with plain git'
	@echo 'make absorb    write that work tree back into files, hooks and messages'
	@echo 'make check     every patch by itself: builds, warnings, checkpatch, sparse, kernel-doc (PATCHES="2?-*")'
	@echo 'make mutants   break each property on purpose and see that its test notices'
	@echo 'make litmus    run the litmus tests, and hold them against the code that they model'
	@echo 'make regressions  the bugs of the base that the tests show, without the series and with it'
	@echo 'make bench     instructions, base and series side by side; swiotlb on newer kernels too'
	@echo 'make devices   NVMe, virtio-blk and e1000e behind a pool of 1 MB, base and series side by side'
	@echo 'make ddw       DMA windows on pseries, in use while they are replaced, base and series side by side'
	@echo 'make torture   bounce buffers under load, every byte checked, with KCSAN too (DURATION=120)'
	@echo 'make clean     remove what was built; the cache stays'
	@echo
	@echo 'BASE=$(BASE) OUT=out CACHE=~/.cache/dma-reach'

BASE ?= 6.1
export BASE

$(COMMANDS):
	@harness/run $@

.PHONY: help $(COMMANDS)
