// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The entries of an iommu_table: which are reserved, which are in use, and how to claim a table
 * while nothing is mapped in it.
 *
 * Code that takes a table away, for a larger DMA window or for a virtual machine, has to know that
 * no device uses the table, and that none begins to use it in between. The answer is valid only
 * as long as the locks of all pools are held. So a claim takes all entries before it drops these
 * locks: a later allocation finds the table full, and fails in the way that drivers have to handle
 * anyway. No mapping pays for a test of its own.
 *
 * An allocation sets its bits before it writes the TCEs, and an unmap clears the TCEs before it
 * clears the bits. Therefore a table without bits has no TCEs, and nobody is about to write one.
 */
#include <linux/bitmap.h>
#include <linux/bug.h>
#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/errno.h>
#include <linux/kref.h>
#include <linux/lockdep.h>
#include <linux/spinlock.h>
#include <asm/iommu.h>
#include <asm/iommu-table.h>

/**
 * iommu_table_reserve_pages() - reserve entries that are never handed out
 * @tbl: the table, whose bitmap is empty
 * @res_start: the first entry to reserve, counted from DMA address 0
 * @res_end: the entry after the last one to reserve
 *
 * Clips the range to the table. The entry at DMA address 0 is reserved as well.
 *
 * Context: Any. Nobody else uses @tbl, or the caller holds the locks of all its pools.
 */
void iommu_table_reserve_pages(struct iommu_table *tbl, unsigned long res_start,
			       unsigned long res_end)
{
	unsigned long i;

	WARN_ON_ONCE(res_end < res_start);
	/*
	 * Reserve page 0 so it will not be used for any mappings.
	 * This avoids buggy drivers that consider page 0 to be invalid
	 * to crash the machine or even lose data.
	 */
	if (tbl->it_offset == 0)
		set_bit(0, tbl->it_map);

	if (res_start < tbl->it_offset)
		res_start = tbl->it_offset;

	if (res_end > (tbl->it_offset + tbl->it_size))
		res_end = tbl->it_offset + tbl->it_size;

	/* Check if res_start..res_end is a valid range in the table */
	if (res_start >= res_end) {
		tbl->it_reserved_start = tbl->it_offset;
		tbl->it_reserved_end = tbl->it_offset;
		return;
	}

	tbl->it_reserved_start = res_start;
	tbl->it_reserved_end = res_end;

	for (i = tbl->it_reserved_start; i < tbl->it_reserved_end; ++i)
		set_bit(i - tbl->it_offset, tbl->it_map);
}

/*
 * Excludes iommu_range_alloc() and __iommu_free() on other CPUs, and in interrupts on this one.
 * They hold one lock at a time, so the order of the pools does not matter; large_pool comes first,
 * and tells lockdep so.
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

static void count_entries(const struct iommu_table *tbl, struct iommu_table_usage *usage)
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
 * iommu_table_in_use() - whether anything is mapped in a table
 * @tbl: the table, which iommu_init_table() has initialized
 *
 * The entry at DMA address 0 and the reserved range do not count. A claimed table is in use.
 *
 * Context: Any. The caller holds the locks of all pools of @tbl, and the answer is valid as long as
 * they are held, or the caller is about to free @tbl.
 *
 * Return: true if an entry is in use.
 */
bool iommu_table_in_use(struct iommu_table *tbl)
{
	struct iommu_table_usage usage;

	lockdep_assert(!kref_read(&tbl->it_kref) || lockdep_is_held(&tbl->large_pool.lock));
	count_entries(tbl, &usage);
	return usage.entries;
}

/**
 * iommu_table_get_usage() - how many entries of a table are in use
 * @tbl: the table, which iommu_init_table() has initialized
 * @usage: filled with the answer; all entries count as used if the table is claimed
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
	count_entries(tbl, usage);
	unlock_pools(tbl, flags);
}

/**
 * iommu_table_claim() - take all entries of a table, if none is in use
 * @tbl: the table, which iommu_init_table() has initialized
 * @usage: filled with the entries in use if the claim fails; may be %NULL
 *
 * After that every mapping in @tbl fails, until iommu_table_unclaim(). TCEs are not changed.
 *
 * Context: Any. Takes the locks of all pools, with interrupts off for two passes over the bitmap
 * if the claim succeeds and for about three if it fails.
 *
 * Return: 0, or -EBUSY if an entry is in use or the table is claimed already; nothing has changed
 * then.
 */
int iommu_table_claim(struct iommu_table *tbl, struct iommu_table_usage *usage)
{
	struct iommu_table_usage used;
	unsigned long flags;
	int ret = 0;

	lock_pools(tbl, &flags);
	count_entries(tbl, &used);
	if (used.entries) {
		ret = -EBUSY;
	} else {
		bitmap_fill(tbl->it_map, tbl->it_size);
		tbl->it_claimed = true;
	}
	unlock_pools(tbl, flags);

	if (ret && usage)
		*usage = used;
	return ret;
}

/**
 * iommu_table_unclaim() - allow allocations in a claimed table again
 * @tbl: a table that iommu_table_claim() has claimed
 *
 * The TCEs have to be clear, or must not matter.
 *
 * Context: Any. Takes the locks of all pools, with interrupts off for a pass over the bitmap.
 */
void iommu_table_unclaim(struct iommu_table *tbl)
{
	unsigned long flags;

	lock_pools(tbl, &flags);
	if (!WARN_ON(!tbl->it_claimed)) {
		bitmap_zero(tbl->it_map, tbl->it_size);
		iommu_table_reserve_pages(tbl, tbl->it_reserved_start, tbl->it_reserved_end);
		tbl->it_claimed = false;
	}
	unlock_pools(tbl, flags);
}

/**
 * iommu_limit_bypass() - tell old DMA addresses from those of a direct window
 * @dev: a device with a direct window
 * @end: DMA address of the end of that window
 * @all_reached: whether all memory is mapped in the window
 *
 * With a &device->bus_dma_limit the DMA API compares each address that it maps, and each handle
 * that it unmaps, and uses the table for those outside of the direct window. That is necessary if
 * the window does not reach all memory, or while @dev may have mappings in the table: @dev has used
 * the table, and at each call of this function since then some entries were in use. It ends at the
 * first call that finds none.
 *
 * Context: Process context.
 */
void iommu_limit_bypass(struct device *dev, u64 end, bool all_reached)
{
	struct iommu_table *tbl = get_iommu_table_base(dev);
	struct iommu_table_usage usage = {};

	dev->archdata.iommu_moved = true;
	if (tbl && all_reached && dev->archdata.iommu_table_used) {
		iommu_table_get_usage(tbl, &usage);
		dev->archdata.iommu_table_used = usage.entries;
	}
	if (usage.entries)
		dev_info(dev,
			 "%lu TCEs of the default DMA window in use, the first at %#llx\n",
			 usage.entries, (u64)usage.first);
	if (usage.entries || !all_reached)
		dev->bus_dma_limit = end;
	else if (dev->bus_dma_limit == end)
		dev->bus_dma_limit = 0;
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
 * iommu_table_debugfs() - create the debugfs files that show which entries are in use
 * @tbl: the table
 * @dir: its directory in debugfs
 *
 * "in_use" and "first_in_use" are the members of &struct iommu_table_usage, "claimed" is Y or N.
 * "weight", which exists already, also counts the entries that are never handed out.
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
