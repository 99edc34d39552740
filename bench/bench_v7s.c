// SPDX-License-Identifier: GPL-2.0
/*
 * What a map and an unmap cost in an Armv7 short-descriptor page table.
 *
 * page:  a page whose level-2 table exists, which is what nearly every map is
 * table: the first page of a megabyte, with the allocation of its level-2 table; unmapped as a megabyte
 *
 * Public interfaces only: the module builds for a kernel with the series and for one without. Run it with
 * -icount shift=0, where a nanosecond is an instruction.
 */
#include <linux/init.h>
#include <linux/io-pgtable.h>
#include <linux/iommu.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/sizes.h>

#include "ktap.h"

#define ROUNDS	9
#define COUNT	2048
#define PROT	(IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE)

static void flush_all(void *cookie)
{
}

static void flush_walk(unsigned long iova, size_t size, size_t granule, void *cookie)
{
}

static void add_page(struct iommu_iotlb_gather *gather, unsigned long iova, size_t granule, void *cookie)
{
}

static const struct iommu_flush_ops flush_ops = {
	.tlb_flush_all	= flush_all,
	.tlb_flush_walk	= flush_walk,
	.tlb_add_page	= add_page,
};

static void __init show(const char *what, const char *test, u64 ns)
{
	char name[32];

	snprintf(name, sizeof(name), "v7s_%s_%s", what, test);
	ktap_value(test, name, ns, COUNT, "ns");
}

/* The least of some rounds; each maps COUNT times, @stride apart, and unmaps all of it in @unmap. */
static void __init time_maps(struct io_pgtable_ops *ops, unsigned long stride, size_t unmap, gfp_t gfp,
			     const char *name)
{
	u64 least_map = U64_MAX, least_unmap = U64_MAX, start;
	unsigned int round, i, failed = 0;

	for (round = 0; round < ROUNDS; round++) {
		start = ktime_get_ns();
		for (i = 0; i < COUNT; i++)
			failed += !!ops->map(ops, i * stride, SZ_1G, SZ_4K, PROT, gfp);
		least_map = min(least_map, ktime_get_ns() - start);
		start = ktime_get_ns();
		for (i = 0; i < COUNT; i++)
			failed += ops->unmap(ops, i * stride, unmap, NULL) != unmap;
		least_unmap = min(least_unmap, ktime_get_ns() - start);
	}
	show("map", name, least_map);
	show("unmap", name, least_unmap);
	ktap_result(name, !failed);
}

static int __init bench_init(void)
{
	struct io_pgtable_cfg cfg = {
		.pgsize_bitmap = SZ_4K | SZ_64K | SZ_1M | SZ_16M,
		.ias = 32,
		.oas = 32,
		.coherent_walk = true,
		.tlb = &flush_ops,
	};
	struct io_pgtable_ops *ops = alloc_io_pgtable_ops(ARM_V7S, &cfg, NULL);

	if (!ops)
		return -ENOMEM;
	ktap_begin("bench_v7s", 3);
	time_maps(ops, SZ_4K, SZ_4K, GFP_KERNEL, "page");
	time_maps(ops, SZ_4K, SZ_4K, GFP_ATOMIC, "page_atomic");
	time_maps(ops, SZ_1M, SZ_1M, GFP_KERNEL, "table");
	free_io_pgtable_ops(ops);
	return ktap_end("bench_v7s");
}
module_init(bench_init);

MODULE_DESCRIPTION("Costs of Armv7 short-descriptor page tables");
MODULE_LICENSE("GPL");
