/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What dynamic DMA windows (DDW) of pseries want of the firmware.
 *
 * LoPAR, "DMA window manipulation": ibm,query-pe-dma-window, ibm,create-pe-dma-window,
 * ibm,remove-pe-dma-window, and the extension ibm,reset-pe-dma-windows.
 */
#ifndef _PSERIES_DDW_FW_H
#define _PSERIES_DDW_FW_H

#include <linux/types.h>

struct device_node;
struct iommu_table_ops;
struct pci_dev;

/* this is compatible with cells for the device tree property */
struct dynamic_dma_window_prop {
	__be32	liobn;		/* tce table number */
	__be64	dma_base;	/* address hi,lo */
	__be32	tce_shift;	/* ilog2(tce_page_size) */
	__be32	window_shift;	/* ilog2(tce_window_size) */
};

/* Dynamic DMA Window support */
struct ddw_query_response {
	u32 windows_available;
	u64 largest_available_block;
	u32 page_size;
	u32 migration_capable;
};

struct ddw_create_response {
	u32 liobn;
	u32 addr_hi;
	u32 addr_lo;
};

/**
 * struct ddw_fw_ops - what enable_ddw() wants of firmware and hypervisor
 * @query: asks how many windows the PE of a device may still have, and of which size
 * @create: makes a window, of (1 << window_shift) bytes in pages of (1 << page_shift)
 * @remove: removes the window with that LIOBN
 * @reset: gives the PE of a device its default window back, and takes all others away
 * @clear: clears the TCEs of the page frames start_pfn..start_pfn + num_pfn - 1 in a window that
 *	&struct dynamic_dma_window_prop describes
 * @set: maps these page frames there, each at its own offset in the window
 * @has_pmem: whether the partition has persistent memory, which may lie above all RAM
 * @table_ops: of the table of a window that is not mapped as a whole
 *
 * All but @has_pmem return 0, or else what RTAS or the hypervisor says; they are called in process
 * context with dma_win_init_mutex held, except for @remove and @clear when a node is detached, and
 * @set and @clear when memory comes and goes. Tests put functions of their own here.
 */
struct ddw_fw_ops {
	int (*query)(struct pci_dev *dev, const u32 *ddw_avail, struct ddw_query_response *query,
		     struct device_node *parent);
	int (*create)(struct pci_dev *dev, const u32 *ddw_avail, struct ddw_create_response *create,
		      int page_shift, int window_shift);
	int (*remove)(const u32 *ddw_avail, u64 liobn);
	int (*reset)(struct pci_dev *dev, struct device_node *par_dn);
	int (*clear)(unsigned long start_pfn, unsigned long num_pfn, const void *window);
	int (*set)(unsigned long start_pfn, unsigned long num_pfn, void *window);
	bool (*has_pmem)(void);
	struct iommu_table_ops *table_ops;
};

#endif /* _PSERIES_DDW_FW_H */
