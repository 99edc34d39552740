/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The default DMA window of a PE, when a dynamic one takes its place or joins it.
 */
#ifndef _PSERIES_DDW_H
#define _PSERIES_DDW_H

#include <linux/types.h>

struct device_node;
struct dynamic_dma_window_prop;
struct iommu_table;
struct iommu_table_group;
struct pci_dev;
struct property;

int ddw_parse_default_window(struct device_node *pdn, const struct property *default_win,
			     struct dynamic_dma_window_prop *window);
bool ddw_claim_default_window(struct pci_dev *dev, struct iommu_table *tbl);
void ddw_default_window_restored(struct pci_dev *dev, struct iommu_table *tbl, int reset);
struct iommu_table *ddw_retire_default_table(struct pci_dev *dev, struct iommu_table_group *group);

#endif /* _PSERIES_DDW_H */
