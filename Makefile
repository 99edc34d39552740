# SPDX-License-Identifier: GPL-2.0
#
# The front door. The work is done in harness/; variables go there through the environment.

COMMANDS := run test shell series verify am edit absorb part check mutants mutation regressions litmus torture devices ddw bench \
	verdicts clean

help:
	@echo 'make run       build the series for arm64, boot it in QEMU, show what its tests prove; then real drivers'
	@echo 'make test      everything that has to pass; to choose: LANES=all or names, PART=v7s, SUITE=arm_v7s,'
	@echo '               CASE=arm_v7s.map_beyond_input_size_refused'
	@echo 'make shell     a prompt on the kernel of a lane (LANE=arm64-slub)'
	@echo
	@echo 'make series    write patches/$(BASE)/ from the files and hooks'
	@echo 'make verify    compare patches/$(BASE)/ with the files, the base and the recorded tree ids; apply each mutant'
	@echo 'make am        apply the series to your tree: TREE=path [PART=v7s]'
	@echo 'make edit      a git work tree with one commit for each patch, to change with plain git'
	@echo 'make absorb    write that work tree back into files, hooks and messages'
	@echo 'make part      a git branch of one part for its maintainers: PART=swiotlb [SIGNOFF=1]'
	@echo
	@echo 'make check     every patch by itself: builds, warnings, checkpatch, sparse, kernel-doc, docutils'
	@echo '               (PATCHES="swiotlb/* v7s/range")'
	@echo 'make mutants   break each property on purpose and see that its test notices (MUTANTS="v7s/*")'
	@echo 'make mutation  break every condition, operator, constant and statement of a part, one at a time (PART=swiotlb,'
	@echo '               MUTATIONS="swiotlb_map:*")'
	@echo 'make regressions  take each fix out, and see that its test fails (FIX=v7s/range)'
	@echo 'make litmus    run the litmus tests, and hold them against the code that they model'
	@echo 'make torture   bounce buffers under load, every byte checked, with KCSAN too (DURATION=120)'
	@echo 'make devices   NVMe, virtio-blk and e1000e behind a pool of 1 MB, base and series side by side (DEVICE=nvme)'
	@echo 'make ddw       DMA windows on pseries, in use while they are replaced, base and series side by side'
	@echo '               (SCENARIO="busy race")'
	@echo 'make bench     instructions, base and series side by side; swiotlb on newer kernels too'
	@echo 'make verdicts  break each verdict of the harness on purpose, and see that its unit tests notice'
	@echo 'make clean     remove what was built; the cache and the work trees of make edit and make part stay'
	@echo
	@echo 'BASE=$(BASE) OUT=out CACHE=~/.cache/dma-reach'

BASE ?= 6.1
export BASE

$(COMMANDS):
	@harness/run $@

.PHONY: help $(COMMANDS)
