// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite for the Armv7 short-descriptor page table format.
 *
 * Included by io-pgtable-arm-v7s.c for the layout of the entries and for
 * selftest_running; everything is done through the operations that a driver
 * has, and looked at by walking the table as the IOMMU does.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/kthread.h>
#include <linux/platform_device.h>
#include <linux/prandom.h>
#include <linux/sort.h>

#define V7S_TEST_PROT	(IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE)
#define V7S_MTK_QUIRKS	(IO_PGTABLE_QUIRK_ARM_NS | IO_PGTABLE_QUIRK_NO_PERMS |	\
			 IO_PGTABLE_QUIRK_ARM_MTK_EXT)

/* One format in which an IOMMU may be told to walk the table */
struct v7s_test_format {
	const char *name;
	unsigned long quirks;
	unsigned int ias;
	unsigned int oas;
	bool coherent_walk;
};

static const struct v7s_test_format v7s_test_formats[] = {
	{ "plain", 0, 32, 32, true },
	{ "plain, non-coherent", 0, 32, 32, false },
	{ "non-secure", IO_PGTABLE_QUIRK_ARM_NS, 32, 32, true },
	{ "no permissions", IO_PGTABLE_QUIRK_NO_PERMS, 32, 32, true },
	{ "MediaTek, 4 GB mode", V7S_MTK_QUIRKS, 32, 33, true },
	{ "MediaTek, non-coherent", V7S_MTK_QUIRKS, 32, 35, false },
	{ "MediaTek, 34-bit input", V7S_MTK_QUIRKS, 34, 35, true },
	{ "MediaTek, 34-bit input, tables above 4 GB",
	  V7S_MTK_QUIRKS | IO_PGTABLE_QUIRK_ARM_MTK_TTBR_EXT, 34, 35, true },
	{ "MediaTek, 34-bit input, tables above 4 GB, non-coherent",
	  V7S_MTK_QUIRKS | IO_PGTABLE_QUIRK_ARM_MTK_TTBR_EXT, 34, 35, false },
};

static void v7s_test_format_desc(const struct v7s_test_format *format, char *desc)
{
	strscpy(desc, format->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(v7s_test_format, v7s_test_formats, v7s_test_format_desc);

/* A TLB operation that the page table asked for */
struct v7s_test_flush {
	enum { V7S_FLUSH_ALL, V7S_FLUSH_WALK, V7S_FLUSH_PAGE } op;
	unsigned long iova;
	size_t size;
	size_t granule;
};

struct v7s_test {
	struct platform_device *pdev;
	struct io_pgtable_cfg cfg;
	struct io_pgtable_ops *ops;
	/* those since v7s_test_forget_flushes(), the first ones of them */
	struct v7s_test_flush flush[32];
	unsigned int flushes;
};

static void v7s_test_record(void *cookie, int op, unsigned long iova, size_t size,
			    size_t granule)
{
	struct v7s_test *t = cookie;

	if (t->flushes < ARRAY_SIZE(t->flush))
		t->flush[t->flushes] = (struct v7s_test_flush) { op, iova, size, granule };
	t->flushes++;
}

static void v7s_test_flush_all(void *cookie)
{
	v7s_test_record(cookie, V7S_FLUSH_ALL, 0, 0, 0);
}

static void v7s_test_flush_walk(unsigned long iova, size_t size, size_t granule,
				void *cookie)
{
	v7s_test_record(cookie, V7S_FLUSH_WALK, iova, size, granule);
}

static void v7s_test_add_page(struct iommu_iotlb_gather *gather, unsigned long iova,
			      size_t granule, void *cookie)
{
	v7s_test_record(cookie, V7S_FLUSH_PAGE, iova, granule, granule);
}

static const struct iommu_flush_ops v7s_test_tlb = {
	.tlb_flush_all	= v7s_test_flush_all,
	.tlb_flush_walk	= v7s_test_flush_walk,
	.tlb_add_page	= v7s_test_add_page,
};

static void v7s_test_forget_flushes(struct v7s_test *t)
{
	t->flushes = 0;
}

static void v7s_test_set_format(struct kunit *test, const struct v7s_test_format *format)
{
	struct v7s_test *t = test->priv;

	if (format->oas > 32 && !IS_ENABLED(CONFIG_PHYS_ADDR_T_64BIT))
		kunit_skip(test, "kernel with 32-bit physical addresses");
	if (format->ias > BITS_PER_LONG)
		kunit_skip(test, "kernel with 32-bit I/O virtual addresses");

	t->cfg = (struct io_pgtable_cfg) {
		.quirks = format->quirks,
		.pgsize_bitmap = SZ_4K | SZ_64K | SZ_1M | SZ_16M,
		.ias = format->ias,
		.oas = format->oas,
		.coherent_walk = format->coherent_walk,
		.tlb = &v7s_test_tlb,
		.iommu_dev = &t->pdev->dev,
	};
}

/* Make the page table of the case; it goes with the case. */
static struct io_pgtable_ops *v7s_test_make(struct kunit *test,
					    const struct v7s_test_format *format)
{
	struct v7s_test *t = test->priv;

	v7s_test_set_format(test, format);
	t->ops = alloc_io_pgtable_ops(ARM_V7S, &t->cfg, t);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, t->ops);
	return t->ops;
}

static int v7s_test_init(struct kunit *test)
{
	struct v7s_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	unsigned int bits;
	int ret;

	if (!t)
		return -ENOMEM;
	t->pdev = platform_device_alloc("v7s-test", PLATFORM_DEVID_AUTO);
	if (!t->pdev)
		return -ENOMEM;
	ret = platform_device_add(t->pdev);
	if (ret) {
		platform_device_put(t->pdev);
		return ret;
	}
	test->priv = t;
	selftest_running = true;
	/* as far as any of the formats lets a table lie */
	bits = IS_ENABLED(CONFIG_PHYS_ADDR_T_64BIT) ? 35 : 32;
	return dma_coerce_mask_and_coherent(&t->pdev->dev, DMA_BIT_MASK(bits));
}

static void v7s_test_exit(struct kunit *test)
{
	struct v7s_test *t = test->priv;

	selftest_running = false;
	if (!t)
		return;
	if (t->ops)
		free_io_pgtable_ops(t->ops);
	platform_device_unregister(t->pdev);
}

/* -- the table as the IOMMU sees it ---------------------------------------- */

static u32 *v7s_test_pgd(const struct v7s_test *t)
{
	u32 ttbr = t->cfg.arm_v7s_cfg.ttbr;
	phys_addr_t phys = ttbr & GENMASK(31, 14);

	if (t->cfg.quirks & IO_PGTABLE_QUIRK_ARM_MTK_TTBR_EXT)
		phys |= (u64)(ttbr & GENMASK(2, 0)) << 32;
	return phys_to_virt(phys);
}

static unsigned int v7s_test_pgd_entries(const struct v7s_test *t)
{
	return 1U << (t->cfg.ias - 20);
}

/* Where the level-2 table for @iova lies; 0 if there is none. */
static phys_addr_t v7s_test_table_phys(const struct v7s_test *t, u64 iova)
{
	u32 pte = READ_ONCE(v7s_test_pgd(t)[iova >> 20]);
	phys_addr_t phys = pte & GENMASK(31, 10);

	if ((pte & 3) != ARM_V7S_PTE_TYPE_TABLE)
		return 0;
	if (t->cfg.quirks & IO_PGTABLE_QUIRK_ARM_MTK_TTBR_EXT) {
		phys |= pte & BIT(9) ? BIT_ULL(32) : 0;
		phys |= pte & BIT(4) ? BIT_ULL(33) : 0;
		phys |= pte & BIT(5) ? BIT_ULL(34) : 0;
	}
	return phys;
}

/* The entry that translates @iova */
static u32 v7s_test_leaf(const struct v7s_test *t, u64 iova)
{
	phys_addr_t table = v7s_test_table_phys(t, iova);

	if (!table)
		return v7s_test_pgd(t)[iova >> 20];
	return ((u32 *)phys_to_virt(table))[(iova >> 12) & 0xff];
}

static phys_addr_t v7s_test_limit(const struct v7s_test *t)
{
	return t->cfg.quirks & IO_PGTABLE_QUIRK_ARM_MTK_TTBR_EXT ?
	       DMA_BIT_MASK(t->cfg.oas) : DMA_BIT_MASK(32);
}

struct v7s_test_count {
	unsigned int tables;
	unsigned int misplaced;
	unsigned int misaligned;
};

static struct v7s_test_count v7s_test_count_tables(const struct v7s_test *t)
{
	struct v7s_test_count count = {};
	unsigned int i;

	for (i = 0; i < v7s_test_pgd_entries(t); i++) {
		phys_addr_t phys = v7s_test_table_phys(t, (u64)i << 20);

		if (!phys)
			continue;
		count.tables++;
		count.misplaced += phys + SZ_1K - 1 > v7s_test_limit(t);
		/* An entry has no room for the low bits, so ask the allocator. */
		count.misaligned += !IS_ALIGNED((unsigned long)phys_to_virt(phys), SZ_1K);
	}
	return count;
}

static void v7s_test_expect_tables(struct kunit *test, unsigned int tables)
{
	struct v7s_test_count count = v7s_test_count_tables(test->priv);

	KUNIT_EXPECT_EQ(test, count.tables, tables);
	KUNIT_EXPECT_EQ(test, count.misplaced, 0);
	KUNIT_EXPECT_EQ(test, count.misaligned, 0);
}

static void v7s_test_expect_phys(struct kunit *test, unsigned long iova, phys_addr_t phys)
{
	struct v7s_test *t = test->priv;

	KUNIT_EXPECT_EQ_MSG(test, (u64)t->ops->iova_to_phys(t->ops, iova), (u64)phys,
			    "iova %#lx", iova);
}

static int v7s_test_map_prot(struct io_pgtable_ops *ops, unsigned long iova, phys_addr_t paddr,
			     size_t size, int prot)
{
	return ops->map(ops, iova, paddr, size, prot, GFP_KERNEL);
}

static int v7s_test_map(struct io_pgtable_ops *ops, unsigned long iova, phys_addr_t paddr,
			size_t size)
{
	return v7s_test_map_prot(ops, iova, paddr, size, V7S_TEST_PROT);
}

/* -- cases ----------------------------------------------------------------- */

static void empty_translates_nothing(struct kunit *test)
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

/* Each size: map, refuse to map over, unmap in part, map that again, unmap. */
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

/* A page at both ends of what can be said */
static void limits_of_both_sides_map(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);
	struct v7s_test *t = test->priv;
	unsigned long iova = (BIT_ULL(t->cfg.ias) - 1) & PAGE_MASK;
	phys_addr_t paddr = BIT_ULL(t->cfg.oas) - SZ_4K;

	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, iova, paddr, SZ_4K), 0);
	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, 0, paddr, SZ_4K), 0);
	v7s_test_expect_phys(test, iova + SZ_4K - 1, paddr + SZ_4K - 1);
	v7s_test_expect_phys(test, 0, paddr);
	KUNIT_EXPECT_EQ(test, ops->unmap(ops, iova, SZ_4K, NULL), SZ_4K);
	v7s_test_expect_phys(test, iova, 0);
	v7s_test_expect_phys(test, 0, paddr);
}

/* Tables for pages all over the input range lie where the IOMMU finds them. */
static void tables_in_reach(struct kunit *test)
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

/* All of 4 GB in 4 KB pages, next to a cache as it was in 2018 */
static void four_gb_in_pages(struct kunit *test)
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

	/* Tables in one page of memory are neighbours once they are sorted. */
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
		kmem_cache_free(plain, control[i]);
	kmem_cache_destroy(plain);
	kvfree(control);
	kvfree(seen);

	/* with slab debugging, one table takes up to 4 KB */
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

	/* the first part, the last, and one in the middle of each 1 MB */
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

/* What is left of a block looks as if it had been mapped in pages. */
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

static void map_beyond_input_size(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);
	struct v7s_test *t = test->priv;
	unsigned long last = (BIT_ULL(t->cfg.ias) - 1) & PAGE_MASK;
	size_t mapped = 0;

	kunit_info(test, "expect: WARNING:\n");
	KUNIT_EXPECT_EQ(test, ops->map_pages(ops, last, SZ_1G, SZ_4K, 2, V7S_TEST_PROT,
					     GFP_KERNEL, &mapped), -ERANGE);
	KUNIT_EXPECT_EQ(test, mapped, 0);
	v7s_test_expect_phys(test, last, 0);
	v7s_test_expect_phys(test, 0, 0);
	v7s_test_expect_tables(test, 0);
}

static void map_beyond_output_size(struct kunit *test)
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

/* Pages enough for the sum to wrap around */
static void map_of_overflowing_count(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);
	size_t mapped = 0;

	kunit_info(test, "expect: WARNING:\n");
	KUNIT_EXPECT_EQ(test, ops->map_pages(ops, SZ_16M, SZ_16M, SZ_16M, SIZE_MAX / SZ_16M + 1,
					     V7S_TEST_PROT, GFP_KERNEL, &mapped), -ERANGE);
	KUNIT_EXPECT_EQ(test, mapped, 0);
	v7s_test_expect_phys(test, SZ_16M, 0);
}

static void unmap_beyond_input_size(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);
	struct v7s_test *t = test->priv;
	unsigned long last = (BIT_ULL(t->cfg.ias) - 1) & PAGE_MASK;

	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, last, SZ_1G, SZ_4K), 0);
	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, 0, SZ_1G, SZ_4K), 0);
	kunit_info(test, "expect: WARNING:\n");
	KUNIT_EXPECT_EQ(test, ops->unmap_pages(ops, last, SZ_4K, 2, NULL), 0);
	v7s_test_expect_phys(test, last, SZ_1G);
	v7s_test_expect_phys(test, 0, SZ_1G);
}

/* 16 MB over three tables in use and a section: refused with all of it intact */
static void refused_before_anything_is_freed(struct kunit *test)
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

	/* The same with tables that are empty, and could be replaced but for the section */
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

/* More than one page table at a time, gone in another order than they came */
static void several_page_tables(struct kunit *test)
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

static void unmap_flushes_what_it_unmaps(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);
	struct v7s_test *t = test->priv;

	/* nothing was valid, so nothing is in a TLB */
	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, SZ_16M, SZ_1G, SZ_16M), 0);
	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, SZ_1M, SZ_1G, SZ_64K), 0);
	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, SZ_2M, SZ_1G, SZ_4K), 0);
	KUNIT_EXPECT_EQ(test, t->flushes, 0);

	/* a page */
	KUNIT_ASSERT_EQ(test, ops->unmap(ops, SZ_2M, SZ_4K, NULL), SZ_4K);
	KUNIT_EXPECT_EQ(test, t->flushes, 1);
	expect_flush(test, 0, V7S_FLUSH_PAGE, SZ_2M, SZ_4K, SZ_4K);

	/* a page of a large page: that goes as a whole, from its start on */
	v7s_test_forget_flushes(t);
	KUNIT_ASSERT_EQ(test, ops->unmap(ops, SZ_1M + 3 * SZ_4K, SZ_4K, NULL), SZ_4K);
	KUNIT_EXPECT_EQ(test, t->flushes, 2);
	expect_flush(test, 0, V7S_FLUSH_WALK, SZ_1M, SZ_64K, SZ_64K);
	expect_flush(test, 1, V7S_FLUSH_PAGE, SZ_1M + 3 * SZ_4K, SZ_4K, SZ_4K);

	/* a section of a supersection */
	v7s_test_forget_flushes(t);
	KUNIT_ASSERT_EQ(test, ops->unmap(ops, SZ_16M + 5 * SZ_1M, SZ_1M, NULL), SZ_1M);
	KUNIT_EXPECT_EQ(test, t->flushes, 2);
	expect_flush(test, 0, V7S_FLUSH_WALK, SZ_16M, SZ_16M, SZ_16M);
	expect_flush(test, 1, V7S_FLUSH_PAGE, SZ_16M + 5 * SZ_1M, SZ_1M, SZ_1M);

	/* a table, with what walks remember of it */
	v7s_test_forget_flushes(t);
	KUNIT_ASSERT_EQ(test, ops->unmap(ops, SZ_1M, SZ_1M, NULL), SZ_1M);
	KUNIT_EXPECT_EQ(test, t->flushes, 1);
	expect_flush(test, 0, V7S_FLUSH_WALK, SZ_1M, SZ_1M, SZ_4K);
}

/* -- random operations against a model ------------------------------------- */

#define V7S_MODEL_SIZE	SZ_64M
#define V7S_MODEL_PAGES	(V7S_MODEL_SIZE / SZ_4K)
#define V7S_MODEL_MB	(V7S_MODEL_SIZE / SZ_1M)

/* What a part of the input range should translate to */
struct v7s_model {
	unsigned long base;
	phys_addr_t phys[V7S_MODEL_PAGES];	/* NO_PHYS where nothing is mapped */
	bool table[V7S_MODEL_MB];		/* level 1 points to a table */
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

/* How many of the pages from @page on are mapped */
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

/* Whether an unmap of @size is one that a driver may ask for */
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
	/* part of a block leaves a table, all of one nothing */
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

/* The first result that differs from the model's, or 0 */
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

		/* never 0, which is what iova_to_phys() returns for nothing */
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

static void random_operations_follow_model(struct kunit *test)
{
	static const u32 seed = 20181111;
	struct v7s_test *t = test->priv;
	struct v7s_model *m[2];
	struct rnd_state rnd;
	unsigned int i, j;

	v7s_test_make(test, test->param_value);
	/* low, and up to the last page of the input range */
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

/* -- other contexts -------------------------------------------------------- */

struct v7s_test_irq {
	struct hrtimer timer;
	struct completion done;
	struct io_pgtable_ops *ops;
	bool in_hardirq;
	unsigned int mapped;
};

static enum hrtimer_restart v7s_test_map_in_irq(struct hrtimer *timer)
{
	struct v7s_test_irq *irq = container_of(timer, struct v7s_test_irq, timer);
	unsigned int i;

	irq->in_hardirq = in_hardirq();
	for (i = 0; i < 64; i++)
		irq->mapped += !irq->ops->map(irq->ops, i * SZ_1M, SZ_1G + i * SZ_4K, SZ_4K,
					      V7S_TEST_PROT, GFP_ATOMIC);
	complete(&irq->done);
	return HRTIMER_NORESTART;
}

static void maps_in_interrupt_context(struct kunit *test)
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

/* Each racer maps pages of its own, in the same megabytes as the others. */
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

static struct kunit_case v7s_test_cases[] = {
	KUNIT_CASE(bad_configuration_refused),
	KUNIT_CASE(four_gb_in_pages),
	KUNIT_CASE_PARAM(empty_translates_nothing, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(each_size_maps_and_unmaps, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(no_access_refused, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(limits_of_both_sides_map, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(tables_in_reach, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(split_section_keeps_address, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(split_section_in_large_pages_keeps_address, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(split_large_page_keeps_address, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(split_supersection_keeps_address, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(split_supersection_in_sections_keeps_address, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(split_keeps_attributes, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(map_beyond_input_size, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(map_beyond_output_size, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(map_of_overflowing_count, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(unmap_beyond_input_size, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(refused_before_anything_is_freed, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(block_over_live_table_refused, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(block_replaces_empty_table, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(several_page_tables, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(unmap_flushes_what_it_unmaps, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(random_operations_follow_model, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(maps_in_interrupt_context, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(concurrent_maps_share_table, v7s_test_format_gen_params),
	{}
};

static struct kunit_suite v7s_test_suite = {
	.name = "arm_v7s",
	.init = v7s_test_init,
	.exit = v7s_test_exit,
	.test_cases = v7s_test_cases,
};

kunit_test_suite(v7s_test_suite);
