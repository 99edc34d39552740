/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Dynamic DMA windows (DDW) of pseries: the firmware calls, and what the files that deal with
 * these windows, and their KUnit suite, need of each other.
 *
 * LoPAR, "DMA window manipulation": ibm,query-pe-dma-window, ibm,create-pe-dma-window,
 * ibm,remove-pe-dma-window, and the extension ibm,reset-pe-dma-windows.
 */
#ifndef _PSERIES_DDW_H
#define _PSERIES_DDW_H

#include <linux/types.h>

struct device_node;
struct iommu_table;
struct iommu_table_group;
struct iommu_table_ops;
struct notifier_block;
struct pci_controller;
struct pci_dev;
struct property;

#define DIRECT64_PROPNAME "linux,direct64-ddr-window-info"
#define DMA64_PROPNAME "linux,dma64-ddr-window-info"

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
 * struct ddw_fw_ops - what enable_ddw() needs from the firmware and the hypervisor
 * @query: reports how many more windows the PE of a device may have, and how large they may be
 * @create: creates a window of (1 << window_shift) bytes in pages of (1 << page_shift) bytes
 * @remove: removes the window with the given LIOBN
 * @reset: restores the default window of a device's PE and removes all its other windows
 * @clear: clears the TCEs of the page frames start_pfn..start_pfn + num_pfn - 1 in the window that
 *	a &struct dynamic_dma_window_prop describes
 * @set: maps these page frames there, each at its own offset in the window
 * @has_pmem: reports whether the partition has persistent memory, which may lie above all RAM
 * @table_ops: operations of the table of a window that is not mapped as a whole
 *
 * @query to @set return 0, or the error of RTAS or of the hypervisor. enable_ddw() calls them in
 * process context with dma_win_init_mutex held; @remove and @clear are also called,
 * without it, when a node is detached. Memory hotplug does not use this table.
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

/* ddw.c */
int ddw_parse_default_window(struct device_node *pdn, const struct property *default_win,
			     struct dynamic_dma_window_prop *window);
bool ddw_claim_default_window(struct pci_dev *dev, struct iommu_table *tbl);
void ddw_restore_default_table(struct pci_dev *dev, struct iommu_table *tbl, int reset);
struct iommu_table *ddw_retire_default_table(struct pci_dev *dev, struct iommu_table_group *group);

/* The KUnit suite replaces it while a case runs. */
extern const struct ddw_fw_ops *ddw_fw;

/* iommu.c; most of these are global for the KUnit suite */
struct iommu_table_group *iommu_pseries_alloc_group(int node);
void iommu_table_setparms_common(struct iommu_table *tbl, unsigned long busno,
				 unsigned long liobn, unsigned long win_addr,
				 unsigned long window_size, unsigned long page_shift,
				 void *base, struct iommu_table_ops *table_ops);
phys_addr_t ddw_memory_hotplug_max(void);
bool ddw_has_failed(struct device_node *pdn);
void ddw_clear_failed(struct device_node *pdn);
struct iommu_table *ddw_create_table(struct pci_controller *phb,
				     const struct dynamic_dma_window_prop *window);
bool enable_ddw(struct pci_dev *dev, struct device_node *pdn);
int iommu_mem_notifier(struct notifier_block *nb, unsigned long action, void *data);
int iommu_reconfig_notifier(struct notifier_block *nb, unsigned long action, void *data);

#endif /* _PSERIES_DDW_H */
