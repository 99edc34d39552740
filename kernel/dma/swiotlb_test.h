/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of the software IO TLB share: devices and pools of their own.
 */
#ifndef _KERNEL_DMA_SWIOTLB_TEST_H
#define _KERNEL_DMA_SWIOTLB_TEST_H

#include <linux/types.h>

struct device;
struct io_tlb_mem;
struct kunit;

/* A device with nothing behind it, gone with the test. @mask is its streaming and coherent mask. */
struct device *swiotlb_test_device(struct kunit *test, u64 mask);

/*
 * A pool that all mappings of @dev go through, gone with the test; @nslabs a multiple of 128 *
 * @nareas
 */
struct io_tlb_mem *swiotlb_test_pool(struct kunit *test, struct device *dev, unsigned long nslabs,
				     unsigned int nareas);

/* Leave so many slots free in a pool of one area */
void swiotlb_test_pool_room(struct io_tlb_mem *mem, unsigned int slots);

/* Pages for the test, filled with @seed, @seed + 1, ... (low bytes); physically contiguous */
u8 *swiotlb_test_buffer(struct kunit *test, size_t size, unsigned int seed);

/* Whether @size bytes at @data are what swiotlb_test_buffer() would have there with @seed */
bool swiotlb_test_filled(const u8 *data, size_t size, unsigned int seed);

void swiotlb_test_fill(u8 *data, size_t size, unsigned int seed);

/* Call @fn with @arg at the end of the test, last one first */
void swiotlb_test_at_exit(struct kunit *test, void (*fn)(void *), void *arg);

/* What a device sees at a DMA address */
u8 *swiotlb_test_device_view(struct device *dev, dma_addr_t addr);

#endif /* _KERNEL_DMA_SWIOTLB_TEST_H */
