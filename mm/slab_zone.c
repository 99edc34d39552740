// SPDX-License-Identifier: GPL-2.0
/*
 * Zones of slab caches: what is decided when a cache is created.
 */
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/printk.h>

#include "slab_zone.h"

/*
 * Whether all memory that the page allocator returns without a zone modifier
 * lies below 4 GB: the linear map of a 32-bit kernel mostly ends there, and a
 * 64-bit machine may have no more memory.
 */
static bool lowmem_below_4g(void)
{
	return (u64)__pa(high_memory - 1) <= DMA_BIT_MASK(32);
}

/**
 * slab_zone_gfp() - zone modifier for the pages of a cache
 * @flags: flags that the cache was created with, accepted by slab_zone_check()
 *
 * %SLAB_CACHE_DMA32 means memory below 4 GB. That is not always ZONE_DMA32: a
 * kernel may be built without that zone and have ZONE_DMA cover the first 4 GB
 * or a part of them (arm64), or have no memory above 4 GB (i386).
 *
 * Context: Any.
 * Return: %GFP_DMA, %GFP_DMA32 or 0.
 */
gfp_t slab_zone_gfp(slab_flags_t flags)
{
	if (flags & SLAB_CACHE_DMA)
		return GFP_DMA;

	if (!(flags & SLAB_CACHE_DMA32))
		return 0;

	if (IS_ENABLED(CONFIG_ZONE_DMA32) || lowmem_below_4g())
		return GFP_DMA32;

	return GFP_DMA;
}

/**
 * slab_zone_check() - check the zone that a new cache asks for
 * @name: name of the cache, for the message
 * @flags: flags passed to kmem_cache_create()
 *
 * No page is in two zones, so a cache cannot ask for two. Where the kernel has
 * neither ZONE_DMA32 nor ZONE_DMA and the memory ends above 4 GB, the page
 * allocator cannot be asked for memory below 4 GB. A %SLAB_CACHE_DMA32 cache
 * would then hand a device memory that it cannot reach, so it is refused.
 *
 * Context: Process context, under slab_mutex.
 * Return: 0, or -EINVAL after a message that names the cache.
 */
int slab_zone_check(const char *name, slab_flags_t flags)
{
	if ((flags & SLAB_ZONE_FLAGS) == SLAB_ZONE_FLAGS) {
		pr_err("kmem_cache_create(%s): SLAB_CACHE_DMA contradicts SLAB_CACHE_DMA32\n",
		       name);
		return -EINVAL;
	}

	if ((flags & SLAB_CACHE_DMA32) && !IS_ENABLED(CONFIG_ZONE_DMA32) &&
	    !IS_ENABLED(CONFIG_ZONE_DMA) && !lowmem_below_4g()) {
		pr_err("kmem_cache_create(%s): SLAB_CACHE_DMA32 needs ZONE_DMA32 or ZONE_DMA here\n",
		       name);
		return -EINVAL;
	}

	return 0;
}
