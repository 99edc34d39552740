/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Helpers that the KUnit suites of the software IO TLB share: devices, pools and buffers that
 * live as long as a test case, and checks that hold for the pool and for transient buffers.
 *
 * All functions may sleep, except swiotlb_test_fill() and swiotlb_test_filled(). Those that
 * allocate end the test case if they fail.
 */
#ifndef _KERNEL_DMA_TESTS_SWIOTLB_HELPERS_H
#define _KERNEL_DMA_TESTS_SWIOTLB_HELPERS_H

#include <linux/types.h>

struct device;
struct io_tlb_mem;
struct kunit;

/**
 * struct swiotlb_test_granules - a combination of alignment and granule
 * @min_align_mask:	of the device
 * @granule:		of its IOMMU, in bytes; 0 without one
 */
struct swiotlb_test_granules {
	unsigned int min_align_mask;
	unsigned int granule;
};

/**
 * swiotlb_test_granules_gen_params() - generate all combinations for a case with parameters
 * @prev:	the combination before, or NULL
 * @desc:	set to what the combination is called
 *
 * Context: one case at a time.
 * Return: a struct swiotlb_test_granules, or NULL after the last one.
 */
const void *swiotlb_test_granules_gen_params(const void *prev, char *desc);

/**
 * swiotlb_test_device() - create a coherent device without hardware
 * @test:	test case; the device is removed at its end
 * @mask:	streaming and coherent DMA mask
 *
 * Context: may sleep.
 * Return: the device.
 */
struct device *swiotlb_test_device(struct kunit *test, u64 mask);

/**
 * swiotlb_test_pool() - give a device a pool of its own, through which all mappings go
 * @test:	test case; the pool is freed at its end
 * @dev:	the device
 * @nslabs:	number of slots, a multiple of 128 * @nareas
 * @nareas:	number of areas, a power of two
 *
 * swiotlb_init_io_tlb_mem() may set it up again, smaller or with another start. The pool has no
 * transient buffers unless the test sets @can_overflow.
 *
 * Skips the test case if memory is encrypted, because pages of the kernel are no pool then.
 *
 * Context: may sleep.
 * Return: the pool.
 */
struct io_tlb_mem *swiotlb_test_pool(struct kunit *test, struct device *dev, unsigned long nslabs,
				     unsigned int nareas);

/**
 * swiotlb_test_record_cleaned() - make a device not coherent, and record what is cleaned
 * @test:	test case; the device is coherent again at its end
 * @dev:	the device
 *
 * QEMU has no caches, so a probe records what the architecture is told to write back. Skips the
 * test case if there can be no such probe.
 *
 * Context: may sleep.
 */
void swiotlb_test_record_cleaned(struct kunit *test, struct device *dev);

/**
 * swiotlb_test_cleaned() - whether a range was written back from the caches
 * @start:	physical address
 * @size:	in bytes
 *
 * Context: any.
 * Return: true if all bytes have been since swiotlb_test_forget_cleaned(); false also if they were
 * invalidated.
 */
bool swiotlb_test_cleaned(phys_addr_t start, size_t size);

/**
 * swiotlb_test_invalidated() - whether a range was given to a device that will write it
 * @start:	physical address
 * @size:	in bytes
 *
 * CPUs that do not read ahead drop their caches at this time, and not when the device is done.
 *
 * Context: any.
 * Return: true if all bytes have been since swiotlb_test_forget_cleaned(), for DMA_FROM_DEVICE.
 */
bool swiotlb_test_invalidated(phys_addr_t start, size_t size);

/**
 * swiotlb_test_forget_cleaned() - forget what was given to a device
 *
 * The record holds the 32 last ranges.
 *
 * Context: any, but not while this thread maps or syncs.
 */
void swiotlb_test_forget_cleaned(void);

/**
 * swiotlb_test_cleaned_bytes() - how much was written back from the caches
 *
 * Context: any.
 * Return: bytes since swiotlb_test_forget_cleaned(); a byte counts each time.
 */
size_t swiotlb_test_cleaned_bytes(void);

/**
 * swiotlb_test_pool_room() - pretend that all but a few slots of a pool are used
 * @mem:	pool with one area and without mappings
 * @slots:	number of slots that stay free
 *
 * Context: any.
 */
void swiotlb_test_pool_room(struct io_tlb_mem *mem, unsigned int slots);

/**
 * swiotlb_test_mem_used() - number of used slots of a pool
 * @mem:	the pool
 *
 * Context: any.
 * Return: number of slots.
 */
unsigned long swiotlb_test_mem_used(struct io_tlb_mem *mem);

/**
 * swiotlb_test_buffer() - allocate physically contiguous pages that hold a pattern
 * @test:	test case; the pages are freed at its end
 * @size:	in bytes
 * @seed:	pattern, see swiotlb_test_fill()
 *
 * Context: may sleep.
 * Return: address of the pages.
 */
u8 *swiotlb_test_buffer(struct kunit *test, size_t size, unsigned int seed);

/**
 * swiotlb_test_fill() - write a pattern
 * @data:	memory to write
 * @size:	in bytes
 * @seed:	pattern; the bytes from offset n on are those of pattern @seed + n
 *
 * Context: any.
 */
void swiotlb_test_fill(u8 *data, size_t size, unsigned int seed);

/**
 * swiotlb_test_filled() - compare memory with a pattern
 * @data:	memory to read
 * @size:	in bytes
 * @seed:	pattern, see swiotlb_test_fill()
 *
 * Context: any.
 * Return: true if all bytes are equal.
 */
bool swiotlb_test_filled(const u8 *data, size_t size, unsigned int seed);

/**
 * swiotlb_test_at_exit() - call a function at the end of the test case
 * @test:	test case
 * @fn:		function; the last one that was registered is called first
 * @arg:	argument of @fn
 *
 * Context: may sleep.
 */
void swiotlb_test_at_exit(struct kunit *test, void (*fn)(void *), void *arg);

/**
 * swiotlb_test_device_view() - memory that a device accesses at a DMA address
 * @dev:	the device
 * @addr:	DMA address, not of remapped memory
 *
 * Context: any.
 * Return: virtual address.
 */
u8 *swiotlb_test_device_view(struct device *dev, dma_addr_t addr);

/**
 * swiotlb_test_directions() - check that map and unmap copy the data of each direction
 * @test:	test case
 * @dev:	device whose mappings are bounced
 * @size:	of the mapping, in bytes
 *
 * The bytes around the mapping must not change.
 *
 * Context: may sleep.
 */
void swiotlb_test_directions(struct kunit *test, struct device *dev, size_t size);

/**
 * swiotlb_test_unwritten() - check that bytes which the device does not write keep their value
 * @test:	test case
 * @dev:	device whose mappings are bounced
 *
 * Context: may sleep.
 */
void swiotlb_test_unwritten(struct kunit *test, struct device *dev);

/**
 * swiotlb_test_skip_sync() - check that an unmap with DMA_ATTR_SKIP_CPU_SYNC copies nothing
 * @test:	test case
 * @dev:	device whose mappings are bounced
 *
 * Context: may sleep.
 */
void swiotlb_test_skip_sync(struct kunit *test, struct device *dev);

/**
 * swiotlb_test_sync() - check that a sync copies its range and nothing else
 * @test:	test case
 * @dev:	device whose mappings are bounced
 * @offset:	offset of the mapping in its page, in bytes
 * @step:	distance of the ranges, in bytes
 *
 * From each byte that is so far from another, 64 bytes and all bytes to the end are synced.
 *
 * Context: may sleep.
 */
void swiotlb_test_sync(struct kunit *test, struct device *dev, size_t offset, size_t step);

#endif /* _KERNEL_DMA_TESTS_SWIOTLB_HELPERS_H */
