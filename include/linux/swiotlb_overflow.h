/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Whether an address lies in a transient bounce buffer, which is allocated when the software
 * IO TLB is full. See Documentation/core-api/swiotlb-overflow.rst.
 */
#ifndef _LINUX_SWIOTLB_OVERFLOW_H
#define _LINUX_SWIOTLB_OVERFLOW_H

#include <linux/compiler.h>
#include <linux/device.h>
#include <linux/dma-direction.h>
#include <linux/types.h>
#include <asm/barrier.h>

#ifdef CONFIG_SWIOTLB_OVERFLOW

bool swiotlb_overflow_find(struct device *dev, phys_addr_t paddr);
void swiotlb_overflow_sync_for_device(struct device *dev, phys_addr_t tlb_addr, size_t size,
				      enum dma_data_direction dir);
void swiotlb_overflow_sync_for_cpu(struct device *dev, phys_addr_t tlb_addr, size_t size,
				   enum dma_data_direction dir);
void swiotlb_overflow_unmap(struct device *dev, phys_addr_t tlb_addr, size_t size,
			    enum dma_data_direction dir, unsigned long attrs);

/**
 * swiotlb_range() - what has the range of all addresses that may be bounced
 * @dev:	device for which an address was mapped
 *
 * Call this after reading the address, and before functions that look up the address.
 *
 * Context: any.
 * Return: the pool of @dev; or something that has all addresses, if @dev ever used a transient
 * buffer; NULL if @dev has no pool.
 */
static inline struct io_tlb_mem *swiotlb_range(struct device *dev)
{
	/*
	 * The address came from the CPU that mapped it, by whatever means the driver uses. Do not
	 * look it up with values that were read earlier. Pairs with smp_wmb() in
	 * swiotlb_overflow_publish(). For an address whose memory was part of a transient buffer
	 * before, it pairs with smp_mb() in swiotlb_overflow_retire().
	 */
	smp_rmb();
	return READ_ONCE(dev->dma_io_tlb_range);
}

#elif defined(CONFIG_SWIOTLB)

static inline struct io_tlb_mem *swiotlb_range(struct device *dev)
{
	return dev->dma_io_tlb_mem;
}

static inline bool swiotlb_overflow_find(struct device *dev, phys_addr_t paddr)
{
	return false;
}

static inline void
swiotlb_overflow_sync_for_device(struct device *dev, phys_addr_t tlb_addr, size_t size,
				 enum dma_data_direction dir)
{
}

static inline void
swiotlb_overflow_sync_for_cpu(struct device *dev, phys_addr_t tlb_addr, size_t size,
			      enum dma_data_direction dir)
{
}

static inline void
swiotlb_overflow_unmap(struct device *dev, phys_addr_t tlb_addr, size_t size,
		       enum dma_data_direction dir, unsigned long attrs)
{
}

#endif /* CONFIG_SWIOTLB_OVERFLOW */
#endif /* _LINUX_SWIOTLB_OVERFLOW_H */
