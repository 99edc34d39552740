// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of transient bounce buffers: how much, of which zone, and what the device can reach.
 */

#define pr_fmt(fmt) "software IO TLB: " fmt

#include <linux/cache.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/gfp.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/swiotlb.h>

#include "swiotlb.h"
#include "swiotlb_overflow.h"

/* The slots of a zone have the powers of two from the size of a slot of the pool to half a page. */
#define SLOT_SIZES	(PAGE_SHIFT - IO_TLB_SHIFT)

static struct kmem_cache *slot_caches[OVERFLOW_ZONES][SLOT_SIZES] __ro_after_init;

/* All bytes of the mapping are addressable, and it does not cross a segment boundary. */
static bool in_reach(struct device *dev, phys_addr_t start, size_t size)
{
	dma_addr_t dma = phys_to_dma_unencrypted(dev, start);

	return dma_capable(dev, dma, size, true) &&
	       !((dma ^ (dma + size - 1)) & ~(dma_addr_t)dma_get_seg_boundary(dev));
}

/* The DMA addresses of the device are those of an IOMMU. */
static bool anywhere(struct device *dev, phys_addr_t start, size_t size)
{
	return true;
}

/*
 * The highest zone that can hold reachable memory. The streaming mask and the bus limit are DMA
 * addresses. If no range of the bus translates them, the result says nothing, but the memory is
 * checked after the allocation in any case.
 */
static enum overflow_zone first_zone(struct device *dev)
{
	phys_addr_t limit;

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

/* Sets how much memory the mapping takes. A size below PAGE_SIZE is that of a slot. */
static void set_size(struct swiotlb_overflow_buf *buf, const struct swiotlb_layout *layout,
		     bool decrypted)
{
	size_t size = layout->align_bits + layout->size, head;

	/*
	 * A slab page also holds objects of other users. A device that is not behind an IOMMU can
	 * access all memory of the kernel anyway, and to others an IOMMU shows whole granules, of
	 * which a slot consists. Memory is decrypted in pages.
	 */
	buf->memory = roundup_pow_of_two(max_t(size_t, size, layout->align_mask + 1UL));
	if (buf->memory < PAGE_SIZE && !decrypted) {
		buf->offset = layout->align_bits + layout->offset;
		return;
	}
	/*
	 * The memory begins in the page that has the address bits of the mapping. The pools of
	 * decrypted memory align to the size only, so that this has to be the alignment at least.
	 */
	head = decrypted ? 0 : layout->align_bits & PAGE_MASK;
	buf->memory = PAGE_ALIGN(decrypted ? max_t(size_t, size, layout->align_mask + 1UL) : size) -
		      head;
	buf->offset = layout->align_bits - head + layout->offset;
}

static void free_pages_from(struct page *page, size_t bytes)
{
	for (; bytes; bytes -= PAGE_SIZE)
		__free_page(page++);
}

/* Allocates an aligned block of pages, and frees those before and after the memory. */
static bool alloc_block(struct swiotlb_overflow_buf *buf, const struct swiotlb_layout *layout,
			gfp_t gfp)
{
	size_t head = layout->align_bits & PAGE_MASK, end = head + buf->memory;
	unsigned int order = get_order(max_t(size_t, end, layout->align_mask + 1UL));
	struct page *page = alloc_pages(gfp, order);

	if (!page)
		return false;
	/* With KASAN, an address has the tag of its page. That of a free page can change. */
	buf->vaddr = page_address(page + (head >> PAGE_SHIFT));
	buf->source = OVERFLOW_PAGES;
	if (buf->memory < PAGE_SIZE << order) {
		split_page(page, order);
		free_pages_from(page, head);
		free_pages_from(page + (end >> PAGE_SHIFT), (PAGE_SIZE << order) - end);
		buf->source = OVERFLOW_SINGLE_PAGES;
	}
	return true;
}

static struct kmem_cache *slot_cache(const struct swiotlb_overflow_buf *buf)
{
	return slot_caches[buf->zone][ilog2(buf->memory) - IO_TLB_SHIFT];
}

static bool alloc_slot(struct swiotlb_overflow_buf *buf, gfp_t gfp)
{
	buf->source = OVERFLOW_SLOT;
	buf->vaddr = kmem_cache_alloc(slot_cache(buf), gfp);
	return buf->vaddr;
}

/*
 * Memory that the device can access although the rest of memory is encrypted. Decrypting pages
 * can sleep, so this takes memory from the pools for atomic allocations, which is decrypted
 * already.
 */
static enum swiotlb_overflow_failure
alloc_decrypted(struct swiotlb_overflow_buf *buf, const struct swiotlb_layout *layout,
		bool (*reach)(struct device *, phys_addr_t, size_t), gfp_t gfp)
{
	enum swiotlb_overflow_failure why;
	struct page *page;

	if (!IS_ENABLED(CONFIG_DMA_COHERENT_POOL))
		return OVERFLOW_FAIL_POOL;
	buf->zone = reach == anywhere ? OVERFLOW_ZONE_NORMAL : first_zone(buf->dev);
	why = swiotlb_overflow_charge(buf->dev, buf->zone, buf->memory);
	if (why != OVERFLOW_OK)
		return why;
	page = dma_alloc_from_pool(buf->dev, buf->memory, &buf->vaddr, gfp, reach);
	if (!page) {
		swiotlb_overflow_uncharge(buf->dev, buf->zone, buf->memory);
		return OVERFLOW_FAIL_MEMORY;
	}
	buf->source = OVERFLOW_ATOMIC_POOL;
	buf->start = page_to_phys(page) + buf->offset;
	/* A pool in CMA may itself begin at a multiple of less (CONFIG_CMA_ALIGNMENT). */
	if (page_to_phys(page) & layout->align_mask) {
		swiotlb_overflow_free_memory(buf);
		return OVERFLOW_FAIL_REACH;
	}
	return OVERFLOW_OK;
}

/*
 * A lower zone is for reach alone. If a zone has no memory, others need what the lower zones have.
 */
static enum swiotlb_overflow_failure
alloc_plain(struct swiotlb_overflow_buf *buf, const struct swiotlb_layout *layout,
	    bool (*reach)(struct device *, phys_addr_t, size_t), gfp_t gfp)
{
	static const gfp_t zone_gfp[OVERFLOW_ZONES] = {
		[OVERFLOW_ZONE_DMA32] = GFP_DMA32,
		[OVERFLOW_ZONE_DMA] = GFP_DMA,
	};
	enum overflow_zone zone;
	enum swiotlb_overflow_failure why;

	zone = reach == anywhere ? OVERFLOW_ZONE_NORMAL : first_zone(buf->dev);
	for (; zone < OVERFLOW_ZONES; zone++) {
		if (!zone_exists(zone))
			continue;
		buf->zone = zone;
		why = swiotlb_overflow_charge(buf->dev, zone, buf->memory);
		if (why != OVERFLOW_OK)
			return why;
		if (buf->memory < PAGE_SIZE ? !alloc_slot(buf, gfp) :
					      !alloc_block(buf, layout, gfp | zone_gfp[zone])) {
			swiotlb_overflow_uncharge(buf->dev, zone, buf->memory);
			return OVERFLOW_FAIL_MEMORY;
		}
		buf->start = virt_to_phys(buf->vaddr) + buf->offset;
		if (reach(buf->dev, buf->start, buf->size))
			return OVERFLOW_OK;
		swiotlb_overflow_free_memory(buf);
	}
	return OVERFLOW_FAIL_REACH;
}

/**
 * swiotlb_overflow_alloc_memory() - allocate the memory of a transient buffer
 * @buf:	descriptor with @dev and @size; sets what describes the memory
 * @layout:	layout of the mapping
 * @decrypted:	the device needs decrypted memory
 * @translated:	the device is behind an IOMMU, so that its addresses are not those of the memory
 * @gfp:	without zone modifiers
 *
 * Charges the memory. The bytes outside of the mapping are zero.
 *
 * Context: any if @gfp does not wait.
 * Return: OVERFLOW_OK, or why there is no memory.
 */
enum swiotlb_overflow_failure
swiotlb_overflow_alloc_memory(struct swiotlb_overflow_buf *buf,
			      const struct swiotlb_layout *layout, bool decrypted,
			      bool translated, gfp_t gfp)
{
	bool (*reach)(struct device *, phys_addr_t, size_t) = translated ? anywhere : in_reach;
	enum swiotlb_overflow_failure why;
	size_t tail;

	set_size(buf, layout, decrypted);
	why = decrypted ? alloc_decrypted(buf, layout, reach, gfp) :
			  alloc_plain(buf, layout, reach, gfp);
	if (why != OVERFLOW_OK)
		return why;
	tail = buf->offset + buf->size;
	swiotlb_clear(buf->dev, buf->start - buf->offset, buf->vaddr, buf->offset);
	swiotlb_clear(buf->dev, buf->start + buf->size, buf->vaddr + tail, buf->memory - tail);
	return OVERFLOW_OK;
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
	case OVERFLOW_SLOT:
		kmem_cache_free(slot_cache(buf), buf->vaddr);
		break;
	case OVERFLOW_ATOMIC_POOL:
		if (IS_ENABLED(CONFIG_DMA_COHERENT_POOL))
			WARN_ON_ONCE(!dma_free_from_pool(buf->dev, buf->vaddr, buf->memory));
		break;
	}
	swiotlb_overflow_uncharge(buf->dev, buf->zone, buf->memory);
}

/* Slots of a zone; the name of a cache has the size of its slots. */
static int __init create_slot_caches(enum overflow_zone zone, const char *name, slab_flags_t flags)
{
	char size_name[32];
	unsigned int i;

	for (i = 0; i < SLOT_SIZES && zone_exists(zone); i++) {
		snprintf(size_name, sizeof(size_name), "%s-%u", name, IO_TLB_SIZE << i);
		slot_caches[zone][i] = kmem_cache_create(size_name, IO_TLB_SIZE << i,
							 IO_TLB_SIZE << i, flags, NULL);
		if (!slot_caches[zone][i])
			return -ENOMEM;
	}
	return 0;
}

/**
 * swiotlb_overflow_init_memory() - create the slab caches for small transient buffers
 *
 * Context: may sleep; once, while the machine boots.
 * Return: 0, or -ENOMEM if there can be no transient buffers.
 */
int __init swiotlb_overflow_init_memory(void)
{
	if (create_slot_caches(OVERFLOW_ZONE_NORMAL, "swiotlb_overflow", 0) ||
	    create_slot_caches(OVERFLOW_ZONE_DMA32, "swiotlb_overflow_dma32", SLAB_CACHE_DMA32) ||
	    create_slot_caches(OVERFLOW_ZONE_DMA, "swiotlb_overflow_dma", SLAB_CACHE_DMA)) {
		pr_warn("no slab cache for small transient buffers, disabling transient buffers\n");
		return -ENOMEM;
	}
	return 0;
}
