// SPDX-License-Identifier: GPL-2.0
/*
 * The default DMA window of a PE, when a dynamic one takes its place or joins it.
 *
 * Where the firmware has room for one window only, the default one has to be removed before a
 * larger one can be created. All functions of the PE share it. So nothing may be mapped in it, and
 * nobody may begin to, from before the removal until the outcome is certain:
 *
 *	claimed --> removed --> dynamic window works: the table is retired
 *	               |
 *	               +------> it does not: reset works:  unclaimed, as before
 *	                                     reset fails:  claimed for good, all maps fail
 *
 * A retired table stays claimed, and in memory, until its PE goes: another CPU may have read its
 * address from a device just before, and finds it full then.
 */
#include <linux/dma-mapping.h>
#include <linux/pci.h>
#include <linux/log2.h>
#include <linux/of.h>
#include <asm/iommu.h>
#include <asm/iommu-claim.h>
#include <asm/pci-bridge.h>
#include <asm/prom.h>
#include "ddw.h"
#include "ddw_fw.h"

/**
 * ddw_parse_default_window() - read the property of the default window
 * @pdn: the node of the PE
 * @default_win: its property "ibm,dma-window": LIOBN, address and size, in cells of the node's own
 *	number; TCEs are of 4 KB
 * @window: filled with the same in the form of a dynamic window
 *
 * Return: 0, or -EINVAL if the property is too short, or the size is none.
 */
int ddw_parse_default_window(struct device_node *pdn, const struct property *default_win,
			     struct dynamic_dma_window_prop *window)
{
	u32 address_cells = of_n_addr_cells(pdn), size_cells = of_n_size_cells(pdn);
	unsigned long liobn, offset, size;

	/* As many cells as of_parse_dma_window() is going to read; it does not look. */
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
 * A driver that is still being probed has no mappings that it counts on; it sets its mask next, and
 * is told then. Whoever holds the device's lock is about to probe or to remove it.
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
 * ddw_claim_default_window() - keep everybody from the default window, so that it can be removed
 * @dev: the device that wants a dynamic window
 * @tbl: the table of the default window
 *
 * Fails if anything is mapped there, or if another device of the PE has a driver, which has nowhere
 * else to map: it says so.
 *
 * Context: Process context. Takes pci_bus_sem and the locks of the pools of @tbl.
 *
 * Return: true if @tbl is claimed: ddw_default_window_restored() or ddw_retire_default_table() ends
 * that.
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
 * ddw_default_window_restored() - take up the default window again
 * @dev: the device that had wanted a dynamic window
 * @tbl: the table of the default window, which is claimed
 * @reset: what became of the reset of the PE's windows: 0, or an error
 *
 * After an error there is no window behind @tbl. It stays claimed, so that mappings fail instead of
 * pointing nowhere.
 *
 * Context: Process context.
 */
void ddw_default_window_restored(struct pci_dev *dev, struct iommu_table *tbl, int reset)
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

struct rebase {
	struct iommu_table *from, *to;
};

static int rebase(struct pci_dev *pdev, void *data)
{
	struct rebase *rebase = data;

	if (get_iommu_table_base(&pdev->dev) == rebase->from)
		set_iommu_table_base(&pdev->dev, rebase->to);
	return 0;
}

/**
 * ddw_retire_default_table() - let no device use the table of a window that has been replaced
 * @dev: the device that has got a dynamic window
 * @group: the tables of its PE; the first one is retired, the second one, if there is one, takes
 *	its place in all devices of the PE
 *
 * Without a second one, which is the case if all memory is mapped in the dynamic window, devices
 * that do not reach there have no table any more; setting their mask fails.
 *
 * Context: Process context. Takes pci_bus_sem.
 *
 * Return: the retired table, which is claimed; the caller puts it when the PE goes.
 */
struct iommu_table *ddw_retire_default_table(struct pci_dev *dev, struct iommu_table_group *group)
{
	struct rebase tables = { .from = group->tables[0], .to = group->tables[1] };

	group->tables[0] = NULL;
	pci_walk_bus(pci_bus_to_host(dev->bus)->bus, rebase, &tables);
	return tables.from;
}
