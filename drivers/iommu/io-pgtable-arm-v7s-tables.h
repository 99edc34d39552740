/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory for the tables of the Armv7 short-descriptor format.
 *
 * See Documentation/driver-api/io-pgtable-arm-v7s.rst for what a table is and
 * where it may lie.
 */
#ifndef IO_PGTABLE_ARM_V7S_TABLES_H
#define IO_PGTABLE_ARM_V7S_TABLES_H

#include <linux/io-pgtable.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct kmem_cache;

/**
 * struct v7s_tables_stats - what became of the requests for tables
 * @reserved: Level-2 tables in the reserve now.
 * @wanted: Level-2 tables that the reserve holds when it is full.
 * @taken: Level-2 tables that came from the reserve so far.
 * @refilled: Level-2 tables that went into the reserve so far, not counting
 *            those that filled it at first.
 * @relocated: Tables of both levels that lay too high and were asked for again
 *             lower down.
 * @misfits: Tables of both levels that were not usable in the end.
 * @failed: Level-2 tables that nobody had: neither the allocator nor the
 *          reserve.
 */
struct v7s_tables_stats {
	unsigned int reserved;
	unsigned int wanted;
	unsigned long taken;
	unsigned long refilled;
	unsigned long relocated;
	unsigned long misfits;
	unsigned long failed;
};

/**
 * struct v7s_tables - the memory of one page table
 * @dev: The IOMMU, for messages; may be NULL.
 * @last: Highest physical address that a byte of a table may have.
 * @anywhere: Tables are first asked for without a zone, because @last is above
 *            4 GB; otherwise all of them come from below 4 GB.
 * @lock: Protects all that follows. Map and unmap take it, in any context and
 *        on several CPUs at once, but only when a table is allocated or freed
 *        and not for each page.
 * @spare: The reserve, a stack of @stats.reserved zeroed level-2 tables.
 * @stats: @stats.reserved is also read without @lock, see v7s_tables_low().
 * @node: On the list of all page tables, under its mutex.
 */
struct v7s_tables {
	struct device *dev;
	phys_addr_t last;
	bool anywhere;

	/* taken by map and unmap of one page table on several CPUs */
	spinlock_t lock;
	void **spare;
	struct v7s_tables_stats stats;

	struct list_head node;
};

int v7s_tables_init(struct v7s_tables *tables, const struct io_pgtable_cfg *cfg);
void v7s_tables_destroy(struct v7s_tables *tables);
void *v7s_tables_alloc(struct v7s_tables *tables, int lvl, size_t size, gfp_t gfp);
void v7s_tables_free(struct v7s_tables *tables, void *table, int lvl, size_t size);
void v7s_tables_refill(struct v7s_tables *tables);
void v7s_tables_get_stats(struct v7s_tables *tables, struct v7s_tables_stats *stats);

/**
 * v7s_tables_low - Is the reserve not full
 * @tables: The memory of a page table.
 *
 * Reads the fill level without the lock: a wrong answer means a refill that is
 * done by the next map instead of this one, or one that finds nothing to do.
 *
 * Context: Any. This is all that a map costs that needs no table.
 * Return: true if v7s_tables_refill() should be called from a context that may
 *         block.
 */
static inline bool v7s_tables_low(const struct v7s_tables *tables)
{
	return READ_ONCE(tables->stats.reserved) < tables->stats.wanted;
}

#endif /* IO_PGTABLE_ARM_V7S_TABLES_H */
