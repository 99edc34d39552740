// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite for the Armv7 short-descriptor page table format.
 *
 * The cases use the operations that an IOMMU driver has, and walk the table as
 * the IOMMU does.
 */
#include <linux/kthread.h>
#include <linux/prandom.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "arm_v7s_fixture.h"

KUNIT_ARRAY_PARAM(v7s_test_format, v7s_test_formats, v7s_test_format_desc);

static void empty_table_translates_nothing(struct kunit *test)
{
	v7s_test_make(test, test->param_value);
	v7s_test_expect_phys(test, 42, 0);
	v7s_test_expect_phys(test, SZ_1G + 42, 0);
	v7s_test_expect_phys(test, SZ_2G + 42, 0);
	v7s_test_expect_tables(test, 0);
}

static void bad_configuration_refused(struct kunit *test)
{
	static const struct v7s_test_format bad[] = {
		{ "input size", 0, 33, 32, true },
		{ "output size", 0, 32, 33, true },
		{ "input size, MediaTek", V7S_MTK_QUIRKS, 35, 35, true },
		{ "output size, MediaTek", V7S_MTK_QUIRKS, 34, 36, true },
		{ "MediaTek with permissions", IO_PGTABLE_QUIRK_ARM_MTK_EXT, 32, 33, true },
		{ "TTBR_EXT alone", IO_PGTABLE_QUIRK_ARM_MTK_TTBR_EXT, 32, 32, true },
		{ "quirk of another format", IO_PGTABLE_QUIRK_ARM_TTBR1, 32, 32, true },
	};
	struct v7s_test *t = test->priv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		if (bad[i].ias > BITS_PER_LONG)
			continue;
		t->cfg = (struct io_pgtable_cfg) {
			.quirks = bad[i].quirks,
			.pgsize_bitmap = SZ_4K,
			.ias = bad[i].ias,
			.oas = bad[i].oas,
			.coherent_walk = true,
		};
		t->ops = alloc_io_pgtable_ops(ARM_V7S, &t->cfg, t);
		KUNIT_EXPECT_PTR_EQ_MSG(test, t->ops, NULL, "%s", bad[i].name);
		if (t->ops)
			free_io_pgtable_ops(t->ops);
		t->ops = NULL;
	}
}

static const size_t v7s_test_sizes[] = { SZ_4K, SZ_64K, SZ_1M, SZ_16M };

/* For each size: map, map over it, unmap a part, map that again, unmap all. */
static void each_size_maps_and_unmaps(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(v7s_test_sizes); i++) {
		size_t size = v7s_test_sizes[i];
		unsigned long iova = (i + 1) * SZ_16M;
		phys_addr_t paddr = SZ_2G + i * SZ_64M;

		KUNIT_ASSERT_EQ(test, v7s_test_map(ops, iova, paddr, size), 0);
		KUNIT_EXPECT_EQ(test, v7s_test_map(ops, iova, paddr + size, size), -EEXIST);
		v7s_test_expect_phys(test, iova, paddr);
		v7s_test_expect_phys(test, iova + 42, paddr + 42);
		v7s_test_expect_phys(test, iova + size - 1, paddr + size - 1);
		v7s_test_expect_phys(test, iova + size, 0);
		v7s_test_expect_phys(test, iova - 1, 0);

		if (size > SZ_4K) {
			KUNIT_ASSERT_EQ(test, ops->unmap(ops, iova + SZ_4K, SZ_4K, NULL), SZ_4K);
			v7s_test_expect_phys(test, iova + SZ_4K, 0);
			v7s_test_expect_phys(test, iova, paddr);
			v7s_test_expect_phys(test, iova + size - 1, paddr + size - 1);
			KUNIT_ASSERT_EQ(test, v7s_test_map(ops, iova + SZ_4K, SZ_1G, SZ_4K), 0);
			v7s_test_expect_phys(test, iova + SZ_4K + 42, SZ_1G + 42);
		}

		KUNIT_ASSERT_EQ(test, ops->unmap(ops, iova, size, NULL), size);
		v7s_test_expect_phys(test, iova, 0);
		v7s_test_expect_phys(test, iova + size - 1, 0);

		KUNIT_ASSERT_EQ(test, v7s_test_map_prot(ops, iova, paddr, size, IOMMU_WRITE), 0);
		v7s_test_expect_phys(test, iova + size - 1, paddr + size - 1);
	}
}

static void no_access_refused(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);

	KUNIT_EXPECT_EQ(test, v7s_test_map_prot(ops, SZ_1M, SZ_1M, SZ_4K, IOMMU_CACHE), -EINVAL);
	v7s_test_expect_phys(test, SZ_1M, 0);
}

/* The last page of the input range, and of the output range */
static void last_pages_in_range_map(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);
	struct v7s_test *t = test->priv;
	unsigned long iova = BIT_ULL(t->cfg.ias) - SZ_4K;
	phys_addr_t paddr = BIT_ULL(t->cfg.oas) - SZ_4K;

	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, iova, paddr, SZ_4K), 0);
	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, 0, paddr, SZ_4K), 0);
	v7s_test_expect_phys(test, iova + SZ_4K - 1, paddr + SZ_4K - 1);
	v7s_test_expect_phys(test, 0, paddr);
	KUNIT_EXPECT_EQ(test, ops->unmap(ops, iova, SZ_4K, NULL), SZ_4K);
	v7s_test_expect_phys(test, iova, 0);
	v7s_test_expect_phys(test, 0, paddr);
}

/* Tables for pages all over the input range are at addresses that an entry can hold. */
static void tables_below_address_limit(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);
	struct v7s_test *t = test->priv;
	phys_addr_t pgd = virt_to_phys(v7s_test_pgd(t));
	u64 iova;

	for (iova = 0; iova < BIT_ULL(t->cfg.ias); iova += SZ_16M)
		KUNIT_ASSERT_EQ(test, v7s_test_map(ops, iova, SZ_1G, SZ_4K), 0);
	v7s_test_expect_tables(test, BIT(t->cfg.ias - 24));
	KUNIT_EXPECT_LE(test, (u64)pgd + v7s_test_pgd_entries(t) * 4 - 1, (u64)v7s_test_limit(t));
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED(pgd, v7s_test_pgd_entries(t) * 4));
}

static int v7s_test_cmp_phys(const void *a, const void *b)
{
	phys_addr_t l = *(const phys_addr_t *)a, r = *(const phys_addr_t *)b;

	return l < r ? -1 : l > r;
}

/* 4 GB in 4 KB pages. The control is a slab cache without SLAB_CACHE_DMA32. */
static void tables_for_4gb_below_4gb(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, &v7s_test_formats[0]);
	unsigned int i, pages = 0, above = 0, errors = 0;
	struct v7s_test *t = test->priv;
	struct v7s_test_count count;
	struct kmem_cache *plain;
	phys_addr_t *seen;
	void **control;

	for (i = 0; i < 4096; i++)
		errors += ops->map_pages(ops, (unsigned long)i << 20, (phys_addr_t)i << 20,
					 SZ_4K, 256, V7S_TEST_PROT, GFP_KERNEL, NULL) != 0;
	KUNIT_ASSERT_EQ(test, errors, 0);
	v7s_test_expect_tables(test, 4096);
	count = v7s_test_count_tables(t);
	v7s_test_expect_phys(test, 0xfffff042, 0xfffff042);
	v7s_test_expect_phys(test, 0x80000000, 0x80000000);

	/* Once sorted, tables that share a page of memory are neighbours. */
	seen = kvcalloc(4096, sizeof(*seen), GFP_KERNEL);
	control = kvcalloc(4096, sizeof(*control), GFP_KERNEL);
	plain = kmem_cache_create("v7s_test_plain", SZ_1K, SZ_1K, 0, NULL);
	for (i = 0; seen && i < 4096; i++)
		seen[i] = v7s_test_table_phys(t, (u64)i << 20) & PAGE_MASK;
	if (seen) {
		sort(seen, 4096, sizeof(*seen), v7s_test_cmp_phys, NULL);
		for (i = 0; i < 4096; i++)
			pages += !i || seen[i] != seen[i - 1];
	}
	for (i = 0; plain && control && i < 4096; i++) {
		control[i] = kmem_cache_alloc(plain, GFP_KERNEL);
		above += control[i] && virt_to_phys(control[i]) > DMA_BIT_MASK(32);
	}
	for (i = 0; plain && control && i < 4096; i++)
		if (control[i])
			kmem_cache_free(plain, control[i]);
	kmem_cache_destroy(plain);
	kvfree(control);
	kvfree(seen);

	/* With slab debugging, a table takes up to 4 KB. */
	KUNIT_EXPECT_GT(test, pages, 0);
	KUNIT_EXPECT_LE(test, pages, 4096);
	kunit_info(test, "proof: 4 GB of IOVA in 4 KB pages: %u level-2 tables, %u above 4 GB, %u misaligned, %lu bytes per table; without SLAB_CACHE_DMA32 %u of 4096 would lie above 4 GB\n",
		   count.tables, count.misplaced, count.misaligned,
		   pages * PAGE_SIZE / 4096, above);
}

static void split_block(struct kunit *test, size_t block, size_t part)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);
	unsigned long iova = SZ_64M, hole;
	phys_addr_t paddr = SZ_2G;
	size_t off;

	/* The first part, and one in each 1 MB or in each quarter of the block */
	for (hole = 0; hole < block;
	     hole = hole ? hole + (block > SZ_1M ? SZ_1M : block / 4) : part) {
		KUNIT_ASSERT_EQ(test, v7s_test_map(ops, iova, paddr, block), 0);
		KUNIT_ASSERT_EQ(test, ops->unmap(ops, iova + hole, part, NULL), part);
		for (off = 0; off < block; off += part) {
			bool gone = off == hole;

			v7s_test_expect_phys(test, iova + off, gone ? 0 : paddr + off);
			v7s_test_expect_phys(test, iova + off + part - 1,
					     gone ? 0 : paddr + off + part - 1);
		}
		KUNIT_ASSERT_EQ(test, v7s_test_map(ops, iova + hole, paddr, part), 0);
		KUNIT_ASSERT_EQ(test, ops->unmap(ops, iova, block, NULL), block);
	}
}

static void split_section_keeps_address(struct kunit *test)
{
	split_block(test, SZ_1M, SZ_4K);
}

static void split_section_in_large_pages_keeps_address(struct kunit *test)
{
	split_block(test, SZ_1M, SZ_64K);
}

static void split_large_page_keeps_address(struct kunit *test)
{
	split_block(test, SZ_64K, SZ_4K);
}

static void split_supersection_keeps_address(struct kunit *test)
{
	split_block(test, SZ_16M, SZ_4K);
}

static void split_supersection_in_sections_keeps_address(struct kunit *test)
{
	split_block(test, SZ_16M, SZ_1M);
}

/* The entries that remain of a block equal those of pages mapped as such. */
static void split_keeps_attributes(struct kunit *test)
{
	static const int prots[] = {
		IOMMU_READ, IOMMU_WRITE, IOMMU_READ | IOMMU_WRITE,
		IOMMU_READ | IOMMU_CACHE, IOMMU_READ | IOMMU_MMIO,
		IOMMU_READ | IOMMU_WRITE | IOMMU_NOEXEC, IOMMU_READ | IOMMU_PRIV,
		IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE | IOMMU_NOEXEC | IOMMU_PRIV,
	};
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);
	struct v7s_test *t = test->priv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(prots); i++) {
		unsigned long block = SZ_1M * 2 * i, page = block + SZ_1M + SZ_4K;

		KUNIT_ASSERT_EQ(test, v7s_test_map_prot(ops, block, SZ_2G, SZ_1M, prots[i]), 0);
		KUNIT_ASSERT_EQ(test, ops->unmap(ops, block, SZ_4K, NULL), SZ_4K);
		KUNIT_ASSERT_EQ(test, v7s_test_map_prot(ops, page, SZ_2G + SZ_4K, SZ_4K,
							prots[i]), 0);
		KUNIT_EXPECT_EQ_MSG(test, v7s_test_leaf(t, block + SZ_4K), v7s_test_leaf(t, page),
				    "prot %#x", prots[i]);
	}
}

static void map_beyond_input_size_refused(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);
	struct v7s_test *t = test->priv;
	unsigned long last = BIT_ULL(t->cfg.ias) - SZ_4K;
	size_t mapped = 0;

	kunit_info(test, "expect: WARNING:\n");
	KUNIT_EXPECT_EQ(test, ops->map_pages(ops, last, SZ_1G, SZ_4K, 2, V7S_TEST_PROT,
					     GFP_KERNEL, &mapped), -ERANGE);
	KUNIT_EXPECT_EQ(test, mapped, 0);
	v7s_test_expect_phys(test, last, 0);
	v7s_test_expect_phys(test, 0, 0);
	v7s_test_expect_tables(test, 0);
}

static void map_beyond_output_size_refused(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);
	struct v7s_test *t = test->priv;
	size_t mapped = 0;

	kunit_info(test, "expect: WARNING:\n");
	KUNIT_EXPECT_EQ(test, ops->map_pages(ops, SZ_1M, BIT_ULL(t->cfg.oas) - SZ_4K, SZ_4K, 2,
					     V7S_TEST_PROT, GFP_KERNEL, &mapped), -ERANGE);
	KUNIT_EXPECT_EQ(test, mapped, 0);
	v7s_test_expect_phys(test, SZ_1M, 0);
	v7s_test_expect_tables(test, 0);
}

/* So many pages that the end of the range wraps around */
static void map_count_overflow_refused(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);
	size_t mapped = 0;

	kunit_info(test, "expect: WARNING:\n");
	KUNIT_EXPECT_EQ(test, ops->map_pages(ops, SZ_16M, SZ_16M, SZ_16M, SIZE_MAX / SZ_16M + 1,
					     V7S_TEST_PROT, GFP_KERNEL, &mapped), -ERANGE);
	KUNIT_EXPECT_EQ(test, mapped, 0);
	v7s_test_expect_phys(test, SZ_16M, 0);
}

static void unmap_beyond_input_size_refused(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);
	struct v7s_test *t = test->priv;
	unsigned long last = BIT_ULL(t->cfg.ias) - SZ_4K;

	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, last, SZ_1G, SZ_4K), 0);
	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, 0, SZ_1G, SZ_4K), 0);
	kunit_info(test, "expect: WARNING:\n");
	KUNIT_EXPECT_EQ(test, ops->unmap_pages(ops, last, SZ_4K, 2, NULL), 0);
	v7s_test_expect_phys(test, last, SZ_1G);
	v7s_test_expect_phys(test, 0, SZ_1G);
}

/* A supersection over three tables and a section is refused and changes nothing. */
static void refused_map_frees_nothing(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);
	unsigned long iova = SZ_16M;
	unsigned int i;

	for (i = 0; i < 3; i++)
		KUNIT_ASSERT_EQ(test, v7s_test_map(ops, iova + i * SZ_1M, SZ_1G + i * SZ_4K,
						   SZ_4K), 0);
	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, iova + 3 * SZ_1M, SZ_1G, SZ_1M), 0);

	KUNIT_EXPECT_EQ(test, v7s_test_map(ops, iova, SZ_2G, SZ_16M), -EEXIST);
	for (i = 0; i < 3; i++)
		v7s_test_expect_phys(test, iova + i * SZ_1M, SZ_1G + i * SZ_4K);
	v7s_test_expect_phys(test, iova + 3 * SZ_1M, SZ_1G);
	v7s_test_expect_tables(test, 3);

	/* The tables are empty now and could be replaced, but the section is still there. */
	for (i = 0; i < 3; i++)
		KUNIT_ASSERT_EQ(test, ops->unmap(ops, iova + i * SZ_1M, SZ_4K, NULL), SZ_4K);
	KUNIT_EXPECT_EQ(test, v7s_test_map(ops, iova, SZ_2G, SZ_16M), -EEXIST);
	v7s_test_expect_phys(test, iova + 3 * SZ_1M, SZ_1G);
	v7s_test_expect_tables(test, 3);
}

static void block_over_live_table_refused(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);

	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, SZ_1M + SZ_64K, SZ_1G, SZ_4K), 0);
	KUNIT_EXPECT_EQ(test, v7s_test_map(ops, SZ_1M, SZ_2G, SZ_1M), -EEXIST);
	v7s_test_expect_phys(test, SZ_1M + SZ_64K, SZ_1G);
}

static void block_replaces_empty_table(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);

	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, SZ_1M, SZ_1G, SZ_4K), 0);
	KUNIT_ASSERT_EQ(test, ops->unmap(ops, SZ_1M, SZ_4K, NULL), SZ_4K);
	v7s_test_expect_tables(test, 1);
	KUNIT_EXPECT_EQ(test, v7s_test_map(ops, SZ_1M, SZ_2G, SZ_1M), 0);
	v7s_test_expect_phys(test, SZ_1M + 42, SZ_2G + 42);
	v7s_test_expect_tables(test, 0);
}

/* Several page tables at a time, freed in another order than created */
static void page_tables_coexist(struct kunit *test)
{
	struct v7s_test *t = test->priv;
	struct io_pgtable_ops *ops[4];
	unsigned int i, made = 0;

	v7s_test_set_format(test, test->param_value);
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		struct io_pgtable_cfg cfg = t->cfg;

		ops[i] = alloc_io_pgtable_ops(ARM_V7S, &cfg, t);
		made += !!ops[i];
	}
	KUNIT_EXPECT_EQ(test, made, ARRAY_SIZE(ops));
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		KUNIT_EXPECT_EQ(test, ops[i] ? ops[i]->map(ops[i], SZ_1M, SZ_1M * (i + 1), SZ_4K,
							   V7S_TEST_PROT, GFP_KERNEL) : -1, 0);
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		KUNIT_EXPECT_EQ(test, ops[i] ? (u64)ops[i]->iova_to_phys(ops[i], SZ_1M) : 0,
				SZ_1M * (i + 1));
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		free_io_pgtable_ops(ops[i ^ 1]);
}

static void expect_flush(struct kunit *test, unsigned int i, int op, unsigned long iova,
			 size_t size, size_t granule)
{
	struct v7s_test *t = test->priv;

	KUNIT_ASSERT_LT(test, i, t->flushes);
	KUNIT_EXPECT_EQ(test, t->flush[i].op, op);
	KUNIT_EXPECT_EQ(test, t->flush[i].iova, iova);
	KUNIT_EXPECT_EQ(test, t->flush[i].size, size);
	KUNIT_EXPECT_EQ(test, t->flush[i].granule, granule);
}

static void unmap_flushes_tlb_range(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);
	struct v7s_test *t = test->priv;

	/* Nothing was valid, so no TLB can hold an entry. */
	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, SZ_16M, SZ_1G, SZ_16M), 0);
	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, SZ_1M, SZ_1G, SZ_64K), 0);
	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, SZ_2M, SZ_1G, SZ_4K), 0);
	KUNIT_EXPECT_EQ(test, t->flushes, 0);

	/* A page */
	KUNIT_ASSERT_EQ(test, ops->unmap(ops, SZ_2M, SZ_4K, NULL), SZ_4K);
	KUNIT_EXPECT_EQ(test, t->flushes, 1);
	expect_flush(test, 0, V7S_FLUSH_PAGE, SZ_2M, SZ_4K, SZ_4K);

	/* A page of a large page: all of the large page is flushed. */
	v7s_test_forget_flushes(t);
	KUNIT_ASSERT_EQ(test, ops->unmap(ops, SZ_1M + 3 * SZ_4K, SZ_4K, NULL), SZ_4K);
	KUNIT_EXPECT_EQ(test, t->flushes, 2);
	expect_flush(test, 0, V7S_FLUSH_WALK, SZ_1M, SZ_64K, SZ_64K);
	expect_flush(test, 1, V7S_FLUSH_PAGE, SZ_1M + 3 * SZ_4K, SZ_4K, SZ_4K);

	/* A section of a supersection: all of the supersection is flushed. */
	v7s_test_forget_flushes(t);
	KUNIT_ASSERT_EQ(test, ops->unmap(ops, SZ_16M + 5 * SZ_1M, SZ_1M, NULL), SZ_1M);
	KUNIT_EXPECT_EQ(test, t->flushes, 2);
	expect_flush(test, 0, V7S_FLUSH_WALK, SZ_16M, SZ_16M, SZ_16M);
	expect_flush(test, 1, V7S_FLUSH_PAGE, SZ_16M + 5 * SZ_1M, SZ_1M, SZ_1M);

	/* A table, including walks that are cached */
	v7s_test_forget_flushes(t);
	KUNIT_ASSERT_EQ(test, ops->unmap(ops, SZ_1M, SZ_1M, NULL), SZ_1M);
	KUNIT_EXPECT_EQ(test, t->flushes, 1);
	expect_flush(test, 0, V7S_FLUSH_WALK, SZ_1M, SZ_1M, SZ_4K);
}

/* Random operations, compared with a model */

#define V7S_MODEL_SIZE	SZ_64M
#define V7S_MODEL_PAGES	(V7S_MODEL_SIZE / SZ_4K)
#define V7S_MODEL_MB	(V7S_MODEL_SIZE / SZ_1M)

/* What each page of a part of the input range translates to */
struct v7s_model {
	unsigned long base;
	phys_addr_t phys[V7S_MODEL_PAGES];	/* NO_PHYS if not mapped */
	bool table[V7S_MODEL_MB];		/* The level-1 entry points to a table */
};

#define NO_PHYS		(~(phys_addr_t)0)

static struct v7s_model *v7s_model_make(struct kunit *test, unsigned long base)
{
	struct v7s_model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, m);
	m->base = base;
	memset(m->phys, 0xff, sizeof(m->phys));
	return m;
}

/* The number of mapped pages among the @n from @page on */
static unsigned int v7s_model_mapped(const struct v7s_model *m, unsigned int page, unsigned int n)
{
	unsigned int mapped = 0;

	while (n--)
		mapped += m->phys[page++] != NO_PHYS;
	return mapped;
}

static int v7s_model_map(struct v7s_model *m, unsigned int page, phys_addr_t paddr, size_t size)
{
	unsigned int i, n = size / SZ_4K;

	if (v7s_model_mapped(m, page, n))
		return -EEXIST;
	for (i = 0; i < n; i++)
		m->phys[page + i] = paddr + (phys_addr_t)i * SZ_4K;
	for (i = 0; i < max_t(unsigned int, size / SZ_1M, 1); i++)
		m->table[page / 256 + i] = size < SZ_1M;
	return 0;
}

/* Whether a driver may request an unmap of @size at @page */
static bool v7s_model_can_unmap(const struct v7s_model *m, unsigned int page, size_t size)
{
	unsigned int i;

	if (size < SZ_1M)
		return v7s_model_mapped(m, page, size / SZ_4K) == size / SZ_4K;

	for (i = 0; i < size / SZ_1M; i++)
		if (!m->table[page / 256 + i] && m->phys[page + i * 256] == NO_PHYS)
			return false;
	return true;
}

static void v7s_model_unmap(struct v7s_model *m, unsigned int page, size_t size)
{
	unsigned int i;

	for (i = 0; i < size / SZ_4K; i++)
		m->phys[page + i] = NO_PHYS;
	/* An unmap of a part leaves a table, an unmap of 1 MB or more none. */
	for (i = 0; i < max_t(unsigned int, size / SZ_1M, 1); i++)
		m->table[page / 256 + i] = size < SZ_1M;
}

static unsigned int v7s_model_differs(struct kunit *test, const struct v7s_model *m)
{
	struct v7s_test *t = test->priv;
	unsigned int i, wrong = 0;

	for (i = 0; i < V7S_MODEL_PAGES; i++) {
		unsigned int off = i * 52 % SZ_4K;
		phys_addr_t phys = t->ops->iova_to_phys(t->ops, m->base + i * SZ_4K + off);

		wrong += phys != (m->phys[i] == NO_PHYS ? 0 : m->phys[i] + off);
	}
	return wrong;
}

/* Whether the result of a random operation differs from that of the model */
static int v7s_test_random_op(struct v7s_test *t, struct v7s_model *m, struct rnd_state *rnd)
{
	size_t size = v7s_test_sizes[prandom_u32_state(rnd) % 4];
	unsigned int page = prandom_u32_state(rnd) % V7S_MODEL_PAGES;
	unsigned int count = 1 + prandom_u32_state(rnd) % 4, i;
	unsigned long iova;

	page = ALIGN_DOWN(page, size / SZ_4K);
	count = min_t(unsigned int, count, (V7S_MODEL_PAGES - page) / (size / SZ_4K));
	iova = m->base + page * SZ_4K;

	if (prandom_u32_state(rnd) % 2) {
		u64 paddr = (u64)prandom_u32_state(rnd) << 12 & (BIT_ULL(t->cfg.oas) - 1);
		size_t mapped = 0, want = 0;
		int ret, expect = 0;

		/* Not 0, which iova_to_phys() returns for an address that is not mapped */
		paddr = max_t(u64, ALIGN_DOWN(paddr, size), size);
		if (paddr + count * size > BIT_ULL(t->cfg.oas))
			return 0;
		ret = t->ops->map_pages(t->ops, iova, paddr, size, count, V7S_TEST_PROT,
					GFP_KERNEL, &mapped);
		for (i = 0; i < count && !expect; i++) {
			expect = v7s_model_map(m, page + i * (size / SZ_4K),
					       paddr + i * size, size);
			want += expect ? 0 : size;
		}
		return ret != expect || mapped != want;
	}

	for (i = 0; i < count; i++)
		if (!v7s_model_can_unmap(m, page + i * (size / SZ_4K), size))
			return 0;
	for (i = 0; i < count; i++)
		v7s_model_unmap(m, page + i * (size / SZ_4K), size);
	return t->ops->unmap_pages(t->ops, iova, size, count, NULL) != count * size;
}

static void random_operations_match_model(struct kunit *test)
{
	static const u32 seed = 20181111;
	struct v7s_test *t = test->priv;
	struct v7s_model *m[2];
	struct rnd_state rnd;
	unsigned int i, j;

	v7s_test_make(test, test->param_value);
	/* Low addresses, and those up to the end of the input range */
	m[0] = v7s_model_make(test, SZ_64M);
	m[1] = v7s_model_make(test, BIT_ULL(t->cfg.ias) - V7S_MODEL_SIZE);
	prandom_seed_state(&rnd, seed);

	for (i = 0; i < 8192; i++) {
		KUNIT_ASSERT_EQ_MSG(test, v7s_test_random_op(t, m[i & 1], &rnd), 0,
				    "operation %u of seed %u", i, seed);
		if (i % 1024 == 1023)
			for (j = 0; j < 2; j++)
				KUNIT_ASSERT_EQ_MSG(test, v7s_model_differs(test, m[j]), 0,
						    "after operation %u of seed %u", i, seed);
	}
	KUNIT_EXPECT_EQ(test, v7s_test_count_tables(t).misplaced, 0);
}

static void map_in_hardirq_succeeds(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);
	struct v7s_test_irq *irq;
	unsigned int i;

	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		kunit_skip(test, "PREEMPT_RT allocates nothing in hard interrupt context");

	irq = kunit_kzalloc(test, sizeof(*irq), GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, irq);
	irq->ops = ops;
	init_completion(&irq->done);
	hrtimer_init(&irq->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	irq->timer.function = v7s_test_map_in_irq;
	hrtimer_start(&irq->timer, ms_to_ktime(1), HRTIMER_MODE_REL_HARD);
	wait_for_completion(&irq->done);
	hrtimer_cancel(&irq->timer);

	KUNIT_EXPECT_TRUE(test, irq->in_hardirq);
	KUNIT_EXPECT_EQ(test, irq->mapped, 64);
	for (i = 0; i < 64; i++)
		v7s_test_expect_phys(test, i * SZ_1M, SZ_1G + i * SZ_4K);
	v7s_test_expect_tables(test, 64);
}

#define V7S_RACERS	4
#define V7S_RACE_MB	256

struct v7s_test_racer {
	struct io_pgtable_ops *ops;
	struct completion *start;
	struct completion done;
	unsigned int number;
	unsigned int errors;
};

/* Each racer maps its own pages, in the same megabytes as the others. */
static int v7s_test_race(void *arg)
{
	struct v7s_test_racer *r = arg;
	unsigned int mb, i;

	wait_for_completion(r->start);
	for (mb = 0; mb < V7S_RACE_MB; mb++)
		for (i = r->number; i < 16; i += V7S_RACERS)
			r->errors += !!r->ops->map(r->ops, mb * SZ_1M + i * SZ_4K,
						   SZ_1G + mb * SZ_1M + i * SZ_4K, SZ_4K,
						   V7S_TEST_PROT, GFP_KERNEL);
	complete(&r->done);
	return 0;
}

static void concurrent_maps_share_table(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);
	unsigned int i, started = 0, wrong = 0;
	struct v7s_test_racer *racer;
	struct completion start;

	if (num_online_cpus() < 2)
		kunit_skip(test, "one CPU");

	racer = kunit_kcalloc(test, V7S_RACERS, sizeof(*racer), GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, racer);
	init_completion(&start);
	for (i = 0; i < V7S_RACERS; i++) {
		struct task_struct *task;

		racer[i] = (struct v7s_test_racer) { .ops = ops, .start = &start, .number = i };
		init_completion(&racer[i].done);
		task = kthread_run(v7s_test_race, &racer[i], "v7s_race/%u", i);
		if (IS_ERR(task))
			break;
		started++;
	}
	complete_all(&start);
	for (i = 0; i < started; i++) {
		wait_for_completion(&racer[i].done);
		KUNIT_EXPECT_EQ(test, racer[i].errors, 0);
	}
	KUNIT_ASSERT_EQ(test, started, V7S_RACERS);

	for (i = 0; i < V7S_RACE_MB * 16; i++) {
		unsigned long off = i / 16 * SZ_1M + i % 16 * SZ_4K;

		wrong += ops->iova_to_phys(ops, off) != SZ_1G + off;
	}
	KUNIT_EXPECT_EQ(test, wrong, 0);
	v7s_test_expect_tables(test, V7S_RACE_MB);
}

static struct kunit_case arm_v7s_cases[] = {
	KUNIT_CASE(bad_configuration_refused),
	KUNIT_CASE(tables_for_4gb_below_4gb),
	KUNIT_CASE_PARAM(empty_table_translates_nothing, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(each_size_maps_and_unmaps, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(no_access_refused, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(last_pages_in_range_map, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(tables_below_address_limit, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(split_section_keeps_address, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(split_section_in_large_pages_keeps_address, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(split_large_page_keeps_address, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(split_supersection_keeps_address, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(split_supersection_in_sections_keeps_address, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(split_keeps_attributes, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(map_beyond_input_size_refused, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(map_beyond_output_size_refused, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(map_count_overflow_refused, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(unmap_beyond_input_size_refused, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(refused_map_frees_nothing, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(block_over_live_table_refused, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(block_replaces_empty_table, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(page_tables_coexist, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(unmap_flushes_tlb_range, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(random_operations_match_model, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(map_in_hardirq_succeeds, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(concurrent_maps_share_table, v7s_test_format_gen_params),
	{}
};

static struct kunit_suite arm_v7s_suite = {
	.name = "arm_v7s",
	.init = v7s_test_init,
	.exit = v7s_test_exit,
	.test_cases = arm_v7s_cases,
};

kunit_test_suite(arm_v7s_suite);
