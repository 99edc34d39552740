// SPDX-License-Identifier: GPL-2.0
/*
 * Claim an iommu_table while nothing is mapped in it.
 *
 * Whoever takes a table away - for a larger DMA window, or for a virtual machine - has to know that
 * no device uses it, and that none begins to in between. The answer is good for as long as the
 * locks of all pools are held, and no longer. So the entries are all taken before these locks are
 * dropped: an allocation that comes later finds the table full, and fails the way that drivers
 * cope with, without a test of its own in the path of every mapping.
 *
 * An allocation that came first has set its bits before it writes the TCEs, and an unmap clears the
 * TCEs before it gives the bits back. A table without bits therefore has no TCEs, and nobody is
 * about to write one.
 */
#include <linux/bitmap.h>
#include <linux/bug.h>
#include <linux/debugfs.h>
#include <linux/errno.h>
#include <linux/spinlock.h>
#include <asm/iommu.h>
#include <asm/iommu-claim.h>

/*
 * Against iommu_range_alloc() and __iommu_free(), in any context and on any CPU. They hold one lock
 * at a time, so the order among the pools is free; large_pool goes first, to tell lockdep so.
 */
static void lock_pools(struct iommu_table *tbl, unsigned long *flags)
	__acquires(&tbl->large_pool.lock)
{
	unsigned long i;

	spin_lock_irqsave(&tbl->large_pool.lock, *flags);
	for (i = 0; i < tbl->nr_pools; i++) {
		spin_lock_nest_lock(&tbl->pools[i].lock, &tbl->large_pool.lock);
		__release(&tbl->pools[i].lock);		/* sparse cannot count in loops */
	}
}

static void unlock_pools(struct iommu_table *tbl, unsigned long flags)
	__releases(&tbl->large_pool.lock)
{
	unsigned long i;

	for (i = 0; i < tbl->nr_pools; i++) {
		__acquire(&tbl->pools[i].lock);
		spin_unlock(&tbl->pools[i].lock);
	}
	spin_unlock_irqrestore(&tbl->large_pool.lock, flags);
}

/* Bits from..to - 1 */
static void count_range(const struct iommu_table *tbl, unsigned long from, unsigned long to,
			struct iommu_table_usage *usage)
{
	unsigned long bit = find_next_bit(tbl->it_map, to, from);

	if (bit >= to)
		return;
	if (!usage->entries)
		usage->first = (dma_addr_t)(bit + tbl->it_offset) << tbl->it_page_shift;
	usage->entries += bitmap_weight(tbl->it_map, to) - bitmap_weight(tbl->it_map, from);
}

/* As iommu_table_in_use() looks at it */
static void count_pools(const struct iommu_table *tbl, struct iommu_table_usage *usage)
{
	unsigned long start = tbl->it_offset ? 0 : 1;

	*usage = (struct iommu_table_usage){};
	if (tbl->it_reserved_start < tbl->it_reserved_end) {
		count_range(tbl, start, tbl->it_reserved_start - tbl->it_offset, usage);
		start = tbl->it_reserved_end - tbl->it_offset;
	}
	count_range(tbl, start, tbl->it_size, usage);
}

/**
 * iommu_table_get_usage() - how much of a table is in use
 * @tbl: the table, which iommu_init_table() has made
 * @usage: filled with the answer; all of the table if it is claimed
 *
 * The answer is consistent, and out of date when the caller sees it.
 *
 * Context: Any. Takes the locks of all pools, with interrupts off for about three passes over
 * the bitmap.
 */
void iommu_table_get_usage(struct iommu_table *tbl, struct iommu_table_usage *usage)
{
	unsigned long flags;

	lock_pools(tbl, &flags);
	count_pools(tbl, usage);
	unlock_pools(tbl, flags);
}

/**
 * iommu_table_claim() - take all entries of a table, if none is in use
 * @tbl: the table, which iommu_init_table() has made
 * @usage: filled with what is in use if the claim fails; may be %NULL
 *
 * From here on every mapping in @tbl fails, until iommu_table_unclaim(). TCEs are left alone.
 *
 * Context: Any. Takes the locks of all pools, with interrupts off for two passes over the bitmap
 * if the claim succeeds and for four if it fails.
 *
 * Return: 0, or -EBUSY if an entry is in use or the table is claimed already; nothing has changed
 * then.
 */
int iommu_table_claim(struct iommu_table *tbl, struct iommu_table_usage *usage)
{
	unsigned long flags;
	int ret = 0;

	lock_pools(tbl, &flags);
	if (iommu_table_in_use(tbl)) {
		if (usage)
			count_pools(tbl, usage);
		ret = -EBUSY;
	} else {
		bitmap_fill(tbl->it_map, tbl->it_size);
		tbl->it_claimed = true;
	}
	unlock_pools(tbl, flags);

	return ret;
}

/**
 * iommu_table_unclaim() - let entries of a table be allocated again
 * @tbl: a table that iommu_table_claim() has claimed
 *
 * The TCEs have to be clear, or of no concern.
 *
 * Context: Any. Takes the locks of all pools, with interrupts off for a pass over the bitmap.
 */
void iommu_table_unclaim(struct iommu_table *tbl)
{
	unsigned long flags;

	lock_pools(tbl, &flags);
	if (!WARN_ON(!tbl->it_claimed)) {
		bitmap_zero(tbl->it_map, tbl->it_size);
		if (!tbl->it_offset)
			__set_bit(0, tbl->it_map);
		bitmap_set(tbl->it_map, tbl->it_reserved_start - tbl->it_offset,
			   tbl->it_reserved_end - tbl->it_reserved_start);
		tbl->it_claimed = false;
	}
	unlock_pools(tbl, flags);
}

#ifdef CONFIG_IOMMU_DEBUGFS
static int in_use_get(void *data, u64 *val)
{
	struct iommu_table_usage usage;

	iommu_table_get_usage(data, &usage);
	*val = usage.entries;
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(in_use_fops, in_use_get, NULL, "%llu\n");

static int first_in_use_get(void *data, u64 *val)
{
	struct iommu_table_usage usage;

	iommu_table_get_usage(data, &usage);
	*val = usage.first;
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(first_in_use_fops, first_in_use_get, NULL, "%#llx\n");

/**
 * iommu_table_debugfs() - files of what is in use, among those that a table has
 * @tbl: the table
 * @dir: its directory in debugfs
 *
 * "in_use" and "first_in_use" are &struct iommu_table_usage, "claimed" says Y or N. "weight" beside
 * them counts the entries that are never handed out, too.
 *
 * Context: Process context.
 */
void iommu_table_debugfs(struct iommu_table *tbl, struct dentry *dir)
{
	debugfs_create_file_unsafe("in_use", 0400, dir, tbl, &in_use_fops);
	debugfs_create_file_unsafe("first_in_use", 0400, dir, tbl, &first_in_use_fops);
	debugfs_create_bool("claimed", 0400, dir, &tbl->it_claimed);
}
#endif
