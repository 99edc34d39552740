/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which of the tables that a device has mapped with a DMA address (handle) is of.
 *
 * A PE may have a second table, higher up, that its devices map with from some time on. The one
 * before it is its it_older. Or they map past all tables, in a direct window. Such a device is
 * archdata.iommu_moved, for good, and each of its addresses and masks is looked at. A device that
 * has mapped by a table, whether there are others or not, is archdata.iommu_table_used.
 */
#ifndef _ASM_POWERPC_IOMMU_HANDLE_H
#define _ASM_POWERPC_IOMMU_HANDLE_H

#include <linux/types.h>
#include <asm/iommu.h>

/**
 * iommu_table_has() - whether a DMA address lies in the window of a table
 * @tbl: the table
 * @handle: the address
 */
static inline bool iommu_table_has(const struct iommu_table *tbl, dma_addr_t handle)
{
	return (handle >> tbl->it_page_shift) - tbl->it_offset < tbl->it_size;
}

/**
 * iommu_table_of() - which table a DMA address is of
 * @base: the table that a device maps with; may be %NULL
 * @handle: an address that the device has mapped
 *
 * Return: @base, or one that the device has mapped with before its mask let it use @base; @base if
 * the address is of none of them.
 */
static inline struct iommu_table *iommu_table_of(struct iommu_table *base, dma_addr_t handle)
{
	struct iommu_table *tbl;

	for (tbl = base; tbl; tbl = tbl->it_older)
		if (likely(iommu_table_has(tbl, handle)))
			return tbl;
	return base;
}

/**
 * iommu_table_within() - the table whose addresses a mask reaches
 * @base: the table that a device maps with; may be %NULL
 * @mask: what the device can address
 *
 * Return: @base, or an older table that begins lower, or %NULL.
 */
static inline struct iommu_table *iommu_table_within(struct iommu_table *base, u64 mask)
{
	while (base && unlikely(base->it_offset > mask >> base->it_page_shift))
		base = base->it_older;
	return base;
}

void iommu_limit_bypass(struct device *dev, u64 end, bool all_reached);

#endif /* _ASM_POWERPC_IOMMU_HANDLE_H */
