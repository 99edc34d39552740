/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Between the software IO TLB's pool and the transient buffers that stand in for it when it is
 * full.
 */
#ifndef _KERNEL_DMA_SWIOTLB_OVERFLOW_H
#define _KERNEL_DMA_SWIOTLB_OVERFLOW_H

#include <linux/dma-direction.h>
#include <linux/types.h>

struct device;
struct io_tlb_mem;

void swiotlb_copy(phys_addr_t orig_addr, void *vaddr, size_t size, enum dma_data_direction dir);
unsigned long swiotlb_mem_used(struct io_tlb_mem *mem);

#ifdef CONFIG_SWIOTLB_OVERFLOW

void swiotlb_overflow_bounce(struct device *dev, phys_addr_t tlb_addr, size_t size,
			     enum dma_data_direction dir);
void swiotlb_overflow_unmap(struct device *dev, phys_addr_t tlb_addr, size_t size,
			    enum dma_data_direction dir, unsigned long attrs);

#else

static inline void swiotlb_overflow_bounce(struct device *dev, phys_addr_t tlb_addr, size_t size,
					   enum dma_data_direction dir)
{
}

static inline void swiotlb_overflow_unmap(struct device *dev, phys_addr_t tlb_addr, size_t size,
					  enum dma_data_direction dir, unsigned long attrs)
{
}

#endif /* CONFIG_SWIOTLB_OVERFLOW */
#endif /* _KERNEL_DMA_SWIOTLB_OVERFLOW_H */
