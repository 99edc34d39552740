/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Whether an address lies in a transient buffer that was allocated because the software IO TLB
 * was full. See Documentation/core-api/swiotlb-overflow.rst.
 */
#ifndef _LINUX_SWIOTLB_OVERFLOW_H
#define _LINUX_SWIOTLB_OVERFLOW_H

#include <linux/compiler.h>
#include <linux/device.h>
#include <linux/types.h>
#include <asm/barrier.h>

phys_addr_t swiotlb_overflow_map(struct device *dev, phys_addr_t orig_addr, size_t mapping_size,
				 size_t alloc_size, unsigned int alloc_align_mask,
				 unsigned long attrs);

#ifdef CONFIG_SWIOTLB_OVERFLOW

bool swiotlb_overflow_find(struct device *dev, phys_addr_t paddr);

/**
 * has_swiotlb_overflow() - whether an address may be one of a transient bounce buffer
 * @dev:	the device that the address was mapped for
 *
 * To be asked after the address was read, and before swiotlb_overflow_find() and the like. Any
 * context. A load and a test is all that a device pays that never had such a buffer.
 *
 * Return: false if @dev never had a transient buffer.
 */
static inline bool has_swiotlb_overflow(struct device *dev)
{
	/*
	 * The address came from the CPU that mapped it, by whatever way the driver has: do not
	 * look for it with what was read before. Pairs with smp_wmb() in
	 * swiotlb_overflow_publish(), and, for an address whose memory was part of such a
	 * buffer before, with smp_mb() in swiotlb_overflow_retire().
	 */
	smp_rmb();
	return READ_ONCE(dev->dma_overflow_classes);
}

/**
 * is_swiotlb_overflow() - whether an address is one of a transient bounce buffer
 * @dev:	the device that the address was mapped for
 * @paddr:	physical address, any byte of a mapping of @dev
 *
 * Any context.
 *
 * Return: true if the byte at @paddr is part of a mapping of @dev that lives in such a buffer.
 */
static inline bool is_swiotlb_overflow(struct device *dev, phys_addr_t paddr)
{
	return unlikely(has_swiotlb_overflow(dev)) && swiotlb_overflow_find(dev, paddr);
}

#else

static inline bool has_swiotlb_overflow(struct device *dev)
{
	return false;
}

static inline bool is_swiotlb_overflow(struct device *dev, phys_addr_t paddr)
{
	return false;
}

#endif /* CONFIG_SWIOTLB_OVERFLOW */
#endif /* _LINUX_SWIOTLB_OVERFLOW_H */
