// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite "swiotlb_overflow": transient bounce buffers.
 *
 * Most cases use a device whose own pool is full from the start. The CPU plays the device.
 * Expected bytes, addresses, alignments and sizes are computed from the arguments of the mapping
 * and the properties of the device. Descriptors are read where a promise concerns the memory around
 * the mapping, which a driver cannot observe.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/highmem.h>
#include <linux/irq_work.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/init.h>
#include <linux/log2.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/prandom.h>
#include <linux/rcupdate.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/swiotlb.h>
#include <linux/swiotlb_overflow.h>
#include <linux/workqueue.h>
#include <trace/events/kmem.h>
#include <trace/events/printk.h>
#include <trace/events/swiotlb.h>
#include <trace/events/swiotlb_overflow.h>

#include "../swiotlb.h"
#include "../swiotlb_overflow.h"
#include "swiotlb_helpers.h"

/* Limits and counters before a case */
struct overflow_test {
	unsigned long cap;
	unsigned int share;
	unsigned long buffers;
	long bytes;
};

static unsigned long test_buffers(void)
{
	struct swiotlb_overflow_stats *stats;
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		stats = per_cpu_ptr(&swiotlb_overflow_stats, cpu);
		sum += stats->mapped - stats->unmapped;
	}
	return sum;
}

static unsigned long test_failed(enum swiotlb_overflow_failure why)
{
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += per_cpu_ptr(&swiotlb_overflow_stats, cpu)->failed[why];
	return sum;
}

static long test_bytes(void)
{
	return atomic_long_read(&swiotlb_overflow_limits.bytes);
}

static void set_limits(struct kunit *test, u64 cap, unsigned int share)
{
	KUNIT_EXPECT_EQ(test, swiotlb_overflow_set_cap(cap), 0);
	KUNIT_EXPECT_EQ(test, swiotlb_overflow_set_share(share), 0);
}

static int overflow_test_init(struct kunit *test)
{
	struct overflow_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	if (!t)
		return -ENOMEM;
	if (swiotlb_overflow_limits.cap < SZ_16M)
		kunit_skip(test, "needs 16 MB for transient buffers, see swiotlb_overflow=");
	if (test_bytes())
		kunit_skip(test, "needs transient buffers that no other device uses");
	t->cap = swiotlb_overflow_limits.cap;
	t->share = swiotlb_overflow_limits.share;
	t->bytes = test_bytes();
	t->buffers = test_buffers();
	test->priv = t;
	set_limits(test, t->cap, 50);
	return 0;
}

/* After each case, all buffers are unmapped and all their memory is uncharged. */
static void overflow_test_exit(struct kunit *test)
{
	struct overflow_test *t = test->priv;

	if (!t)
		return;
	set_limits(test, t->cap, t->share);
	KUNIT_EXPECT_EQ(test, test_bytes(), t->bytes);
	KUNIT_EXPECT_EQ(test, test_buffers(), t->buffers);
}

static struct device *full_device(struct kunit *test, u64 mask)
{
	struct device *dev = swiotlb_test_device(test, mask);
	struct io_tlb_mem *mem = swiotlb_test_pool(test, dev, IO_TLB_SEGSIZE, 1);

	mem->can_overflow = true;
	swiotlb_test_pool_room(mem, 0);
	return dev;
}

static phys_addr_t overflow_start(struct device *dev, phys_addr_t phys)
{
	struct swiotlb_overflow_buf *buf = swiotlb_overflow_lookup(dev, phys);

	return buf ? buf->start : 0;
}

static const size_t sizes[] = {
	1, 63, 512, SZ_2K, SZ_2K + 1, SZ_4K, SZ_4K + 1, 5000, SZ_64K, SZ_64K + 512,
	SZ_256K - 1, SZ_256K,
};

static void size_desc(const size_t *size, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%zu bytes", *size);
}

KUNIT_ARRAY_PARAM(size, sizes, size_desc);

static void full_pool_still_maps(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));

	swiotlb_test_directions(test, dev, *(const size_t *)test->param_value);
	KUNIT_EXPECT_NE(test, dev->dma_overflow_classes, 0);
}

static void mapping_beyond_256k_fails(struct kunit *test)
{
	static const size_t huge[] = {
#ifdef CONFIG_64BIT
		SZ_4G + 512, 1UL << 43,
#endif
		SIZE_MAX - SZ_1K, SIZE_MAX,
	};
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_512K, 1));
	unsigned long failed = test_failed(OVERFLOW_FAIL_SIZE);
	unsigned int i;

	KUNIT_EXPECT_EQ(test, swiotlb_map(dev, data, SZ_256K + 1, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			DMA_MAPPING_ERROR);
	dma_set_min_align_mask(dev, 0xfff);
	KUNIT_EXPECT_EQ(test,
			swiotlb_map(dev, data + 0x200, SZ_256K, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			DMA_MAPPING_ERROR);
	dma_set_min_align_mask(dev, 0);
	/* Sizes that would be small, or 0, in 32 bits, or with what is added to them */
	for (i = 0; i < ARRAY_SIZE(huge); i++)
		KUNIT_EXPECT_EQ(test,
				swiotlb_map(dev, data, huge[i], DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
				DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, test_failed(OVERFLOW_FAIL_SIZE), failed + 2 + ARRAY_SIZE(huge));
}

static void unwritten_bytes_keep_their_value(struct kunit *test)
{
	swiotlb_test_unwritten(test, full_device(test, DMA_BIT_MASK(64)));
}

static void unmap_without_sync_copies_nothing(struct kunit *test)
{
	swiotlb_test_skip_sync(test, full_device(test, DMA_BIT_MASK(64)));
}

static void sync_copies_only_its_range(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));

	swiotlb_test_sync(test, dev, 0, 0x1f0);
	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, 0xfff), 0);
	swiotlb_test_sync(test, dev, 0x400, 0x100);
}

static void sync_is_clamped_to_mapping(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	u8 *data = swiotlb_test_buffer(test, SZ_4K, 1);
	dma_addr_t addr = dma_map_single(dev, data, 1000, DMA_BIDIRECTIONAL);

	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	kunit_info(test, "expect: WARNING:\n");
	dma_sync_single_for_cpu(dev, addr, SZ_2K, DMA_FROM_DEVICE);
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data, SZ_4K, 1));
	/* The warning comes once. */
	memset(swiotlb_test_device_view(dev, addr), 0x77, 1000);
	dma_sync_single_for_cpu(dev, addr + 500, 1000, DMA_FROM_DEVICE);
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data, 500, 1));
	KUNIT_EXPECT_NULL(test, memchr_inv(data + 500, 0x77, 500));
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data + 1000, SZ_4K - 1000, 1 + 1000));
	dma_unmap_single(dev, addr, 1000, DMA_BIDIRECTIONAL);
}

static const unsigned int matrix_masks[][2] = {		/* min_align_mask, alloc_align_mask */
	{ 0, 0 }, { 0x1ff, 0 }, { 0x7ff, 0 }, { 0xfff, 0 }, { 0xffff, 0 }, { 0, 0xfff },
	{ 0, 0xffff }, { 0x1ff, 0xfff }, { 0xfff, 0xfff }, { 0xffff, 0xfff }, { 0xfff, 0xffff },
};

static void mask_desc(const unsigned int (*masks)[2], char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "min_align_mask %#x, alloc_align_mask %#x",
		 (*masks)[0], (*masks)[1]);
}

KUNIT_ARRAY_PARAM(mask, matrix_masks, mask_desc);

/*
 * A mapping of any size at any offset keeps the bits of its address that min_align_mask selects.
 * The memory that the device can see is aligned, belongs to the mapping, and is zero around it.
 */
static void address_keeps_alignment(struct kunit *test)
{
	static const unsigned int offsets[] = {
		0, 0x100, 0x200, 0x400, 0x600, 0x800, 0xa00, 0xc00, 0xe00, 0xfff
	};
	static const size_t lengths[] = { 100, 512, SZ_2K, SZ_4K, SZ_64K };
	const unsigned int *masks = *(const unsigned int (*)[2])test->param_value;
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	u8 *data = swiotlb_test_buffer(test, SZ_256K, 1), *view;
	struct swiotlb_overflow_buf *buf;
	unsigned int i, j, twice;
	phys_addr_t phys, start;
	size_t tail;

	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, masks[0]), 0);
	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		for (j = 0; j < ARRAY_SIZE(lengths); j++) {
			/* The second time, the memory holds bytes that the first time left. */
			for (twice = 0; twice < 2; twice++) {
				phys = swiotlb_tbl_map_single(dev, virt_to_phys(data) + offsets[i],
							      lengths[j], masks[1], DMA_TO_DEVICE,
							      0);
				KUNIT_ASSERT_NE(test, phys, (phys_addr_t)DMA_MAPPING_ERROR);
				KUNIT_EXPECT_EQ(test, phys & masks[0],
						(virt_to_phys(data) + offsets[i]) & masks[0]);
				buf = swiotlb_overflow_lookup(dev, phys);
				KUNIT_ASSERT_NOT_NULL(test, buf);
				start = phys - buf->offset;
				tail = buf->offset + lengths[j];
				KUNIT_EXPECT_EQ(test, start & (masks[1] | (IO_TLB_SIZE - 1)), 0);
				KUNIT_EXPECT_GE(test, buf->memory,
						ALIGN(buf->offset + lengths[j], masks[1] + 1));
				if (lengths[j] >= PAGE_SIZE)
					KUNIT_EXPECT_EQ(test, start & ~PAGE_MASK, 0);

				view = buf->vaddr;
				KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(view + buf->offset,
									    lengths[j],
									    1 + offsets[i]));
				KUNIT_EXPECT_NULL(test, memchr_inv(view, 0, buf->offset));
				KUNIT_EXPECT_NULL(test, memchr_inv(view + tail, 0,
								   buf->memory - tail));
				memset(view, 0xee, buf->memory);
				swiotlb_tbl_unmap_single(dev, phys, lengths[j], DMA_TO_DEVICE, 0);
			}
		}
	}
}

static void lookup_finds_every_byte(struct kunit *test)
{
	/* That of 0x201 bytes ends with the first byte behind a power of two. */
	static const size_t lengths[] = { 100, 0x201, SZ_2K, SZ_4K, 5000, SZ_64K + 512 };
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	u8 *data = swiotlb_test_buffer(test, SZ_128K, 1);
	phys_addr_t phys;
	unsigned int i;

	dma_set_min_align_mask(dev, 0xfff);
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		phys = swiotlb_tbl_map_single(dev, virt_to_phys(data) + 0x600, lengths[i], 0,
					      DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_NE(test, phys, (phys_addr_t)DMA_MAPPING_ERROR);
		KUNIT_EXPECT_FALSE(test, is_swiotlb_buffer(dev, phys - 1));
		KUNIT_EXPECT_TRUE(test, is_swiotlb_buffer(dev, phys));
		KUNIT_EXPECT_TRUE(test, is_swiotlb_buffer(dev, phys + lengths[i] / 2));
		KUNIT_EXPECT_TRUE(test, is_swiotlb_buffer(dev, phys + lengths[i] - 1));
		KUNIT_EXPECT_FALSE(test, is_swiotlb_buffer(dev, phys + lengths[i]));
		swiotlb_tbl_unmap_single(dev, phys, lengths[i], DMA_TO_DEVICE, 0);
		KUNIT_EXPECT_FALSE(test, is_swiotlb_buffer(dev, phys));
	}
}

static void lookup_ignores_other_devices(struct kunit *test)
{
	struct device *a = full_device(test, DMA_BIT_MASK(64)),
		      *b = full_device(test, DMA_BIT_MASK(64));
	u8 *data = swiotlb_test_buffer(test, SZ_4K, 1);
	dma_addr_t addr = dma_map_single(a, data, 512, DMA_TO_DEVICE);
	dma_addr_t mine = dma_map_single(b, data, 512, DMA_TO_DEVICE);

	KUNIT_ASSERT_FALSE(test, dma_mapping_error(a, addr));
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(b, mine));
	KUNIT_EXPECT_TRUE(test, is_swiotlb_buffer(a, dma_to_phys(a, addr)));
	KUNIT_EXPECT_FALSE(test, is_swiotlb_buffer(b, dma_to_phys(a, addr)));
	KUNIT_EXPECT_FALSE(test, is_swiotlb_buffer(a, dma_to_phys(b, mine)));
	dma_unmap_single(a, addr, 512, DMA_TO_DEVICE);
	dma_unmap_single(b, mine, 512, DMA_TO_DEVICE);
}

/* The device has a transient buffer, and what is not bounced is left alone. */
static void other_addresses_are_ignored(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	u8 *data = swiotlb_test_buffer(test, SZ_8K, 1);
	dma_addr_t addr = dma_map_single(dev, data, 512, DMA_BIDIRECTIONAL);
	const phys_addr_t other = virt_to_phys(data) + SZ_4K;

	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	swiotlb_sync_single_for_cpu(dev, other, 512, DMA_BIDIRECTIONAL);
	swiotlb_sync_single_for_device(dev, other, 512, DMA_BIDIRECTIONAL);
	swiotlb_tbl_unmap_single(dev, other, 512, DMA_BIDIRECTIONAL, 0);
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data, SZ_8K, 1));
	KUNIT_EXPECT_TRUE(test, is_swiotlb_buffer(dev, dma_to_phys(dev, addr)));
	dma_unmap_single(dev, addr, 512, DMA_BIDIRECTIONAL);
}

static void pool_mapping_sets_no_class(struct kunit *test)
{
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	u8 *data = swiotlb_test_buffer(test, SZ_4K, 1);
	dma_addr_t addr;

	swiotlb_test_pool(test, dev, IO_TLB_SEGSIZE, 1)->can_overflow = true;
	addr = dma_map_single(dev, data, 512, DMA_TO_DEVICE);
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	dma_unmap_single(dev, addr, 512, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, dev->dma_overflow_classes, 0);
}

/* Which DMA addresses a device can use, and how the bus translates them */
struct reach {
	const char *name;
	u64 mask;
	u64 bus_limit;
	phys_addr_t cpu_start;
	dma_addr_t dma_start;
	u64 range;
};

static const struct reach reaches[] = {
	{ "64 bits", DMA_BIT_MASK(64) },
	{ "33 bits", DMA_BIT_MASK(33) },
	{ "32 bits", DMA_BIT_MASK(32) },
	{ "31 bits", DMA_BIT_MASK(31) },
	{ "24 bits", DMA_BIT_MASK(24) },
	{ "bus limit of 32 bits", DMA_BIT_MASK(64), DMA_BIT_MASK(32) },
	{ "bus limit of 31 bits", DMA_BIT_MASK(32), DMA_BIT_MASK(31) },
	/* Only memory above 4 GB has a DMA address, and no zone ends there. */
	{ "33 bits, memory from 4 GB seen at 0", DMA_BIT_MASK(33), 0, SZ_4G, 0, 2ULL * SZ_4G },
	/* Memory has DMA addresses from 64 GB on. */
	{ "64 bits, memory seen 64 GB up", DMA_BIT_MASK(64), 0, 0, 16ULL * SZ_4G, 4ULL * SZ_4G },
};

static void reach_desc(const struct reach *reach, char *desc)
{
	strscpy(desc, reach->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(reach, reaches, reach_desc);

static void memory_is_reachable(struct kunit *test)
{
	static const size_t lengths[] = { 512, SZ_4K, SZ_64K };
	const struct reach *reach = test->param_value;
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_64K, 1));
	u64 limit = min_not_zero(reach->mask, reach->bus_limit);
	dma_addr_t addr[ARRAY_SIZE(lengths)], last;
	unsigned int i;

	if (PFN_PHYS(max_pfn) - 1 <= DMA_BIT_MASK(33))
		kunit_skip(test, "needs memory above 8 GB");
	if (!IS_ENABLED(CONFIG_ZONE_DMA) || limit < DMA_BIT_MASK(zone_dma_bits))
		kunit_skip(test, "needs a zone within the limit");
	if (reach->cpu_start && PFN_PHYS(max_pfn) > reach->cpu_start + reach->range)
		kunit_skip(test, "needs all memory that is not in a DMA zone within the range");
	dev->bus_dma_limit = reach->bus_limit;
	*dev->dma_mask = reach->mask;
	if (reach->range)
		KUNIT_ASSERT_EQ(test,
				dma_direct_set_offset(dev, reach->cpu_start, reach->dma_start,
						      reach->range),
				0);
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		addr[i] = swiotlb_map(dev, data, lengths[i], DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr[i]));
		last = addr[i] + lengths[i] - 1;
		KUNIT_EXPECT_LE(test, (u64)last, limit);
		if (reach->range) {
			KUNIT_EXPECT_GE(test, (u64)addr[i], (u64)reach->dma_start);
			KUNIT_EXPECT_LT(test, (u64)last, (u64)reach->dma_start + reach->range);
		}
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(swiotlb_test_device_view(dev, addr[i]),
							    lengths[i], 1));
	}
	for (i = 0; i < ARRAY_SIZE(lengths); i++)
		dma_unmap_single(dev, addr[i], lengths[i], DMA_TO_DEVICE);
	kfree(dev->dma_range_map);
	dev->dma_range_map = NULL;
}

static struct task_struct *zone_task;
static unsigned int zone_allocs, reserve_allocs;
static gfp_t zone_gfp;

static void zone_count(void *data, struct page *page, unsigned int order, gfp_t gfp, int type)
{
	zone_allocs += current == zone_task && order == get_order(SZ_64K);
}

/*
 * All DMA addresses are 64 GB above those of memory, and the mask ends where the DMA zone does.
 * Memory of a higher zone would be out of reach, and is not even tried.
 */
static void zone_follows_from_translated_mask(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_64K, 1));
	dma_addr_t addr;

	if (!IS_ENABLED(CONFIG_ZONE_DMA) ||
	    PFN_PHYS(max_pfn) - 1 <= DMA_BIT_MASK(zone_dma_bits))
		kunit_skip(test, "needs memory above a DMA zone");
	KUNIT_ASSERT_EQ(test, dma_direct_set_offset(dev, 0, 16ULL * SZ_4G, 4ULL * SZ_4G), 0);
	*dev->dma_mask = 16ULL * SZ_4G + DMA_BIT_MASK(zone_dma_bits);
	if (register_trace_mm_page_alloc(zone_count, NULL)) {
		kfree(dev->dma_range_map);
		dev->dma_range_map = NULL;
		kunit_skip(test, "needs CONFIG_TRACEPOINTS");
	}
	zone_task = current;
	zone_allocs = 0;
	addr = swiotlb_map(dev, data, SZ_64K, DMA_TO_DEVICE, 0);
	unregister_trace_mm_page_alloc(zone_count, NULL);
	tracepoint_synchronize_unregister();
	KUNIT_EXPECT_EQ(test, zone_allocs, 1);
	KUNIT_EXPECT_FALSE(test, dma_mapping_error(dev, addr));
	if (!dma_mapping_error(dev, addr)) {
		KUNIT_EXPECT_LE(test, (u64)addr + SZ_64K - 1, (u64)*dev->dma_mask);
		dma_unmap_single(dev, addr, SZ_64K, DMA_TO_DEVICE);
	}
	kfree(dev->dma_range_map);
	dev->dma_range_map = NULL;
}

static void zone_of_first(void *data, struct page *page, unsigned int order, gfp_t gfp, int type)
{
	if (current == zone_task && order == get_order(SZ_256K) && !zone_allocs++)
		zone_gfp = gfp & GFP_ZONEMASK;
}

/* The highest zone that can be in reach comes first. */
static void zone_follows_from_mask(struct kunit *test)
{
	const gfp_t dma = IS_ENABLED(CONFIG_ZONE_DMA) ? __GFP_DMA : 0;
	const gfp_t dma32 = IS_ENABLED(CONFIG_ZONE_DMA32) ? __GFP_DMA32 : 0;
	const struct {
		unsigned int bits;
		gfp_t zone;
	} masks[] = {
		{ zone_dma_bits, dma ?: dma32 },
		{ zone_dma_bits + 1, zone_dma_bits < 32 ? dma32 : 0 },
		{ 32, dma && zone_dma_bits == 32 ? dma : dma32 },
		{ 33, 0 },
		{ 64, 0 },
	};
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_256K, 1));
	dma_addr_t addr;
	unsigned int i;

	if (register_trace_mm_page_alloc(zone_of_first, NULL))
		kunit_skip(test, "needs CONFIG_TRACEPOINTS");
	zone_task = current;
	for (i = 0; i < ARRAY_SIZE(masks); i++) {
		*dev->dma_mask = DMA_BIT_MASK(masks[i].bits);
		zone_allocs = 0;
		addr = swiotlb_map(dev, data, SZ_256K, DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
		KUNIT_EXPECT_GT_MSG(test, zone_allocs, 0, "%u bits", masks[i].bits);
		KUNIT_EXPECT_EQ_MSG(test, (__force u32)zone_gfp, (__force u32)masks[i].zone,
				    "%u bits", masks[i].bits);
		if (!dma_mapping_error(dev, addr))
			dma_unmap_single(dev, addr, SZ_256K, DMA_TO_DEVICE);
	}
	unregister_trace_mm_page_alloc(zone_of_first, NULL);
	tracepoint_synchronize_unregister();
}

static void reserve_count(void *data, struct page *page, unsigned int order, gfp_t gfp, int type)
{
	if (current == zone_task && order == get_order(SZ_256K)) {
		zone_allocs++;
		reserve_allocs += gfp_pfmemalloc_allowed(gfp);
	}
}

/* A task that reclaims memory could use the reserves, but a device can hold a buffer. */
static void reserves_are_not_used(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_256K, 1));
	unsigned int flags;
	dma_addr_t addr;

	if (register_trace_mm_page_alloc(reserve_count, NULL))
		kunit_skip(test, "needs CONFIG_TRACEPOINTS");
	zone_task = current;
	zone_allocs = 0;
	reserve_allocs = 0;
	flags = memalloc_noreclaim_save();
	addr = swiotlb_map(dev, data, SZ_256K, DMA_TO_DEVICE, 0);
	memalloc_noreclaim_restore(flags);
	unregister_trace_mm_page_alloc(reserve_count, NULL);
	tracepoint_synchronize_unregister();
	KUNIT_EXPECT_EQ(test, zone_allocs, 1);
	KUNIT_EXPECT_EQ(test, reserve_allocs, 0);
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	dma_unmap_single(dev, addr, SZ_256K, DMA_TO_DEVICE);
}

static void unreachable_memory_fails(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_64K, 1));
	unsigned long failed = test_failed(OVERFLOW_FAIL_REACH);

	*dev->dma_mask = DMA_BIT_MASK(12);
	KUNIT_EXPECT_EQ(test, swiotlb_map(dev, data, 512, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, swiotlb_map(dev, data, SZ_64K, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, test_failed(OVERFLOW_FAIL_REACH), failed + 2);
	*dev->dma_mask = DMA_BIT_MASK(64);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&dev->dma_overflow_bytes), 0);
}

/*
 * There is room in the pool, but the device cannot reach it: the bus shows only memory above 4 GB,
 * and the pool is below.
 */
static void pool_out_of_reach_still_maps(struct kunit *test)
{
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	struct io_tlb_mem *mem = swiotlb_test_pool(test, dev, IO_TLB_SEGSIZE, 1);
	static const size_t lengths[] = { 512, SZ_4K, SZ_64K };
	u8 *data = swiotlb_test_buffer(test, SZ_64K, 1);
	dma_addr_t addr;
	unsigned int i;

	if (PFN_PHYS(max_pfn) - 1 <= DMA_BIT_MASK(33) ||
	    PFN_PHYS(max_pfn) > 3ULL * SZ_4G || mem->end > 1ULL << 32)
		kunit_skip(test, "needs memory up to 8 to 12 GB, and a pool below 4 GB");
	KUNIT_ASSERT_EQ(test, dma_direct_set_offset(dev, 1ULL << 32, 0, 1ULL << 33), 0);
	*dev->dma_mask = DMA_BIT_MASK(33);
	mem->can_overflow = true;
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		addr = dma_map_single(dev, data, lengths[i], DMA_TO_DEVICE);
		KUNIT_EXPECT_FALSE(test, dma_mapping_error(dev, addr));
		if (dma_mapping_error(dev, addr))
			continue;
		KUNIT_EXPECT_LT(test, (u64)addr + lengths[i], 1ULL << 33);
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(swiotlb_test_device_view(dev, addr),
							    lengths[i], 1));
		KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(mem), 0);
		dma_unmap_single(dev, addr, lengths[i], DMA_TO_DEVICE);
	}

	/* Of what the bus shows, the device reaches one page. */
	*dev->dma_mask = DMA_BIT_MASK(12);
	KUNIT_EXPECT_EQ(test, dma_map_single(dev, data, 512, DMA_TO_DEVICE), DMA_MAPPING_ERROR);
#ifdef CONFIG_ARCH_HAS_SYNC_DMA_FOR_DEVICE
	dev->dma_coherent = false;
	KUNIT_EXPECT_EQ(test, dma_map_single(dev, data, 512, DMA_TO_DEVICE), DMA_MAPPING_ERROR);
	dev->dma_coherent = true;
#endif
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(mem), 0);
	*dev->dma_mask = DMA_BIT_MASK(33);

	/* Without transient buffers, as before: an error and a warning, and nothing leaks. */
	mem->can_overflow = false;
	kunit_info(test, "expect: WARNING:\n");
	KUNIT_EXPECT_EQ(test, dma_map_single(dev, data, 512, DMA_TO_DEVICE), DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, swiotlb_test_mem_used(mem), 0);
	kfree(dev->dma_range_map);
	dev->dma_range_map = NULL;
}

/* How often memory is allocated for a mapping that fails */
static unsigned int failed_allocs(struct kunit *test, struct device *dev, phys_addr_t data)
{
	phys_addr_t phys;

	zone_allocs = 0;
	phys = swiotlb_tbl_map_single(dev, data, SZ_256K, 0, DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
	KUNIT_EXPECT_EQ(test, phys, (phys_addr_t)DMA_MAPPING_ERROR);
	if (phys != (phys_addr_t)DMA_MAPPING_ERROR)
		swiotlb_tbl_unmap_single(dev, phys, SZ_256K, DMA_TO_DEVICE, 0);
	return zone_allocs;
}

static void every_zone_is_tried_once(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_256K, 1));

	if (register_trace_mm_page_alloc(zone_of_first, NULL))
		kunit_skip(test, "needs CONFIG_TRACEPOINTS");
	zone_task = current;
	/* No zone is low enough, so only the lowest is tried. */
	*dev->dma_mask = DMA_BIT_MASK(12);
	KUNIT_EXPECT_EQ(test, failed_allocs(test, dev, data), 1);
	*dev->dma_mask = DMA_BIT_MASK(64);

	/* The bus shows only addresses at which there is no memory. */
	if (!IS_ENABLED(CONFIG_ARCH_HAS_PHYS_TO_DMA) &&
	    !dma_direct_set_offset(dev, 1ULL << 39, 0, SZ_4G)) {
		KUNIT_EXPECT_EQ(test, failed_allocs(test, dev, data),
				1 + IS_ENABLED(CONFIG_ZONE_DMA32) + IS_ENABLED(CONFIG_ZONE_DMA));
		kfree(dev->dma_range_map);
		dev->dma_range_map = NULL;
	}
	unregister_trace_mm_page_alloc(zone_of_first, NULL);
	tracepoint_synchronize_unregister();
}

static unsigned int logged;

static void count_logged(void *data, const char *text, size_t len)
{
	logged += current == zone_task && strnstr(text, "buffer is full", len) &&
		  strnstr(text, "(sz: 512 bytes)", len);
}

static void failure_is_logged(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_4K, 1));
	dma_addr_t quiet, loud;
	unsigned int i;

	dev->dma_io_tlb_mem->can_overflow = false;
	if (register_trace_console(count_logged, NULL))
		kunit_skip(test, "needs CONFIG_TRACEPOINTS");
	zone_task = current;
	logged = 0;
	/* After ten messages of this kind there is none for five seconds. */
	for (i = 0; i < 2 && !logged; i++) {
		msleep(i * 6000);
		loud = swiotlb_map(dev, data, 512, DMA_TO_DEVICE, 0);
	}
	KUNIT_EXPECT_EQ(test, logged, 1);
	quiet = swiotlb_map(dev, data, 512, DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
	KUNIT_EXPECT_EQ(test, logged, 1);
	unregister_trace_console(count_logged, NULL);
	tracepoint_synchronize_unregister();
	KUNIT_EXPECT_EQ(test, quiet, DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, loud, DMA_MAPPING_ERROR);
}

static void segment_boundary_is_not_crossed(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_64K, 1));
	dma_addr_t addr;
	size_t size;

	KUNIT_ASSERT_EQ(test, dma_set_seg_boundary(dev, SZ_16K - 1), 0);
	for (size = 1024; size <= SZ_16K; size += 1536) {
		addr = swiotlb_map(dev, data, size, DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
		KUNIT_EXPECT_EQ(test, addr / SZ_16K, (addr + size - 1) / SZ_16K);
		dma_unmap_single(dev, addr, size, DMA_TO_DEVICE);
	}
	KUNIT_EXPECT_EQ(test, swiotlb_map(dev, data, SZ_16K + 1, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			DMA_MAPPING_ERROR);
}

/* As for a restricted pool, whose device may access nothing else, and for Xen */
static void excluded_pool_never_overflows(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_4K, 1));
	struct io_tlb_mem *mem = dev->dma_io_tlb_mem;
	unsigned long failed = test_failed(OVERFLOW_FAIL_POOL), nslabs = mem->nslabs;

	mem->can_overflow = false;
	KUNIT_EXPECT_EQ(test, swiotlb_map(dev, data, 512, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			DMA_MAPPING_ERROR);
	/* swiotlb-xen and dma-iommu call this function. */
	KUNIT_EXPECT_EQ(test,
			swiotlb_tbl_map_single(dev, data, 512, 0, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			(phys_addr_t)DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test,
			swiotlb_tbl_map_single(dev, data, 512, PAGE_SIZE - 1, DMA_TO_DEVICE,
					       DMA_ATTR_NO_WARN),
			(phys_addr_t)DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, test_failed(OVERFLOW_FAIL_POOL), failed + 3);

	/* The state after swiotlb=noforce */
	mem->can_overflow = true;
	mem->nslabs = 0;
	KUNIT_EXPECT_EQ(test, swiotlb_map(dev, data, 512, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			DMA_MAPPING_ERROR);
	mem->nslabs = nslabs;
	KUNIT_EXPECT_EQ(test, dev->dma_overflow_classes, 0);
}

/* The host accesses such a pool by another address, which other memory does not have. */
static void remapped_pool_is_excluded(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	struct io_tlb_mem *mem = dev->dma_io_tlb_mem;

	swiotlb_init_io_tlb_mem(mem, mem->start, mem->nslabs, SWIOTLB_FORCE, true, 1);
	KUNIT_EXPECT_TRUE(test, mem->can_overflow);
	swiotlb_unencrypted_base = SZ_1G;
	swiotlb_init_io_tlb_mem(mem, mem->start, mem->nslabs, SWIOTLB_FORCE, true, 1);
	swiotlb_unencrypted_base = 0;
	KUNIT_EXPECT_FALSE(test, mem->can_overflow);
}

#ifdef CONFIG_DMA_RESTRICTED_POOL
static void swiotlb_alloc_never_overflows(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));

	u8 *data = swiotlb_test_buffer(test, SZ_4K, 1);
	dma_addr_t addr;

	KUNIT_EXPECT_NULL(test, swiotlb_alloc(dev, SZ_4K));
	KUNIT_EXPECT_EQ(test, dev->dma_overflow_classes, 0);

	/* Nor is a transient buffer freed as memory of the pool. */
	addr = dma_map_single(dev, data, SZ_4K, DMA_TO_DEVICE);
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	KUNIT_EXPECT_FALSE(test,
			   swiotlb_free(dev, pfn_to_page(PHYS_PFN(dma_to_phys(dev, addr))), SZ_4K));
	dma_unmap_single(dev, addr, SZ_4K, DMA_TO_DEVICE);
}
#else
static void swiotlb_alloc_never_overflows(struct kunit *test)
{
	kunit_skip(test, "needs CONFIG_DMA_RESTRICTED_POOL");
}
#endif

static void cap_is_exact(struct kunit *test)
{
	struct device *devs[2] = { full_device(test, DMA_BIT_MASK(64)),
				   full_device(test, DMA_BIT_MASK(64)) };
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_4K, 1));
	unsigned long failed = test_failed(OVERFLOW_FAIL_CAP);
	dma_addr_t addr[8];
	unsigned int i;

	set_limits(test, test_bytes() + 8 * PAGE_SIZE, 100);
	WRITE_ONCE(swiotlb_overflow_limits.peak, 0);
	for (i = 0; i < 8; i++) {
		addr[i] = swiotlb_map(devs[i % 2], data, PAGE_SIZE, DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_FALSE(test, dma_mapping_error(devs[i % 2], addr[i]));
	}
	KUNIT_EXPECT_EQ(test, READ_ONCE(swiotlb_overflow_limits.peak), swiotlb_overflow_limits.cap);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_EQ(test, swiotlb_map(devs[i % 2], data, 512, DMA_TO_DEVICE, 0),
				DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, test_failed(OVERFLOW_FAIL_CAP), failed + 3);
	dma_unmap_single(devs[1], addr[7], PAGE_SIZE, DMA_TO_DEVICE);
	addr[7] = swiotlb_map(devs[1], data, PAGE_SIZE, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_FALSE(test, dma_mapping_error(devs[1], addr[7]));
	for (i = 0; i < 8; i++)
		dma_unmap_single(devs[i % 2], addr[i], PAGE_SIZE, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&devs[0]->dma_overflow_bytes), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&devs[1]->dma_overflow_bytes), 0);
}

static void command_line_is_parsed(struct kunit *test)
{
	static const struct {
		const char *text;
		unsigned long cap;
		unsigned int share;
	} good[] = {
		{ "0", 0, 50 }, { "4096", 4096, 50 }, { "4k", SZ_4K, 50 }, { "3M", 3 * SZ_1M, 50 },
		{ "1G,25", SZ_1G, 25 }, { "1G,0", SZ_1G, 0 }, { "512,100", 512, 100 },
		{ "0x1000,0x10", SZ_4K, 16 }, { "0,7", 0, 7 },
#ifdef CONFIG_64BIT
		{ "9223372036854775807", LONG_MAX, 50 },
#else
		{ "2147483647", LONG_MAX, 50 },
#endif
	};
	static const char * const bad[] = {
		NULL, "", "M", "all", "-1", ",50", "4M,", "4M,101", "4M,-1", "4M,a", "4M,5%", "4M 5",
		"4MB",
#ifdef CONFIG_64BIT
		"9223372036854775808",
#else
		"2147483648", "4G",
#endif
	};
	unsigned int share, i;
	unsigned long cap;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		KUNIT_EXPECT_EQ_MSG(test, swiotlb_overflow_parse(good[i].text, &cap, &share), 0,
				    "%s", good[i].text);
		KUNIT_EXPECT_EQ_MSG(test, cap, good[i].cap, "%s", good[i].text);
		KUNIT_EXPECT_EQ_MSG(test, share, good[i].share, "%s", good[i].text);
	}
	cap = 1;
	share = 2;
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		KUNIT_EXPECT_EQ_MSG(test, swiotlb_overflow_parse(bad[i], &cap, &share), -EINVAL,
				    "%s", bad[i]);
	KUNIT_EXPECT_EQ(test, cap, 1);
	KUNIT_EXPECT_EQ(test, share, 2);
}

struct refused {
	struct device *dev;
	phys_addr_t data;
	bool stop;
	unsigned int mapped;
	struct completion done;
};

static int refused_thread(void *arg)
{
	struct refused *r = arg;

	while (!READ_ONCE(r->stop)) {
		r->mapped += swiotlb_map(r->dev, r->data, 3 * PAGE_SIZE, DMA_TO_DEVICE,
					 DMA_ATTR_NO_WARN) != DMA_MAPPING_ERROR;
		cond_resched();
	}
	complete(&r->done);
	return 0;
}

/* While mappings are refused that exceed the limit, those of another device that fit succeed. */
static void refused_mapping_disturbs_nobody(struct kunit *test)
{
	enum { ROUNDS = 20000 };
	struct refused r = { .stop = false };
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	unsigned int i, failed = 0;
	struct task_struct *thread;
	dma_addr_t addr, held;

	if (num_online_cpus() < 2)
		kunit_skip(test, "needs more than one CPU");
	r.dev = full_device(test, DMA_BIT_MASK(64));
	r.data = virt_to_phys(swiotlb_test_buffer(test, 3 * PAGE_SIZE, 1));
	init_completion(&r.done);
	/* One page is held, three are refused, and one more fits. */
	set_limits(test, test_bytes() + 3 * PAGE_SIZE, 100);
	held = swiotlb_map(dev, r.data, PAGE_SIZE, DMA_TO_DEVICE, 0);
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, held));
	thread = kthread_create(refused_thread, &r, "swiotlb_test");
	KUNIT_ASSERT_FALSE(test, IS_ERR(thread));
	migrate_disable();
	kthread_bind(thread, cpumask_any_but(cpu_online_mask, smp_processor_id()));
	wake_up_process(thread);
	for (i = 0; i < ROUNDS; i++) {
		addr = swiotlb_map(dev, r.data, PAGE_SIZE, DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
		if (addr == DMA_MAPPING_ERROR)
			failed++;
		else
			dma_unmap_single(dev, addr, PAGE_SIZE, DMA_TO_DEVICE);
		cond_resched();
	}
	migrate_enable();
	WRITE_ONCE(r.stop, true);
	wait_for_completion(&r.done);
	dma_unmap_single(dev, held, PAGE_SIZE, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, failed, 0);
	KUNIT_EXPECT_EQ(test, r.mapped, 0);
}

/* At most low memory, because a table of this size is allocated; about 1/8 of it by default. */
static void limit_follows_command_line(struct kunit *test)
{
	const u64 low = (u64)(totalram_pages() - totalhigh_pages()) << PAGE_SHIFT;
	const char *given = strstr(saved_command_line, "swiotlb_overflow=");
	const u64 limit = swiotlb_overflow_limits.max_cap;
	u64 wanted = given ? memparse(strchr(given, '=') + 1, NULL) : min(low / 8, 16ULL << 30);

	if (given && wanted < low / 2)
		KUNIT_EXPECT_EQ(test, limit, wanted);
	wanted = min(wanted, low);
	KUNIT_EXPECT_LE(test, limit, wanted + wanted / 16);
	KUNIT_EXPECT_GE(test, limit, wanted - wanted / 16);
}

struct charges {
	struct device *dev;
	unsigned int refused;
	struct completion done;
};

static void charge_often(struct charges *c)
{
	unsigned int i;

	for (i = 0; i < 100000; i++) {
		if (swiotlb_overflow_charge(c->dev, OVERFLOW_ZONE_NORMAL, PAGE_SIZE) == OVERFLOW_OK)
			swiotlb_overflow_uncharge(c->dev, OVERFLOW_ZONE_NORMAL, PAGE_SIZE);
		else
			c->refused++;
	}
}

static int charges_thread(void *arg)
{
	struct charges *c = arg;

	charge_often(c);
	complete(&c->done);
	return 0;
}

/* The device and the zone would permit it, and another device has all that is left. */
static void refused_charge_leaves_nothing(struct kunit *test)
{
	const enum overflow_zone zone = IS_ENABLED(CONFIG_ZONE_DMA32) ? OVERFLOW_ZONE_DMA32 :
									OVERFLOW_ZONE_DMA;
	struct device *other = full_device(test, DMA_BIT_MASK(64)),
		      *dev = full_device(test, DMA_BIT_MASK(64));
	atomic_long_t *charged = &swiotlb_overflow_limits.zones[zone].bytes;
	const long before = atomic_long_read(charged);

	if (swiotlb_overflow_limits.zones[zone].device_cap < SZ_1M)
		kunit_skip(test, "needs 8 MB in a DMA zone");
	set_limits(test, test_bytes() + SZ_64K, 100);
	KUNIT_EXPECT_EQ(test, swiotlb_overflow_charge(other, OVERFLOW_ZONE_NORMAL, SZ_64K),
			OVERFLOW_OK);
	KUNIT_EXPECT_EQ(test, swiotlb_overflow_charge(dev, zone, SZ_4K), OVERFLOW_FAIL_CAP);
	swiotlb_overflow_uncharge(other, OVERFLOW_ZONE_NORMAL, SZ_64K);
	KUNIT_EXPECT_EQ(test, atomic_long_read(charged), before);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&dev->dma_overflow_zone_bytes[zone - 1]), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&dev->dma_overflow_bytes), 0);
}

/* Two CPUs charge the same device at the same time, and at the end nothing is charged. */
static void charges_of_two_cpus_add_up(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	struct charges here = { .dev = dev }, there = { .dev = dev };
	struct task_struct *thread;

	if (num_online_cpus() < 2)
		kunit_skip(test, "needs more than one CPU");
	init_completion(&there.done);
	thread = kthread_create(charges_thread, &there, "swiotlb_test");
	KUNIT_ASSERT_FALSE(test, IS_ERR(thread));
	migrate_disable();
	kthread_bind(thread, cpumask_any_but(cpu_online_mask, smp_processor_id()));
	wake_up_process(thread);
	charge_often(&here);
	migrate_enable();
	wait_for_completion(&there.done);
	KUNIT_EXPECT_EQ(test, here.refused + there.refused, 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&dev->dma_overflow_bytes), 0);
}

static void device_share_is_enforced(struct kunit *test)
{
	struct device *greedy = full_device(test, DMA_BIT_MASK(64)),
		      *other = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_4K, 1));
	unsigned long failed = test_failed(OVERFLOW_FAIL_SHARE);
	dma_addr_t addr[6], theirs[2];
	unsigned int i;

	set_limits(test, 8 * PAGE_SIZE, 75);
	for (i = 0; i < 6; i++) {
		addr[i] = swiotlb_map(greedy, data, PAGE_SIZE, DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_FALSE(test, dma_mapping_error(greedy, addr[i]));
	}
	for (i = 0; i < 2; i++) {
		/* The second time, one more buffer would be all that is allowed. */
		KUNIT_EXPECT_EQ(test, swiotlb_map(greedy, data, PAGE_SIZE, DMA_TO_DEVICE, 0),
				DMA_MAPPING_ERROR);
		KUNIT_EXPECT_EQ(test, test_failed(OVERFLOW_FAIL_SHARE), failed + 1 + i);
		theirs[i] = swiotlb_map(other, data, PAGE_SIZE, DMA_TO_DEVICE, 0);
		KUNIT_EXPECT_FALSE(test, dma_mapping_error(other, theirs[i]));
	}
	for (i = 0; i < 6; i++)
		dma_unmap_single(greedy, addr[i], PAGE_SIZE, DMA_TO_DEVICE);
	for (i = 0; i < 2; i++)
		dma_unmap_single(other, theirs[i], PAGE_SIZE, DMA_TO_DEVICE);
}

/* What the allocator has of the zones that end at or below a physical address, in bytes */
static u64 memory_below(phys_addr_t end)
{
	struct zone *zone;
	u64 pages = 0;

	for_each_populated_zone(zone)
		if (PFN_PHYS(zone_end_pfn(zone)) <= end)
			pages += zone_managed_pages(zone);
	return pages << PAGE_SHIFT;
}

/* Charges until a limit is reached, and returns the bytes. */
static u64 charge_all(struct device *dev, enum overflow_zone zone,
		      enum swiotlb_overflow_failure *why)
{
	u64 bytes = 0;

	while ((*why = swiotlb_overflow_charge(dev, zone, SZ_64K)) == OVERFLOW_OK)
		bytes += SZ_64K;
	return bytes;
}

/* All buffers may take 1/4 of a zone, or 1/2 if the limit on all of them was raised. */
static u64 part_of_zone(u64 memory)
{
	const u64 low = (u64)(totalram_pages() - totalhigh_pages()) << PAGE_SHIFT;

	return swiotlb_overflow_limits.cap > low / 8 ? memory / 2 : memory / 4;
}

/* Whether the limit on all buffers is not reached first, with another 1/16 of that of the zone */
static bool zone_is_limit(u64 memory)
{
	return part_of_zone(memory) / 16 * 17 + SZ_1M <= swiotlb_overflow_limits.cap;
}

static void check_zone_limit(struct kunit *test, enum overflow_zone zone, u64 mask)
{
	struct device *greedy = full_device(test, DMA_BIT_MASK(64)),
		      *second = full_device(test, DMA_BIT_MASK(64)),
		      *other = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_64K, 1));
	atomic_long_t *charged = &swiotlb_overflow_limits.zones[zone].bytes;
	atomic_long_t *below = &swiotlb_overflow_limits.zones[OVERFLOW_ZONE_DMA].bytes;
	const long before = atomic_long_read(charged);
	const u64 part = part_of_zone(memory_below(mask + 1)), elsewhere = part / 16;
	enum swiotlb_overflow_failure why;
	long before_below;
	dma_addr_t addr;
	u64 got[3];

	/* What the device has elsewhere does not count. */
	KUNIT_ASSERT_EQ(test, swiotlb_overflow_charge(greedy, OVERFLOW_ZONE_NORMAL, elsewhere),
			OVERFLOW_OK);

	/* A mapping is charged to the zone that it comes from. */
	*greedy->dma_mask = mask;
	addr = swiotlb_map(greedy, data, SZ_64K, DMA_TO_DEVICE, 0);
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(greedy, addr));
	KUNIT_EXPECT_EQ(test, atomic_long_read(charged), before + SZ_64K);

	before_below = atomic_long_read(below);
	got[0] = charge_all(greedy, zone, &why);
	KUNIT_EXPECT_EQ(test, why, OVERFLOW_FAIL_SHARE);
	KUNIT_EXPECT_LE(test, got[0], part / 2);
	KUNIT_EXPECT_GT(test, got[0], part / 2 - elsewhere / 2);
	got[1] = charge_all(second, zone, &why);
	got[2] = charge_all(other, zone, &why);
	KUNIT_EXPECT_EQ(test, why, OVERFLOW_FAIL_ZONE);
	KUNIT_EXPECT_LE(test, got[0] + got[1] + got[2], part);
	KUNIT_EXPECT_GT(test, got[0] + got[1] + got[2], part / 2);
	KUNIT_EXPECT_EQ(test, swiotlb_overflow_charge(other, OVERFLOW_ZONE_NORMAL, SZ_64K),
			OVERFLOW_OK);
	/* Memory of a zone below is part of it. */
	if (zone == OVERFLOW_ZONE_DMA32 && IS_ENABLED(CONFIG_ZONE_DMA)) {
		KUNIT_EXPECT_EQ(test, swiotlb_overflow_charge(other, OVERFLOW_ZONE_DMA, SZ_64K),
				OVERFLOW_FAIL_ZONE);
		KUNIT_EXPECT_EQ(test, atomic_long_read(below), before_below);
	}

	swiotlb_overflow_uncharge(other, OVERFLOW_ZONE_NORMAL, SZ_64K);
	swiotlb_overflow_uncharge(greedy, OVERFLOW_ZONE_NORMAL, elsewhere);
	swiotlb_overflow_uncharge(greedy, zone, got[0]);
	swiotlb_overflow_uncharge(second, zone, got[1]);
	swiotlb_overflow_uncharge(other, zone, got[2]);
	dma_unmap_single(greedy, addr, SZ_64K, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, atomic_long_read(charged), before);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&greedy->dma_overflow_bytes), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&greedy->dma_overflow_zone_bytes[zone - 1]), 0);
	/* The last charge was refused by the zone. */
	KUNIT_EXPECT_EQ(test, atomic_long_read(&other->dma_overflow_bytes), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&other->dma_overflow_zone_bytes[zone - 1]), 0);
}

/*
 * All devices together get at most a part of the memory of a DMA zone, and a device half of this,
 * although the limit on all buffers is larger.
 */
static void zone_limit_is_enforced(struct kunit *test)
{
	const bool has_dma = IS_ENABLED(CONFIG_ZONE_DMA);
	const u64 dma = DMA_BIT_MASK(zone_dma_bits);
	unsigned int checked = 0;

	if (has_dma && zone_is_limit(memory_below(dma + 1))) {
		check_zone_limit(test, OVERFLOW_ZONE_DMA, dma);
		checked++;
	}
	if (IS_ENABLED(CONFIG_ZONE_DMA32) && zone_is_limit(memory_below(1ULL << 32))) {
		check_zone_limit(test, OVERFLOW_ZONE_DMA32, DMA_BIT_MASK(32));
		checked++;
	}
	if (!checked)
		kunit_skip(test, "needs a DMA zone and more memory above it");
}

static unsigned int frees;

static void free_count(void *data, struct page *page, unsigned int order)
{
	frees += page == data;
}

/* No grace period can end within the read-side critical section. */
static void unmap_frees_memory_at_once(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_64K, 1));
	dma_addr_t addr = swiotlb_map(dev, data, SZ_64K, DMA_TO_DEVICE, 0);
	struct page *page;

	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	page = pfn_to_page(PHYS_PFN(dma_to_phys(dev, addr)));
	frees = 0;
	if (register_trace_mm_page_free(free_count, page)) {
		dma_unmap_single(dev, addr, SZ_64K, DMA_TO_DEVICE);
		kunit_skip(test, "needs CONFIG_TRACEPOINTS");
	}
	rcu_read_lock();
	dma_unmap_single(dev, addr, SZ_64K, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, frees, 1);
	KUNIT_EXPECT_FALSE(test, is_swiotlb_buffer(dev, dma_to_phys(dev, addr)));
	rcu_read_unlock();
	unregister_trace_mm_page_free(free_count, page);
	tracepoint_synchronize_unregister();
	KUNIT_EXPECT_EQ(test, atomic_long_read(&dev->dma_overflow_bytes), 0);
}

static void map_many(struct kunit *test, struct device *dev, phys_addr_t data, size_t size,
		     bool fails)
{
	dma_addr_t addr;
	unsigned int i;

	for (i = 0; i < SZ_32K; i++) {
		addr = swiotlb_map(dev, data, size, DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
		KUNIT_ASSERT_EQ(test, !!dma_mapping_error(dev, addr), fails);
		if (!fails)
			dma_unmap_single(dev, addr, size, DMA_TO_DEVICE);
		if (i % SZ_4K == 0)
			rcu_barrier();
	}
	rcu_barrier();
}

/* Those of mappings that succeed and of those that fail: each of both would take 4 MB or so. */
static void descriptors_are_freed(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_512K, 1));
	unsigned long before, after;

	if (IS_ENABLED(CONFIG_KASAN_GENERIC))
		kunit_skip(test, "KASAN keeps what is freed");
	rcu_barrier();
	before = global_node_page_state_pages(NR_SLAB_UNRECLAIMABLE_B);
	map_many(test, dev, data, 512, false);
	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, 0xfff), 0);
	map_many(test, dev, data + 0x200, SZ_256K, true);
	after = global_node_page_state_pages(NR_SLAB_UNRECLAIMABLE_B);
	KUNIT_EXPECT_LT(test, after, before + SZ_1M / PAGE_SIZE);
}

/* Free memory, and what descriptors and the lists of CPUs keep for a while */
static unsigned long free_pages_in_all(void)
{
	rcu_barrier();
	drain_all_pages(NULL);
	return global_zone_page_state(NR_FREE_PAGES);
}

/* Of the blocks that these mappings come from, pages at the end or the beginning are not used. */
static void all_pages_are_freed(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	u8 *data = PTR_ALIGN(swiotlb_test_buffer(test, SZ_64K, 1), SZ_16K);
	unsigned long before, after;
	dma_addr_t addr[2];
	unsigned int i;

	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, SZ_16K - 1), 0);
	before = free_pages_in_all();
	for (i = 0; i < SZ_4K; i++) {
		addr[0] = dma_map_single(dev, data, SZ_16K + 1, DMA_TO_DEVICE);
		addr[1] = dma_map_single(dev, data + 0x3000, SZ_4K, DMA_TO_DEVICE);
		KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr[0]));
		KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr[1]));
		dma_unmap_single(dev, addr[0], SZ_16K + 1, DMA_TO_DEVICE);
		dma_unmap_single(dev, addr[1], SZ_4K, DMA_TO_DEVICE);
	}
	after = free_pages_in_all();
	/* One page that is lost each time is 16 MB. */
	KUNIT_EXPECT_GT(test, after + SZ_8M / PAGE_SIZE, before);
}

static void memory_fits_mapping(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_128K, 1));
	static const struct {
		size_t size;
		size_t memory;
	} fits[] = {
		{ 1, IO_TLB_SIZE },
		{ SZ_2K, IO_TLB_SIZE },
		{ SZ_2K + 1, SZ_4K },
		{ 5000, SZ_8K },
		{ PAGE_SIZE, PAGE_SIZE },
		{ PAGE_SIZE + 1, 2 * PAGE_SIZE },
		{ 4 * PAGE_SIZE + 1, 5 * PAGE_SIZE },
		{ SZ_64K, SZ_64K },
	};
	struct swiotlb_overflow_buf *buf;
	dma_addr_t addr;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(fits); i++) {
		if (fits[i].size > swiotlb_max_mapping_size(dev))	/* 64 KB pages */
			continue;
		addr = swiotlb_map(dev, data, fits[i].size, DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
		KUNIT_EXPECT_EQ(test, (size_t)atomic_long_read(&dev->dma_overflow_bytes),
				fits[i].memory);
		buf = swiotlb_overflow_lookup(dev, dma_to_phys(dev, addr));
		KUNIT_ASSERT_NOT_NULL(test, buf);
		KUNIT_EXPECT_EQ(test, (size_t)buf->memory, fits[i].memory);
		if (fits[i].memory >= PAGE_SIZE && is_power_of_2(fits[i].memory))
			KUNIT_EXPECT_EQ(test, buf->source, OVERFLOW_PAGES);
		else if (fits[i].memory >= PAGE_SIZE)
			KUNIT_EXPECT_EQ(test, buf->source, OVERFLOW_SINGLE_PAGES);
		dma_unmap_single(dev, addr, fits[i].size, DMA_TO_DEVICE);
	}

	/* A command of an NVMe disk */
	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, 0xfff), 0);
	addr = swiotlb_map(dev, data + 0xe00, 512, DMA_TO_DEVICE, 0);
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	KUNIT_EXPECT_EQ(test, addr & 0xfff, 0xe00);
	KUNIT_EXPECT_EQ(test, (size_t)atomic_long_read(&dev->dma_overflow_bytes), SZ_4K);
	dma_unmap_single(dev, addr, 512, DMA_TO_DEVICE);

	/* The pages before the one that has these address bits are not part of it. */
	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(dev, 0x3fff), 0);
	data = ALIGN(data, SZ_16K);
	addr = swiotlb_map(dev, data + 0x3e00, 512, DMA_TO_DEVICE, 0);
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	KUNIT_EXPECT_EQ(test, (size_t)atomic_long_read(&dev->dma_overflow_bytes),
			min_t(size_t, PAGE_SIZE, SZ_16K));
	dma_unmap_single(dev, addr, 512, DMA_TO_DEVICE);
}

/* The granules that an IOMMU exposes hold no objects of other users. */
static void device_behind_iommu_gets_whole_granules(struct kunit *test)
{
	static const size_t granules[] = { SZ_4K, SZ_16K, SZ_64K };
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_4K, 1)), phys, first;
	struct swiotlb_overflow_buf *buf;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(granules); i++) {
		phys = swiotlb_tbl_map_single(dev, data + 0x300, 100, granules[i] - 1,
					      DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_NE(test, phys, (phys_addr_t)DMA_MAPPING_ERROR);
		buf = swiotlb_overflow_lookup(dev, phys);
		KUNIT_ASSERT_NOT_NULL(test, buf);
		first = phys - buf->offset;
		KUNIT_EXPECT_EQ(test, first & (granules[i] - 1), 0);
		KUNIT_EXPECT_LE(test, phys + 100, first + buf->memory);
		/* As little as can be: a slot where a page is larger than the granule */
		KUNIT_EXPECT_EQ(test, buf->memory, granules[i]);
		swiotlb_tbl_unmap_single(dev, phys, 100, DMA_TO_DEVICE, 0);
	}

	/* The mask limits translated addresses, not memory. */
	*dev->dma_mask = DMA_BIT_MASK(12);
	phys = swiotlb_tbl_map_single(dev, data, 100, SZ_4K - 1, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_NE(test, phys, (phys_addr_t)DMA_MAPPING_ERROR);
	swiotlb_tbl_unmap_single(dev, phys, 100, DMA_TO_DEVICE, 0);
}

/*
 * As with encrypted memory, whose pools are decrypted, also for a device that could do with
 * encrypted memory. The atomic pool has a mapping of its own, outside of the linear map.
 */
static void decrypted_memory_comes_from_atomic_pool(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(32));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_128K, 1)), phys;
	static const size_t lengths[] = { 100, SZ_4K, SZ_64K };
	struct swiotlb_overflow_buf *buf;
	unsigned int i;

	if (!IS_ENABLED(CONFIG_DMA_COHERENT_POOL))
		kunit_skip(test, "needs CONFIG_DMA_COHERENT_POOL");
	dev->dma_io_tlb_mem->decrypted = true;
	dma_set_min_align_mask(dev, 0xfff);
	/* The coherent mask must not limit streaming mappings. */
	dev->coherent_dma_mask = DMA_BIT_MASK(12);
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		phys = swiotlb_tbl_map_single(dev, data + 0x400, lengths[i], 0, DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_NE(test, phys, (phys_addr_t)DMA_MAPPING_ERROR);
		KUNIT_EXPECT_EQ(test, phys & 0xfff, 0x400);
		buf = swiotlb_overflow_lookup(dev, phys);
		KUNIT_ASSERT_NOT_NULL(test, buf);
		KUNIT_EXPECT_EQ(test, buf->source, OVERFLOW_ATOMIC_POOL);
		/* The DMA mask of 32 bits ends with the DMA32 zone, or with the DMA zone. */
		KUNIT_EXPECT_NE(test, buf->zone, OVERFLOW_ZONE_NORMAL);
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(buf->vaddr + 0x400, lengths[i],
							    1 + 0x400));
		KUNIT_EXPECT_NULL(test, memchr_inv(buf->vaddr, 0, 0x400));
		memset(buf->vaddr + 0x400, 0xee, 10);
		swiotlb_tbl_unmap_single(dev, phys, lengths[i], DMA_FROM_DEVICE, 0);
		KUNIT_EXPECT_NULL(test, memchr_inv(phys_to_virt(data + 0x400), 0xee, 10));
		swiotlb_test_fill(phys_to_virt(data + 0x400), 10, 1 + 0x400);
	}
	*dev->dma_mask = DMA_BIT_MASK(12);
	KUNIT_EXPECT_EQ(test,
			swiotlb_tbl_map_single(dev, data, 512, 0, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			(phys_addr_t)DMA_MAPPING_ERROR);
	*dev->dma_mask = DMA_BIT_MASK(64);
	set_limits(test, 0, 100);
	KUNIT_EXPECT_EQ(test,
			swiotlb_tbl_map_single(dev, data, 512, 0, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			(phys_addr_t)DMA_MAPPING_ERROR);
}

/* The atomic pool aligns an allocation to its size only, and a small mapping to less. */
static void decrypted_memory_keeps_alignment(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_128K, 1)), phys[3];
	static const unsigned int masks[] = { 0xfff, 0x3fff, 0xffff };
	const unsigned long before = free_pages_in_all();
	unsigned int i, j, offset;

	if (!IS_ENABLED(CONFIG_DMA_COHERENT_POOL))
		kunit_skip(test, "needs CONFIG_DMA_COHERENT_POOL");
	dev->dma_io_tlb_mem->decrypted = true;
	for (i = 0; i < ARRAY_SIZE(masks); i++) {
		dma_set_min_align_mask(dev, masks[i]);
		for (offset = 0; offset < SZ_64K; offset += 0x2e00) {
			for (j = 0; j < ARRAY_SIZE(phys); j++) {
				phys[j] = swiotlb_tbl_map_single(dev, data + offset, 100, 0,
								 DMA_TO_DEVICE, 0);
				KUNIT_ASSERT_NE(test, phys[j], (phys_addr_t)DMA_MAPPING_ERROR);
				KUNIT_EXPECT_EQ(test, phys[j] & masks[i],
						(data + offset) & masks[i]);
			}
			KUNIT_EXPECT_EQ(test, (size_t)atomic_long_read(&dev->dma_overflow_bytes),
					ARRAY_SIZE(phys) * max(PAGE_SIZE, masks[i] + 1UL));
			for (j = 0; j < ARRAY_SIZE(phys); j++)
				swiotlb_tbl_unmap_single(dev, phys[j], 100, DMA_TO_DEVICE, 0);
		}
	}
	KUNIT_EXPECT_EQ(test, atomic_long_read(&dev->dma_overflow_bytes), 0);
	/* The pool did not grow by what was mapped, more than 5 MB. */
	KUNIT_EXPECT_GT(test, free_pages_in_all() + SZ_2M / PAGE_SIZE, before);
}

static void scatterlist_maps_and_unmaps(struct kunit *test)
{
	enum { ENTRIES = 16 };
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	u8 *data = swiotlb_test_buffer(test, ENTRIES * SZ_8K, 1);
	struct scatterlist *sgl = kunit_kcalloc(test, ENTRIES, sizeof(*sgl), GFP_KERNEL), *sg;
	unsigned int i, overflowed = 0, synced = 0;

	/* The pool has room for the first five entries. */
	swiotlb_test_pool_room(swiotlb_test_pool(test, dev, IO_TLB_SEGSIZE, 1), 10);
	dev->dma_io_tlb_mem->can_overflow = true;
	KUNIT_ASSERT_NOT_NULL(test, sgl);
	sg_init_table(sgl, ENTRIES);
	for_each_sg(sgl, sg, ENTRIES, i)
		sg_set_buf(sg, data + i * SZ_8K + 256, SZ_4K);
	KUNIT_ASSERT_EQ(test, dma_map_sg(dev, sgl, ENTRIES, DMA_BIDIRECTIONAL), ENTRIES);
	for_each_sg(sgl, sg, ENTRIES, i) {
		overflowed += !is_swiotlb_pool(dev, dma_to_phys(dev, sg_dma_address(sg)));
		swiotlb_test_fill(swiotlb_test_device_view(dev, sg_dma_address(sg)), SZ_4K, i);
	}
	KUNIT_EXPECT_EQ(test, overflowed, ENTRIES - 5);
	dma_sync_sg_for_cpu(dev, sgl, ENTRIES, DMA_BIDIRECTIONAL);
	for (i = 0; i < ENTRIES; i++) {
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data + i * SZ_8K + 256, SZ_4K, i));
		swiotlb_test_fill(data + i * SZ_8K + 256, SZ_4K, i + 50);
	}
	dma_sync_sg_for_device(dev, sgl, ENTRIES, DMA_BIDIRECTIONAL);
	for_each_sg(sgl, sg, ENTRIES, i)
		synced += swiotlb_test_filled(swiotlb_test_device_view(dev, sg_dma_address(sg)),
					      SZ_4K, i + 50);
	KUNIT_EXPECT_EQ(test, synced, ENTRIES);
	dma_unmap_sg(dev, sgl, ENTRIES, DMA_BIDIRECTIONAL);
}

struct in_interrupt {
	struct irq_work work;
	struct device *dev;
	phys_addr_t data;
	dma_addr_t addr;
	struct completion done;
};

static void map_in_interrupt(struct irq_work *work)
{
	struct in_interrupt *t = container_of(work, struct in_interrupt, work);

	if (t->addr)
		dma_unmap_single(t->dev, t->addr, SZ_64K, DMA_TO_DEVICE);
	else
		t->addr = swiotlb_map(t->dev, t->data, SZ_64K, DMA_TO_DEVICE, 0);
	complete(&t->done);
}

static void map_and_unmap_in_hard_irq(struct kunit *test)
{
	struct in_interrupt *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->dev = full_device(test, DMA_BIT_MASK(64));
	t->data = virt_to_phys(swiotlb_test_buffer(test, SZ_64K, 1));
	t->work = IRQ_WORK_INIT(map_in_interrupt);
	init_completion(&t->done);
	irq_work_queue(&t->work);
	wait_for_completion(&t->done);
	irq_work_sync(&t->work);
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(t->dev, t->addr));
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(swiotlb_test_device_view(t->dev, t->addr),
						    SZ_64K, 1));
	irq_work_queue(&t->work);
	wait_for_completion(&t->done);
	irq_work_sync(&t->work);
}

#if defined(CONFIG_FAILSLAB) && defined(CONFIG_FAIL_PAGE_ALLOC)
/*
 * If the n-th allocation of a map fails, the map fails and nothing leaks. In particular, the memory
 * of lower zones is left to those that can use no other.
 */
static void failed_allocation_leaks_nothing(struct kunit *test)
{
	static const size_t lengths[] = { 512, 2 * PAGE_SIZE, 3 * PAGE_SIZE };
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_256K, 1));
	unsigned int i, nth, failures;
	unsigned long failed;
	dma_addr_t addr;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		failures = 0;
		for (nth = 1; nth < 10; nth++) {
			failed = test_failed(OVERFLOW_FAIL_MEMORY);
			current->fail_nth = nth;
			addr = swiotlb_map(dev, data, lengths[i], DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
			nth = current->fail_nth ? 10 : nth;
			current->fail_nth = 0;
			if (addr != DMA_MAPPING_ERROR) {
				dma_unmap_single(dev, addr, lengths[i], DMA_TO_DEVICE);
				continue;
			}
			failures++;
			KUNIT_EXPECT_EQ(test, test_failed(OVERFLOW_FAIL_MEMORY), failed + 1);
			KUNIT_EXPECT_EQ(test, atomic_long_read(&dev->dma_overflow_bytes), 0);
		}
		/* The descriptor and the memory */
		KUNIT_EXPECT_GE(test, failures, 2);
	}
}
#else
static void failed_allocation_leaks_nothing(struct kunit *test)
{
	kunit_skip(test, "needs CONFIG_FAILSLAB and CONFIG_FAIL_PAGE_ALLOC");
}
#endif

#define MEMORY_OF_512	IO_TLB_SIZE

static unsigned int traced[4];

static void count_alloc(void *data, struct device *dev, phys_addr_t addr, size_t size,
			size_t memory)
{
	traced[0] += dev == data && size == 512 && memory == MEMORY_OF_512;
}

static void count_bounced(void *data, struct device *dev, dma_addr_t addr, size_t size)
{
	traced[3] += dev == data && size == 512;
}

static void count_free(void *data, struct device *dev, phys_addr_t addr, size_t size, size_t memory)
{
	traced[1] += dev == data && size == 512 && memory == MEMORY_OF_512;
}

static void count_fail(void *data, struct device *dev, size_t size, const char *reason)
{
	traced[2] += dev == data && size == 512 && !strcmp(reason, "cap");
}

static void events_are_traced(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_4K, 1));
	struct overflow_test *t = test->priv;
	dma_addr_t addr;

	if (!IS_ENABLED(CONFIG_TRACEPOINTS))
		kunit_skip(test, "needs CONFIG_TRACEPOINTS");
	memset(traced, 0, sizeof(traced));
	KUNIT_ASSERT_EQ(test, register_trace_swiotlb_overflow_alloc(count_alloc, dev), 0);
	KUNIT_ASSERT_EQ(test, register_trace_swiotlb_overflow_free(count_free, dev), 0);
	KUNIT_ASSERT_EQ(test, register_trace_swiotlb_overflow_fail(count_fail, dev), 0);
	KUNIT_ASSERT_EQ(test, register_trace_swiotlb_bounced(count_bounced, dev), 0);
	addr = swiotlb_map(dev, data, 512, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_FALSE(test, dma_mapping_error(dev, addr));
	KUNIT_EXPECT_EQ(test, traced[3], 1);
	KUNIT_EXPECT_EQ(test, traced[0], 1);
	KUNIT_EXPECT_EQ(test, test_buffers(), t->buffers + 1);
	KUNIT_EXPECT_EQ(test, test_bytes(), (long)(t->bytes + MEMORY_OF_512));
	dma_unmap_single(dev, addr, 512, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, traced[1], 1);
	set_limits(test, 0, 100);
	KUNIT_EXPECT_EQ(test, swiotlb_map(dev, data, 512, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, traced[2], 1);
	unregister_trace_swiotlb_bounced(count_bounced, dev);
	unregister_trace_swiotlb_overflow_fail(count_fail, dev);
	unregister_trace_swiotlb_overflow_alloc(count_alloc, dev);
	unregister_trace_swiotlb_overflow_free(count_free, dev);
	tracepoint_synchronize_unregister();
}

#ifdef CONFIG_DEBUG_FS
/* The kernel cannot read the files, so call their functions. */
static void debugfs_shows_and_sets_limits(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_4K, 1));
	u64 before[4], after[4], value;
	dma_addr_t addr;

	swiotlb_overflow_buffers_get(NULL, &before[0]);
	swiotlb_overflow_total_get(NULL, &before[1]);
	swiotlb_overflow_bytes_get(NULL, &before[2]);
	swiotlb_overflow_failed_get((void *)OVERFLOW_FAIL_CAP, &before[3]);
	addr = swiotlb_map(dev, data, 512, DMA_TO_DEVICE, 0);
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	KUNIT_EXPECT_EQ(test, swiotlb_overflow_cap_set(NULL, 0), 0);
	KUNIT_EXPECT_EQ(test, swiotlb_map(dev, data, 512, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			DMA_MAPPING_ERROR);
	swiotlb_overflow_buffers_get(NULL, &after[0]);
	swiotlb_overflow_total_get(NULL, &after[1]);
	swiotlb_overflow_bytes_get(NULL, &after[2]);
	swiotlb_overflow_failed_get((void *)OVERFLOW_FAIL_CAP, &after[3]);
	dma_unmap_single(dev, addr, 512, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, after[0], before[0] + 1);
	KUNIT_EXPECT_EQ(test, after[1], before[1] + 1);
	KUNIT_EXPECT_EQ(test, after[2], before[2] + MEMORY_OF_512);
	KUNIT_EXPECT_EQ(test, after[3], before[3] + 1);

	KUNIT_EXPECT_EQ(test, swiotlb_overflow_cap_set(NULL, SZ_1M), 0);
	KUNIT_EXPECT_EQ(test, swiotlb_overflow_share_set(NULL, 25), 0);
	KUNIT_EXPECT_EQ(test, swiotlb_overflow_limits.zones[OVERFLOW_ZONE_NORMAL].device_cap,
			SZ_256K);
	/* The hash table is sized for the limit at boot. */
	KUNIT_EXPECT_EQ(test, swiotlb_overflow_cap_set(NULL, swiotlb_overflow_limits.max_cap + 1),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, swiotlb_overflow_cap_set(NULL, (u64)LONG_MAX + 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, swiotlb_overflow_share_set(NULL, 101), -EINVAL);
	swiotlb_overflow_cap_get(NULL, &value);
	KUNIT_EXPECT_EQ(test, value, SZ_1M);
	swiotlb_overflow_share_get(NULL, &value);
	KUNIT_EXPECT_EQ(test, value, 25);
}
#else
static void debugfs_shows_and_sets_limits(struct kunit *test)
{
	kunit_skip(test, "needs CONFIG_DEBUG_FS");
}
#endif

static void unmap_inside_mapping_frees_nothing(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_4K, 1));
	dma_addr_t addr = swiotlb_map(dev, data, 512, DMA_TO_DEVICE, 0);

	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	kunit_info(test, "expect: WARNING:\n");
	swiotlb_tbl_unmap_single(dev, dma_to_phys(dev, addr) + 100, 412, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_TRUE(test, is_swiotlb_buffer(dev, dma_to_phys(dev, addr)));
	dma_unmap_single(dev, addr, 512, DMA_TO_DEVICE);
}

/* Many buffers of random sizes: each is found by its last byte, and its bytes do not change. */
static void many_buffers_are_found(struct kunit *test)
{
	enum { MOST = 1024, ROUNDS = 8192 };
	struct live {
		phys_addr_t phys;
		u32 size;
		u32 offset;
	} *live = kvcalloc(MOST, sizeof(*live), GFP_KERNEL), *m;
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	u8 *data = swiotlb_test_buffer(test, SZ_64K, 1);
	struct rnd_state rnd;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, live);
	set_limits(test, swiotlb_overflow_limits.max_cap, 100);
	dma_set_min_align_mask(dev, 0xfff);
	prandom_seed_state(&rnd, 20230627);
	for (i = 0; i < ROUNDS; i++) {
		m = &live[i < ROUNDS - MOST ? prandom_u32_state(&rnd) % MOST : i - (ROUNDS - MOST)];
		if (m->size) {
			KUNIT_EXPECT_EQ(test, overflow_start(dev, m->phys + m->size - 1), m->phys);
			KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(phys_to_virt(m->phys), m->size,
								    1 + m->offset));
			swiotlb_test_fill(phys_to_virt(m->phys), m->size, 1 + m->offset);
			swiotlb_tbl_unmap_single(dev, m->phys, m->size, DMA_BIDIRECTIONAL, 0);
			m->size = 0;
		} else if (i < ROUNDS - MOST) {
			m->offset = prandom_u32_state(&rnd) % SZ_8K;
			m->size = 1 +
				  prandom_u32_state(&rnd) % (SZ_512 << prandom_u32_state(&rnd) % 6);
			m->phys = swiotlb_tbl_map_single(dev, virt_to_phys(data) + m->offset,
							 m->size, 0, DMA_TO_DEVICE, 0);
			if (m->phys == (phys_addr_t)DMA_MAPPING_ERROR) {
				KUNIT_FAIL(test, "no buffer");
				m->size = 0;
			}
		}
	}
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data, SZ_64K, 1));
	kvfree(live);
}

/* One CPU maps, another one syncs and unmaps. The address is handed over without a barrier. */
struct handover {
	struct device *dev;
	phys_addr_t data;
	unsigned long slot;	/* DMA address in slots: 32-bit CPUs do not store 64 bits at once */
	unsigned int rounds;
	unsigned int bad;
	bool stopped;
	struct completion done;
};

static int handover_thread(void *arg)
{
	struct handover *h = arg;
	dma_addr_t addr;
	unsigned int i;

	for (i = 0; i < h->rounds; i++) {
		while (!(addr = (dma_addr_t)READ_ONCE(h->slot) << IO_TLB_SHIFT)) {
			if (READ_ONCE(h->stopped))
				goto out;
			cpu_relax();
			cond_resched();
		}
		if (!is_swiotlb_buffer(h->dev, dma_to_phys(h->dev, addr)))
			h->bad++;
		swiotlb_test_fill(swiotlb_test_device_view(h->dev, addr), 512, i);
		dma_sync_single_for_cpu(h->dev, addr, 512, DMA_FROM_DEVICE);
		if (!swiotlb_test_filled(phys_to_virt(h->data), 512, i))
			h->bad++;
		dma_unmap_single(h->dev, addr, 512, DMA_FROM_DEVICE);
		if (is_swiotlb_buffer(h->dev, dma_to_phys(h->dev, addr)))
			h->bad++;
		WRITE_ONCE(h->slot, 0);
	}
out:
	complete(&h->done);
	return 0;
}

static void other_cpu_finds_buffer(struct kunit *test)
{
	struct handover h = { .rounds = 20000 };
	struct task_struct *thread;
	dma_addr_t addr;
	unsigned int i;

	if (num_online_cpus() < 2)
		kunit_skip(test, "needs more than one CPU");
	h.dev = full_device(test, DMA_BIT_MASK(64));
	h.data = virt_to_phys(swiotlb_test_buffer(test, SZ_4K, 1));
	init_completion(&h.done);
	thread = kthread_create(handover_thread, &h, "swiotlb_test");
	KUNIT_ASSERT_FALSE(test, IS_ERR(thread));
	migrate_disable();
	kthread_bind(thread, cpumask_any_but(cpu_online_mask, smp_processor_id()));
	wake_up_process(thread);
	for (i = 0; i < h.rounds; i++) {
		addr = swiotlb_map(h.dev, h.data, 512, DMA_FROM_DEVICE, 0);
		if (addr == DMA_MAPPING_ERROR) {
			KUNIT_FAIL(test, "no buffer");
			break;
		}
		WRITE_ONCE(h.slot, addr >> IO_TLB_SHIFT);
		while (READ_ONCE(h.slot)) {
			cpu_relax();
			cond_resched();
		}
	}
	migrate_enable();
	WRITE_ONCE(h.stopped, i < h.rounds);
	wait_for_completion(&h.done);
	KUNIT_EXPECT_EQ(test, h.bad, 0);
}

static long retire_one(void *dev)
{
	phys_addr_t data = page_to_phys(ZERO_PAGE(0));
	dma_addr_t addr;

	do {
		addr = swiotlb_map(dev, data, 512, DMA_TO_DEVICE, 0);
		if (addr == DMA_MAPPING_ERROR)
			return -ENOMEM;
		dma_unmap_single(dev, addr, 512, DMA_TO_DEVICE);
	} while (!this_cpu_read(swiotlb_overflow_retired.count));
	return 0;
}

#ifdef CONFIG_KPROBES
static unsigned int batches;

static int count_batch(struct kprobe *probe, struct pt_regs *regs)
{
	batches++;
	return 0;
}

static struct kprobe batch_probe;

static void stop_counting(void *unused)
{
	unregister_kprobe(&batch_probe);
}

static void count_batches(struct kunit *test)
{
	batch_probe = (struct kprobe){
		.symbol_name = "overflow_free_retired",
		.pre_handler = count_batch,
	};
	KUNIT_ASSERT_EQ(test, register_kprobe(&batch_probe), 0);
	swiotlb_test_at_exit(test, stop_counting, NULL);
	rcu_barrier();
	batches = 0;
}

static unsigned int batches_freed(void)
{
	rcu_barrier();
	return batches;
}
#else
static void count_batches(struct kunit *test)
{
}

static unsigned int batches_freed(void)
{
	return 1;
}
#endif

/* The second time, it has none. */
static void descriptors_of_dead_cpu_are_freed(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	unsigned int cpu = cpumask_last(cpu_online_mask);

	if (!IS_ENABLED(CONFIG_HOTPLUG_CPU) || num_online_cpus() < 2)
		kunit_skip(test, "needs a CPU that can go offline");
	KUNIT_ASSERT_EQ(test, work_on_cpu(cpu, retire_one, dev), 0);
	KUNIT_EXPECT_NOT_NULL(test, per_cpu(swiotlb_overflow_retired, cpu).first);
	count_batches(test);
	if (remove_cpu(cpu))
		kunit_skip(test, "CPU cannot go offline");
	KUNIT_EXPECT_NULL(test, per_cpu(swiotlb_overflow_retired, cpu).first);
	KUNIT_EXPECT_EQ(test, per_cpu(swiotlb_overflow_retired, cpu).count, 0);
	KUNIT_EXPECT_EQ(test, batches_freed(), 1);
	KUNIT_EXPECT_EQ(test, add_cpu(cpu), 0);
	KUNIT_EXPECT_EQ(test, remove_cpu(cpu), 0);
	KUNIT_EXPECT_EQ(test, batches_freed(), 1);
	KUNIT_EXPECT_EQ(test, add_cpu(cpu), 0);
}

static struct kunit_case overflow_test_cases[] = {
	KUNIT_CASE_PARAM(full_pool_still_maps, size_gen_params),
	KUNIT_CASE(mapping_beyond_256k_fails),
	KUNIT_CASE(unwritten_bytes_keep_their_value),
	KUNIT_CASE(unmap_without_sync_copies_nothing),
	KUNIT_CASE(sync_copies_only_its_range),
	KUNIT_CASE(sync_is_clamped_to_mapping),
	KUNIT_CASE_PARAM(address_keeps_alignment, mask_gen_params),
	KUNIT_CASE(lookup_finds_every_byte),
	KUNIT_CASE(lookup_ignores_other_devices),
	KUNIT_CASE(other_addresses_are_ignored),
	KUNIT_CASE(pool_mapping_sets_no_class),
	KUNIT_CASE_PARAM(memory_is_reachable, reach_gen_params),
	KUNIT_CASE(zone_follows_from_translated_mask),
	KUNIT_CASE(zone_follows_from_mask),
	KUNIT_CASE(reserves_are_not_used),
	KUNIT_CASE(unreachable_memory_fails),
	KUNIT_CASE(every_zone_is_tried_once),
	KUNIT_CASE(failure_is_logged),
	KUNIT_CASE(pool_out_of_reach_still_maps),
	KUNIT_CASE(segment_boundary_is_not_crossed),
	KUNIT_CASE(excluded_pool_never_overflows),
	KUNIT_CASE(remapped_pool_is_excluded),
	KUNIT_CASE(swiotlb_alloc_never_overflows),
	KUNIT_CASE(cap_is_exact),
	KUNIT_CASE(command_line_is_parsed),
	KUNIT_CASE(refused_mapping_disturbs_nobody),
	KUNIT_CASE(refused_charge_leaves_nothing),
	KUNIT_CASE(charges_of_two_cpus_add_up),
	KUNIT_CASE(limit_follows_command_line),
	KUNIT_CASE(device_share_is_enforced),
	KUNIT_CASE(zone_limit_is_enforced),
	KUNIT_CASE(unmap_frees_memory_at_once),
	KUNIT_CASE(descriptors_are_freed),
	KUNIT_CASE(all_pages_are_freed),
	KUNIT_CASE(memory_fits_mapping),
	KUNIT_CASE(device_behind_iommu_gets_whole_granules),
	KUNIT_CASE(decrypted_memory_comes_from_atomic_pool),
	KUNIT_CASE(decrypted_memory_keeps_alignment),
	KUNIT_CASE(scatterlist_maps_and_unmaps),
	KUNIT_CASE(map_and_unmap_in_hard_irq),
	KUNIT_CASE(failed_allocation_leaks_nothing),
	KUNIT_CASE(events_are_traced),
	KUNIT_CASE(debugfs_shows_and_sets_limits),
	KUNIT_CASE(unmap_inside_mapping_frees_nothing),
	KUNIT_CASE(many_buffers_are_found),
	KUNIT_CASE(other_cpu_finds_buffer),
	KUNIT_CASE(descriptors_of_dead_cpu_are_freed),
	{}
};

static struct kunit_suite overflow_test_suite = {
	.name = "swiotlb_overflow",
	.init = overflow_test_init,
	.exit = overflow_test_exit,
	.test_cases = overflow_test_cases,
};

kunit_test_suite(overflow_test_suite);
