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
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/log2.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/prandom.h>
#include <linux/rcupdate.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/swiotlb.h>
#include <linux/swiotlb_overflow.h>
#include <trace/events/kmem.h>
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
	t->cap = swiotlb_overflow_limits.cap;
	t->share = swiotlb_overflow_limits.share;
	t->bytes = test_bytes();
	t->buffers = test_buffers();
	test->priv = t;
	return 0;
}

/* After each case, all buffers are unmapped and all their memory is uncharged. */
static void overflow_test_exit(struct kunit *test)
{
	struct overflow_test *t = test->priv;

	set_limits(test, t->cap, t->share);
	KUNIT_EXPECT_EQ(test, test_bytes(), t->bytes);
	KUNIT_EXPECT_EQ(test, test_buffers(), t->buffers);
}

static struct device *full_device(struct kunit *test, u64 mask)
{
	struct device *dev = swiotlb_test_device(test, mask);
	struct io_tlb_mem *mem = swiotlb_test_pool(test, dev, IO_TLB_SEGSIZE, 1);

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
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_512K, 1));
	unsigned long failed = test_failed(OVERFLOW_FAIL_SIZE);

	KUNIT_EXPECT_EQ(test, swiotlb_map(dev, data, SZ_256K + 1, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			DMA_MAPPING_ERROR);
	dma_set_min_align_mask(dev, 0xfff);
	KUNIT_EXPECT_EQ(test,
			swiotlb_map(dev, data + 0x200, SZ_256K, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, test_failed(OVERFLOW_FAIL_SIZE), failed + 2);
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
				phys = swiotlb_tbl_map_or_overflow(dev,
								   virt_to_phys(data) + offsets[i],
								   lengths[j], lengths[j], masks[1],
								   DMA_TO_DEVICE, 0);
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
	static const size_t lengths[] = { 100, SZ_2K, SZ_4K, 5000, SZ_64K + 512 };
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	u8 *data = swiotlb_test_buffer(test, SZ_128K, 1);
	phys_addr_t phys;
	unsigned int i;

	dma_set_min_align_mask(dev, 0xfff);
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		phys = swiotlb_tbl_map_or_overflow(dev, virt_to_phys(data) + 0x600, lengths[i],
						   lengths[i], 0, DMA_TO_DEVICE, 0);
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

static void pool_mapping_sets_no_class(struct kunit *test)
{
	struct device *dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	u8 *data = swiotlb_test_buffer(test, SZ_4K, 1);
	dma_addr_t addr;

	swiotlb_test_pool(test, dev, IO_TLB_SEGSIZE, 1);
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

	if (memblock_end_of_DRAM() - 1 <= DMA_BIT_MASK(33))
		kunit_skip(test, "needs memory above 8 GB");
	if (!IS_ENABLED(CONFIG_ZONE_DMA) || limit < DMA_BIT_MASK(zone_dma_bits))
		kunit_skip(test, "needs a zone within the limit");
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
static unsigned int zone_allocs;

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
	    memblock_end_of_DRAM() - 1 <= DMA_BIT_MASK(zone_dma_bits))
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

static void segment_boundary_is_not_crossed(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_64K, 1));
	dma_addr_t addr;
	size_t size;

	KUNIT_ASSERT_EQ(test, dma_set_seg_boundary(dev, SZ_16K - 1), 0);
	for (size = 512; size <= SZ_16K; size += 1536) {
		addr = swiotlb_map(dev, data, size, DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
		KUNIT_EXPECT_EQ(test, addr / SZ_16K, (addr + size - 1) / SZ_16K);
		dma_unmap_single(dev, addr, size, DMA_TO_DEVICE);
	}
	KUNIT_EXPECT_EQ(test, swiotlb_map(dev, data, SZ_32K, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			DMA_MAPPING_ERROR);
}

static void excluded_pools_never_overflow(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_4K, 1));
	struct io_tlb_mem *mem = dev->dma_io_tlb_mem;
	unsigned long failed = test_failed(OVERFLOW_FAIL_POOL), nslabs = mem->nslabs;

	mem->for_alloc = true;
	KUNIT_EXPECT_EQ(test, swiotlb_map(dev, data, 512, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			DMA_MAPPING_ERROR);
	mem->for_alloc = false;
	swiotlb_unencrypted_base = SZ_1G;
	KUNIT_EXPECT_EQ(test, swiotlb_map(dev, data, 512, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			DMA_MAPPING_ERROR);
	swiotlb_unencrypted_base = 0;
	KUNIT_EXPECT_EQ(test, test_failed(OVERFLOW_FAIL_POOL), failed + 2);

	/* The state after swiotlb=noforce */
	mem->nslabs = 0;
	KUNIT_EXPECT_EQ(test, swiotlb_map(dev, data, 512, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			DMA_MAPPING_ERROR);
	mem->nslabs = nslabs;
	/* swiotlb-xen calls this function. */
	KUNIT_EXPECT_EQ(test,
			swiotlb_tbl_map_single(dev, data, 512, 512, 0, DMA_TO_DEVICE,
					       DMA_ATTR_NO_WARN),
			(phys_addr_t)DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, dev->dma_overflow_classes, 0);
}

#ifdef CONFIG_DMA_RESTRICTED_POOL
static void swiotlb_alloc_never_overflows(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));

	KUNIT_EXPECT_NULL(test, swiotlb_alloc(dev, SZ_4K));
	KUNIT_EXPECT_EQ(test, dev->dma_overflow_classes, 0);
}
#else
static void swiotlb_alloc_never_overflows(struct kunit *test)
{
	kunit_skip(test, "needs CONFIG_DMA_RESTRICTED_POOL");
}
#endif

static void cap_is_exact(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_4K, 1));
	unsigned long failed = test_failed(OVERFLOW_FAIL_CAP);
	dma_addr_t addr[9];
	unsigned int i;

	set_limits(test, test_bytes() + 8 * PAGE_SIZE, 100);
	WRITE_ONCE(swiotlb_overflow_limits.peak, 0);
	for (i = 0; i < 8; i++) {
		addr[i] = swiotlb_map(dev, data, PAGE_SIZE, DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr[i]));
	}
	KUNIT_EXPECT_EQ(test, READ_ONCE(swiotlb_overflow_limits.peak), swiotlb_overflow_limits.cap);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_EQ(test, swiotlb_map(dev, data, 512, DMA_TO_DEVICE, 0),
				DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, test_failed(OVERFLOW_FAIL_CAP), failed + 3);
	dma_unmap_single(dev, addr[7], PAGE_SIZE, DMA_TO_DEVICE);
	addr[7] = swiotlb_map(dev, data, PAGE_SIZE, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_FALSE(test, dma_mapping_error(dev, addr[7]));
	for (i = 0; i < 8; i++)
		dma_unmap_single(dev, addr[i], PAGE_SIZE, DMA_TO_DEVICE);
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
	KUNIT_EXPECT_EQ(test, swiotlb_map(greedy, data, PAGE_SIZE, DMA_TO_DEVICE, 0),
			DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, test_failed(OVERFLOW_FAIL_SHARE), failed + 1);
	for (i = 0; i < 2; i++) {
		theirs[i] = swiotlb_map(other, data, PAGE_SIZE, DMA_TO_DEVICE, 0);
		KUNIT_EXPECT_FALSE(test, dma_mapping_error(other, theirs[i]));
	}
	for (i = 0; i < 6; i++)
		dma_unmap_single(greedy, addr[i], PAGE_SIZE, DMA_TO_DEVICE);
	for (i = 0; i < 2; i++)
		dma_unmap_single(other, theirs[i], PAGE_SIZE, DMA_TO_DEVICE);
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
	rcu_read_lock();
	KUNIT_EXPECT_EQ(test, page_ref_count(page), 1);
	dma_unmap_single(dev, addr, SZ_64K, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, page_ref_count(page), 0);
	KUNIT_EXPECT_FALSE(test, is_swiotlb_buffer(dev, dma_to_phys(dev, addr)));
	rcu_read_unlock();
	KUNIT_EXPECT_EQ(test, atomic_long_read(&dev->dma_overflow_bytes), 0);
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
		{ SZ_2K + 1, PAGE_SIZE },
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
}

/* The pages that an IOMMU exposes hold no objects of other users. */
static void device_behind_iommu_gets_whole_pages(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	static const struct dma_map_ops ops;
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_4K, 1)), phys;
	struct swiotlb_overflow_buf *buf;

	if (!IS_ENABLED(CONFIG_IOMMU_DMA))
		kunit_skip(test, "needs CONFIG_IOMMU_DMA");
	set_dma_ops(dev, &ops);
	phys = swiotlb_tbl_map_or_overflow(dev, data, 100, 100, 0, DMA_TO_DEVICE, 0);
	KUNIT_ASSERT_NE(test, phys, (phys_addr_t)DMA_MAPPING_ERROR);
	buf = swiotlb_overflow_lookup(dev, phys);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	KUNIT_EXPECT_EQ(test, buf->memory, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, buf->source, OVERFLOW_PAGES);
	swiotlb_tbl_unmap_single(dev, phys, 100, DMA_TO_DEVICE, 0);

	/* The mask limits translated addresses, not memory. */
	*dev->dma_mask = DMA_BIT_MASK(12);
	phys = swiotlb_tbl_map_or_overflow(dev, data, 100, 100, 0, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_NE(test, phys, (phys_addr_t)DMA_MAPPING_ERROR);
	swiotlb_tbl_unmap_single(dev, phys, 100, DMA_TO_DEVICE, 0);
	set_dma_ops(dev, NULL);
}

/* As with encrypted memory. The pool has a mapping of its own, outside of the linear map. */
static void decrypted_memory_comes_from_atomic_pool(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(32));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_128K, 1)), phys;
	static const size_t lengths[] = { 100, SZ_4K, SZ_64K };
	struct swiotlb_overflow_buf *buf;
	unsigned int i;

	if (!IS_ENABLED(CONFIG_DMA_COHERENT_POOL))
		kunit_skip(test, "needs CONFIG_DMA_COHERENT_POOL");
	dma_set_min_align_mask(dev, 0xfff);
	/* The coherent mask must not limit streaming mappings. */
	dev->coherent_dma_mask = DMA_BIT_MASK(12);
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		phys = swiotlb_overflow_map(dev, data + 0x400, lengths[i], lengths[i], 0, true, 0);
		KUNIT_ASSERT_NE(test, phys, (phys_addr_t)DMA_MAPPING_ERROR);
		KUNIT_EXPECT_EQ(test, phys & 0xfff, 0x400);
		buf = swiotlb_overflow_lookup(dev, phys);
		KUNIT_ASSERT_NOT_NULL(test, buf);
		KUNIT_EXPECT_EQ(test, buf->source, OVERFLOW_ATOMIC_POOL);
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(buf->vaddr + 0x400, lengths[i],
							    1 + 0x400));
		KUNIT_EXPECT_NULL(test, memchr_inv(buf->vaddr, 0, 0x400));
		memset(buf->vaddr + 0x400, 0xee, 10);
		swiotlb_tbl_unmap_single(dev, phys, lengths[i], DMA_FROM_DEVICE, 0);
		KUNIT_EXPECT_NULL(test, memchr_inv(phys_to_virt(data + 0x400), 0xee, 10));
		swiotlb_test_fill(phys_to_virt(data + 0x400), 10, 1 + 0x400);
	}
	*dev->dma_mask = DMA_BIT_MASK(12);
	KUNIT_EXPECT_EQ(test, swiotlb_overflow_map(dev, data, 512, 512, 0, true, DMA_ATTR_NO_WARN),
			(phys_addr_t)DMA_MAPPING_ERROR);
	*dev->dma_mask = DMA_BIT_MASK(64);
}

/*
 * The pool aligns an allocation to its size only. At most one of two consecutive pages lies at a
 * multiple of 64 KB, and a page elsewhere must be refused.
 */
static void misaligned_decrypted_memory_fails(struct kunit *test)
{
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	/* The mapping starts at a multiple of 64 KB, so it takes one page and not 64 KB. */
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_64K, 1)), phys[2];
	unsigned long failed = test_failed(OVERFLOW_FAIL_REACH);
	unsigned int i, refused = 0;

	if (!IS_ENABLED(CONFIG_DMA_COHERENT_POOL))
		kunit_skip(test, "needs CONFIG_DMA_COHERENT_POOL");
	dma_set_min_align_mask(dev, 0xffff);
	for (i = 0; i < ARRAY_SIZE(phys); i++) {
		phys[i] = swiotlb_overflow_map(dev, data, 100, 100, 0, true, DMA_ATTR_NO_WARN);
		if (phys[i] == (phys_addr_t)DMA_MAPPING_ERROR)
			refused++;
		else
			KUNIT_EXPECT_EQ(test, phys[i] & 0xffff, data & 0xffff);
	}
	KUNIT_EXPECT_GE(test, refused, 1);
	KUNIT_EXPECT_EQ(test, test_failed(OVERFLOW_FAIL_REACH), failed + refused);
	for (i = 0; i < ARRAY_SIZE(phys); i++)
		if (phys[i] != (phys_addr_t)DMA_MAPPING_ERROR)
			swiotlb_tbl_unmap_single(dev, phys[i], 100, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&dev->dma_overflow_bytes), 0);
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
	KUNIT_ASSERT_NOT_NULL(test, sgl);
	sg_init_table(sgl, ENTRIES);
	for_each_sg(sgl, sg, ENTRIES, i)
		sg_set_buf(sg, data + i * SZ_8K + 256, SZ_4K);
	KUNIT_ASSERT_EQ(test, dma_map_sg(dev, sgl, ENTRIES, DMA_BIDIRECTIONAL), ENTRIES);
	for_each_sg(sgl, sg, ENTRIES, i) {
		overflowed += is_swiotlb_overflow(dev, dma_to_phys(dev, sg_dma_address(sg)));
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
	t->work = IRQ_WORK_INIT_HARD(map_in_interrupt);
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
/* If the n-th allocation of a map fails, the map fails and nothing leaks. */
static void failed_allocation_leaks_nothing(struct kunit *test)
{
	static const size_t lengths[] = { 512, SZ_64K, 5 * SZ_4K };
	struct device *dev = full_device(test, DMA_BIT_MASK(64));
	phys_addr_t data = virt_to_phys(swiotlb_test_buffer(test, SZ_64K, 1));
	unsigned int i, nth, failures;
	unsigned long failed;
	dma_addr_t addr;

	/* Use the lowest zone, so that no other zone is tried. */
	if (IS_ENABLED(CONFIG_ZONE_DMA))
		*dev->dma_mask = DMA_BIT_MASK(zone_dma_bits);
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
		KUNIT_EXPECT_GE(test, failures, IS_ENABLED(CONFIG_ZONE_DMA) ? 2 : 1);
	}
}
#else
static void failed_allocation_leaks_nothing(struct kunit *test)
{
	kunit_skip(test, "needs CONFIG_FAILSLAB and CONFIG_FAIL_PAGE_ALLOC");
}
#endif

#define MEMORY_OF_512	IO_TLB_SIZE

static unsigned int traced[3];

static void count_alloc(void *data, struct device *dev, phys_addr_t addr, size_t size,
			size_t memory)
{
	traced[0] += dev == data && size == 512 && memory == MEMORY_OF_512;
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

	memset(traced, 0, sizeof(traced));
	KUNIT_ASSERT_EQ(test, register_trace_swiotlb_overflow_alloc(count_alloc, dev), 0);
	KUNIT_ASSERT_EQ(test, register_trace_swiotlb_overflow_free(count_free, dev), 0);
	KUNIT_ASSERT_EQ(test, register_trace_swiotlb_overflow_fail(count_fail, dev), 0);
	addr = swiotlb_map(dev, data, 512, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_FALSE(test, dma_mapping_error(dev, addr));
	KUNIT_EXPECT_EQ(test, traced[0], 1);
	KUNIT_EXPECT_EQ(test, test_buffers(), t->buffers + 1);
	KUNIT_EXPECT_EQ(test, test_bytes(), (long)(t->bytes + MEMORY_OF_512));
	dma_unmap_single(dev, addr, 512, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, traced[1], 1);
	set_limits(test, 0, 100);
	KUNIT_EXPECT_EQ(test, swiotlb_map(dev, data, 512, DMA_TO_DEVICE, DMA_ATTR_NO_WARN),
			DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, traced[2], 1);
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
	KUNIT_EXPECT_EQ(test, swiotlb_overflow_limits.device_cap, SZ_256K);
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
	set_limits(test, SZ_256M, 100);
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
			m->phys = swiotlb_tbl_map_or_overflow(dev, virt_to_phys(data) + m->offset,
							      m->size, m->size, 0, DMA_TO_DEVICE,
							      0);
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
	struct completion done;
};

static int handover_thread(void *arg)
{
	struct handover *h = arg;
	dma_addr_t addr;
	unsigned int i;

	for (i = 0; i < h->rounds; i++) {
		while (!(addr = (dma_addr_t)READ_ONCE(h->slot) << IO_TLB_SHIFT)) {
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
			i--;
			continue;
		}
		WRITE_ONCE(h.slot, addr >> IO_TLB_SHIFT);
		while (READ_ONCE(h.slot)) {
			cpu_relax();
			cond_resched();
		}
	}
	migrate_enable();
	wait_for_completion(&h.done);
	KUNIT_EXPECT_EQ(test, h.bad, 0);
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
	KUNIT_CASE(pool_mapping_sets_no_class),
	KUNIT_CASE_PARAM(memory_is_reachable, reach_gen_params),
	KUNIT_CASE(zone_follows_from_translated_mask),
	KUNIT_CASE(unreachable_memory_fails),
	KUNIT_CASE(segment_boundary_is_not_crossed),
	KUNIT_CASE(excluded_pools_never_overflow),
	KUNIT_CASE(swiotlb_alloc_never_overflows),
	KUNIT_CASE(cap_is_exact),
	KUNIT_CASE(device_share_is_enforced),
	KUNIT_CASE(unmap_frees_memory_at_once),
	KUNIT_CASE(memory_fits_mapping),
	KUNIT_CASE(device_behind_iommu_gets_whole_pages),
	KUNIT_CASE(decrypted_memory_comes_from_atomic_pool),
	KUNIT_CASE(misaligned_decrypted_memory_fails),
	KUNIT_CASE(scatterlist_maps_and_unmaps),
	KUNIT_CASE(map_and_unmap_in_hard_irq),
	KUNIT_CASE(failed_allocation_leaks_nothing),
	KUNIT_CASE(events_are_traced),
	KUNIT_CASE(debugfs_shows_and_sets_limits),
	KUNIT_CASE(unmap_inside_mapping_frees_nothing),
	KUNIT_CASE(many_buffers_are_found),
	KUNIT_CASE(other_cpu_finds_buffer),
	{}
};

static struct kunit_suite overflow_test_suite = {
	.name = "swiotlb_overflow",
	.init = overflow_test_init,
	.exit = overflow_test_exit,
	.test_cases = overflow_test_cases,
};

kunit_test_suite(overflow_test_suite);
