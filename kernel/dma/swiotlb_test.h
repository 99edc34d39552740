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

/**
 * swiotlb_test_device() - a device with nothing behind it
 * @test:	it is gone with the test
 * @mask:	its streaming and coherent mask
 *
 * All functions here may sleep, and end the test if they fail.
 *
 * Return: the device, coherent.
 */
struct device *swiotlb_test_device(struct kunit *test, u64 mask);

/**
 * swiotlb_test_pool() - a pool that all mappings of a device go through
 * @test:	it is gone with the test
 * @dev:	the device
 * @nslabs:	slots, a multiple of 128 * @nareas
 * @nareas:	areas, a power of two
 *
 * Return: the pool.
 */
struct io_tlb_mem *swiotlb_test_pool(struct kunit *test, struct device *dev, unsigned long nslabs,
				     unsigned int nareas);

/**
 * swiotlb_test_pool_room() - leave some slots of a pool free only
 * @mem:	a pool of one area, with nothing mapped
 * @slots:	how many
 */
void swiotlb_test_pool_room(struct io_tlb_mem *mem, unsigned int slots);

/**
 * swiotlb_test_buffer() - pages to map
 * @test:	they are gone with the test
 * @size:	in bytes
 * @seed:	of swiotlb_test_fill()
 *
 * Return: the pages, physically contiguous.
 */
u8 *swiotlb_test_buffer(struct kunit *test, size_t size, unsigned int seed);

/**
 * swiotlb_test_fill() - write a pattern
 * @data:	where to
 * @size:	in bytes
 * @seed:	which one; at an offset, the pattern is the one of @seed plus offset
 */
void swiotlb_test_fill(u8 *data, size_t size, unsigned int seed);

/**
 * swiotlb_test_filled() - look for a pattern
 * @data:	where
 * @size:	in bytes
 * @seed:	as for swiotlb_test_fill()
 *
 * Return: whether it is what swiotlb_test_fill() writes.
 */
bool swiotlb_test_filled(const u8 *data, size_t size, unsigned int seed);

/**
 * swiotlb_test_at_exit() - have something done at the end of the test
 * @test:	the test
 * @fn:		called with @arg, the last one that was asked for first
 * @arg:	for @fn
 */
void swiotlb_test_at_exit(struct kunit *test, void (*fn)(void *), void *arg);

/**
 * swiotlb_test_device_view() - what a device sees
 * @dev:	the device
 * @addr:	DMA address, not of remapped memory
 *
 * Return: the memory there.
 */
u8 *swiotlb_test_device_view(struct device *dev, dma_addr_t addr);

/**
 * swiotlb_test_directions() - data goes where it should for every direction, and nowhere else
 * @test:	the test
 * @dev:	a device that is bounced
 * @size:	of the mapping, in bytes
 */
void swiotlb_test_directions(struct kunit *test, struct device *dev, size_t size);

/**
 * swiotlb_test_unwritten() - bytes that the device does not write come back as they were
 * @test:	the test
 * @dev:	a device that is bounced
 */
void swiotlb_test_unwritten(struct kunit *test, struct device *dev);

/**
 * swiotlb_test_skip_sync() - an unmap with DMA_ATTR_SKIP_CPU_SYNC copies nothing
 * @test:	the test
 * @dev:	a device that is bounced
 */
void swiotlb_test_skip_sync(struct kunit *test, struct device *dev);

/**
 * swiotlb_test_sync() - a sync copies its range, and nothing else
 * @test:	the test
 * @dev:	a device that is bounced
 * @offset:	of the mapping in its page, in bytes
 * @step:	between ranges, in bytes
 */
void swiotlb_test_sync(struct kunit *test, struct device *dev, size_t offset, size_t step);

#endif /* _KERNEL_DMA_SWIOTLB_TEST_H */
