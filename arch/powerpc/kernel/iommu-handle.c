// SPDX-License-Identifier: GPL-2.0
/*
 * Devices that hold DMA addresses of a table, and map past it.
 */
#include <linux/device.h>
#include <asm/iommu.h>
#include <asm/iommu-claim.h>
#include <asm/iommu-handle.h>

/**
 * iommu_limit_bypass() - tell old DMA addresses from those of a direct window
 * @dev: a device with a direct window
 * @end: DMA address of the end of that window
 * @all_reached: whether all memory lies there
 *
 * With a &device->bus_dma_limit the DMA API looks at each address when it maps, and at each handle
 * when it unmaps, and goes to the table if these are not of the direct window. That has to be so if
 * not all memory lies there, or while @dev may hold handles of the table: it has mapped by it, and
 * entries have been in use ever since, as far as calls of this function can tell. They are unmapped
 * where they belong. It ends when the mask is set and none is there any more.
 *
 * Context: Process context.
 */
void iommu_limit_bypass(struct device *dev, u64 end, bool all_reached)
{
	struct iommu_table *tbl = get_iommu_table_base(dev);
	struct iommu_table_usage usage = {};

	dev->archdata.iommu_moved = true;
	if (tbl && all_reached && dev->archdata.iommu_table_used) {
		iommu_table_get_usage(tbl, &usage);
		dev->archdata.iommu_table_used = usage.entries;
	}
	if (usage.entries)
		dev_info(dev,
			 "%lu TCEs of the default DMA window in use, the first at %#llx\n",
			 usage.entries, (u64)usage.first);
	if (usage.entries || !all_reached)
		dev->bus_dma_limit = end;
	else if (dev->bus_dma_limit == end)
		dev->bus_dma_limit = 0;
}
