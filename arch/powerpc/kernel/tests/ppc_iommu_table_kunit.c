// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of struct iommu_table: which entries are in use, its claim, and DMA addresses of
 * devices that have several tables.
 *
 * The tables have no hardware. Their functions count the TCEs that are set, which is one oracle;
 * the others are the bitmap, read bit by bit, and the addresses that the DMA API returns.
 */
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/debugfs.h>
#include <linux/iommu.h>
#include <linux/kthread.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <asm/iommu.h>
#include <asm/iommu-table.h>

#define TEST_LIOBN	0x7e570000

/* Number of TCEs that are set in the tables of a case */
static atomic_long_t tces;
/* Set while a table is claimed, and how many maps have set TCEs meanwhile */
static bool test_claimed;
static atomic_long_t late_maps;

static int test_set(struct iommu_table *tbl, long index, long npages, unsigned long uaddr,
		    enum dma_data_direction direction, unsigned long attrs)
{
	atomic_long_add(npages, &tces);
	if (READ_ONCE(test_claimed))
		atomic_long_inc(&late_maps);
	return 0;
}

static void test_clear(struct iommu_table *tbl, long index, long npages)
{
	atomic_long_sub(npages, &tces);
}

static struct iommu_table_ops test_ops = { .set = test_set, .clear = test_clear };

#ifdef CONFIG_IOMMU_API
static int test_xchg(struct iommu_table *tbl, long index, unsigned long *hpa,
		     enum dma_data_direction *direction)
{
	return 0;
}

static struct iommu_table_ops test_owner_ops = {
	.set = test_set, .clear = test_clear, .xchg_no_kill = test_xchg,
};
#endif

static void test_put_table(struct kunit_resource *res)
{
	struct iommu_table *tbl = res->data;

	if (tbl->it_claimed)
		iommu_table_unclaim(tbl);
	iommu_tce_table_put(tbl);
}

static struct iommu_table *test_alloc_table(struct kunit *test, unsigned long liobn,
					    unsigned long offset, unsigned long size)
{
	struct iommu_table *tbl = kzalloc(sizeof(*tbl), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, tbl);
	INIT_LIST_HEAD_RCU(&tbl->it_group_list);
	kref_init(&tbl->it_kref);
	tbl->it_index = liobn;
	tbl->it_offset = offset;
	tbl->it_size = size;
	tbl->it_page_shift = IOMMU_PAGE_SHIFT_4K;
	tbl->it_blocksize = 16;
	tbl->it_ops = &test_ops;
	return tbl;
}

/* A table of @size TCEs of 4 KB, the first of which is @offset; @start..@end - 1 are reserved */
static struct iommu_table *test_table(struct kunit *test, unsigned long offset, unsigned long size,
				      unsigned long start, unsigned long end)
{
	static unsigned long liobn = TEST_LIOBN;
	struct iommu_table *tbl = test_alloc_table(test, liobn++, offset, size);

	KUNIT_ASSERT_PTR_EQ(test, iommu_init_table(tbl, NUMA_NO_NODE, start, end), tbl);
	atomic_long_set(&tces, 0);
	KUNIT_ASSERT_NOT_NULL(test, kunit_alloc_resource(test, NULL, test_put_table, GFP_KERNEL,
							 tbl));
	return tbl;
}

static void test_release_device(struct device *dev)
{
	kfree(dev);
}

static void test_put_device(struct kunit_resource *res)
{
	put_device(res->data);
}

static struct device *test_device(struct kunit *test, struct iommu_table *tbl, u64 mask)
{
	struct device *dev = kzalloc(sizeof(*dev), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, dev);
	device_initialize(dev);
	dev->release = test_release_device;
	KUNIT_ASSERT_NOT_NULL(test, kunit_alloc_resource(test, NULL, test_put_device, GFP_KERNEL,
							 dev));
	KUNIT_ASSERT_EQ(test, dev_set_name(dev, "iommu-table-test"), 0);
	dev->dma_mask = &dev->coherent_dma_mask;
	dev->coherent_dma_mask = mask;
	set_dma_ops(dev, &dma_iommu_ops);
	set_iommu_table_base(dev, tbl);
	return dev;
}

static void *test_pages(struct kunit *test, size_t size)
{
	void *pages = kunit_kmalloc(test, size + PAGE_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, pages);
	return PTR_ALIGN(pages, PAGE_SIZE);
}

static struct iommu_table_usage test_usage(struct iommu_table *tbl)
{
	struct iommu_table_usage usage;

	iommu_table_get_usage(tbl, &usage);
	return usage;
}

static bool test_in_use(struct iommu_table *tbl)
{
	unsigned long flags;
	bool in_use;

	spin_lock_irqsave(&tbl->large_pool.lock, flags);
	in_use = iommu_table_in_use(tbl);
	spin_unlock_irqrestore(&tbl->large_pool.lock, flags);
	return in_use;
}

/* Whether a bit stands for an entry in use, by the definition of a table */
static bool counts(const struct iommu_table *tbl, unsigned long bit)
{
	unsigned long entry = bit + tbl->it_offset;

	return entry && !(entry >= tbl->it_reserved_start && entry < tbl->it_reserved_end);
}

struct shape {
	unsigned long offset, size;
};

static const struct shape shapes[] = {
	{ 0, 1 }, { 0, 7 }, { 0, 63 }, { 0, 64 }, { 0, 65 }, { 0, 130 },
	{ 1, 64 }, { 5, 66 }, { 64, 64 }, { 100, 129 }, { 0x80000000, 70 },
};

static void shape_desc(const struct shape *shape, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%lu from %#lx", shape->size, shape->offset);
}

KUNIT_ARRAY_PARAM(shape, shapes, shape_desc);

/* All ranges that can be reserved, with no bit set and with each single bit set */
static void each_bit_is_counted_or_reserved(struct kunit *test)
{
	const struct shape *shape = test->param_value;
	struct iommu_table *tbl = test_table(test, shape->offset, shape->size, 0, 0);
	unsigned long start, end, bit, wrong = 0;
	struct iommu_table_usage usage;

	for (start = 0; start <= shape->size; start++) {
		for (end = start; end <= shape->size; end++) {
			/* iommu_table_reserve_pages() describes an empty range this way. */
			tbl->it_reserved_start = shape->offset + (start < end ? start : 0);
			tbl->it_reserved_end = shape->offset + (start < end ? end : 0);
			bitmap_zero(tbl->it_map, shape->size);
			if (!shape->offset)
				__set_bit(0, tbl->it_map);
			bitmap_set(tbl->it_map, start, end - start);
			wrong += test_in_use(tbl);
			wrong += test_usage(tbl).entries || test_usage(tbl).first;

			for (bit = 0; bit < shape->size; bit++) {
				bool was_set = test_and_set_bit(bit, tbl->it_map);

				usage = test_usage(tbl);
				wrong += test_in_use(tbl) != counts(tbl, bit);
				wrong += usage.entries != counts(tbl, bit);
				wrong += usage.first != (counts(tbl, bit) ?
					 (shape->offset + bit) << IOMMU_PAGE_SHIFT_4K : 0);
				if (!was_set)
					__clear_bit(bit, tbl->it_map);
			}
		}
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);
	tbl->it_reserved_start = shape->offset;
	tbl->it_reserved_end = shape->offset;
	bitmap_zero(tbl->it_map, shape->size);
}

static void reserved_range_clipped_to_table(struct kunit *test)
{
	struct iommu_table *below = test_table(test, 100, 200, 0, 110);
	struct iommu_table *above = test_table(test, 100, 200, 290, 400);
	struct iommu_table *around = test_table(test, 100, 200, 0, 1000);
	struct iommu_table *outside = test_table(test, 100, 200, 10, 100);
	struct iommu_table *zero = test_table(test, 0, 200, 150, 160);

	KUNIT_EXPECT_EQ(test, bitmap_weight(below->it_map, 200), 10);
	KUNIT_EXPECT_EQ(test, find_first_bit(below->it_map, 200), 0);
	KUNIT_EXPECT_EQ(test, bitmap_weight(above->it_map, 200), 10);
	KUNIT_EXPECT_EQ(test, find_first_bit(above->it_map, 200), 190);
	KUNIT_EXPECT_EQ(test, bitmap_weight(around->it_map, 200), 200);
	KUNIT_EXPECT_EQ(test, bitmap_weight(outside->it_map, 200), 0);
	KUNIT_EXPECT_EQ(test, bitmap_weight(zero->it_map, 200), 11);
	KUNIT_EXPECT_FALSE(test, test_in_use(below) || test_in_use(above) || test_in_use(around) ||
			   test_in_use(outside) || test_in_use(zero));
}

static void usage_counts_all_entries(struct kunit *test)
{
	struct iommu_table *tbl = test_table(test, 0, 1000, 400, 500);
	struct iommu_table_usage usage;

	bitmap_set(tbl->it_map, 700, 10);
	usage = test_usage(tbl);
	KUNIT_EXPECT_EQ(test, usage.entries, 10);
	KUNIT_EXPECT_EQ(test, usage.first, 700ULL << 12);

	bitmap_set(tbl->it_map, 390, 10);
	bitmap_set(tbl->it_map, 999, 1);
	usage = test_usage(tbl);
	KUNIT_EXPECT_EQ(test, usage.entries, 21);
	KUNIT_EXPECT_EQ(test, usage.first, 390ULL << 12);
	bitmap_clear(tbl->it_map, 390, 10);
	bitmap_clear(tbl->it_map, 700, 10);
	bitmap_clear(tbl->it_map, 999, 1);
}

/* Maps in all six ways, unmaps again, and returns how many of them succeeded */
static unsigned int test_map_all_ways(struct kunit *test, struct device *dev)
{
	u8 *data = test_pages(test, SZ_1M);
	struct scatterlist sg[2];
	dma_addr_t handle;
	unsigned int i, mapped = 0;
	size_t size;
	void *coherent;

	for (size = 100; size <= SZ_1M; size = size < SZ_4K ? SZ_4K : size * 16) {
		handle = dma_map_single_attrs(dev, data, size, DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
		if (dma_mapping_error(dev, handle))
			continue;
		mapped++;
		dma_unmap_single(dev, handle, size, DMA_TO_DEVICE);
	}
	sg_init_table(sg, 2);
	for (i = 0; i < 2; i++)
		sg_set_buf(sg + i, data + i * SZ_256K, SZ_8K);
	i = dma_map_sg_attrs(dev, sg, 2, DMA_FROM_DEVICE, DMA_ATTR_NO_WARN);
	if (i) {
		mapped++;
		dma_unmap_sg(dev, sg, 2, DMA_FROM_DEVICE);
	}
	coherent = dma_alloc_coherent(dev, SZ_16K, &handle, GFP_KERNEL | __GFP_NOWARN);
	if (coherent) {
		mapped++;
		dma_free_coherent(dev, SZ_16K, coherent, handle);
	}
	KUNIT_EXPECT_EQ(test, atomic_long_read(&tces), 0);
	return mapped;
}

static void maps_fail_in_claimed_table(struct kunit *test)
{
	/* One pool, and four */
	static const unsigned long sizes[] = { SZ_64M / SZ_4K, SZ_1G / SZ_4K };
	struct iommu_table_usage usage;
	struct iommu_table *tbl;
	unsigned long *before;
	struct device *dev;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		tbl = test_table(test, 0, sizes[i], 5000, 6000);
		dev = test_device(test, tbl, DMA_BIT_MASK(32));
		before = vmalloc(sizes[i] / 8);
		KUNIT_ASSERT_NOT_NULL(test, before);
		KUNIT_EXPECT_EQ(test, test_map_all_ways(test, dev), 6);
		bitmap_copy(before, tbl->it_map, sizes[i]);

		KUNIT_EXPECT_EQ(test, iommu_table_claim(tbl, &usage), 0);
		KUNIT_EXPECT_TRUE(test, tbl->it_claimed);
		KUNIT_EXPECT_TRUE(test, test_in_use(tbl));
		KUNIT_EXPECT_EQ(test, test_map_all_ways(test, dev), 0);

		iommu_table_unclaim(tbl);
		KUNIT_EXPECT_FALSE(test, tbl->it_claimed);
		KUNIT_EXPECT_TRUE(test, bitmap_equal(before, tbl->it_map, sizes[i]));
		KUNIT_EXPECT_EQ(test, test_map_all_ways(test, dev), 6);
		vfree(before);
	}
}

static void unclaim_restores_reserved_entries(struct kunit *test)
{
	static const struct {
		unsigned long offset, start, end;
	} tables[] = { { 0, 0, 0 }, { 0, 10, 90 }, { 0, 0, 5 }, { 300, 0, 0 }, { 300, 310, 333 } };
	struct iommu_table *tbl;
	unsigned int i, bit;

	for (i = 0; i < ARRAY_SIZE(tables); i++) {
		tbl = test_table(test, tables[i].offset, 100, tables[i].start, tables[i].end);
		KUNIT_ASSERT_EQ(test, iommu_table_claim(tbl, NULL), 0);
		iommu_table_unclaim(tbl);
		for (bit = 0; bit < 100; bit++)
			KUNIT_EXPECT_EQ(test, test_bit(bit, tbl->it_map), !counts(tbl, bit));
	}
}

static void claim_of_busy_table_fails(struct kunit *test)
{
	struct iommu_table *tbl = test_table(test, 0, SZ_1G / SZ_4K, 0, 0);
	struct device *dev = test_device(test, tbl, DMA_BIT_MASK(32));
	dma_addr_t handle = dma_map_single(dev, test_pages(test, SZ_64K), SZ_64K, DMA_TO_DEVICE);
	struct iommu_table_usage usage = {};

	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, handle));
	KUNIT_EXPECT_EQ(test, iommu_table_claim(tbl, &usage), -EBUSY);
	KUNIT_EXPECT_EQ(test, usage.entries, 16);
	KUNIT_EXPECT_EQ(test, usage.first, handle);
	KUNIT_EXPECT_EQ(test, iommu_table_claim(tbl, NULL), -EBUSY);
	KUNIT_EXPECT_FALSE(test, tbl->it_claimed);
	KUNIT_EXPECT_EQ(test, bitmap_weight(tbl->it_map, tbl->it_size), 17);

	dma_unmap_single(dev, handle, SZ_64K, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, iommu_table_claim(tbl, &usage), 0);
}

static void claim_of_claimed_table_fails(struct kunit *test)
{
	struct iommu_table *tbl = test_table(test, 0, 1000, 0, 0);
	struct iommu_table_usage usage = {};

	KUNIT_ASSERT_EQ(test, iommu_table_claim(tbl, NULL), 0);
	KUNIT_EXPECT_EQ(test, iommu_table_claim(tbl, &usage), -EBUSY);
	KUNIT_EXPECT_EQ(test, usage.entries, 999);
	KUNIT_EXPECT_EQ(test, usage.first, SZ_4K);
}

#ifdef CONFIG_IOMMU_API
static void vfio_ownership_claims_table(struct kunit *test)
{
	struct iommu_table *tbl = test_table(test, 0, 1000, 0, 0);

	/* VFIO needs a table whose entries can be exchanged. */
	KUNIT_EXPECT_EQ(test, iommu_take_ownership(tbl), -EINVAL);
	KUNIT_EXPECT_FALSE(test, tbl->it_claimed);

	tbl->it_ops = &test_owner_ops;
	__set_bit(7, tbl->it_map);
	KUNIT_EXPECT_EQ(test, iommu_take_ownership(tbl), -EBUSY);
	KUNIT_EXPECT_FALSE(test, tbl->it_claimed);
	__clear_bit(7, tbl->it_map);

	KUNIT_EXPECT_EQ(test, iommu_take_ownership(tbl), 0);
	KUNIT_EXPECT_TRUE(test, tbl->it_claimed);
	iommu_release_ownership(tbl);
	KUNIT_EXPECT_FALSE(test, tbl->it_claimed);
	KUNIT_EXPECT_EQ(test, bitmap_weight(tbl->it_map, 1000), 1);
}
#endif

struct mapper {
	struct device *dev;
	void *data;
	struct completion begun;
	unsigned long mapped, failed;
};

static int mapper(void *arg)
{
	struct mapper *m = arg;
	unsigned long i;
	dma_addr_t handle;

	while (!kthread_should_stop()) {
		/* Small and large mappings, so that all pools are used */
		size_t size = m->mapped % 2 ? SZ_4K : SZ_128K;

		handle = dma_map_single_attrs(m->dev, m->data, size, DMA_TO_DEVICE,
					      DMA_ATTR_NO_WARN);
		if (dma_mapping_error(m->dev, handle)) {
			m->failed++;
		} else {
			m->mapped++;
			dma_unmap_single(m->dev, handle, size, DMA_TO_DEVICE);
		}
		if (m->mapped == 1)
			complete(&m->begun);
		for (i = 0; i < (m->mapped + m->failed) * 13 % 60; i++)
			cpu_relax();
		cond_resched();
	}
	return 0;
}

/* Claims race with maps on another CPU: the one that comes second has to fail. */
static void claim_and_map_exclude_each_other(struct kunit *test)
{
	struct iommu_table *tbl = test_table(test, 0, SZ_1G / SZ_4K, 0, 0);
	struct mapper m = {
		.dev = test_device(test, tbl, DMA_BIT_MASK(32)),
		.data = test_pages(test, SZ_128K),
	};
	unsigned long i, claimed = 0, busy = 0, mapped = 0, seen;
	struct task_struct *thread;

	if (num_online_cpus() < 2)
		kunit_skip(test, "one CPU");
	init_completion(&m.begun);
	atomic_long_set(&late_maps, 0);
	thread = kthread_run(mapper, &m, "iommu-table-test");
	KUNIT_ASSERT_FALSE(test, IS_ERR(thread));
	wait_for_completion(&m.begun);
	for (i = 0; i < 20000 && (i < 2000 || !claimed || !busy || !m.failed); i++) {
		/* Vary the timing, so that the loops do not run in step. */
		for (seen = 0; seen < i * 7 % 1000; seen++)
			cpu_relax();
		if (iommu_table_claim(tbl, NULL)) {
			busy++;
			continue;
		}
		claimed++;
		WRITE_ONCE(test_claimed, true);
		mapped += !!atomic_long_read(&tces);
		/* A map that the claim has missed sets its TCEs now. */
		for (seen = 0; seen < 50; seen++)
			cpu_relax();
		WRITE_ONCE(test_claimed, false);
		iommu_table_unclaim(tbl);
		cond_resched();
	}
	kthread_stop(thread);

	KUNIT_EXPECT_EQ(test, mapped, 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&late_maps), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&tces), 0);
	KUNIT_EXPECT_GT(test, claimed, 0);
	KUNIT_EXPECT_FALSE(test, test_in_use(tbl));
	kunit_info(test, "%lu claims, %lu refused; %lu maps, %lu failed\n", claimed, busy, m.mapped,
		   m.failed);
}

/* An address is freed in the table that contains it, whichever the device maps with now. */
static void unmap_frees_in_older_table(struct kunit *test)
{
	struct iommu_table *old = test_table(test, 0, SZ_64M / SZ_4K, 0, 0);
	struct iommu_table *new = test_table(test, SZ_4G / SZ_4K, SZ_64M / SZ_4K, 0, 0);
	struct device *dev = test_device(test, old, DMA_BIT_MASK(32));
	struct scatterlist sg[2];
	dma_addr_t page, coherent;
	void *data = test_pages(test, SZ_64K), *vaddr;
	unsigned int i;

	new->it_older = old;
	sg_init_table(sg, 2);
	for (i = 0; i < 2; i++)
		sg_set_buf(sg + i, data + i * SZ_32K, SZ_4K);
	page = dma_map_single(dev, data, SZ_64K, DMA_TO_DEVICE);
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, page));
	KUNIT_ASSERT_GT(test, dma_map_sg(dev, sg, 2, DMA_TO_DEVICE), 0);
	vaddr = dma_alloc_coherent(dev, SZ_64K, &coherent, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vaddr);
	KUNIT_EXPECT_EQ(test, test_usage(old).entries, 16 + 2 + 16);

	set_iommu_table_base(dev, new);
	dev->coherent_dma_mask = DMA_BIT_MASK(64);
	dma_unmap_single(dev, page, SZ_64K, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, test_usage(old).entries, 2 + 16);
	dma_unmap_sg(dev, sg, 2, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, test_usage(old).entries, 16);
	dma_free_coherent(dev, SZ_64K, vaddr, coherent);
	KUNIT_EXPECT_EQ(test, test_usage(old).entries, 0);
	KUNIT_EXPECT_EQ(test, test_usage(new).entries, 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&tces), 0);

	KUNIT_EXPECT_EQ(test, test_map_all_ways(test, dev), 6);
}

/* An address of the direct window is not freed in a table, which would warn. */
static void direct_handle_is_not_freed_in_table(struct kunit *test)
{
	struct iommu_table *tbl = test_table(test, 0, SZ_64M / SZ_4K, 0, 0);
	struct device *dev = test_device(test, tbl, DMA_BIT_MASK(64));
	void *data = test_pages(test, SZ_64K), *vaddr;
	int warned = test_taint(TAINT_WARN);
	dma_addr_t page, coherent;
	struct scatterlist sg[2];
	unsigned int i;

	dev->archdata.dma_offset = 1ULL << 59;
	iommu_limit_bypass(dev, (1ULL << 59) + (1ULL << 46), true);
	KUNIT_EXPECT_EQ(test, dev->bus_dma_limit, 0);
	dev->dma_ops_bypass = true;
	sg_init_table(sg, 2);
	for (i = 0; i < 2; i++)
		sg_set_buf(sg + i, data + i * SZ_32K, SZ_4K);
	page = dma_map_single(dev, data, SZ_64K, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, page, phys_to_dma(dev, virt_to_phys(data)));
	KUNIT_EXPECT_EQ(test, dma_map_sg(dev, sg, 2, DMA_TO_DEVICE), 2);
	vaddr = dma_alloc_coherent(dev, SZ_64K, &coherent, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vaddr);
	KUNIT_EXPECT_GE(test, coherent, dev->archdata.dma_offset);

	dev->dma_ops_bypass = false;
	dev->coherent_dma_mask = DMA_BIT_MASK(32);
	dma_unmap_single(dev, page, SZ_64K, DMA_TO_DEVICE);
	dma_unmap_sg(dev, sg, 2, DMA_TO_DEVICE);
	dma_free_coherent(dev, SZ_64K, vaddr, coherent);
	KUNIT_EXPECT_EQ(test, test_taint(TAINT_WARN), warned);
	KUNIT_EXPECT_EQ(test, test_usage(tbl).entries, 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&tces), 0);

	/* From now on the device maps in the table. */
	page = dma_map_single(dev, data, SZ_4K, DMA_TO_DEVICE);
	KUNIT_EXPECT_LT(test, page, SZ_64M);
	KUNIT_EXPECT_EQ(test, test_usage(tbl).entries, 1);
	dma_unmap_single(dev, page, SZ_4K, DMA_TO_DEVICE);
}

/* With a limited bypass, a mask below the direct window means that the table is used. */
static void limited_bypass_respects_mask(struct kunit *test)
{
	struct iommu_table *tbl = test_table(test, 0, SZ_64M / SZ_4K, 0, 0);
	struct device *dev = test_device(test, tbl, DMA_BIT_MASK(32));
	void *data = test_pages(test, SZ_4K);
	dma_addr_t handle;

	dev->archdata.dma_offset = 1ULL << 59;
	dev->bus_dma_limit = (1ULL << 59) + (1ULL << 46);
	handle = dma_map_single(dev, data, SZ_4K, DMA_TO_DEVICE);
	KUNIT_EXPECT_LT(test, handle, SZ_64M);
	KUNIT_EXPECT_EQ(test, test_usage(tbl).entries, 1);
	if (!dma_mapping_error(dev, handle))
		dma_unmap_single(dev, handle, SZ_4K, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, test_usage(tbl).entries, 0);
}

/* With a limit, each map looks at its mask and each unmap at its address. */
static void limited_bypass_unmaps_by_address(struct kunit *test)
{
	struct iommu_table *tbl = test_table(test, 0, SZ_64M / SZ_4K, 0, 0);
	struct device *dev = test_device(test, tbl, DMA_BIT_MASK(32));
	void *data = test_pages(test, SZ_64K);
	dma_addr_t old, direct, lowered;

	if (!IS_ENABLED(CONFIG_ARCH_HAS_DMA_MAP_DIRECT))
		kunit_skip(test, "CONFIG_ARCH_HAS_DMA_MAP_DIRECT");
	old = dma_map_single(dev, data, SZ_64K, DMA_TO_DEVICE);
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, old));

	dev->archdata.dma_offset = 1ULL << 59;
	iommu_limit_bypass(dev, (1ULL << 59) + (1ULL << 46), true);
	KUNIT_EXPECT_EQ(test, dev->bus_dma_limit, (1ULL << 59) + (1ULL << 46));
	dev->coherent_dma_mask = DMA_BIT_MASK(64);
	direct = dma_map_single(dev, data, SZ_64K, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, direct, phys_to_dma(dev, virt_to_phys(data)));
	KUNIT_EXPECT_EQ(test, test_usage(tbl).entries, 16);

	dev->coherent_dma_mask = DMA_BIT_MASK(32);
	lowered = dma_map_single(dev, data, SZ_4K, DMA_TO_DEVICE);
	KUNIT_EXPECT_LT(test, lowered, SZ_64M);
	KUNIT_EXPECT_EQ(test, test_usage(tbl).entries, 17);

	dma_unmap_single(dev, direct, SZ_64K, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, test_usage(tbl).entries, 17);
	dma_unmap_single(dev, old, SZ_64K, DMA_TO_DEVICE);
	dma_unmap_single(dev, lowered, SZ_4K, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, test_usage(tbl).entries, 0);
}

/* A window that begins at 4 GB is out of reach for 32 bits, an older one below may be in reach. */
static void mask_selects_table(struct kunit *test)
{
	struct iommu_table *old = test_table(test, 0, SZ_64M / SZ_4K, 0, 0);
	struct iommu_table *new = test_table(test, SZ_4G / SZ_4K, SZ_64M / SZ_4K, 0, 0);
	struct device *dev = test_device(test, new, DMA_BIT_MASK(64));
	void *data = test_pages(test, SZ_64K);
	dma_addr_t handle;

	KUNIT_EXPECT_EQ(test, test_map_all_ways(test, dev), 6);
	dev->coherent_dma_mask = DMA_BIT_MASK(32);
	KUNIT_EXPECT_EQ(test, dma_iommu_dma_supported(dev, DMA_BIT_MASK(32)), 0);
	KUNIT_EXPECT_EQ(test, test_map_all_ways(test, dev), 0);
	/* A CPU may see the new table before it sees that the device has moved. */
	dev->archdata.iommu_moved = false;
	KUNIT_EXPECT_EQ(test, test_map_all_ways(test, dev), 0);
	dev->archdata.iommu_moved = true;

	new->it_older = old;
	KUNIT_EXPECT_EQ(test, dma_iommu_dma_supported(dev, DMA_BIT_MASK(32)), 1);
	handle = dma_map_single(dev, data, SZ_64K, DMA_TO_DEVICE);
	KUNIT_EXPECT_LT(test, handle, SZ_64M);
	KUNIT_EXPECT_EQ(test, test_usage(old).entries, 16);
	dma_unmap_single(dev, handle, SZ_64K, DMA_TO_DEVICE);
	KUNIT_EXPECT_EQ(test, test_map_all_ways(test, dev), 6);
}

static void device_without_table_maps_nothing(struct kunit *test)
{
	struct device *dev = test_device(test, NULL, DMA_BIT_MASK(32));

	KUNIT_EXPECT_EQ(test, test_map_all_ways(test, dev), 0);
}

/* For a window of 1 GB; with QEMU's -icount shift=0 a nanosecond is an instruction. */
static void claim_duration(struct kunit *test)
{
	struct iommu_table *tbl = test_table(test, 0, SZ_1G / SZ_4K, 0, 0);
	struct iommu_table_usage usage;
	u64 t[4];

	t[0] = ktime_get_ns();
	KUNIT_EXPECT_EQ(test, iommu_table_claim(tbl, NULL), 0);
	t[1] = ktime_get_ns();
	KUNIT_EXPECT_EQ(test, iommu_table_claim(tbl, &usage), -EBUSY);
	t[2] = ktime_get_ns();
	iommu_table_unclaim(tbl);
	t[3] = ktime_get_ns();
	KUNIT_EXPECT_EQ(test, usage.entries, tbl->it_size - 1);
	kunit_info(test, "%lu entries: claim %llu ns, refused %llu ns, unclaim %llu ns\n",
		   tbl->it_size, t[1] - t[0], t[2] - t[1], t[3] - t[2]);
}

/* No entry of the table is within reach of the mask. */
static void mask_below_window_fails(struct kunit *test)
{
	struct page *page = virt_to_page(test_pages(test, SZ_4K));
	struct iommu_table *tbl;
	struct device *dev;
	unsigned int i;

	/* 32 bits end right below the first table, and 4 GB below the second one. */
	for (i = 1; i <= 2; i++) {
		tbl = test_table(test, i * SZ_4G / SZ_4K, SZ_64M / SZ_4K, 0, 0);
		dev = test_device(test, tbl, DMA_BIT_MASK(32));
		KUNIT_EXPECT_EQ(test, test_map_all_ways(test, dev), 0);
		/* Also if the table is given, and not chosen by the mask */
		KUNIT_EXPECT_EQ(test, iommu_map_page(dev, tbl, page, 0, SZ_4K, DMA_BIT_MASK(32),
						     DMA_TO_DEVICE, 0), DMA_MAPPING_ERROR);
		dev->coherent_dma_mask = DMA_BIT_MASK(64);
		KUNIT_EXPECT_EQ(test, test_map_all_ways(test, dev), 6);
	}
}

#ifdef CONFIG_IOMMU_DEBUGFS
static bool test_has_directory(struct iommu_table *tbl)
{
	struct dentry *dentry;
	char name[20];

	snprintf(name, sizeof(name), "%08lx", tbl->it_index);
	dentry = debugfs_lookup(name, iommu_debugfs_dir);
	dput(dentry);
	return dentry;
}

/* A table whose number is taken has no directory, and removes none. */
static void debugfs_directory_belongs_to_its_table(struct kunit *test)
{
	struct iommu_table *tbl = test_table(test, 0, 64, 0, 0);
	struct iommu_table *twin = test_alloc_table(test, tbl->it_index, 0, 64);

	KUNIT_EXPECT_TRUE(test, test_has_directory(tbl));
	kunit_info(test, "expect: already present!\n");
	KUNIT_ASSERT_PTR_EQ(test, iommu_init_table(twin, NUMA_NO_NODE, 0, 0), twin);
	KUNIT_EXPECT_TRUE(test, test_has_directory(tbl));
	iommu_tce_table_put(twin);
	KUNIT_EXPECT_TRUE(test, test_has_directory(tbl));
}
#endif

static struct kunit_case iommu_table_cases[] = {
#ifdef CONFIG_IOMMU_DEBUGFS
	KUNIT_CASE(debugfs_directory_belongs_to_its_table),
#endif
	KUNIT_CASE_PARAM(each_bit_is_counted_or_reserved, shape_gen_params),
	KUNIT_CASE(reserved_range_clipped_to_table),
	KUNIT_CASE(usage_counts_all_entries),
	KUNIT_CASE(maps_fail_in_claimed_table),
	KUNIT_CASE(unclaim_restores_reserved_entries),
	KUNIT_CASE(claim_of_busy_table_fails),
	KUNIT_CASE(claim_of_claimed_table_fails),
#ifdef CONFIG_IOMMU_API
	KUNIT_CASE(vfio_ownership_claims_table),
#endif
	KUNIT_CASE(claim_and_map_exclude_each_other),
	KUNIT_CASE(mask_below_window_fails),
	KUNIT_CASE(unmap_frees_in_older_table),
	KUNIT_CASE(mask_selects_table),
	KUNIT_CASE(limited_bypass_respects_mask),
	KUNIT_CASE(direct_handle_is_not_freed_in_table),
	KUNIT_CASE(limited_bypass_unmaps_by_address),
	KUNIT_CASE(device_without_table_maps_nothing),
	KUNIT_CASE(claim_duration),
	{}
};

static struct kunit_suite iommu_table_suite = {
	.name = "ppc_iommu_table",
	.test_cases = iommu_table_cases,
};

kunit_test_suite(iommu_table_suite);
