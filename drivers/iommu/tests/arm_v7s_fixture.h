/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fixture of the KUnit suites for the Armv7 short-descriptor format. Page tables
 * that a case creates are freed after it, also when a failed assertion ends it
 * early.
 */
#ifndef IOMMU_TESTS_ARM_V7S_FIXTURE_H
#define IOMMU_TESTS_ARM_V7S_FIXTURE_H

#include <kunit/test.h>
#include <linux/bits.h>
#include <linux/completion.h>
#include <linux/dma-mapping.h>
#include <linux/hrtimer.h>
#include <linux/io.h>
#include <linux/io-pgtable.h>
#include <linux/iommu.h>
#include <linux/platform_device.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "../io-pgtable-arm-v7s.h"

/* Bits 1:0 of a level-1 entry that points to a level-2 table */
#define V7S_TEST_TYPE_TABLE	1

#define V7S_TEST_PROT	(IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE)
#define V7S_MTK_QUIRKS	(IO_PGTABLE_QUIRK_ARM_NS | IO_PGTABLE_QUIRK_NO_PERMS |	\
			 IO_PGTABLE_QUIRK_ARM_MTK_EXT)

/**
 * struct v7s_test_format - a variant of the format
 * @name: for the name of the case
 * @quirks: io_pgtable_cfg::quirks
 * @ias: bits of an I/O virtual address
 * @oas: bits of a physical address
 * @coherent_walk: the IOMMU sees the CPU's caches
 */
struct v7s_test_format {
	const char *name;
	unsigned long quirks;
	unsigned int ias;
	unsigned int oas;
	bool coherent_walk;
};

static const struct v7s_test_format v7s_test_formats[] __maybe_unused = {
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

static inline void v7s_test_format_desc(const struct v7s_test_format *format, char *desc)
{
	strscpy(desc, format->name, KUNIT_PARAM_DESC_SIZE);
}

/* A TLB operation that the page table code requested */
struct v7s_test_flush {
	enum { V7S_FLUSH_ALL, V7S_FLUSH_WALK, V7S_FLUSH_PAGE } op;
	unsigned long iova;
	size_t size;
	size_t granule;
};

/**
 * struct v7s_test - fixture of a case, kunit::priv
 * @pdev: the IOMMU
 * @cfg: configuration of the page table
 * @ops: operations of the page table, freed after the case
 * @flush: the first TLB operations since v7s_test_forget_flushes()
 * @flushes: number of TLB operations since then
 */
struct v7s_test {
	struct platform_device *pdev;
	struct io_pgtable_cfg cfg;
	struct io_pgtable_ops *ops;
	struct v7s_test_flush flush[32];
	unsigned int flushes;
};

static inline void v7s_test_record(void *cookie, int op, unsigned long iova, size_t size,
				   size_t granule)
{
	struct v7s_test *t = cookie;

	if (t->flushes < ARRAY_SIZE(t->flush))
		t->flush[t->flushes] = (struct v7s_test_flush) { op, iova, size, granule };
	t->flushes++;
}

static inline void v7s_test_flush_all(void *cookie)
{
	v7s_test_record(cookie, V7S_FLUSH_ALL, 0, 0, 0);
}

static inline void v7s_test_flush_walk(unsigned long iova, size_t size, size_t granule,
				       void *cookie)
{
	v7s_test_record(cookie, V7S_FLUSH_WALK, iova, size, granule);
}

static inline void v7s_test_add_page(struct iommu_iotlb_gather *gather, unsigned long iova,
				     size_t granule, void *cookie)
{
	v7s_test_record(cookie, V7S_FLUSH_PAGE, iova, granule, granule);
}

static const struct iommu_flush_ops v7s_test_tlb = {
	.tlb_flush_all	= v7s_test_flush_all,
	.tlb_flush_walk	= v7s_test_flush_walk,
	.tlb_add_page	= v7s_test_add_page,
};

static inline void v7s_test_forget_flushes(struct v7s_test *t)
{
	t->flushes = 0;
}

static inline void v7s_test_set_format(struct kunit *test, const struct v7s_test_format *format)
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

/* Allocate the page table of the case. */
static inline struct io_pgtable_ops *v7s_test_make(struct kunit *test,
						   const struct v7s_test_format *format)
{
	struct v7s_test *t = test->priv;

	v7s_test_set_format(test, format);
	t->ops = alloc_io_pgtable_ops(ARM_V7S, &t->cfg, t);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, t->ops);
	return t->ops;
}

static inline int v7s_test_init(struct kunit *test)
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
	arm_v7s_selftest_running = true;
	/* The highest address that a table may have in any of the formats */
	bits = IS_ENABLED(CONFIG_PHYS_ADDR_T_64BIT) ? 35 : 32;
	return dma_coerce_mask_and_coherent(&t->pdev->dev, DMA_BIT_MASK(bits));
}

static inline void v7s_test_exit(struct kunit *test)
{
	struct v7s_test *t = test->priv;

	arm_v7s_selftest_running = false;
	if (!t)
		return;
	if (t->ops)
		free_io_pgtable_ops(t->ops);
	platform_device_unregister(t->pdev);
}

/* The table as the IOMMU sees it */

static inline u32 *v7s_test_pgd(const struct v7s_test *t)
{
	u32 ttbr = t->cfg.arm_v7s_cfg.ttbr;
	phys_addr_t phys = ttbr & GENMASK(31, 14);

	if (t->cfg.quirks & IO_PGTABLE_QUIRK_ARM_MTK_TTBR_EXT)
		phys |= (u64)(ttbr & GENMASK(2, 0)) << 32;
	return phys_to_virt(phys);
}

static inline unsigned int v7s_test_pgd_entries(const struct v7s_test *t)
{
	return 1U << (t->cfg.ias - 20);
}

/* Physical address of the level-2 table for @iova, or 0 if there is none */
static inline phys_addr_t v7s_test_table_phys(const struct v7s_test *t, u64 iova)
{
	u32 pte = READ_ONCE(v7s_test_pgd(t)[iova >> 20]);
	phys_addr_t phys = pte & GENMASK(31, 10);

	if ((pte & 3) != V7S_TEST_TYPE_TABLE)
		return 0;
	if (t->cfg.quirks & IO_PGTABLE_QUIRK_ARM_MTK_TTBR_EXT) {
		phys |= pte & BIT(9) ? BIT_ULL(32) : 0;
		phys |= pte & BIT(4) ? BIT_ULL(33) : 0;
		phys |= pte & BIT(5) ? BIT_ULL(34) : 0;
	}
	return phys;
}

/* The entry that translates @iova */
static inline u32 v7s_test_leaf(const struct v7s_test *t, u64 iova)
{
	phys_addr_t table = v7s_test_table_phys(t, iova);

	if (!table)
		return v7s_test_pgd(t)[iova >> 20];
	return ((u32 *)phys_to_virt(table))[(iova >> 12) & 0xff];
}

static inline phys_addr_t v7s_test_limit(const struct v7s_test *t)
{
	return t->cfg.quirks & IO_PGTABLE_QUIRK_ARM_MTK_TTBR_EXT ?
	       DMA_BIT_MASK(t->cfg.oas) : DMA_BIT_MASK(32);
}

/* Level-2 tables that level 1 points to, and those at a wrong address */
struct v7s_test_count {
	unsigned int tables;
	unsigned int misplaced;
	unsigned int misaligned;
};

static inline struct v7s_test_count v7s_test_count_tables(const struct v7s_test *t)
{
	struct v7s_test_count count = {};
	unsigned int i;

	for (i = 0; i < v7s_test_pgd_entries(t); i++) {
		phys_addr_t phys = v7s_test_table_phys(t, (u64)i << 20);

		if (!phys)
			continue;
		count.tables++;
		count.misplaced += phys + SZ_1K - 1 > v7s_test_limit(t);
		/* The low bits do not fit into an entry; compare the virtual address. */
		count.misaligned += !IS_ALIGNED((unsigned long)phys_to_virt(phys), SZ_1K);
	}
	return count;
}

static inline void v7s_test_expect_tables(struct kunit *test, unsigned int tables)
{
	struct v7s_test_count count = v7s_test_count_tables(test->priv);

	KUNIT_EXPECT_EQ(test, count.tables, tables);
	KUNIT_EXPECT_EQ(test, count.misplaced, 0);
	KUNIT_EXPECT_EQ(test, count.misaligned, 0);
}

static inline void v7s_test_expect_phys(struct kunit *test, unsigned long iova, phys_addr_t phys)
{
	struct v7s_test *t = test->priv;

	KUNIT_EXPECT_EQ_MSG(test, (u64)t->ops->iova_to_phys(t->ops, iova), (u64)phys,
			    "iova %#lx", iova);
}

static inline int v7s_test_map_prot(struct io_pgtable_ops *ops, unsigned long iova,
				    phys_addr_t paddr, size_t size, int prot)
{
	return ops->map(ops, iova, paddr, size, prot, GFP_KERNEL);
}

static inline int v7s_test_map(struct io_pgtable_ops *ops, unsigned long iova,
			       phys_addr_t paddr, size_t size)
{
	return v7s_test_map_prot(ops, iova, paddr, size, V7S_TEST_PROT);
}

/* A timer that maps 64 pages in hard interrupt context, one in each 1 MB */
struct v7s_test_irq {
	struct hrtimer timer;
	struct completion done;
	struct io_pgtable_ops *ops;
	bool in_hardirq;
	unsigned int mapped;
};

static inline enum hrtimer_restart v7s_test_map_in_irq(struct hrtimer *timer)
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

#endif /* IOMMU_TESTS_ARM_V7S_FIXTURE_H */
