// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of transient bounce buffers: size and alignment, zones, and what the device can reach.
 */

#define pr_fmt(fmt) "software IO TLB: " fmt

#include <linux/cache.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/gfp.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/swiotlb.h>

#include "swiotlb_overflow.h"

/* Zones in the order in which they are tried */
enum overflow_zone {
	OVERFLOW_ZONE_NORMAL,
	OVERFLOW_ZONE_DMA32,
	OVERFLOW_ZONE_DMA,
	OVERFLOW_ZONES,
};

static struct kmem_cache *slot_caches[OVERFLOW_ZONES] __ro_after_init;

/*
 * The DMA addresses of the device are those of an IOMMU, so the memory may lie anywhere. An IOMMU
 * exposes whole pages.
 */
static bool behind_iommu(struct device *dev)
{
	return IS_ENABLED(CONFIG_IOMMU_DMA) && get_dma_ops(dev);
}

/* All bytes of the mapping are addressable, and it does not cross a segment boundary. */
static bool in_reach(struct device *dev, phys_addr_t start, size_t size)
{
	dma_addr_t dma = phys_to_dma_unencrypted(dev, start);

	return dma_capable(dev, dma, size, true) &&
	       !((dma ^ (dma + size - 1)) & ~(dma_addr_t)dma_get_seg_boundary(dev));
}

/*
 * The highest zone that can hold reachable memory. The streaming mask and the bus limit are DMA
 * addresses. If no range of the bus translates them, the result says nothing, but the memory is
 * checked after the allocation in any case.
 */
static enum overflow_zone first_zone(struct device *dev)
{
	phys_addr_t limit;

	if (behind_iommu(dev))
		return OVERFLOW_ZONE_NORMAL;
	limit = dma_to_phys(dev, min_not_zero(dma_get_mask(dev), dev->bus_dma_limit));
	if (IS_ENABLED(CONFIG_ZONE_DMA) && limit <= DMA_BIT_MASK(zone_dma_bits))
		return OVERFLOW_ZONE_DMA;
	if (IS_ENABLED(CONFIG_ZONE_DMA32) && limit <= DMA_BIT_MASK(32))
		return OVERFLOW_ZONE_DMA32;
	return OVERFLOW_ZONE_NORMAL;
}

static bool zone_exists(enum overflow_zone zone)
{
	if (zone == OVERFLOW_ZONE_DMA32)
		return IS_ENABLED(CONFIG_ZONE_DMA32);
	if (zone == OVERFLOW_ZONE_DMA)
		return IS_ENABLED(CONFIG_ZONE_DMA);
	return true;
}

/* Allocates pages of one zone: an aligned block, whose tail is freed if it is not needed. */
static bool alloc_block(struct swiotlb_overflow_buf *buf, size_t align, gfp_t gfp)
{
	unsigned int order = get_order(max_t(size_t, buf->memory, align));
	unsigned int i, used = buf->memory >> PAGE_SHIFT;
	struct page *page = alloc_pages(gfp, order);

	if (!page)
		return false;
	buf->source = OVERFLOW_PAGES;
	if (used < 1U << order) {
		split_page(page, order);
		for (i = used; i < 1U << order; i++)
			__free_page(page + i);
		buf->source = OVERFLOW_SINGLE_PAGES;
	}
	buf->vaddr = page_address(page);
	return true;
}

static bool alloc_slot(struct swiotlb_overflow_buf *buf, enum overflow_zone zone, gfp_t gfp)
{
	buf->source = OVERFLOW_SLOT + zone;
	buf->vaddr = kmem_cache_alloc(slot_caches[zone], gfp);
	return buf->vaddr;
}

/*
 * Memory that the device can access although the rest of memory is encrypted. Decrypting pages
 * can sleep, so this takes memory from the pools for atomic allocations, which is decrypted
 * already. buf->memory is a multiple of the page size.
 */
static enum swiotlb_overflow_failure alloc_decrypted(struct swiotlb_overflow_buf *buf, size_t align,
						     gfp_t gfp)
{
	struct page *page;

	if (!IS_ENABLED(CONFIG_DMA_COHERENT_POOL))
		return OVERFLOW_FAIL_MEMORY;
	page = dma_alloc_from_pool(buf->dev, buf->memory, &buf->vaddr, gfp, in_reach);
	if (!page)
		return OVERFLOW_FAIL_MEMORY;
	buf->source = OVERFLOW_ATOMIC_POOL;
	buf->start = page_to_phys(page) + buf->offset;
	if (!IS_ALIGNED(page_to_phys(page), align)) {
		swiotlb_overflow_free_memory(buf);
		return OVERFLOW_FAIL_REACH;
	}
	return OVERFLOW_OK;
}

/* A size below PAGE_SIZE is that of a slot. */
static enum swiotlb_overflow_failure alloc_plain(struct swiotlb_overflow_buf *buf, size_t align,
						 gfp_t gfp)
{
	static const gfp_t zone_gfp[OVERFLOW_ZONES] = {
		[OVERFLOW_ZONE_DMA32] = GFP_DMA32,
		[OVERFLOW_ZONE_DMA] = GFP_DMA,
	};
	enum swiotlb_overflow_failure why = OVERFLOW_FAIL_MEMORY;
	enum overflow_zone zone;

	for (zone = first_zone(buf->dev); zone < OVERFLOW_ZONES; zone++) {
		if (!zone_exists(zone))
			continue;
		if (buf->memory < PAGE_SIZE ? !alloc_slot(buf, zone, gfp) :
					      !alloc_block(buf, align, gfp | zone_gfp[zone]))
			continue;
		buf->start = virt_to_phys(buf->vaddr) + buf->offset;
		if (behind_iommu(buf->dev) || in_reach(buf->dev, buf->start, buf->size))
			return OVERFLOW_OK;
		swiotlb_overflow_free_memory(buf);
		why = OVERFLOW_FAIL_REACH;
	}
	return why;
}

/*
 * Clears the bytes around the mapping. A device behind an IOMMU can see them, and the host can if
 * they are decrypted. dma_alloc_from_pool() has cleared them already.
 */
static void clear_padding(const struct swiotlb_overflow_buf *buf)
{
	size_t tail = buf->offset + buf->size;

	if (buf->source == OVERFLOW_ATOMIC_POOL)
		return;
	memset(buf->vaddr, 0, buf->offset);
	memset(buf->vaddr + tail, 0, buf->memory - tail);
}

/**
 * swiotlb_overflow_layout() - compute how much memory a transient buffer takes
 * @buf:		descriptor with @dev, @orig_addr and @size; sets @offset and @memory
 * @alloc_size:		bytes that the device can see
 * @alloc_align_mask:	alignment of the memory that the device can see, minus one
 * @decrypted:		the device needs decrypted memory
 *
 * Context: any.
 * Return: alignment of the memory, in bytes, a power of two.
 */
size_t swiotlb_overflow_layout(struct swiotlb_overflow_buf *buf, size_t alloc_size,
			       unsigned int alloc_align_mask, bool decrypted)
{
	unsigned int min_align_mask = dma_get_min_align_mask(buf->dev);
	size_t align = max_t(size_t, IO_TLB_SIZE, (min_align_mask | alloc_align_mask) + 1UL);

	if (alloc_size >= PAGE_SIZE)
		align = max_t(size_t, align, PAGE_SIZE);
	buf->offset = buf->orig_addr & min_align_mask;
	buf->memory = ALIGN(buf->offset + alloc_size, alloc_align_mask + 1UL);
	/*
	 * A slab page also holds objects of other users. This is acceptable for a device that can
	 * access all memory of the kernel anyway: not for one behind an IOMMU, which hides and
	 * exposes whole pages, and not for one that needs decrypted pages.
	 */
	if (buf->memory <= IO_TLB_SIZE && align == IO_TLB_SIZE && !decrypted &&
	    !behind_iommu(buf->dev))
		buf->memory = IO_TLB_SIZE;
	else
		buf->memory = PAGE_ALIGN(buf->memory);
	return align;
}

/**
 * swiotlb_overflow_alloc_memory() - allocate the memory of a transient buffer
 * @buf:	descriptor after swiotlb_overflow_layout(); sets @start, @vaddr and @source
 * @align:	alignment of the memory, in bytes
 * @decrypted:	the device needs decrypted memory
 * @gfp:	without zone modifiers
 *
 * The bytes outside of the mapping are zero.
 *
 * Context: any if @gfp does not wait.
 * Return: OVERFLOW_OK, OVERFLOW_FAIL_MEMORY or OVERFLOW_FAIL_REACH.
 */
enum swiotlb_overflow_failure
swiotlb_overflow_alloc_memory(struct swiotlb_overflow_buf *buf, size_t align, bool decrypted,
			      gfp_t gfp)
{
	enum swiotlb_overflow_failure why;

	why = decrypted ? alloc_decrypted(buf, align, gfp) : alloc_plain(buf, align, gfp);
	if (why == OVERFLOW_OK)
		clear_padding(buf);
	return why;
}

/**
 * swiotlb_overflow_free_memory() - free the memory of a transient buffer
 * @buf:	descriptor, which is not freed
 *
 * Context: any.
 */
void swiotlb_overflow_free_memory(const struct swiotlb_overflow_buf *buf)
{
	switch (buf->source) {
	case OVERFLOW_PAGES:
		free_pages((unsigned long)buf->vaddr, get_order(buf->memory));
		break;
	case OVERFLOW_SINGLE_PAGES:
		free_pages_exact(buf->vaddr, buf->memory);
		break;
	case OVERFLOW_ATOMIC_POOL:
		if (IS_ENABLED(CONFIG_DMA_COHERENT_POOL))
			WARN_ON_ONCE(!dma_free_from_pool(buf->dev, buf->vaddr, buf->memory));
		break;
	default:
		kmem_cache_free(slot_caches[buf->source - OVERFLOW_SLOT], buf->vaddr);
	}
}

/**
 * swiotlb_overflow_init_memory() - create the slab caches for small transient buffers
 *
 * Context: may sleep; once, while the machine boots.
 * Return: 0, or -ENOMEM if there can be no transient buffers.
 */
int __init swiotlb_overflow_init_memory(void)
{
	const struct {
		const char *name;
		slab_flags_t flags;
	} caches[OVERFLOW_ZONES] = {
		[OVERFLOW_ZONE_NORMAL] = { "swiotlb_overflow", 0 },
		[OVERFLOW_ZONE_DMA32] = { "swiotlb_overflow_dma32", SLAB_CACHE_DMA32 },
		[OVERFLOW_ZONE_DMA] = { "swiotlb_overflow_dma", SLAB_CACHE_DMA },
	};
	unsigned int i;

	for (i = 0; i < OVERFLOW_ZONES; i++) {
		if (!zone_exists(i))
			continue;
		slot_caches[i] = kmem_cache_create(caches[i].name, IO_TLB_SIZE, IO_TLB_SIZE,
						   caches[i].flags, NULL);
		if (!slot_caches[i]) {
			pr_warn("no slab cache for small transient buffers, disabling transient buffers\n");
			return -ENOMEM;
		}
	}
	return 0;
}
