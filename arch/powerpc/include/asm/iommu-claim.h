/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who uses the entries (TCEs) of an iommu_table, and how to keep everybody else from them.
 */
#ifndef _ASM_POWERPC_IOMMU_CLAIM_H
#define _ASM_POWERPC_IOMMU_CLAIM_H

#include <linux/types.h>

struct dentry;
struct iommu_table;

/**
 * struct iommu_table_usage - what of an iommu_table is in use
 * @entries: number of TCEs in use, of IOMMU_PAGE_SIZE() bytes each
 * @first: DMA address of the lowest one; 0 if there is none, as no table hands that out
 *
 * The entry at DMA address 0 and the range of 32-bit MMIO, which are never handed out, do not
 * count.
 */
struct iommu_table_usage {
	unsigned long entries;
	dma_addr_t first;
};

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

#endif /* _ASM_POWERPC_IOMMU_CLAIM_H */
