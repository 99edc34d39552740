/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Internals of the software IO TLB that other files of kernel/dma use.
 */
#ifndef _KERNEL_DMA_SWIOTLB_H
#define _KERNEL_DMA_SWIOTLB_H

#include <linux/align.h>
#include <linux/dma-direction.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/spinlock.h>
#include <linux/swiotlb.h>
#include <linux/types.h>

struct io_tlb_mem;

/**
 * struct io_tlb_slot - IO TLB slot descriptor
 * @orig_addr:	The original address corresponding to a mapped entry.
 * @alloc_size:	Bytes from @orig_addr to the end of the mapping.
 * @list:	The free list describing the number of free entries available
 *		from each index.
 * @pad_slots:	In the slot where a mapping begins, the number of slots before
 *		it that were allocated for its alignment; otherwise 0.
 * @nslots:	In the first slot of an allocation, the number of its slots.
 */
struct io_tlb_slot {
	phys_addr_t orig_addr;
	size_t alloc_size;
	unsigned short list;
	unsigned short pad_slots;
	unsigned short nslots;
};

/**
 * struct io_tlb_area - IO TLB memory area descriptor
 *
 * This is a single area with a single lock.
 *
 * @used:	The number of used IO TLB block; also read without @lock.
 * @index:	The slot index to start searching in this area for next round.
 * @lock:	The lock to protect the above data structures in the map and
 *		unmap calls.
 */
struct io_tlb_area {
	unsigned long used;
	unsigned int index;
	spinlock_t lock;	/* @used, @index and the slots of the area */
};

/**
 * struct swiotlb_layout - how a mapping lies in bounce memory
 * @size:	bytes of memory that the mapping takes, including @offset
 * @offset:	bytes of this memory that precede the mapping
 * @align_mask:	address bits in which the memory has to begin with @align_bits
 * @align_bits:	these address bits
 */
struct swiotlb_layout {
	size_t size;
	unsigned int offset;
	unsigned int align_mask;
	unsigned int align_bits;
};

/**
 * swiotlb_layout() - compute how a mapping lies in bounce memory
 * @dev:		device of the mapping
 * @orig_addr:		physical address of the memory to map
 * @mapping_size:	in bytes
 * @alloc_align_mask:	granule of the IOMMU, minus one; 0 without an IOMMU
 * @layout:		the result
 *
 * The address of the mapping has the bits of @orig_addr that are in the
 * min_align_mask of the device. Bits below the granule, or below the size of a
 * slot, come from an offset in the memory; those above from where the memory
 * is. The memory consists of whole granules, which the device can see, and is
 * aligned to a page if it takes a page or more.
 *
 * Context: any.
 */
static inline void swiotlb_layout(struct device *dev, phys_addr_t orig_addr,
				  size_t mapping_size,
				  unsigned int alloc_align_mask,
				  struct swiotlb_layout *layout)
{
	unsigned int align_bits = orig_addr & dma_get_min_align_mask(dev);
	unsigned int unit_mask = alloc_align_mask | (IO_TLB_SIZE - 1);

	layout->offset = align_bits & unit_mask;
	layout->align_bits = align_bits & ~unit_mask;
	layout->size = ALIGN(layout->offset + mapping_size,
			     alloc_align_mask + 1UL);
	layout->align_mask = dma_get_min_align_mask(dev) | unit_mask;
	if (layout->size >= PAGE_SIZE)
		layout->align_mask |= PAGE_SIZE - 1;
}

/**
 * swiotlb_write_back() - write the copy of a new mapping back, if its caller does not
 * @dev:	device of the mapping
 * @paddr:	physical address of the copy
 * @size:	in bytes
 * @dir:	direction of the mapping
 * @attrs:	DMA_ATTR_SKIP_CPU_SYNC: the driver syncs the mapping later
 *
 * For a mapping that the device reads, the caller writes it back. For
 * DMA_FROM_DEVICE, it may invalidate the copy instead. With
 * DMA_ATTR_SKIP_CPU_SYNC it does nothing, and a later sync for the CPU may
 * invalidate the copy.
 *
 * Context: any.
 */
static inline void swiotlb_write_back(struct device *dev, phys_addr_t paddr,
				      size_t size, enum dma_data_direction dir,
				      unsigned long attrs)
{
	if (dev_is_dma_coherent(dev))
		return;
	if (dir == DMA_FROM_DEVICE || attrs & DMA_ATTR_SKIP_CPU_SYNC)
		arch_sync_dma_for_device(paddr, size, DMA_TO_DEVICE);
}

void swiotlb_init_io_tlb_mem(struct io_tlb_mem *mem, phys_addr_t start,
			     unsigned long nslabs, unsigned int flags,
			     bool late_alloc, unsigned int nareas);
void swiotlb_copy(phys_addr_t orig_addr, void *vaddr, size_t size,
		  enum dma_data_direction dir);
unsigned long swiotlb_mem_used(struct io_tlb_mem *mem);
void swiotlb_clear(struct device *dev, phys_addr_t paddr, void *vaddr,
		   size_t size);

#endif /* _KERNEL_DMA_SWIOTLB_H */
