// SPDX-License-Identifier: GPL-2.0
/*
 * The default DMA window of a PE, which a dynamic one may replace.
 *
 * Where the firmware has room for one window only, the default one has to be removed before a
 * larger one can be created. All functions of the PE share it. So nothing may be mapped in it, and
 * nothing may be mapped from before the removal until the outcome is known:
 *
 *	claimed --> removed --> the dynamic window works:  the table is retired
 *	               |
 *	               +------> it does not, reset works:  unclaimed, as before
 *	                                     reset fails:  claimed for good, all maps fail
 *
 * A retired table stays claimed, and in memory, until its PE goes: another CPU may have read its
 * address from a device just before, and finds it full then.
 */
#include <linux/log2.h>
#include <linux/of.h>
#include <linux/pci.h>
#include <asm/iommu.h>
#include <asm/iommu-table.h>
#include <asm/pci-bridge.h>
#include <asm/prom.h>
#include "ddw.h"

/**
 * ddw_parse_default_window() - read the property of the default window
 * @pdn: the node of the PE
 * @default_win: its property "ibm,dma-window": LIOBN, address and size, in as many cells as the
 *	node says; TCEs map 4 KB
 * @window: filled with the same values in the form of a dynamic window
 *
 * Context: Any.
 *
 * Return: 0, or -EINVAL if the property is too short or the size is less than a page.
 */
int ddw_parse_default_window(struct device_node *pdn, const struct property *default_win,
			     struct dynamic_dma_window_prop *window)
{
	u32 address_cells = of_n_addr_cells(pdn), size_cells = of_n_size_cells(pdn);
	unsigned long liobn, offset, size;

	/* of_parse_dma_window() reads this many cells, and does not check the length. */
	of_property_read_u32(pdn, "#address-cells", &address_cells);
	of_property_read_u32(pdn, "ibm,#dma-address-cells", &address_cells);
	of_property_read_u32(pdn, "ibm,#dma-size-cells", &size_cells);
	if (default_win->length < (1 + address_cells + size_cells) * sizeof(__be32))
		return -EINVAL;
	of_parse_dma_window(pdn, default_win->value, &liobn, &offset, &size);
	if (size < PAGE_SIZE)
		return -EINVAL;

	window->liobn = cpu_to_be32(liobn);
	window->dma_base = cpu_to_be64(offset);
	window->tce_shift = cpu_to_be32(IOMMU_PAGE_SHIFT_4K);
	window->window_shift = cpu_to_be32(order_base_2(size));
	return 0;
}

struct other_user {
	struct pci_dev *dev;
	struct iommu_table *tbl;
	struct pci_dev *found;
};

/*
 * A driver that is being probed has no mappings that it relies on. It sets its mask later, and gets
 * an error then. The holder of a device's lock is about to probe or to remove the device.
 */
static int find_other_user(struct pci_dev *pdev, void *data)
{
	struct other_user *other = data;

	if (pdev == other->dev || pci_is_bridge(pdev) ||
	    get_iommu_table_base(&pdev->dev) != other->tbl || !device_trylock(&pdev->dev))
		return 0;
	if (device_is_bound(&pdev->dev))
		other->found = pci_dev_get(pdev);
	device_unlock(&pdev->dev);
	return !!other->found;
}

/**
 * ddw_claim_default_window() - make maps in the default window fail, so that it can be removed
 * @dev: the device that is to get a dynamic window
 * @tbl: the table of the default window
 *
 * Fails, with a message, if anything is mapped there, or if another device of the PE has a driver,
 * which has no other window.
 *
 * Context: Process context. Takes pci_bus_sem and the locks of the pools of @tbl.
 *
 * Return: true if @tbl is claimed. ddw_restore_default_table() or ddw_retire_default_table() ends
 * the claim.
 */
bool ddw_claim_default_window(struct pci_dev *dev, struct iommu_table *tbl)
{
	struct other_user other = { .dev = dev, .tbl = tbl };
	struct iommu_table_usage usage;

	if (iommu_table_claim(tbl, &usage)) {
		dev_warn(&dev->dev,
			 "default DMA window stays: %lu TCEs in use, the first at %#llx\n",
			 usage.entries, (u64)usage.first);
		return false;
	}
	pci_walk_bus(pci_bus_to_host(dev->bus)->bus, find_other_user, &other);
	if (other.found) {
		iommu_table_unclaim(tbl);
		dev_warn(&dev->dev, "default DMA window stays: %s uses it\n",
			 pci_name(other.found));
		pci_dev_put(other.found);
		return false;
	}
	return true;
}

/**
 * ddw_restore_default_table() - use the default window again after a reset
 * @dev: the device that was to get a dynamic window
 * @tbl: the table of the default window, which is claimed
 * @reset: result of the reset of the PE's windows: 0, or an error
 *
 * After an error there is no window behind @tbl. It stays claimed, so that mappings fail instead of
 * pointing nowhere.
 *
 * Context: Process context.
 */
void ddw_restore_default_table(struct pci_dev *dev, struct iommu_table *tbl, int reset)
{
	iommu_debugfs_add(tbl);
	if (reset) {
		dev_err(&dev->dev, "default DMA window is lost (%d): nothing can be mapped\n",
			reset);
		return;
	}
	tbl->it_ops->clear(tbl, tbl->it_offset, tbl->it_size);
	iommu_table_unclaim(tbl);
}

struct table_replacement {
	struct iommu_table *from, *to;
};

static int replace_table(struct pci_dev *pdev, void *data)
{
	struct table_replacement *tables = data;

	if (get_iommu_table_base(&pdev->dev) == tables->from)
		set_iommu_table_base(&pdev->dev, tables->to);
	return 0;
}

/**
 * ddw_retire_default_table() - let no device use the table of a window that has been replaced
 * @dev: the device that has got a dynamic window
 * @group: the tables of its PE; the first one is retired, and the second one, if there is one,
 *	takes its place in all devices of the PE
 *
 * Without a second one, which is the case if all memory is mapped in the dynamic window, devices
 * that cannot address that window have no table any more, and setting their mask fails.
 *
 * Context: Process context. Takes pci_bus_sem.
 *
 * Return: the retired table, which is claimed; the caller puts it when the PE goes.
 */
struct iommu_table *ddw_retire_default_table(struct pci_dev *dev, struct iommu_table_group *group)
{
	struct table_replacement tables = { .from = group->tables[0], .to = group->tables[1] };

	group->tables[0] = NULL;
	pci_walk_bus(pci_bus_to_host(dev->bus)->bus, replace_table, &tables);
	return tables.from;
}
