// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite "swiotlb": the pool of the software IO TLB.
 *
 * Each case has a device and a pool of its own, so other users of the machine's pool are not
 * disturbed. The CPU plays the device: it reads and writes at the DMA address, which equals the
 * physical address. Expected bytes, addresses and alignments are computed from the arguments of
 * the mapping, not from the state of the pool.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/dma-direct.h>
#include <linux/dma-mapping.h>
#include <linux/highmem.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/prandom.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/swiotlb.h>

#include "../swiotlb.h"
#include "swiotlb_helpers.h"

#define TEST_SLABS	512

static struct device *device_with_room(struct kunit *test)
{
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));

	swiotlb_test_pool(test, dev, TEST_SLABS, 1);
	return dev;
}

/* Nothing of what its memory held is left, and a sync where nothing is mapped copies nothing. */
static void new_pool_is_empty(struct kunit *test)
{
	struct device *dev = device_with_room(test);
	struct io_tlb_mem *mem = dev->dma_io_tlb_mem;
	phys_addr_t slot;

	KUNIT_EXPECT_EQ(test, mem->end - mem->start, TEST_SLABS * SZ_2K);
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(mem), 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(phys_to_virt(mem->start), 0, TEST_SLABS * SZ_2K));
	for (slot = mem->start; slot < mem->end; slot += SZ_2K) {
		swiotlb_sync_single_for_device(dev, slot + 5, 64, DMA_TO_DEVICE);
		swiotlb_sync_single_for_cpu(dev, slot + 5, 64, DMA_FROM_DEVICE);
	}
	KUNIT_EXPECT_NULL(test, memchr_inv(phys_to_virt(mem->start), 0, TEST_SLABS * SZ_2K));
}

/* Errors of a driver: syncs after the unmap copy nothing, and another unmap frees nothing. */
static void nothing_is_done_after_unmap(struct kunit *test)
{
	struct device *dev = device_with_room(test);
	u8 *data = swiotlb_test_buffer(test, SZ_8K, 1);
	dma_addr_t addr = dma_map_single(dev, data, 5000, DMA_BIDIRECTIONAL);
	unsigned int at;

	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	memset(swiotlb_test_device_view(dev, addr), 0x77, SZ_8K);
	dma_unmap_single_attrs(dev, addr, 5000, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
	for (at = 0; at < 5000; at += 700) {
		dma_sync_single_for_cpu(dev, addr + at, 64, DMA_FROM_DEVICE);
		dma_sync_single_for_device(dev, addr + at, 64, DMA_TO_DEVICE);
	}
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data, SZ_8K, 1));
	KUNIT_EXPECT_NULL(test, memchr_inv(swiotlb_test_device_view(dev, addr), 0x77, SZ_8K));
	dma_unmap_single_attrs(dev, addr, 5000, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(dev->dma_io_tlb_mem), 0);
}

static void data_copied_in_each_direction(struct kunit *test)
{
	struct device *dev = device_with_room(test);

	swiotlb_test_directions(test, dev, 5000);
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(dev->dma_io_tlb_mem), 0);
}

static void unwritten_bytes_keep_their_value(struct kunit *test)
{
	swiotlb_test_unwritten(test, device_with_room(test));
}

static void unmap_without_sync_copies_nothing(struct kunit *test)
{
	swiotlb_test_skip_sync(test, device_with_room(test));
}

/* The step is no divisor of the slot size, so some ranges cross the end of a slot. */
static void sync_copies_only_its_range(struct kunit *test)
{
	swiotlb_test_sync(test, device_with_room(test), 0, 0x1ef);
}

/*
 * With a min_align_mask, the mapping begins at an offset in its first slot. A range in a later
 * slot may begin below that offset.
 */
static void sync_from_any_byte_of_slot(struct kunit *test)
{
	struct device *dev = device_with_room(test);

	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, 0xfff), 0);
	swiotlb_test_sync(test, dev, 0x400, 0x101);
}

/* The bytes before a mapping in its first slot are not part of it. */
static void sync_before_mapping_copies_nothing(struct kunit *test)
{
	struct device *dev = device_with_room(test);
	struct io_tlb_mem *mem = dev->dma_io_tlb_mem;
	u8 *data = swiotlb_test_buffer(test, SZ_16K, 1), *view;
	dma_addr_t before, addr;
	phys_addr_t phys;

	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, 0xfff), 0);
	/* In the slots before, memory before the buffer is mapped. */
	before = dma_map_single(dev, data, SZ_8K, DMA_BIDIRECTIONAL);
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, before));
	addr = dma_map_single(dev, data + SZ_8K + 0x400, SZ_4K, DMA_BIDIRECTIONAL);
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	KUNIT_ASSERT_EQ(test, addr, before + SZ_8K + 0x400);
	view = swiotlb_test_device_view(dev, addr);
	memset(view - 0x400, 0x77, 0x400 + SZ_4K);

	kunit_info(test, "expect: WARNING:\n");
	dma_sync_single_for_cpu(dev, addr - 0x100, 0x200, DMA_FROM_DEVICE);
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data, SZ_16K, 1));
	dma_unmap_single_attrs(dev, addr, SZ_4K, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
	dma_unmap_single_attrs(dev, before, SZ_8K, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data, SZ_16K, 1));

	/* The warning comes once. In a granule, the mapping does not begin in the first slot. */
	phys = swiotlb_tbl_map_single(dev, virt_to_phys(data) + 0x1c00, SZ_4K, SZ_4K - 1,
				      DMA_BIDIRECTIONAL, 0);
	KUNIT_ASSERT_NE(test, phys, (phys_addr_t)DMA_MAPPING_ERROR);
	memset(phys_to_virt(phys) - 0xc00, 0x77, 0xc00 + SZ_4K);
	swiotlb_sync_single_for_cpu(dev, phys - 0x100, 0x200, DMA_FROM_DEVICE);
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data, SZ_16K, 1));
	swiotlb_tbl_unmap_single(dev, phys, SZ_4K, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);

	/* The slot before belonged to a mapping that was larger by a slot. */
	mem->areas[0].index = 0;
	before = dma_map_single(dev, data + 0x400, 500 + SZ_2K, DMA_BIDIRECTIONAL);
	KUNIT_ASSERT_EQ(test, before, mem->start + 0x400);
	dma_unmap_single_attrs(dev, before, 500 + SZ_2K, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
	mem->areas[0].index = 0;
	addr = dma_map_single(dev, data + 0xc00, 500, DMA_BIDIRECTIONAL);
	KUNIT_ASSERT_EQ(test, addr, mem->start + 0xc00);
	memset(phys_to_virt(mem->start), 0x77, SZ_4K);
	dma_sync_single_for_cpu(dev, addr - 0x100, 0x200, DMA_FROM_DEVICE);
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data, SZ_16K, 1));
	dma_unmap_single_attrs(dev, addr, 500, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
}

/* In the last slot, which the mapping does not fill, and where it has an offset. */
static void sync_behind_mapping_copies_nothing(struct kunit *test)
{
	struct device *dev = device_with_room(test);
	u8 *data = swiotlb_test_buffer(test, SZ_8K, 1);
	dma_addr_t addr;

	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, 0xfff), 0);
	addr = dma_map_single(dev, data + 0x400, 1500, DMA_BIDIRECTIONAL);
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	memset(swiotlb_test_device_view(dev, addr), 0x77, 3000);

	kunit_info(test, "expect: WARNING:\n");
	dma_sync_single_for_cpu(dev, addr + 2100, 64, DMA_FROM_DEVICE);
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data, SZ_8K, 1));
	dma_unmap_single_attrs(dev, addr, 1500, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
}

static void sync_is_clamped_to_mapping(struct kunit *test)
{
	struct device *dev = device_with_room(test);
	u8 *data = swiotlb_test_buffer(test, SZ_4K, 1), *view;
	dma_addr_t addr = dma_map_single(dev, data, 1000, DMA_BIDIRECTIONAL);
	phys_addr_t phys;

	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	view = swiotlb_test_device_view(dev, addr);
	memset(view, 0x77, SZ_2K);
	kunit_info(test, "expect: WARNING:\n");
	dma_sync_single_for_cpu(dev, addr, SZ_2K, DMA_FROM_DEVICE);
	KUNIT_EXPECT_NULL(test, memchr_inv(data, 0x77, 1000));
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data + 1000, SZ_4K - 1000, 1 + 1000));
	memset(data, 0x88, SZ_4K);
	dma_sync_single_for_device(dev, addr, SZ_2K, DMA_TO_DEVICE);
	KUNIT_EXPECT_NULL(test, memchr_inv(view, 0x88, 1000));
	KUNIT_EXPECT_NULL(test, memchr_inv(view + 1000, 0x77, SZ_2K - 1000));
	/* The warning comes once. */
	memset(view, 0x99, SZ_2K);
	dma_sync_single_for_cpu(dev, addr + 500, 1000, DMA_FROM_DEVICE);
	KUNIT_EXPECT_NULL(test, memchr_inv(data, 0x88, 500));
	KUNIT_EXPECT_NULL(test, memchr_inv(data + 500, 0x99, 500));
	KUNIT_EXPECT_NULL(test, memchr_inv(data + 1000, 0x88, SZ_4K - 1000));
	dma_unmap_single_attrs(dev, addr, 1000, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);

	/* The padding up to the end of a granule is not part of the mapping either. */
	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, 0xfff), 0);
	memset(data, 0x88, SZ_4K);
	phys = swiotlb_tbl_map_single(dev, virt_to_phys(data) + 0x600, 100, SZ_64K - 1,
				      DMA_BIDIRECTIONAL, 0);
	KUNIT_ASSERT_NE(test, phys, (phys_addr_t)DMA_MAPPING_ERROR);
	memset(phys_to_virt(ALIGN_DOWN(phys, SZ_64K)), 0x77, SZ_64K);
	swiotlb_sync_single_for_cpu(dev, phys, 1000, DMA_FROM_DEVICE);
	swiotlb_sync_single_for_cpu(dev, phys + SZ_8K, 1000, DMA_FROM_DEVICE);
	KUNIT_EXPECT_NULL(test, memchr_inv(data, 0x88, 0x600));
	KUNIT_EXPECT_NULL(test, memchr_inv(data + 0x600, 0x77, 100));
	KUNIT_EXPECT_NULL(test, memchr_inv(data + 0x600 + 100, 0x88, SZ_4K - 0x600 - 100));
	swiotlb_tbl_unmap_single(dev, phys, 100, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
}

static void pages_free(void *pages)
{
	__free_pages(pages, 1);
}

static void page_fill(struct page *page, unsigned int seed)
{
	u8 *data = kmap_local_page(page);

	swiotlb_test_fill(data, PAGE_SIZE, seed);
	kunmap_local(data);
}

static bool page_filled(struct page *page, size_t offset, size_t size, unsigned int seed)
{
	u8 *data = kmap_local_page(page);
	bool filled = swiotlb_test_filled(data + offset, size, seed);

	kunmap_local(data);
	return filled;
}

/*
 * The buffer of one slot lies in two pages, and the range of the sync in the second one. With
 * CONFIG_HIGHMEM the pages are in high memory and are mapped one by one.
 */
static void sync_copies_to_page_of_its_range(struct kunit *test)
{
	const size_t offset = PAGE_SIZE - SZ_1K, at = 0x500, len = 64;
	struct page *pages = alloc_pages(GFP_HIGHUSER, 1);
	struct device *dev = device_with_room(test);
	const size_t second = offset + at - PAGE_SIZE;
	dma_addr_t addr;
	u8 *view;

	KUNIT_ASSERT_NOT_NULL(test, pages);
	swiotlb_test_at_exit(test, pages_free, pages);
	page_fill(pages, 1);
	page_fill(pages + 1, 2);
	addr = dma_map_page(dev, pages, offset, SZ_2K, DMA_BIDIRECTIONAL);
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	view = swiotlb_test_device_view(dev, addr);

	swiotlb_test_fill(view, SZ_2K, 77);
	dma_sync_single_range_for_cpu(dev, addr, at, len, DMA_FROM_DEVICE);
	KUNIT_EXPECT_TRUE(test, page_filled(pages, 0, PAGE_SIZE, 1));
	KUNIT_EXPECT_TRUE(test, page_filled(pages + 1, 0, second, 2));
	KUNIT_EXPECT_TRUE(test, page_filled(pages + 1, second, len, 77 + at));
	KUNIT_EXPECT_TRUE(test, page_filled(pages + 1, second + len, PAGE_SIZE - second - len,
					    2 + second + len));

	page_fill(pages, 33);
	page_fill(pages + 1, 44);
	dma_sync_single_range_for_device(dev, addr, at, len, DMA_TO_DEVICE);
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(view, at, 77));
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(view + at, len, 44 + second));
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(view + at + len, SZ_2K - at - len,
						    77 + at + len));
	dma_unmap_page_attrs(dev, addr, SZ_2K, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
}

struct align_param {
	unsigned int min_align_mask;
	unsigned int alloc_align_mask;
	size_t size;
};

static const struct align_param align_params[] = {
	{ 0, 0, 512 }, { 0, 0, SZ_2K }, { 0, 0, SZ_4K }, { 0, 0, SZ_64K },
	{ 0x1ff, 0, 512 }, { 0x1ff, 0, SZ_4K },
	{ 0x7ff, 0, 512 }, { 0x7ff, 0, SZ_4K },
	{ 0xfff, 0, 512 }, { 0xfff, 0, SZ_2K }, { 0xfff, 0, SZ_4K }, { 0xfff, 0, SZ_64K },
	{ 0xffff, 0, 512 }, { 0xffff, 0, SZ_64K },
	{ 0, 0xfff, 512 }, { 0, 0xfff, SZ_4K }, { 0, 0xffff, SZ_4K },
	{ 0x7ff, 0xfff, 512 }, { 0x7ff, 0xfff, SZ_64K },
};

static void align_param_desc(const struct align_param *p, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "min_align_mask %#x, alloc_align_mask %#x, %zu bytes",
		 p->min_align_mask, p->alloc_align_mask, p->size);
}

KUNIT_ARRAY_PARAM(align, align_params, align_param_desc);

static void address_keeps_alignment(struct kunit *test)
{
	const struct align_param *p = test->param_value;
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	u8 *data = swiotlb_test_buffer(test, SZ_256K, 1);
	unsigned int offset;
	phys_addr_t phys, odd;

	swiotlb_test_pool(test, dev, TEST_SLABS, 1);
	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, p->min_align_mask), 0);
	for (offset = 0; offset < SZ_4K; offset += 0x101) {
		/* The next slot may be one that does not begin a page. */
		odd = swiotlb_tbl_map_single(dev, virt_to_phys(data), 512, 0, DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_NE(test, odd, (phys_addr_t)DMA_MAPPING_ERROR);
		phys = swiotlb_tbl_map_single(dev, virt_to_phys(data) + offset, p->size,
					      p->alloc_align_mask, DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_NE(test, phys, (phys_addr_t)DMA_MAPPING_ERROR);
		KUNIT_EXPECT_EQ(test, phys & p->min_align_mask,
				virt_to_phys(data + offset) & p->min_align_mask);
		KUNIT_EXPECT_EQ(test, (phys - (offset & p->min_align_mask & (IO_TLB_SIZE - 1))) &
				p->alloc_align_mask, 0);
		if (p->size >= PAGE_SIZE && !p->min_align_mask)
			KUNIT_EXPECT_EQ(test, phys & ~PAGE_MASK, 0);
		swiotlb_tbl_unmap_single(dev, phys, p->size, DMA_TO_DEVICE, 0);
		swiotlb_tbl_unmap_single(dev, odd, 512, DMA_TO_DEVICE, 0);
	}
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(dev->dma_io_tlb_mem), 0);
}

struct search {
	struct device *dev;
	phys_addr_t orig;
	size_t size;
	phys_addr_t found;
	struct completion done;
};

static int search_thread(void *arg)
{
	struct search *search = arg;

	search->found = swiotlb_tbl_map_single(search->dev, search->orig, search->size, 0,
					       DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
	complete(&search->done);
	return 0;
}

/*
 * Map in a thread on another CPU. A search that does not end holds the lock of the area with
 * interrupts disabled. In that case this CPU frees slots under it, so that the search ends, the
 * case fails, and the machine continues.
 */
static phys_addr_t search_with_watchdog(struct kunit *test, struct device *dev, phys_addr_t orig,
					size_t size)
{
	struct io_tlb_mem *mem = dev->dma_io_tlb_mem;
	struct search search = { .dev = dev, .orig = orig, .size = size };
	struct task_struct *thread;
	unsigned long i;
	bool hung;
	u64 end;

	init_completion(&search.done);
	thread = kthread_create(search_thread, &search, "swiotlb_test");
	KUNIT_ASSERT_FALSE(test, IS_ERR(thread));
	migrate_disable();
	kthread_bind(thread, cpumask_any_but(cpu_online_mask, smp_processor_id()));
	wake_up_process(thread);
	/* Timers stand still if the other CPU is the one that keeps the time. */
	end = ktime_get_mono_fast_ns() + 20ULL * NSEC_PER_SEC;
	while (!completion_done(&search.done) && ktime_get_mono_fast_ns() < end)
		cpu_relax();
	hung = !completion_done(&search.done);
	while (hung && !completion_done(&search.done)) {
		for (i = 0; i < mem->nslabs; i++)
			WRITE_ONCE(mem->slots[i].list, IO_TLB_SEGSIZE);
		cpu_relax();
	}
	migrate_enable();
	KUNIT_ASSERT_FALSE_MSG(test, hung, "the search for slots does not end");
	return search.found;
}

/*
 * With the min_align_mask of an NVMe drive, the upper halves of all pages of the pool are used,
 * and one more buffer lies in the upper half of its page. The search ends, wherever it starts.
 */
static void search_of_half_full_pool_ends(struct kunit *test)
{
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_8K, 1)), found;
	struct io_tlb_mem *mem;
	unsigned int i;

	if (num_online_cpus() < 2)
		kunit_skip(test, "needs more than one CPU");
	mem = swiotlb_test_pool(test, dev, 128, 1);
	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, 0xfff), 0);
	for (i = 0; i < 64; i++) {
		found = search_with_watchdog(test, dev, data + IO_TLB_SIZE, 512);
		KUNIT_ASSERT_NE(test, found, (phys_addr_t)DMA_MAPPING_ERROR);
		KUNIT_ASSERT_EQ(test, found & 0xfff, IO_TLB_SIZE);
	}
	for (i = 0; i < 128; i++) {
		mem->areas[0].index = i;
		found = search_with_watchdog(test, dev, data + IO_TLB_SIZE, 512);
		KUNIT_ASSERT_EQ(test, found, (phys_addr_t)DMA_MAPPING_ERROR);
	}
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(mem), 64);
}

/* The one that lies behind is mapped first. */
static void neighbour_gets_its_bytes(struct kunit *test)
{
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	u8 *data = swiotlb_test_buffer(test, SZ_64K, 1);
	const phys_addr_t orig = virt_to_phys(data);
	struct io_tlb_mem *mem = swiotlb_test_pool(test, dev, 128, 1);
	static const unsigned int granules[] = { SZ_2K, SZ_16K };
	const size_t offset = SZ_16K - SZ_2K;
	phys_addr_t first, second;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, SZ_16K - 1), 0);
	for (i = 0; i < ARRAY_SIZE(granules); i++) {
		mem->areas[0].index = 8;
		second = swiotlb_tbl_map_single(dev, orig + SZ_16K, 1000, granules[i] - 1,
						DMA_FROM_DEVICE, 0);
		KUNIT_ASSERT_EQ(test, second % SZ_16K, 0);
		mem->areas[0].index = (second - mem->start) / SZ_2K - 8;
		first = swiotlb_tbl_map_single(dev, orig + offset, 1000, granules[i] - 1,
					       DMA_FROM_DEVICE, 0);
		KUNIT_ASSERT_EQ(test, first, second - SZ_2K);
		memset(phys_to_virt(second), 0x77, 1000);
		memset(phys_to_virt(first), 0x88, 1000);
		swiotlb_tbl_unmap_single(dev, second, 1000, DMA_FROM_DEVICE, 0);
		swiotlb_tbl_unmap_single(dev, first, 1000, DMA_FROM_DEVICE, 0);
		KUNIT_EXPECT_NULL(test, memchr_inv(data + SZ_16K, 0x77, 1000));
		KUNIT_EXPECT_NULL(test, memchr_inv(data + offset, 0x88, 1000));
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data, offset, 1));
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data + SZ_16K + 1000, SZ_16K,
							    1 + SZ_16K + 1000));
		swiotlb_test_fill(data, SZ_64K, 1);
	}
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(mem), 0);
}

/* The only suitable free slot is found, wherever it is and wherever the search starts. */
static void search_finds_only_free_slot(struct kunit *test)
{
	static const unsigned int masks[] = { 0, 0xfff, 0x1fff, 0xffff };
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_128K, 1)), found;
	struct io_tlb_mem *mem = swiotlb_test_pool(test, dev, 128, 1);
	unsigned int m, slot, begin;
	phys_addr_t addr, orig;

	if (num_online_cpus() < 2)
		kunit_skip(test, "needs more than one CPU");
	for (m = 0; m < ARRAY_SIZE(masks); m++) {
		KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, masks[m]), 0);
		for (slot = 0; slot < 128; slot += 5) {
			addr = mem->start + slot * IO_TLB_SIZE;
			orig = data + ((addr - data) & masks[m]);
			for (begin = 0; begin < 128; begin += 9) {
				unsigned int i;

				for (i = 0; i < 128; i++)
					mem->slots[i].list = i == slot;
				mem->areas[0].used = 127;
				mem->areas[0].index = begin;
				found = search_with_watchdog(test, dev, orig, 512);
				KUNIT_ASSERT_EQ(test, found, addr);
			}
		}
	}
}

/* Slots that were just freed are the last ones to be used again. */
static void search_continues_behind_last_mapping(struct kunit *test)
{
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_4K, 1)), found;
	struct io_tlb_mem *mem = swiotlb_test_pool(test, dev, 128, 1);
	unsigned int i;

	for (i = 0; i < 2 * 128; i++) {
		found = swiotlb_tbl_map_single(dev, data, 512, 0, DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_EQ(test, found, mem->start + i % 128 * SZ_2K);
		swiotlb_tbl_unmap_single(dev, found, 512, DMA_TO_DEVICE, 0);
	}
}

static void full_pool_fails_and_recovers(struct kunit *test)
{
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_4K, 1)), *found;
	unsigned int i;

	swiotlb_test_pool(test, dev, TEST_SLABS, 2);
	found = kunit_kcalloc(test, TEST_SLABS, sizeof(*found), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, found);
	for (i = 0; i < TEST_SLABS; i++) {
		found[i] = swiotlb_tbl_map_single(dev, data, 512, 0, DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_NE(test, found[i], (phys_addr_t)DMA_MAPPING_ERROR);
	}
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(dev->dma_io_tlb_mem), TEST_SLABS);
	KUNIT_EXPECT_EQ(test, swiotlb_mem_used(dev->dma_io_tlb_mem), TEST_SLABS);
	KUNIT_EXPECT_EQ(test,
			swiotlb_tbl_map_single(dev, data, 512, 0, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			(phys_addr_t)DMA_MAPPING_ERROR);
	for (i = 0; i < TEST_SLABS; i++)
		swiotlb_tbl_unmap_single(dev, found[i], 512, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(dev->dma_io_tlb_mem), 0);
	found[0] = swiotlb_tbl_map_single(dev, data, SZ_4K, 0, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_NE(test, found[0], (phys_addr_t)DMA_MAPPING_ERROR);
	swiotlb_tbl_unmap_single(dev, found[0], SZ_4K, DMA_TO_DEVICE, 0);
}

static void segment_boundary_is_not_crossed(struct kunit *test)
{
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_16K, 1)), found[16];
	const size_t size = 5 * SZ_2K - 100;
	unsigned int i;

	swiotlb_test_pool(test, dev, 128, 1);
	KUNIT_ASSERT_EQ(test, dma_set_seg_boundary(dev, SZ_16K - 1), 0);
	/* Of each 8 slots, a mapping takes 5, and the next one begins behind the other 3. */
	for (i = 0; i < ARRAY_SIZE(found); i++) {
		found[i] = swiotlb_tbl_map_single(dev, data, size, 0, DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_NE(test, found[i], (phys_addr_t)DMA_MAPPING_ERROR);
		KUNIT_EXPECT_EQ(test, found[i] / SZ_16K, (found[i] + size - 1) / SZ_16K);
	}
	KUNIT_EXPECT_EQ(test, swiotlb_tbl_map_single(dev, data, size, 0, DMA_TO_DEVICE,
						     DMA_ATTR_NO_WARN),
			(phys_addr_t)DMA_MAPPING_ERROR);
	for (i = 0; i < ARRAY_SIZE(found); i++)
		swiotlb_tbl_unmap_single(dev, found[i], size, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(dev->dma_io_tlb_mem), 0);
}

/* The last slot of a segment is freed, and the first one of the next is free already. */
static void mapping_lies_in_one_segment(struct kunit *test)
{
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_4K, 1)), found;
	struct io_tlb_mem *mem = swiotlb_test_pool(test, dev, 256, 1);
	int i;

	for (i = 0; i < 256; i++)
		swiotlb_tbl_map_single(dev, data, 512, 0, DMA_TO_DEVICE, 0);
	KUNIT_ASSERT_EQ(test, swiotlb_test_mem_used(mem), 256);
	for (i = 255; i > 126; i--)
		swiotlb_tbl_unmap_single(dev, mem->start + i * SZ_2K, 512, DMA_TO_DEVICE, 0);
	found = swiotlb_tbl_map_single(dev, data, SZ_2K + 1, 0, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_EQ(test, found, mem->start + 128 * SZ_2K);
	swiotlb_tbl_unmap_single(dev, found, SZ_2K + 1, DMA_TO_DEVICE, 0);
	for (i = 0; i < 127; i++)
		swiotlb_tbl_unmap_single(dev, mem->start + i * SZ_2K, 512, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(mem), 0);
}

/* The pool of the machine. A segment that is part of two areas would be handed out twice. */
static void areas_hold_whole_segments(struct kunit *test)
{
	struct io_tlb_mem *mem = &io_tlb_default_mem;

	if (!mem->nslabs)
		kunit_skip(test, "needs a machine with a pool");
	KUNIT_EXPECT_EQ(test, mem->area_nslabs % IO_TLB_SEGSIZE, 0);
	KUNIT_EXPECT_GE(test, mem->area_nslabs, IO_TLB_SEGSIZE);
	KUNIT_EXPECT_EQ(test, (unsigned long)mem->area_nslabs * mem->nareas, mem->nslabs);
}

/*
 * A pool of 300 KB: a segment of 128 slots, and one of 22. Behind its end lie memory and slots that
 * are not part of it, and seem to be free.
 */
static void mappings_end_within_pool(struct kunit *test)
{
	static const struct {
		size_t size;
		unsigned int fits;
	} sizes[] = {
		{ SZ_2K, 150 }, { SZ_4K, 75 }, { 22 * SZ_2K, 6 }, { 23 * SZ_2K, 5 },
		{ 30 * SZ_2K, 4 }, { SZ_64K, 4 }, { 128 * SZ_2K, 1 },
	};
	static const unsigned int first[] = { 0, 128, 148 };
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_256K, 1));
	struct io_tlb_mem *mem = swiotlb_test_pool(test, dev, 256, 1);
	phys_addr_t *found = kunit_kcalloc(test, 256, sizeof(*found), GFP_KERNEL);
	const phys_addr_t end = mem->start + 150 * SZ_2K;
	unsigned int i, f, n, unmapped;

	KUNIT_ASSERT_NOT_NULL(test, found);
	for (i = 0; i < ARRAY_SIZE(sizes) * ARRAY_SIZE(first); i++) {
		const size_t size = sizes[i / ARRAY_SIZE(first)].size;

		f = first[i % ARRAY_SIZE(first)];
		/* First a new pool, then one in which mappings of this size have gone */
		if (!f)
			swiotlb_init_io_tlb_mem(mem, mem->start, 150, SWIOTLB_FORCE, true, 1);
		mem->can_overflow = false;
		mem->areas[0].index = f;
		for (n = 0; n < 256; n++) {
			found[n] = swiotlb_tbl_map_single(dev, data, size, 0, DMA_TO_DEVICE,
							  DMA_ATTR_NO_WARN);
			if (found[n] == (phys_addr_t)DMA_MAPPING_ERROR)
				break;
			KUNIT_EXPECT_GE(test, found[n], mem->start);
			KUNIT_EXPECT_LE(test, found[n] + size, end);
		}
		/* From the first slot on, no room is lost between mappings. */
		KUNIT_EXPECT_LE(test, n, sizes[i / ARRAY_SIZE(first)].fits);
		KUNIT_EXPECT_TRUE(test, f || n == sizes[i / ARRAY_SIZE(first)].fits);
		/* Free them in both orders. */
		for (unmapped = 0; unmapped < n; unmapped++)
			swiotlb_tbl_unmap_single(dev, found[f ? n - 1 - unmapped : unmapped], size,
						 DMA_TO_DEVICE, 0);
	}
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(mem), 0);
}

/*
 * An IOMMU maps whole granules, so the granules of a mapping must not be shared with other
 * mappings. Small mappings that follow take the slots that the granule does not own.
 */
#define GRANULE		SZ_4K

static phys_addr_t map_in_granules(struct kunit *test, struct device *dev, phys_addr_t orig,
				   size_t size)
{
	phys_addr_t phys = swiotlb_tbl_map_single(dev, orig, size, GRANULE - 1, DMA_FROM_DEVICE, 0);

	KUNIT_ASSERT_NE(test, phys, (phys_addr_t)DMA_MAPPING_ERROR);
	return phys;
}

static void map_others(struct kunit *test, struct device *dev, phys_addr_t orig,
		       phys_addr_t *others, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		others[i] = swiotlb_tbl_map_single(dev, orig, 512, 0, DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_NE(test, others[i], (phys_addr_t)DMA_MAPPING_ERROR);
	}
}

static void unmap_others(struct device *dev, const phys_addr_t *others, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		swiotlb_tbl_unmap_single(dev, others[i], 512, DMA_TO_DEVICE, 0);
}

static void granules_are_not_shared(struct kunit *test)
{
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_16K, 1));
	struct io_tlb_mem *mem = swiotlb_test_pool(test, dev, 128, 1);
	phys_addr_t phys, first, end, others[8];
	unsigned int offset, size, i;

	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, 0x7ff), 0);
	for (offset = 0; offset < SZ_2K; offset += 0x300) {
		for (size = 100; size < SZ_8K; size += 1500) {
			phys = map_in_granules(test, dev, data + offset, size);
			map_others(test, dev, data, others, ARRAY_SIZE(others));
			first = ALIGN_DOWN(phys, GRANULE);
			end = ALIGN(phys + size, GRANULE);
			for (i = 0; i < ARRAY_SIZE(others); i++)
				KUNIT_EXPECT_TRUE(test, others[i] + 512 <= first ||
						  others[i] >= end);
			unmap_others(dev, others, ARRAY_SIZE(others));
			swiotlb_tbl_unmap_single(dev, phys, size, DMA_FROM_DEVICE, 0);
		}
	}
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(mem), 0);
}

/* The pool holds bytes of earlier mappings, which the device must not see. */
static void padding_in_granules_is_cleared(struct kunit *test)
{
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	u8 *data = swiotlb_test_buffer(test, SZ_16K, 1);
	struct io_tlb_mem *mem = swiotlb_test_pool(test, dev, 128, 1);
	phys_addr_t phys, others[8];
	unsigned int offset, size;
	u8 *view, *first, *end;

	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, 0x7ff), 0);
	for (offset = 0; offset < SZ_2K; offset += 0x300) {
		for (size = 100; size < SZ_8K; size += 1500) {
			memset(mem->vaddr, 0xee, 128 << IO_TLB_SHIFT);
			phys = map_in_granules(test, dev, virt_to_phys(data) + offset, size);
			map_others(test, dev, virt_to_phys(data), others, ARRAY_SIZE(others));
			view = phys_to_virt(phys);
			first = PTR_ALIGN_DOWN(view, GRANULE);
			end = PTR_ALIGN(view + size, GRANULE);
			KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(view, size, 1 + offset));
			KUNIT_EXPECT_NULL(test, memchr_inv(first, 0, view - first));
			KUNIT_EXPECT_NULL(test, memchr_inv(view + size, 0, end - view - size));
			unmap_others(dev, others, ARRAY_SIZE(others));
			swiotlb_tbl_unmap_single(dev, phys, size, DMA_FROM_DEVICE, 0);
		}
	}
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(mem), 0);
}

/*
 * The bytes that the device can reach, from the first of a granule or slot to the last one. What
 * has to hold is computed from the arguments of a mapping and from its address only.
 */
static void device_reach(const struct swiotlb_test_granules *p, phys_addr_t phys, size_t size,
			 phys_addr_t *first, phys_addr_t *end)
{
	const unsigned int unit = max_t(unsigned int, p->granule, SZ_2K);

	*first = ALIGN_DOWN(phys, unit);
	*end = ALIGN(phys + size, unit);
}

static bool memory_is(phys_addr_t first, phys_addr_t end, u8 value)
{
	return !memchr_inv(phys_to_virt(first), value, end - first);
}

static void map_one_in_granules(struct kunit *test, struct device *dev, u8 *data, size_t offset,
				size_t size, enum dma_data_direction dir)
{
	const struct swiotlb_test_granules *p = test->param_value;
	const phys_addr_t orig = virt_to_phys(data) + offset;
	struct io_tlb_mem *mem = dev->dma_io_tlb_mem;
	const size_t after = offset + size;
	phys_addr_t phys, first, end;

	memset(mem->vaddr, 0xee, mem->nslabs * SZ_2K);
	phys = swiotlb_tbl_map_single(dev, orig, size, p->granule ? p->granule - 1 : 0, dir,
				      DMA_ATTR_NO_WARN);
	KUNIT_ASSERT_NE_MSG(test, phys, (phys_addr_t)DMA_MAPPING_ERROR, "%zu bytes at %#zx", size,
			    offset);
	device_reach(p, phys, size, &first, &end);
	KUNIT_EXPECT_EQ(test, phys & p->min_align_mask, orig & p->min_align_mask);
	KUNIT_ASSERT_GE(test, first, mem->start);
	KUNIT_ASSERT_LE(test, end, mem->end);
	/* As little as can be, and nothing but that is written. */
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(mem), (end - first) / SZ_2K);
	KUNIT_EXPECT_TRUE(test, memory_is(mem->start, first, 0xee));
	KUNIT_EXPECT_TRUE(test, memory_is(end, mem->end, 0xee));
	/* Without an IOMMU the device can read all of the pool anyway. */
	if (p->granule) {
		KUNIT_EXPECT_TRUE(test, memory_is(first, phys, 0));
		KUNIT_EXPECT_TRUE(test, memory_is(phys + size, end, 0));
	}
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(phys_to_virt(phys), size, 1 + offset));

	/* The device writes all that it can reach. */
	memset(phys_to_virt(first), 0x77, end - first);
	swiotlb_tbl_unmap_single(dev, phys, size, dir, 0);
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(mem), 0);
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data, offset, 1));
	if (dir == DMA_TO_DEVICE)
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data + offset, size, 1 + offset));
	else
		KUNIT_EXPECT_TRUE(test, memory_is(orig, orig + size, 0x77));
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data + after, SZ_4K, 1 + after));
	swiotlb_test_fill(data + offset, size, 1 + offset);
}

static void granules_keep_address_and_neighbours(struct kunit *test)
{
	const struct swiotlb_test_granules *p = test->param_value;
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	u8 *data = PTR_ALIGN(swiotlb_test_buffer(test, SZ_512K, 1), SZ_64K);
	const size_t most = SZ_256K - ALIGN(p->min_align_mask, SZ_2K);
	const size_t sizes[] = { 1, 512, SZ_2K, SZ_4K, SZ_64K, most };
	unsigned int i, round = 0;
	size_t offset;

	swiotlb_test_fill(data, SZ_256K + SZ_64K + SZ_4K, 1);
	swiotlb_test_pool(test, dev, 512, 1);
	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, p->min_align_mask), 0);
	KUNIT_EXPECT_EQ(test, dma_max_mapping_size(dev), most);
	/* Each step of 512 bytes in the first page, then each offset in a page in some page */
	for (offset = 0; offset < SZ_64K; offset += offset < SZ_4K ? 0x200 : 0x1a00)
		for (i = 0; i < ARRAY_SIZE(sizes); i++)
			map_one_in_granules(test, dev, data, offset, sizes[i], round++ % 3);
}

/* The caller of swiotlb_tbl_map_single() cleans the mapping itself. */
static void padding_in_granules_is_cleaned(struct kunit *test)
{
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_16K, 1)), phys, first, end;
	unsigned int offset;

	swiotlb_test_record_cleaned(test, dev);
	swiotlb_test_pool(test, dev, 128, 1);
	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, 0xfff), 0);
	for (offset = 0; offset < SZ_4K; offset += 0x300) {
		phys = swiotlb_tbl_map_single(dev, data + offset, 700, GRANULE - 1, DMA_FROM_DEVICE,
					      DMA_ATTR_SKIP_CPU_SYNC);
		KUNIT_ASSERT_NE(test, phys, (phys_addr_t)DMA_MAPPING_ERROR);
		first = ALIGN_DOWN(phys, GRANULE);
		end = ALIGN(phys + 700, GRANULE);
		KUNIT_EXPECT_TRUE(test, swiotlb_test_cleaned(first, phys - first));
		KUNIT_EXPECT_TRUE(test, swiotlb_test_cleaned(phys + 700, end - phys - 700));
		swiotlb_tbl_unmap_single(dev, phys, 700, DMA_FROM_DEVICE, 0);
	}
}

/* Otherwise the bytes that the device does not write come from an earlier mapping. */
static void copy_is_written_back(struct kunit *test)
{
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	u8 *data = swiotlb_test_buffer(test, SZ_16K, 1);
	enum dma_data_direction dir;
	dma_addr_t addr;
	size_t size;

	swiotlb_test_record_cleaned(test, dev);
	swiotlb_test_pool(test, dev, 512, 1);
	for (dir = DMA_BIDIRECTIONAL; dir <= DMA_FROM_DEVICE; dir++) {
		for (size = 1; size < SZ_16K; size += 1500) {
			swiotlb_test_forget_cleaned();
			addr = dma_map_single(dev, data, size, dir);
			KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
			KUNIT_EXPECT_TRUE(test, swiotlb_test_cleaned(dma_to_phys(dev, addr), size));
			KUNIT_EXPECT_EQ(test, swiotlb_test_cleaned_bytes(), size);
			KUNIT_EXPECT_EQ(test,
					swiotlb_test_invalidated(dma_to_phys(dev, addr), size),
					dir == DMA_FROM_DEVICE);
			dma_unmap_single(dev, addr, size, dir);
		}
	}
	/* The driver says when; a sync for the CPU may come first. */
	for (dir = DMA_BIDIRECTIONAL; dir <= DMA_FROM_DEVICE; dir++) {
		swiotlb_test_forget_cleaned();
		addr = dma_map_single_attrs(dev, data, SZ_4K, dir, DMA_ATTR_SKIP_CPU_SYNC);
		KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
		KUNIT_EXPECT_TRUE(test, swiotlb_test_cleaned(dma_to_phys(dev, addr), SZ_4K));
		KUNIT_EXPECT_EQ(test, swiotlb_test_cleaned_bytes(), SZ_4K);
		KUNIT_EXPECT_FALSE(test, swiotlb_test_invalidated(dma_to_phys(dev, addr), SZ_4K));
		dma_unmap_single(dev, addr, SZ_4K, dir);
	}
}

static void empty_mapping_fails(struct kunit *test)
{
	struct device *dev = device_with_room(test);
	u8 *data = swiotlb_test_buffer(test, SZ_4K, 1);

	KUNIT_EXPECT_TRUE(test, dma_mapping_error(dev, dma_map_single(dev, data, 0,
								      DMA_TO_DEVICE)));
	if (IS_ENABLED(CONFIG_DMA_RESTRICTED_POOL))
		KUNIT_EXPECT_NULL(test, swiotlb_alloc(dev, 0));
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(dev->dma_io_tlb_mem), 0);
}

static void coherent_memory_is_aligned_to_its_size(struct kunit *test)
{
	static const size_t sizes[] = {
		PAGE_SIZE, 2 * PAGE_SIZE, 3 * PAGE_SIZE, SZ_64K, SZ_128K, SZ_256K,
	};
	struct device *dev = device_with_room(test);
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_16K, 1)), odd;
	struct page *page;
	unsigned int i;

	if (!IS_ENABLED(CONFIG_DMA_RESTRICTED_POOL))
		kunit_skip(test, "needs CONFIG_DMA_RESTRICTED_POOL");
	/* The mask is for mappings. One that began at the third slot of the pool has gone. */
	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, 0x3fff), 0);
	odd = swiotlb_tbl_map_single(dev, data + 0x1000, 512, SZ_16K - 1, DMA_TO_DEVICE, 0);
	KUNIT_ASSERT_NE(test, odd, (phys_addr_t)DMA_MAPPING_ERROR);
	swiotlb_tbl_unmap_single(dev, odd, 512, DMA_TO_DEVICE, 0);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		/* The next free slot is in the middle of a page. */
		odd = swiotlb_tbl_map_single(dev, data, 512, 0, DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_NE(test, odd, (phys_addr_t)DMA_MAPPING_ERROR);
		page = swiotlb_alloc(dev, sizes[i]);
		KUNIT_ASSERT_NOT_NULL(test, page);
		KUNIT_EXPECT_EQ(test, page_to_phys(page) & (roundup_pow_of_two(sizes[i]) - 1), 0);
		KUNIT_EXPECT_TRUE(test, swiotlb_free(dev, page, sizes[i]));
		swiotlb_tbl_unmap_single(dev, odd, 512, DMA_TO_DEVICE, 0);
	}
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(dev->dma_io_tlb_mem), 0);

	/* Each page of the pool can be allocated, and freed again. */
	for (i = 0; i < TEST_SLABS * SZ_2K / PAGE_SIZE; i++)
		KUNIT_EXPECT_NOT_NULL(test, swiotlb_alloc(dev, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(dev->dma_io_tlb_mem), TEST_SLABS);
	for (i = 0; i < TEST_SLABS * SZ_2K / PAGE_SIZE; i++) {
		page = pfn_to_page(PHYS_PFN(dev->dma_io_tlb_mem->start) + i);
		KUNIT_EXPECT_TRUE(test, swiotlb_free(dev, page, PAGE_SIZE));
	}
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(dev->dma_io_tlb_mem), 0);
}

/* Segments of 256 KB are counted from the beginning of the pool. */
static void coherent_memory_fits_pool_at_any_page(struct kunit *test)
{
	static const struct {
		size_t start, size, align;
	} rows[] = {
		{ 0, SZ_256K, SZ_256K }, { 0, 160 * SZ_1K, SZ_256K },
		{ SZ_128K, SZ_256K, SZ_128K }, { SZ_128K, 160 * SZ_1K, SZ_128K },
		{ SZ_64K, SZ_256K, SZ_64K }, { SZ_64K, 192 * SZ_1K, SZ_128K },
		{ SZ_64K, SZ_128K, SZ_128K }, { 3 * SZ_64K, 192 * SZ_1K, SZ_256K },
		{ SZ_16K, SZ_256K, SZ_16K }, { SZ_16K, 132 * SZ_1K, SZ_128K },
		{ SZ_4K, SZ_256K, SZ_4K }, { SZ_4K, SZ_64K, SZ_64K },
	};
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	struct io_tlb_mem *mem = swiotlb_test_pool(test, dev, 512, 1);
	const phys_addr_t start = mem->start;
	struct page *page;
	unsigned int i;

	if (!IS_ENABLED(CONFIG_DMA_RESTRICTED_POOL))
		kunit_skip(test, "needs CONFIG_DMA_RESTRICTED_POOL");
	KUNIT_ASSERT_EQ(test, start % SZ_256K, 0);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].start % PAGE_SIZE)
			continue;
		swiotlb_init_io_tlb_mem(mem, start + rows[i].start, 256, SWIOTLB_FORCE, true, 1);
		page = swiotlb_alloc(dev, rows[i].size);
		KUNIT_EXPECT_NOT_NULL_MSG(test, page, "row %u", i);
		if (!page)
			continue;
		KUNIT_EXPECT_EQ_MSG(test, page_to_phys(page) % rows[i].align, 0, "row %u", i);
		KUNIT_EXPECT_TRUE(test, swiotlb_free(dev, page, rows[i].size));
		KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(mem), 0);
	}
}

/* Pools that are small, end within a segment, or begin between two granules */
static void promised_size_fits(struct kunit *test)
{
	static const unsigned int slots[] = { 20, 64, 127, 128, 150, 300 };
	static const size_t starts[] = { 0, SZ_4K, 5 * SZ_4K, PAGE_SIZE };
	const struct swiotlb_test_granules *p = test->param_value;
	const unsigned int mask = p->granule ? p->granule - 1 : 0;
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_512K, 1)), phys;
	struct io_tlb_mem *mem = swiotlb_test_pool(test, dev, 512, 1);
	const phys_addr_t start = mem->start;
	unsigned int i, offset;
	size_t size;

	KUNIT_ASSERT_EQ(test, start % SZ_64K, 0);

	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, p->min_align_mask), 0);
	for (i = 0; i < ARRAY_SIZE(slots) * ARRAY_SIZE(starts); i++) {
		swiotlb_init_io_tlb_mem(mem, start + starts[i % ARRAY_SIZE(starts)],
					slots[i / ARRAY_SIZE(starts)], SWIOTLB_FORCE, true, 1);
		mem->can_overflow = false;
		size = swiotlb_max_granule_mapping_size(dev, mask);
		KUNIT_EXPECT_LE(test, size, mem->nslabs * SZ_2K);
		/* What a pool promises that is too small for mask and granule */
		KUNIT_EXPECT_GE(test, size, SZ_2K);
		/* Without any of them, nothing is lost. */
		if (!p->min_align_mask && !p->granule && IS_ALIGNED(mem->start, PAGE_SIZE))
			KUNIT_EXPECT_EQ(test, size, min(mem->nslabs, 128UL) * SZ_2K);
		if (!mask)
			KUNIT_EXPECT_EQ(test, size, dma_max_mapping_size(dev));
		for (offset = 0; size > SZ_2K && offset < SZ_64K; offset += 0xa00) {
			phys = swiotlb_tbl_map_single(dev, data + offset, size, mask, DMA_TO_DEVICE,
						      DMA_ATTR_NO_WARN);
			KUNIT_ASSERT_NE_MSG(test, phys, (phys_addr_t)DMA_MAPPING_ERROR,
					    "%zu bytes at %#x, pool of %lu slots at %pa", size,
					    offset, mem->nslabs, &mem->start);
			KUNIT_EXPECT_EQ(test, phys & p->min_align_mask,
					(data + offset) & p->min_align_mask);
			swiotlb_tbl_unmap_single(dev, phys, size, DMA_TO_DEVICE, 0);
		}
	}
}

/* Mappings of random sizes never overlap, and none changes the bytes of another one. */
static void random_mappings_never_overlap(struct kunit *test)
{
	enum { MOST = 64, ROUNDS = 4000 };
	struct mapping {
		phys_addr_t phys;
		size_t size;
		unsigned int offset;
	} *live = kunit_kcalloc(test, MOST, sizeof(*live), GFP_KERNEL);
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	u8 *data = swiotlb_test_buffer(test, SZ_64K, 1);
	unsigned int i, round, mapped = 0, full = 0;
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, live);
	swiotlb_test_pool(test, dev, TEST_SLABS / 2, 2);
	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, 0xfff), 0);
	prandom_seed_state(&rnd, 20230627);
	for (round = 0; round < ROUNDS; round++) {
		struct mapping *m = &live[prandom_u32_state(&rnd) % MOST];

		if (m->size) {
			KUNIT_ASSERT_TRUE(test, swiotlb_test_filled(phys_to_virt(m->phys), m->size,
								    1 + m->offset));
			swiotlb_tbl_unmap_single(dev, m->phys, m->size, DMA_BIDIRECTIONAL, 0);
			m->size = 0;
			continue;
		}
		m->offset = prandom_u32_state(&rnd) % SZ_4K;
		m->size = 1 + prandom_u32_state(&rnd) % (round % 4 ? SZ_8K : SZ_32K);
		m->phys = swiotlb_tbl_map_single(dev, virt_to_phys(data) + m->offset, m->size, 0,
						 DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
		if (m->phys == (phys_addr_t)DMA_MAPPING_ERROR) {
			m->size = 0;
			full++;
			continue;
		}
		mapped++;
		for (i = 0; i < MOST; i++)
			if (&live[i] != m && live[i].size)
				KUNIT_ASSERT_TRUE(test, live[i].phys + live[i].size <= m->phys ||
						  m->phys + m->size <= live[i].phys);
	}
	for (i = 0; i < MOST; i++)
		if (live[i].size)
			swiotlb_tbl_unmap_single(dev, live[i].phys, live[i].size, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_GT(test, mapped, ROUNDS / 4);
	KUNIT_EXPECT_GT(test, full, 0);
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(dev->dma_io_tlb_mem), 0);
}

static struct kunit_case swiotlb_test_cases[] = {
	KUNIT_CASE(new_pool_is_empty),
	KUNIT_CASE(data_copied_in_each_direction),
	KUNIT_CASE(unwritten_bytes_keep_their_value),
	KUNIT_CASE(unmap_without_sync_copies_nothing),
	KUNIT_CASE(sync_copies_only_its_range),
	KUNIT_CASE(sync_from_any_byte_of_slot),
	KUNIT_CASE(sync_before_mapping_copies_nothing),
	KUNIT_CASE(sync_behind_mapping_copies_nothing),
	KUNIT_CASE(sync_is_clamped_to_mapping),
	KUNIT_CASE(nothing_is_done_after_unmap),
	KUNIT_CASE(sync_copies_to_page_of_its_range),
	KUNIT_CASE_PARAM(address_keeps_alignment, align_gen_params),
	KUNIT_CASE(search_of_half_full_pool_ends),
	KUNIT_CASE(neighbour_gets_its_bytes),
	KUNIT_CASE(search_finds_only_free_slot),
	KUNIT_CASE(search_continues_behind_last_mapping),
	KUNIT_CASE(full_pool_fails_and_recovers),
	KUNIT_CASE(segment_boundary_is_not_crossed),
	KUNIT_CASE(mapping_lies_in_one_segment),
	KUNIT_CASE(areas_hold_whole_segments),
	KUNIT_CASE(mappings_end_within_pool),
	KUNIT_CASE(granules_are_not_shared),
	KUNIT_CASE(padding_in_granules_is_cleared),
	KUNIT_CASE_PARAM(granules_keep_address_and_neighbours, swiotlb_test_granules_gen_params),
	KUNIT_CASE_PARAM(promised_size_fits, swiotlb_test_granules_gen_params),
	KUNIT_CASE(padding_in_granules_is_cleaned),
	KUNIT_CASE(copy_is_written_back),
	KUNIT_CASE(coherent_memory_is_aligned_to_its_size),
	KUNIT_CASE(coherent_memory_fits_pool_at_any_page),
	KUNIT_CASE(empty_mapping_fails),
	KUNIT_CASE(random_mappings_never_overlap),
	{}
};

static struct kunit_suite swiotlb_test_suite = {
	.name = "swiotlb",
	.test_cases = swiotlb_test_cases,
};

kunit_test_suite(swiotlb_test_suite);
