// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests for the pool of the software IO TLB; a part of swiotlb.c.
 *
 * Each case has a device and a pool of its own, so what else the machine does is not disturbed.
 * The device is played by the test: it reads and writes at the DMA address, which is a physical
 * one here.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/dma-mapping.h>
#include <linux/kthread.h>
#include <linux/platform_device.h>
#include <linux/prandom.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "swiotlb_test.h"

#define TEST_SLABS	512

/* No divisor of slots and pages: bytes of the wrong one are wrong. */
#define TEST_PERIOD	251

struct at_exit {
	void (*fn)(void *arg);
	void *arg;
};

static void at_exit_free(struct kunit_resource *res)
{
	struct at_exit *action = res->data;

	action->fn(action->arg);
	kfree(action);
}

static int at_exit_init(struct kunit_resource *res, void *context)
{
	res->data = context;
	return 0;
}

void swiotlb_test_at_exit(struct kunit *test, void (*fn)(void *), void *arg)
{
	struct at_exit *action = kmalloc(sizeof(*action), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, action);
	action->fn = fn;
	action->arg = arg;
	if (!kunit_alloc_resource(test, at_exit_init, at_exit_free, GFP_KERNEL, action))
		KUNIT_FAIL(test, "no memory to clean up");
}

static void test_device_free(void *dev)
{
	to_platform_device(dev)->dev.dma_io_tlb_mem = &io_tlb_default_mem;
	platform_device_unregister(to_platform_device(dev));
}

struct device *swiotlb_test_device(struct kunit *test, u64 mask)
{
	struct platform_device *pdev = platform_device_alloc("swiotlb_test", PLATFORM_DEVID_AUTO);

	KUNIT_ASSERT_NOT_NULL(test, pdev);
	KUNIT_ASSERT_EQ(test, platform_device_add(pdev), 0);
	swiotlb_test_at_exit(test, test_device_free, &pdev->dev);
	KUNIT_ASSERT_EQ(test, dma_set_mask_and_coherent(&pdev->dev, mask), 0);
#if defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_DEVICE) || defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_CPU)
	/* The test plays the device with the CPU. */
	pdev->dev.dma_coherent = true;
#endif
	return &pdev->dev;
}

static void test_pool_free(void *arg)
{
	struct io_tlb_mem *mem = arg;

	free_pages_exact(phys_to_virt(mem->start), mem->end - mem->start);
	kfree(mem->areas);
	kfree(mem->slots);
	kfree(mem);
}

struct io_tlb_mem *swiotlb_test_pool(struct kunit *test, struct device *dev, unsigned long nslabs,
				     unsigned int nareas)
{
	struct io_tlb_mem *mem = kzalloc(sizeof(*mem), GFP_KERNEL);
	size_t bytes = nslabs << IO_TLB_SHIFT;
	void *pages;

	KUNIT_ASSERT_NOT_NULL(test, mem);
	mem->slots = kcalloc(nslabs, sizeof(*mem->slots), GFP_KERNEL);
	mem->areas = kcalloc(nareas, sizeof(*mem->areas), GFP_KERNEL);
	pages = alloc_pages_exact(bytes, GFP_KERNEL | GFP_DMA32);
	if (!mem->slots || !mem->areas || !pages) {
		if (pages)
			free_pages_exact(pages, bytes);
		kfree(mem->areas);
		kfree(mem->slots);
		kfree(mem);
		KUNIT_FAIL(test, "no memory for a pool");
		kunit_try_catch_throw(&test->try_catch);
	}
	swiotlb_init_io_tlb_mem(mem, virt_to_phys(pages), nslabs, SWIOTLB_FORCE, true, nareas);
	swiotlb_test_at_exit(test, test_pool_free, mem);
	dev->dma_io_tlb_mem = mem;
	return mem;
}

void swiotlb_test_pool_room(struct io_tlb_mem *mem, unsigned int slots)
{
	mem->areas[0].used = mem->area_nslabs - slots;
}

void swiotlb_test_fill(u8 *data, size_t size, unsigned int seed)
{
	size_t i;

	for (i = 0; i < size; i++)
		data[i] = (seed + i) % TEST_PERIOD;
}

bool swiotlb_test_filled(const u8 *data, size_t size, unsigned int seed)
{
	size_t i;

	for (i = 0; i < size; i++)
		if (data[i] != (seed + i) % TEST_PERIOD)
			return false;
	return true;
}

struct test_pages {
	void *pages;
	size_t size;
};

static void test_pages_free(void *arg)
{
	struct test_pages *t = arg;

	free_pages_exact(t->pages, t->size);
	kfree(t);
}

u8 *swiotlb_test_buffer(struct kunit *test, size_t size, unsigned int seed)
{
	struct test_pages *t = kmalloc(sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->size = size;
	t->pages = alloc_pages_exact(size, GFP_KERNEL);
	if (!t->pages)
		kfree(t);
	KUNIT_ASSERT_NOT_NULL(test, t->pages);
	swiotlb_test_at_exit(test, test_pages_free, t);
	swiotlb_test_fill(t->pages, size, seed);
	return t->pages;
}

u8 *swiotlb_test_device_view(struct device *dev, dma_addr_t addr)
{
	return phys_to_virt(dma_to_phys(dev, addr));
}

static unsigned long swiotlb_test_mem_used(struct io_tlb_mem *mem)
{
	unsigned long used = 0;
	unsigned int i;

	for (i = 0; i < mem->nareas; i++)
		used += mem->areas[i].used;
	return used;
}

void swiotlb_test_directions(struct kunit *test, struct device *dev, size_t size)
{
	u8 *data = swiotlb_test_buffer(test, size + SZ_4K, 1), *view;
	enum dma_data_direction dir;
	unsigned int seen;
	dma_addr_t addr;

	for (dir = DMA_BIDIRECTIONAL; dir <= DMA_FROM_DEVICE; dir++) {
		swiotlb_test_fill(data, size + SZ_4K, 1);
		addr = dma_map_single(dev, data + 100, size, dir);
		KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
		KUNIT_EXPECT_TRUE(test, is_swiotlb_buffer(dev, dma_to_phys(dev, addr)));
		view = swiotlb_test_device_view(dev, addr);
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(view, size, 101));

		swiotlb_test_fill(view, size, 77);
		dma_unmap_single(dev, addr, size, dir);
		seen = dir == DMA_TO_DEVICE ? 101 : 77;
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data, 100, 1));
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data + 100, size, seen));
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data + 100 + size, SZ_4K - 100,
							    101 + size));
	}
}

void swiotlb_test_unwritten(struct kunit *test, struct device *dev)
{
	u8 *data = swiotlb_test_buffer(test, SZ_8K, 1);
	dma_addr_t addr = dma_map_single(dev, data, SZ_8K, DMA_FROM_DEVICE);

	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	swiotlb_test_fill(swiotlb_test_device_view(dev, addr) + 5000, 10, 77);
	dma_unmap_single(dev, addr, SZ_8K, DMA_FROM_DEVICE);
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data, 5000, 1));
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data + 5000, 10, 77));
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data + 5010, SZ_8K - 5010, 5011));
}

void swiotlb_test_skip_sync(struct kunit *test, struct device *dev)
{
	u8 *data = swiotlb_test_buffer(test, SZ_4K, 1);
	dma_addr_t addr = dma_map_single(dev, data, SZ_4K, DMA_FROM_DEVICE);

	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	swiotlb_test_fill(swiotlb_test_device_view(dev, addr), SZ_4K, 77);
	dma_unmap_single_attrs(dev, addr, SZ_4K, DMA_FROM_DEVICE, DMA_ATTR_SKIP_CPU_SYNC);
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data, SZ_4K, 1));
}

void swiotlb_test_sync(struct kunit *test, struct device *dev, size_t offset, size_t step)
{
	u8 *data = swiotlb_test_buffer(test, SZ_16K, 1), *view, *mapped = data + offset;
	const size_t size = SZ_8K, len = 64;
	dma_addr_t addr;
	size_t at, end;

	addr = dma_map_single(dev, mapped, size, DMA_BIDIRECTIONAL);
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	view = swiotlb_test_device_view(dev, addr);
	for (at = 0; at + len <= size; at += step) {
		end = at + len;
		swiotlb_test_fill(view, size, 77);
		swiotlb_test_fill(data, SZ_16K, 1);
		dma_sync_single_range_for_cpu(dev, addr, at, len, DMA_FROM_DEVICE);
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data, offset + at, 1));
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(mapped + at, len, 77 + at));
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(mapped + end, SZ_16K - offset - end,
							    1 + offset + end));

		swiotlb_test_fill(view, size, 77);
		swiotlb_test_fill(data, SZ_16K, 33);
		dma_sync_single_range_for_device(dev, addr, at, len, DMA_TO_DEVICE);
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(view, at, 77));
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(view + at, len, 33 + offset + at));
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(view + end, size - end, 77 + end));
	}
	dma_unmap_single_attrs(dev, addr, size, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
}

static struct device *device_with_room(struct kunit *test)
{
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));

	swiotlb_test_pool(test, dev, TEST_SLABS, 1);
	return dev;
}

static void data_in_each_direction(struct kunit *test)
{
	struct device *dev = device_with_room(test);

	swiotlb_test_directions(test, dev, 5000);
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(dev->dma_io_tlb_mem), 0);
}

static void unwritten_bytes_come_back_as_they_were(struct kunit *test)
{
	swiotlb_test_unwritten(test, device_with_room(test));
}

static void unmap_without_sync_copies_nothing(struct kunit *test)
{
	swiotlb_test_skip_sync(test, device_with_room(test));
}

/* In steps that have ranges cross the ends of slots too */
static void sync_copies_its_range_only(struct kunit *test)
{
	swiotlb_test_sync(test, device_with_room(test), 0, 0x1f0);
}

/*
 * The mapping begins at an offset in its first slot; a range in a later one may begin below
 * that.
 */
static void sync_from_anywhere_in_a_slot(struct kunit *test)
{
	struct device *dev = device_with_room(test);

	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, 0xfff), 0);
	swiotlb_test_sync(test, dev, 0x400, 0x100);
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
	for (offset = 0; offset < SZ_4K; offset += 0x100) {
		/* The next slot may be one that does not begin a page. */
		odd = swiotlb_tbl_map_single(dev, virt_to_phys(data), 512, 512, 0, DMA_TO_DEVICE,
					     0);
		KUNIT_ASSERT_NE(test, odd, (phys_addr_t)DMA_MAPPING_ERROR);
		phys = swiotlb_tbl_map_single(dev, virt_to_phys(data) + offset, p->size, p->size,
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

	search->found = swiotlb_tbl_map_single(search->dev, search->orig, search->size,
					       search->size, 0, DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
	complete(&search->done);
	return 0;
}

/*
 * Map in another thread, on another CPU. A search that does not end has the area's lock and
 * interrupts off; it is given slots to find then, so that the test can fail and the machine
 * goes on.
 */
static phys_addr_t search_with_watchdog(struct kunit *test, struct device *dev, phys_addr_t orig,
					size_t size)
{
	struct io_tlb_mem *mem = dev->dma_io_tlb_mem;
	struct search search = { .dev = dev, .orig = orig, .size = size };
	struct task_struct *thread;
	unsigned long i;

	init_completion(&search.done);
	thread = kthread_create(search_thread, &search, "swiotlb_test");
	KUNIT_ASSERT_FALSE(test, IS_ERR(thread));
	migrate_disable();
	kthread_bind(thread, cpumask_any_but(cpu_online_mask, smp_processor_id()));
	wake_up_process(thread);
	if (!wait_for_completion_timeout(&search.done, 5 * HZ)) {
		KUNIT_FAIL(test, "the search for slots does not end");
		while (!completion_done(&search.done)) {
			for (i = 0; i < mem->nslabs; i++)
				WRITE_ONCE(mem->slots[i].list, IO_TLB_SEGSIZE);
			cpu_relax();
		}
		search.found = (phys_addr_t)DMA_MAPPING_ERROR;
	}
	migrate_enable();
	return search.found;
}

/*
 * The pool of an NVMe drive, half full in every other slot, and a buffer in the upper half of
 * its page
 */
static void search_of_half_full_pool_ends(struct kunit *test)
{
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_8K, 1)), found;
	unsigned int i;

	if (num_online_cpus() < 2)
		kunit_skip(test, "more than one CPU");
	swiotlb_test_pool(test, dev, 128, 1);
	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, 0xfff), 0);
	for (i = 0; i < 64; i++) {
		found = search_with_watchdog(test, dev, data + IO_TLB_SIZE, 512);
		KUNIT_ASSERT_NE(test, found, (phys_addr_t)DMA_MAPPING_ERROR);
		KUNIT_ASSERT_EQ(test, found & 0xfff, IO_TLB_SIZE);
	}
	KUNIT_EXPECT_EQ(test, search_with_watchdog(test, dev, data + IO_TLB_SIZE, 512),
			(phys_addr_t)DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(dev->dma_io_tlb_mem), 64);
}

/* Wherever the search begins and whichever slot is the only free one that will do, it is found. */
static void search_finds_the_only_slot(struct kunit *test)
{
	static const unsigned int masks[] = { 0, 0xfff, 0x1fff, 0xffff };
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_128K, 1)), found;
	struct io_tlb_mem *mem = swiotlb_test_pool(test, dev, 128, 1);
	unsigned int m, slot, begin;
	phys_addr_t addr, orig;

	if (num_online_cpus() < 2)
		kunit_skip(test, "more than one CPU");
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

static void full_pool_fails_and_recovers(struct kunit *test)
{
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_4K, 1)), *found;
	unsigned int i;

	swiotlb_test_pool(test, dev, TEST_SLABS, 2);
	found = kunit_kcalloc(test, TEST_SLABS, sizeof(*found), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, found);
	for (i = 0; i < TEST_SLABS; i++) {
		found[i] = swiotlb_tbl_map_single(dev, data, 512, 512, 0, DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_NE(test, found[i], (phys_addr_t)DMA_MAPPING_ERROR);
	}
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(dev->dma_io_tlb_mem), TEST_SLABS);
	KUNIT_EXPECT_EQ(test,
			swiotlb_tbl_map_single(dev, data, 512, 512, 0, DMA_TO_DEVICE,
					       DMA_ATTR_NO_WARN),
			(phys_addr_t)DMA_MAPPING_ERROR);
	for (i = 0; i < TEST_SLABS; i++)
		swiotlb_tbl_unmap_single(dev, found[i], 512, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(dev->dma_io_tlb_mem), 0);
	found[0] = swiotlb_tbl_map_single(dev, data, SZ_4K, SZ_4K, 0, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_NE(test, found[0], (phys_addr_t)DMA_MAPPING_ERROR);
	swiotlb_tbl_unmap_single(dev, found[0], SZ_4K, DMA_TO_DEVICE, 0);
}

/* The pool of the machine: a segment that is in two areas would be handed out twice. */
static void areas_hold_whole_segments(struct kunit *test)
{
	struct io_tlb_mem *mem = &io_tlb_default_mem;

	if (!mem->nslabs)
		kunit_skip(test, "a machine with a pool");
	KUNIT_EXPECT_EQ(test, mem->area_nslabs % IO_TLB_SEGSIZE, 0);
	KUNIT_EXPECT_GE(test, mem->area_nslabs, IO_TLB_SEGSIZE);
	KUNIT_EXPECT_EQ(test, (unsigned long)mem->area_nslabs * mem->nareas, mem->nslabs);
}

/*
 * What an IOMMU shows of a mapping is in granules, so nothing else may be in the first and last
 * one. Stale bytes of an earlier mapping are there to be found, and a small mapping to be
 * stepped on.
 */
static void granules_show_nothing_else(struct kunit *test)
{
	const unsigned int granule = SZ_4K;
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	u8 *data = swiotlb_test_buffer(test, SZ_16K, 1);
	struct io_tlb_mem *mem = swiotlb_test_pool(test, dev, 128, 1);
	phys_addr_t phys, other[8];
	unsigned int offset, size, i;
	u8 *view, *first, *end;

	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, 0x7ff), 0);
	for (offset = 0; offset < SZ_2K; offset += 0x300) {
		for (size = 100; size < SZ_8K; size += 1500) {
			memset(mem->vaddr, 0xee, 128 << IO_TLB_SHIFT);
			phys = swiotlb_tbl_map_single(dev, virt_to_phys(data) + offset, size,
						      ALIGN(size, granule), granule - 1,
						      DMA_FROM_DEVICE, 0);
			KUNIT_ASSERT_NE(test, phys, (phys_addr_t)DMA_MAPPING_ERROR);
			for (i = 0; i < ARRAY_SIZE(other); i++) {
				other[i] = swiotlb_tbl_map_single(dev, virt_to_phys(data), 512, 512,
								  0, DMA_TO_DEVICE, 0);
				KUNIT_ASSERT_NE(test, other[i], (phys_addr_t)DMA_MAPPING_ERROR);
			}
			view = phys_to_virt(phys);
			first = PTR_ALIGN_DOWN(view, granule);
			end = PTR_ALIGN(view + size, granule);
			KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(view, size, 1 + offset));
			KUNIT_EXPECT_NULL(test, memchr_inv(first, 0, view - first));
			KUNIT_EXPECT_NULL(test, memchr_inv(view + size, 0, end - view - size));
			for (i = 0; i < ARRAY_SIZE(other); i++)
				swiotlb_tbl_unmap_single(dev, other[i], 512, DMA_TO_DEVICE, 0);
			swiotlb_tbl_unmap_single(dev, phys, size, DMA_FROM_DEVICE, 0);
		}
	}
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(mem), 0);
}

/* Maps and unmaps at random: mappings never overlap, and their bytes stay. */
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
		m->phys = swiotlb_tbl_map_single(dev, virt_to_phys(data) + m->offset, m->size,
						 m->size, 0, DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
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
	KUNIT_CASE(data_in_each_direction),
	KUNIT_CASE(unwritten_bytes_come_back_as_they_were),
	KUNIT_CASE(unmap_without_sync_copies_nothing),
	KUNIT_CASE(sync_copies_its_range_only),
	KUNIT_CASE(sync_from_anywhere_in_a_slot),
	KUNIT_CASE_PARAM(address_keeps_alignment, align_gen_params),
	KUNIT_CASE(search_of_half_full_pool_ends),
	KUNIT_CASE(search_finds_the_only_slot),
	KUNIT_CASE(full_pool_fails_and_recovers),
	KUNIT_CASE(areas_hold_whole_segments),
	KUNIT_CASE(granules_show_nothing_else),
	KUNIT_CASE(random_mappings_never_overlap),
	{}
};

static struct kunit_suite swiotlb_test_suite = {
	.name = "swiotlb",
	.test_cases = swiotlb_test_cases,
};

kunit_test_suite(swiotlb_test_suite);
