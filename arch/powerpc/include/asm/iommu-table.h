/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The entries (TCEs) of an iommu_table: which are reserved, which are in use, and how to keep
 * others from using them; and the table to which a DMA address (handle) belongs.
 *
 * A PE may get a second table, at higher addresses, in which its devices map from some time on. The
 * first one is its it_older. Or they map past all tables, in a direct window. For such a device
 * archdata.iommu_moved is set for good, and each of its handles and masks is compared with the
 * tables. archdata.iommu_table_used is set by a map in any table, and cleared when
 * none of its entries is left.
 */
#ifndef _ASM_POWERPC_IOMMU_TABLE_H
#define _ASM_POWERPC_IOMMU_TABLE_H

#include <linux/types.h>
#include <asm/iommu.h>

struct dentry;

/**
 * struct iommu_table_usage - which entries of an iommu_table are in use
 * @entries: number of TCEs in use, of IOMMU_PAGE_SIZE() bytes each
 * @first: DMA address of the lowest one; 0, which no table hands out, if there is none
 *
 * The entry at DMA address 0 and the range of 32-bit MMIO are never handed out and do not count.
 */
struct iommu_table_usage {
	unsigned long entries;
	dma_addr_t first;
};

void iommu_table_reserve_pages(struct iommu_table *tbl, unsigned long res_start,
			       unsigned long res_end);
bool iommu_table_in_use(struct iommu_table *tbl);
void iommu_table_get_usage(struct iommu_table *tbl, struct iommu_table_usage *usage);
int iommu_table_claim(struct iommu_table *tbl, struct iommu_table_usage *usage);
void iommu_table_unclaim(struct iommu_table *tbl);

#ifdef CONFIG_IOMMU_DEBUGFS
void iommu_table_debugfs(struct iommu_table *tbl, struct dentry *dir);
void iommu_debugfs_add(struct iommu_table *tbl);
void iommu_debugfs_del(struct iommu_table *tbl);
#else
static inline void iommu_debugfs_add(struct iommu_table *tbl) {}
static inline void iommu_debugfs_del(struct iommu_table *tbl) {}
#endif

/**
 * iommu_table_contains() - whether a DMA address lies in the window of a table
 * @tbl: the table
 * @handle: the address
 *
 * Context: Any.
 *
 * Return: true if it does.
 */
static inline bool iommu_table_contains(const struct iommu_table *tbl, dma_addr_t handle)
{
	return (handle >> tbl->it_page_shift) - tbl->it_offset < tbl->it_size;
}

/**
 * iommu_table_for_handle() - find the table in which a DMA address has been allocated
 * @base: the table in which the device maps; may be %NULL
 * @handle: an address that the device has mapped
 *
 * Context: Any.
 *
 * Return: @base or an older table, whichever contains @handle; @base if none does.
 */
static inline struct iommu_table *iommu_table_for_handle(struct iommu_table *base,
							 dma_addr_t handle)
{
	struct iommu_table *tbl;

	for (tbl = base; tbl; tbl = tbl->it_older)
		if (likely(iommu_table_contains(tbl, handle)))
			return tbl;
	return base;
}

/**
 * iommu_table_for_mask() - find a table that a device can address
 * @base: the table in which the device maps; may be %NULL
 * @mask: the DMA mask of the device
 *
 * Context: Any.
 *
 * Return: @base, or an older table that begins lower, or %NULL.
 */
static inline struct iommu_table *iommu_table_for_mask(struct iommu_table *base, u64 mask)
{
	while (base && unlikely(base->it_offset > mask >> base->it_page_shift))
		base = base->it_older;
	return base;
}

void iommu_limit_bypass(struct device *dev, u64 end, bool all_reached);

#endif /* _ASM_POWERPC_IOMMU_TABLE_H */
