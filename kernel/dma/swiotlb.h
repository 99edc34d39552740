/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Internals of the software IO TLB that other files of kernel/dma use.
 */
#ifndef _KERNEL_DMA_SWIOTLB_H
#define _KERNEL_DMA_SWIOTLB_H

#include <linux/dma-direction.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct io_tlb_mem;

/**
 * struct io_tlb_slot - IO TLB slot descriptor
 * @orig_addr:	The original address corresponding to a mapped entry.
 * @alloc_size:	Size of the allocated buffer.
 * @list:	The free list describing the number of free entries available
 *		from each index.
 * @pad_slots:	In the slot where a mapping begins, the number of slots before
 *		it that were allocated for its alignment; otherwise 0.
 */
struct io_tlb_slot {
	phys_addr_t orig_addr;
	size_t alloc_size;
	unsigned short list;
	unsigned short pad_slots;
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

void swiotlb_init_io_tlb_mem(struct io_tlb_mem *mem, phys_addr_t start,
			     unsigned long nslabs, unsigned int flags,
			     bool late_alloc, unsigned int nareas);
void swiotlb_copy(phys_addr_t orig_addr, void *vaddr, size_t size,
		  enum dma_data_direction dir);
unsigned long swiotlb_mem_used(struct io_tlb_mem *mem);

#endif /* _KERNEL_DMA_SWIOTLB_H */
