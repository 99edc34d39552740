/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory for the tables of the Armv7 short-descriptor format.
 *
 * Documentation/driver-api/io-pgtable-arm-v7s.rst describes the format and
 * where a table may lie.
 */
#ifndef IO_PGTABLE_ARM_V7S_TABLES_H
#define IO_PGTABLE_ARM_V7S_TABLES_H

#include <linux/io-pgtable.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>

/**
 * struct v7s_tables_stats - counters of one page table
 * @reserved: level-2 tables in the reserve now
 * @wanted: level-2 tables in a full reserve
 * @taken: level-2 tables taken from the reserve so far
 * @refilled: level-2 tables put into the reserve so far, without those that
 *            filled it at creation
 * @relocated: tables of both levels that were above the limit, so that another
 *             one was requested below 4 GB
 * @misfits: tables of both levels that were refused because of their address
 * @failed: level-2 tables that neither the allocator nor the reserve had
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
 * @dev: the IOMMU, for messages; may be NULL
 * @last: highest physical address that a byte of a table may have
 * @anywhere: tables are first allocated without a zone, because @last is above
 *            4 GB; otherwise all of them are allocated below 4 GB
 * @lock: protects @spare and @stats
 * @spare: the reserve, a stack of @stats.reserved zeroed level-2 tables
 * @stats: counters; v7s_tables_need_refill() reads two of them without @lock
 * @node: entry of the list of all page tables, protected by its mutex
 */
struct v7s_tables {
	struct device *dev;
	phys_addr_t last;
	bool anywhere;

	/*
	 * Taken by map and unmap on several CPUs at once, in any context, but
	 * only when a table is allocated or freed.
	 */
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
 * v7s_tables_need_refill() - check whether the reserve is not full
 * @tables: the memory of a page table
 *
 * Reads the fill level without the lock. A stale value means that the next map
 * refills the reserve instead of this one, or that a refill finds it full.
 *
 * Context: Any. A map that needs no table has no other cost.
 * Return: true if v7s_tables_refill() should be called from a context that may
 *         block.
 */
static inline bool v7s_tables_need_refill(const struct v7s_tables *tables)
{
	return READ_ONCE(tables->stats.reserved) < tables->stats.wanted;
}

#endif /* IO_PGTABLE_ARM_V7S_TABLES_H */
