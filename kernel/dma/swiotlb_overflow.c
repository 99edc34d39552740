// SPDX-License-Identifier: GPL-2.0
/*
 * Transient bounce buffers for a software IO TLB that is full.
 *
 * When the pool has no room for a mapping, one buffer is allocated for this one mapping, and
 * freed by its unmap. Drivers see no difference. What is promised about placement, alignment,
 * limits and what a device may see is in Documentation/core-api/swiotlb-overflow.rst.
 *
 * A buffer is known by its descriptor, struct swiotlb_overflow_buf, in an RCU hash list. The
 * key is the address without the bits in which two bytes of the mapping can differ; how many
 * these are is the class of the buffer. Memory from the page allocator is naturally aligned, so
 * there are as many classes as orders in use, and a device remembers in dma_overflow_classes
 * which ones it has ever used: a lookup probes those, however many buffers there are.
 *
 * Life of a buffer, and who may run at the same time:
 *
 * - swiotlb_overflow_map() charges the memory, allocates without waiting and without holding a
 *   lock, fills, then publishes. Any context that may map: also hard interrupts.
 * - swiotlb_overflow_lookup() runs on any CPU, for addresses of such buffers and for all
 *   others.
 * - swiotlb_overflow_unmap() runs once for a buffer, on any CPU. The driver sees to it that
 *   nobody syncs or looks up this mapping any more, as it has to for a slot of the pool;
 *   lookups of other addresses may still step over the descriptor, so that alone waits for a
 *   grace period. The memory is free at once, see swiotlb_overflow_retire().
 *
 * The ordering rules are tested by tools/memory-model/litmus-tests/.
 */

#define pr_fmt(fmt) "software IO TLB: " fmt

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/cache.h>
#include <linux/debugfs.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/gfp.h>
#include <linux/hash.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/local_lock.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/rculist.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/swiotlb.h>
#include <linux/swiotlb_overflow.h>

#include "swiotlb_overflow.h"

#define CREATE_TRACE_POINTS
#include <trace/events/swiotlb_overflow.h>

/* About one to a list with 4096 buffers; the table takes 32 KB with 64-bit pointers. */
#define HASH_BITS	12
#define LOCK_BITS	6

/* Descriptors that share a grace period. On each CPU as many less one wait for company. */
#define RETIRED_BATCH	16

/* Part of all memory that transient buffers may take, unless swiotlb_overflow= says otherwise */
#define DEFAULT_CAP_SHIFT	3
/*
 * Percentage of this that one device may take, so that one that never unmaps does not stop the
 * others
 */
#define DEFAULT_DEVICE_SHARE	50

/*
 * Where the memory of a buffer is from. The first ones are also the zones, in the order of
 * trying.
 */
enum swiotlb_overflow_source {
	OVERFLOW_SLOT_NORMAL,
	OVERFLOW_SLOT_DMA32,
	OVERFLOW_SLOT_DMA,
	OVERFLOW_PAGES,
	OVERFLOW_SINGLE_PAGES,		/* of a block whose tail was given back */
	OVERFLOW_ATOMIC_POOL,
};

#define OVERFLOW_ZONES	OVERFLOW_PAGES

/* Why a mapping failed */
enum swiotlb_overflow_failure {
	OVERFLOW_OK,
	OVERFLOW_FAIL_POOL,
	OVERFLOW_FAIL_SIZE,
	OVERFLOW_FAIL_CAP,
	OVERFLOW_FAIL_SHARE,
	OVERFLOW_FAIL_MEMORY,
	OVERFLOW_FAIL_REACH,
	OVERFLOW_FAILURES,
};

static const char * const failure_names[OVERFLOW_FAILURES] = {
	[OVERFLOW_OK]		= "none",
	[OVERFLOW_FAIL_POOL]	= "pool",
	[OVERFLOW_FAIL_SIZE]	= "size",
	[OVERFLOW_FAIL_CAP]	= "cap",
	[OVERFLOW_FAIL_SHARE]	= "device_share",
	[OVERFLOW_FAIL_MEMORY]	= "memory",
	[OVERFLOW_FAIL_REACH]	= "reach",
};

/**
 * struct swiotlb_overflow_buf - a transient buffer
 * @node:	in overflow_table
 * @dev:	device of the mapping; only compared
 * @start:	physical address of the first byte of the mapping
 * @orig_addr:	physical address that is bounced to there
 * @retired:	instead of @orig_addr when its memory is free: the next one of overflow_retired
 * @vaddr:	address of the memory, @offset before the mapping; not always in the linear map
 * @size:	of the mapping, in bytes
 * @memory:	bytes taken, as charged
 * @offset:	bytes of padding before the mapping
 * @class:	bits in which addresses of the mapping can differ
 * @source:	enum swiotlb_overflow_source
 * @rcu:	to free the descriptor
 *
 * What a lookup reads, and all else up to the unmap, is written before it is published, and
 * read only then.
 */
struct swiotlb_overflow_buf {
	struct hlist_node	node;
	struct device		*dev;
	phys_addr_t		start;
	union {
		phys_addr_t			orig_addr;
		struct swiotlb_overflow_buf	*retired;
	};
	void			*vaddr;
	u32			size;
	u32			memory;
	u32			offset;
	u8			class;
	u8			source;
	struct rcu_head		rcu;
};

static struct hlist_head overflow_table[1 << HASH_BITS] __read_mostly;

/*
 * Each for the lists whose number ends in its own. Taken by maps and unmaps of all devices, on
 * any CPU and in hard interrupts too; held over the change of a list only, and never with
 * another lock.
 */
static struct {
	spinlock_t lock;	/* of lists */
} ____cacheline_aligned_in_smp overflow_locks[1 << LOCK_BITS];

/*
 * Descriptors that are off the lists, and for which no grace period has begun. The lock is
 * against interrupts, in which buffers are unmapped, too.
 */
struct overflow_retired {
	local_lock_t			lock;
	unsigned int			count;
	struct swiotlb_overflow_buf	*first;
};

static DEFINE_PER_CPU(struct overflow_retired, overflow_retired) = {
	.lock = INIT_LOCAL_LOCK(lock),
};

static struct kmem_cache *slot_caches[OVERFLOW_ZONES] __ro_after_init;

/*
 * One counter for all CPUs: the cap is a promise, so it has to be exact, and this is touched
 * once by an allocation and once by a free of pages.
 */
static atomic_long_t overflow_bytes;
static unsigned long overflow_peak;
static unsigned long overflow_cap;		/* bytes */
static unsigned long overflow_device_cap;	/* bytes, overflow_share percent of that */
static unsigned int overflow_share;

struct overflow_stats {
	unsigned long	mapped;
	unsigned long	unmapped;
	unsigned long	failed[OVERFLOW_FAILURES];
};

static DEFINE_PER_CPU(struct overflow_stats, overflow_stats);

static unsigned int overflow_hash(phys_addr_t addr, unsigned int class)
{
	return hash_64(addr >> class, HASH_BITS);
}

static spinlock_t *overflow_lock(unsigned int hash)
{
	return &overflow_locks[hash % ARRAY_SIZE(overflow_locks)].lock;
}

/*
 * Not an address that dma-direct makes of the physical one, but one of an IOMMU: the memory may
 * lie anywhere.
 */
static bool is_translated(struct device *dev)
{
	return IS_ENABLED(CONFIG_IOMMU_DMA) && get_dma_ops(dev);
}

static void swiotlb_overflow_uncharge(struct device *dev, size_t bytes)
{
	atomic_long_sub(bytes, &dev->dma_overflow_bytes);
	atomic_long_sub(bytes, &overflow_bytes);
}

/* Charge first and look then: two CPUs may both fail for the last room, but not both take it. */
static enum swiotlb_overflow_failure swiotlb_overflow_charge(struct device *dev, size_t bytes)
{
	unsigned long now, peak;

	now = atomic_long_add_return(bytes, &overflow_bytes);
	if (now > READ_ONCE(overflow_cap)) {
		atomic_long_sub(bytes, &overflow_bytes);
		return OVERFLOW_FAIL_CAP;
	}
	if (atomic_long_add_return(bytes, &dev->dma_overflow_bytes) >
	    READ_ONCE(overflow_device_cap)) {
		swiotlb_overflow_uncharge(dev, bytes);
		return OVERFLOW_FAIL_SHARE;
	}
	peak = READ_ONCE(overflow_peak);
	while (now > peak && !try_cmpxchg(&overflow_peak, &peak, now))
		;
	return OVERFLOW_OK;
}

/* Bounds for all addresses of the mapping, as the DMA API has them for what is not translated */
static bool is_in_reach(struct device *dev, phys_addr_t start, size_t size)
{
	dma_addr_t dma = phys_to_dma_unencrypted(dev, start);

	return dma_capable(dev, dma, size, true) &&
	       !((dma ^ (dma + size - 1)) & ~(dma_addr_t)dma_get_seg_boundary(dev));
}

/*
 * The first zone that can hold memory in reach. The streaming mask and the bus limit are DMA
 * addresses; one that no range of the bus translates says nothing, and the allocation is looked
 * at afterwards anyway.
 */
static unsigned int first_zone(struct device *dev)
{
	phys_addr_t limit;

	if (is_translated(dev))
		return OVERFLOW_SLOT_NORMAL;
	limit = dma_to_phys(dev, min_not_zero(dma_get_mask(dev), dev->bus_dma_limit));
	if (IS_ENABLED(CONFIG_ZONE_DMA) && limit <= DMA_BIT_MASK(zone_dma_bits))
		return OVERFLOW_SLOT_DMA;
	if (IS_ENABLED(CONFIG_ZONE_DMA32) && limit <= DMA_BIT_MASK(32))
		return OVERFLOW_SLOT_DMA32;
	return OVERFLOW_SLOT_NORMAL;
}

static void swiotlb_overflow_free_memory(const struct swiotlb_overflow_buf *buf)
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
		kmem_cache_free(slot_caches[buf->source], buf->vaddr);
	}
}

/* Pages of one zone: a block that is aligned as asked for, without the tail that is not needed */
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

static bool alloc_slot(struct swiotlb_overflow_buf *buf, unsigned int zone, gfp_t gfp)
{
	buf->source = zone;
	buf->vaddr = kmem_cache_alloc(slot_caches[zone], gfp);
	return buf->vaddr;
}

/*
 * Memory that the device may see although the rest is encrypted. To decrypt pages can sleep, so
 * it is taken from the pools for atomic allocations, which are decrypted; the size is rounded
 * up to pages by the caller.
 */
static enum swiotlb_overflow_failure alloc_decrypted(struct swiotlb_overflow_buf *buf, size_t align,
						     gfp_t gfp)
{
	struct page *page;

	if (!IS_ENABLED(CONFIG_DMA_COHERENT_POOL))
		return OVERFLOW_FAIL_MEMORY;
	page = dma_alloc_from_pool(buf->dev, buf->memory, &buf->vaddr, gfp, is_in_reach);
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

/*
 * Sets @start, @vaddr and @source. @memory is PAGE_SIZE or more if it shall come from the page
 * allocator.
 */
static enum swiotlb_overflow_failure alloc_plain(struct swiotlb_overflow_buf *buf, size_t align,
						 gfp_t gfp)
{
	static const gfp_t zone_gfp[OVERFLOW_ZONES] = {
		[OVERFLOW_SLOT_DMA32] = GFP_DMA32,
		[OVERFLOW_SLOT_DMA] = GFP_DMA,
	};
	enum swiotlb_overflow_failure why = OVERFLOW_FAIL_MEMORY;
	unsigned int zone;

	for (zone = first_zone(buf->dev); zone < OVERFLOW_ZONES; zone++) {
		if ((zone == OVERFLOW_SLOT_DMA32 && !IS_ENABLED(CONFIG_ZONE_DMA32)) ||
		    (zone == OVERFLOW_SLOT_DMA && !IS_ENABLED(CONFIG_ZONE_DMA)))
			continue;
		if (buf->memory < PAGE_SIZE ? !alloc_slot(buf, zone, gfp) :
					      !alloc_block(buf, align, gfp | zone_gfp[zone]))
			continue;
		buf->start = virt_to_phys(buf->vaddr) + buf->offset;
		if (is_translated(buf->dev) || is_in_reach(buf->dev, buf->start, buf->size))
			return OVERFLOW_OK;
		swiotlb_overflow_free_memory(buf);
		why = OVERFLOW_FAIL_REACH;
	}
	return why;
}

/*
 * The bytes around the mapping in its pages: a device can see them if it is behind an IOMMU,
 * and the host if they are decrypted, which the atomic pools have cleared already.
 */
static void clear_padding(const struct swiotlb_overflow_buf *buf)
{
	size_t tail = buf->offset + buf->size;

	if (buf->source == OVERFLOW_ATOMIC_POOL)
		return;
	memset(buf->vaddr, 0, buf->offset);
	memset(buf->vaddr + tail, 0, buf->memory - tail);
}

/*
 * From here on every CPU that is given an address of the mapping finds the buffer, however it
 * is given it. smp_wmb() orders the list before the address, and pairs with smp_rmb() in
 * has_swiotlb_overflow(). It does so for the bit too, also if another CPU has set it and this
 * one has only seen it, as hlist_add_head_rcu() is a store release and comes after the test.
 */
static void swiotlb_overflow_publish(struct swiotlb_overflow_buf *buf)
{
	unsigned int hash = overflow_hash(buf->start, buf->class);
	unsigned long flags;

	if (!test_bit(buf->class, &buf->dev->dma_overflow_classes))
		set_bit(buf->class, &buf->dev->dma_overflow_classes);
	spin_lock_irqsave(overflow_lock(hash), flags);
	hlist_add_head_rcu(&buf->node, &overflow_table[hash]);
	spin_unlock_irqrestore(overflow_lock(hash), flags);
	smp_wmb();	/* pairs with has_swiotlb_overflow(), see above */
}

static void overflow_free_retired(struct rcu_head *rcu)
{
	struct swiotlb_overflow_buf *buf = container_of(rcu, struct swiotlb_overflow_buf, rcu);
	void *bufs[RETIRED_BATCH];
	size_t count = 0;

	for (; buf; buf = buf->retired)
		bufs[count++] = buf;
	kfree_bulk(count, bufs);
}

/*
 * The memory is free before the grace period is over: whoever is still on the list does not
 * look for an address in it. Its next user may map it as it is, and a lookup of that address
 * must not find the buffer any more. smp_mb() has the deletion propagate to all CPUs before the
 * memory is free, by whatever way it gets to the next user, and pairs with smp_rmb() in
 * has_swiotlb_overflow(). The lock does that for a deletion that changes a neighbour instead of
 * the head of the list.
 *
 * The descriptors of a CPU wait together, with one callback for RETIRED_BATCH of them.
 */
static void swiotlb_overflow_retire(struct swiotlb_overflow_buf *buf)
{
	unsigned int hash = overflow_hash(buf->start, buf->class);
	struct swiotlb_overflow_buf *batch = NULL;
	struct overflow_retired *retired;
	unsigned long flags;

	spin_lock_irqsave(overflow_lock(hash), flags);
	hlist_del_rcu(&buf->node);
	spin_unlock_irqrestore(overflow_lock(hash), flags);
	smp_mb();	/* pairs with has_swiotlb_overflow(), see above */
	swiotlb_overflow_free_memory(buf);

	local_lock_irqsave(&overflow_retired.lock, flags);
	retired = this_cpu_ptr(&overflow_retired);
	buf->retired = retired->first;
	retired->first = buf;
	if (++retired->count == RETIRED_BATCH) {
		batch = buf;
		retired->first = NULL;
		retired->count = 0;
	}
	local_unlock_irqrestore(&overflow_retired.lock, flags);
	if (batch)
		call_rcu(&batch->rcu, overflow_free_retired);
}

/*
 * The buffer that has this byte of a mapping. For who owns the mapping the descriptor stays
 * after the return, as the unmap is by the owner too. Follows the barrier in
 * has_swiotlb_overflow().
 */
static struct swiotlb_overflow_buf *swiotlb_overflow_lookup(struct device *dev, phys_addr_t paddr)
{
	unsigned long classes = READ_ONCE(dev->dma_overflow_classes);
	struct swiotlb_overflow_buf *buf;

	rcu_read_lock();
	for (; classes; classes &= classes - 1) {
		unsigned int hash = overflow_hash(paddr, __ffs(classes));

		hlist_for_each_entry_rcu(buf, &overflow_table[hash], node) {
			if (paddr - buf->start < buf->size && buf->dev == dev) {
				rcu_read_unlock();
				return buf;
			}
		}
	}
	rcu_read_unlock();
	return NULL;
}

/**
 * swiotlb_overflow_find() - is_swiotlb_overflow() for devices that had a transient buffer
 * @dev:	the device that the address was mapped for
 * @paddr:	physical address
 *
 * Return: true if the byte at @paddr is part of a mapping of @dev that lives in a transient
 * buffer.
 */
bool swiotlb_overflow_find(struct device *dev, phys_addr_t paddr)
{
	return swiotlb_overflow_lookup(dev, paddr);
}

static void overflow_copy(const struct swiotlb_overflow_buf *buf, size_t offset, size_t size,
			  enum dma_data_direction dir)
{
	if (size > buf->size - offset) {
		dev_WARN_ONCE(buf->dev, 1,
			      "Buffer overflow detected. Mapping size: %u. Access: %zu+%zu.\n",
			      buf->size, offset, size);
		size = buf->size - offset;
	}
	swiotlb_copy(buf->orig_addr + offset, buf->vaddr + buf->offset + offset, size, dir);
}

/**
 * swiotlb_overflow_bounce() - copy between a transient buffer and what is mapped
 * @dev:	device of the mapping
 * @tlb_addr:	physical address in the buffer to begin at
 * @size:	in bytes; what goes beyond the mapping is not copied, with a warning
 * @dir:	DMA_TO_DEVICE to the buffer, DMA_FROM_DEVICE from it
 *
 * Any context; the caller owns the mapping. Follows has_swiotlb_overflow(). Does nothing if the
 * address is none of a transient buffer of the device.
 */
void swiotlb_overflow_bounce(struct device *dev, phys_addr_t tlb_addr, size_t size,
			     enum dma_data_direction dir)
{
	struct swiotlb_overflow_buf *buf = swiotlb_overflow_lookup(dev, tlb_addr);

	if (buf)
		overflow_copy(buf, tlb_addr - buf->start, size, dir);
}

/**
 * swiotlb_overflow_unmap() - copy what a device wrote, and free its transient buffer
 * @dev:	device of the mapping
 * @tlb_addr:	physical address of the mapping's first byte
 * @size:	of the mapping, in bytes
 * @dir:	direction of the mapping
 * @attrs:	DMA_ATTR_SKIP_CPU_SYNC: do not copy
 *
 * Any context; the caller owns the mapping and gives it up. Follows has_swiotlb_overflow(). The
 * memory is free on return. Does nothing if the address is none of a transient buffer of the
 * device; one inside of a mapping is warned of, and nothing is freed.
 */
void swiotlb_overflow_unmap(struct device *dev, phys_addr_t tlb_addr, size_t size,
			    enum dma_data_direction dir, unsigned long attrs)
{
	struct swiotlb_overflow_buf *buf = swiotlb_overflow_lookup(dev, tlb_addr);
	size_t memory;

	if (!buf)
		return;
	if (dev_WARN_ONCE(dev, buf->start != tlb_addr, "Unmap inside of a mapping: %pa\n",
			  &tlb_addr))
		return;
	if (!(attrs & DMA_ATTR_SKIP_CPU_SYNC) && dir != DMA_TO_DEVICE)
		overflow_copy(buf, 0, size, DMA_FROM_DEVICE);
	memory = buf->memory;
	trace_swiotlb_overflow_free(dev, tlb_addr, buf->size, memory);
	swiotlb_overflow_retire(buf);
	swiotlb_overflow_uncharge(dev, memory);
	this_cpu_inc(overflow_stats.unmapped);
}

static phys_addr_t fail(struct device *dev, size_t size, enum swiotlb_overflow_failure why,
			unsigned long attrs)
{
	struct io_tlb_mem *mem = dev->dma_io_tlb_mem;

	this_cpu_inc(overflow_stats.failed[why]);
	trace_swiotlb_overflow_fail(dev, size, failure_names[why]);
	if (!(attrs & DMA_ATTR_NO_WARN))
		dev_warn_ratelimited(dev,
				     "swiotlb buffer is full (sz: %zu bytes), total %lu (slots), used %lu (slots), overflow %ld of %lu (bytes), this device %ld of %lu (bytes): %s\n",
				     size, mem->nslabs, swiotlb_mem_used(mem),
				     atomic_long_read(&overflow_bytes), READ_ONCE(overflow_cap),
				     atomic_long_read(&dev->dma_overflow_bytes),
				     READ_ONCE(overflow_device_cap), failure_names[why]);
	return (phys_addr_t)DMA_MAPPING_ERROR;
}

/* Fills in what is known before there is memory; returns the alignment that it needs. */
static size_t swiotlb_overflow_layout(struct swiotlb_overflow_buf *buf, size_t alloc_size,
				      unsigned int alloc_align_mask, bool decrypted)
{
	unsigned int min_align_mask = dma_get_min_align_mask(buf->dev);
	size_t align = max_t(size_t, IO_TLB_SIZE, (min_align_mask | alloc_align_mask) + 1UL);

	if (alloc_size >= PAGE_SIZE)
		align = max_t(size_t, align, PAGE_SIZE);
	buf->offset = buf->orig_addr & min_align_mask;
	buf->memory = ALIGN(buf->offset + alloc_size, alloc_align_mask + 1UL);
	/*
	 * A slab has objects of others beside the buffer. That is for devices only from which
	 * nothing of the kernel's memory is hidden: not for one behind an IOMMU, where pages
	 * are what can be hidden, and not where pages have to be decrypted.
	 */
	if (buf->memory <= IO_TLB_SIZE && align == IO_TLB_SIZE && !decrypted &&
	    !is_translated(buf->dev))
		buf->memory = IO_TLB_SIZE;
	else
		buf->memory = PAGE_ALIGN(buf->memory);
	return align;
}

static phys_addr_t overflow_map(struct device *dev, phys_addr_t orig_addr, size_t mapping_size,
				size_t alloc_size, unsigned int alloc_align_mask, bool decrypted,
				unsigned long attrs)
{
	/* Drivers map in interrupts, and without memory fail() says more than the allocator. */
	const gfp_t gfp = GFP_NOWAIT | __GFP_NOWARN;
	enum swiotlb_overflow_failure why;
	struct swiotlb_overflow_buf *buf;
	size_t align;

	if ((orig_addr & dma_get_min_align_mask(dev)) + alloc_size > IO_TLB_SEGSIZE << IO_TLB_SHIFT)
		return fail(dev, alloc_size, OVERFLOW_FAIL_SIZE, attrs);
	buf = kmalloc(sizeof(*buf), gfp);
	if (!buf)
		return fail(dev, alloc_size, OVERFLOW_FAIL_MEMORY, attrs);
	buf->dev = dev;
	buf->orig_addr = orig_addr;
	buf->size = mapping_size;
	align = swiotlb_overflow_layout(buf, alloc_size, alloc_align_mask, decrypted);

	why = swiotlb_overflow_charge(dev, buf->memory);
	if (why != OVERFLOW_OK)
		goto free_descriptor;
	why = decrypted ? alloc_decrypted(buf, align, gfp) : alloc_plain(buf, align, gfp);
	if (why != OVERFLOW_OK)
		goto uncharge;
	buf->class = max_t(unsigned int, IO_TLB_SHIFT,
			   fls64(buf->start ^ (buf->start + mapping_size - 1)));

	clear_padding(buf);
	/* Also for DMA_FROM_DEVICE: what the device does not write has to come back as it was. */
	swiotlb_copy(orig_addr, buf->vaddr + buf->offset, mapping_size, DMA_TO_DEVICE);
	swiotlb_overflow_publish(buf);

	this_cpu_inc(overflow_stats.mapped);
	pr_info_once("pool of %lu slots is full, %s gets the first transient buffer\n",
		     dev->dma_io_tlb_mem->nslabs, dev_name(dev));
	trace_swiotlb_overflow_alloc(dev, buf->start, mapping_size, buf->memory);
	return buf->start;

uncharge:
	swiotlb_overflow_uncharge(dev, buf->memory);
free_descriptor:
	kfree(buf);
	return fail(dev, alloc_size, why, attrs);
}

/**
 * swiotlb_overflow_map() - map to a transient buffer, as the pool is full
 * @dev:		device to map for
 * @orig_addr:		physical address of what is mapped
 * @mapping_size:	bytes to bounce
 * @alloc_size:		bytes that the device can see, @mapping_size or more
 * @alloc_align_mask:	alignment of the memory that the device can see, less one
 * @attrs:		DMA_ATTR_NO_WARN: do not log a failure
 *
 * Any context in which a spinlock_t can be taken; does not wait for memory. The buffer is
 * filled whatever the direction will be, and all else in its memory is zero. There are no such
 * buffers for devices with a restricted pool, without a pool, and where the pool is remapped to
 * be seen by the host (swiotlb_unencrypted_base); Xen has its own path and does not come here.
 *
 * Return: the physical address of the mapping, or DMA_MAPPING_ERROR.
 */
phys_addr_t swiotlb_overflow_map(struct device *dev, phys_addr_t orig_addr, size_t mapping_size,
				 size_t alloc_size, unsigned int alloc_align_mask,
				 unsigned long attrs)
{
	struct io_tlb_mem *mem = dev->dma_io_tlb_mem;

	/* The pool has told why. */
	if (!mem || !mem->nslabs || mapping_size > alloc_size)
		return (phys_addr_t)DMA_MAPPING_ERROR;
	if (mem->for_alloc || swiotlb_unencrypted_base)
		return fail(dev, alloc_size, OVERFLOW_FAIL_POOL, attrs);
	return overflow_map(dev, orig_addr, mapping_size, alloc_size, alloc_align_mask,
			    force_dma_unencrypted(dev), attrs);
}

static void set_limits(unsigned long cap, unsigned int share)
{
	WRITE_ONCE(overflow_cap, cap);
	WRITE_ONCE(overflow_share, share);
	WRITE_ONCE(overflow_device_cap, mult_frac(cap, share, 100));
}

/* Kept until there are caches */
static unsigned long boot_cap __initdata = ULONG_MAX;
static unsigned int boot_share __initdata = DEFAULT_DEVICE_SHARE;

/* swiotlb_overflow=size[KMG][,percent of that for one device] */
static int __init swiotlb_overflow_setup(char *str)
{
	unsigned int share = DEFAULT_DEVICE_SHARE;
	char *end;
	u64 cap = memparse(str, &end);

	if (end == str || (*end && *end != ',') || cap > LONG_MAX ||
	    (*end == ',' && (kstrtouint(end + 1, 0, &share) || share > 100))) {
		pr_warn("swiotlb_overflow=%s is not understood, the default is used\n", str);
		return 0;
	}
	boot_cap = cap;
	boot_share = share;
	return 0;
}
early_param("swiotlb_overflow", swiotlb_overflow_setup);

static int __init swiotlb_overflow_init(void)
{
	const struct {
		const char *name;
		slab_flags_t flags;
	} caches[OVERFLOW_ZONES] = {
		[OVERFLOW_SLOT_NORMAL] = { "swiotlb_overflow", 0 },
		[OVERFLOW_SLOT_DMA32] = { "swiotlb_overflow_dma32", SLAB_CACHE_DMA32 },
		[OVERFLOW_SLOT_DMA] = { "swiotlb_overflow_dma", SLAB_CACHE_DMA },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(overflow_locks); i++)
		spin_lock_init(&overflow_locks[i].lock);
	for (i = 0; i < OVERFLOW_ZONES; i++) {
		if ((i == OVERFLOW_SLOT_DMA32 && !IS_ENABLED(CONFIG_ZONE_DMA32)) ||
		    (i == OVERFLOW_SLOT_DMA && !IS_ENABLED(CONFIG_ZONE_DMA)))
			continue;
		slot_caches[i] = kmem_cache_create(caches[i].name, IO_TLB_SIZE, IO_TLB_SIZE,
						   caches[i].flags, NULL);
		if (!slot_caches[i]) {
			pr_warn("no cache for small transient buffers, there will be none\n");
			return -ENOMEM;
		}
	}
	if (boot_cap == ULONG_MAX)
		boot_cap = min_t(u64, (u64)totalram_pages() << PAGE_SHIFT >> DEFAULT_CAP_SHIFT,
				 LONG_MAX);
	set_limits(boot_cap, boot_share);
	return 0;
}
core_initcall(swiotlb_overflow_init);

#ifdef CONFIG_DEBUG_FS

static unsigned long stats_sum(size_t offset)
{
	void __percpu *base = &overflow_stats;
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*(unsigned long *)(per_cpu_ptr(base, cpu) + offset));
	return sum;
}

#define STATS_SUM(member)	stats_sum(offsetof(struct overflow_stats, member))

/* The counters of all CPUs are only about right together while others map and unmap. */
static int buffers_get(void *data, u64 *value)
{
	*value = max(0L, (long)(STATS_SUM(mapped) - STATS_SUM(unmapped)));
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(buffers_fops, buffers_get, NULL, "%llu\n");

static int total_get(void *data, u64 *value)
{
	*value = STATS_SUM(mapped);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(total_fops, total_get, NULL, "%llu\n");

static int bytes_get(void *data, u64 *value)
{
	*value = atomic_long_read(&overflow_bytes);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(bytes_fops, bytes_get, NULL, "%llu\n");

static int failed_get(void *data, u64 *value)
{
	*value = STATS_SUM(failed[(unsigned long)data]);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(failed_fops, failed_get, NULL, "%llu\n");

static int cap_get(void *data, u64 *value)
{
	*value = READ_ONCE(overflow_cap);
	return 0;
}

/* Against another writer, so that the limit of a device fits what is written last */
static DEFINE_MUTEX(limits_lock);

static int cap_set(void *data, u64 value)
{
	if (value > LONG_MAX)
		return -EINVAL;
	mutex_lock(&limits_lock);
	set_limits(value, overflow_share);
	mutex_unlock(&limits_lock);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(cap_fops, cap_get, cap_set, "%llu\n");

static int share_get(void *data, u64 *value)
{
	*value = READ_ONCE(overflow_share);
	return 0;
}

static int share_set(void *data, u64 value)
{
	if (value > 100)
		return -EINVAL;
	mutex_lock(&limits_lock);
	set_limits(overflow_cap, value);
	mutex_unlock(&limits_lock);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(share_fops, share_get, share_set, "%llu\n");

static int __init swiotlb_overflow_debugfs(void)
{
	struct dentry *dir = debugfs_create_dir("overflow", io_tlb_default_mem.debugfs);
	char name[32];
	unsigned long i;

	debugfs_create_file("buffers", 0400, dir, NULL, &buffers_fops);
	debugfs_create_file("bytes", 0400, dir, NULL, &bytes_fops);
	debugfs_create_ulong("peak_bytes", 0400, dir, &overflow_peak);
	debugfs_create_file("total", 0400, dir, NULL, &total_fops);
	debugfs_create_file("cap_bytes", 0600, dir, NULL, &cap_fops);
	debugfs_create_file("device_share_percent", 0600, dir, NULL, &share_fops);
	for (i = OVERFLOW_OK + 1; i < OVERFLOW_FAILURES; i++) {
		snprintf(name, sizeof(name), "failed_%s", failure_names[i]);
		debugfs_create_file(name, 0400, dir, (void *)i, &failed_fops);
	}
	return 0;
}
late_initcall(swiotlb_overflow_debugfs);

#endif /* CONFIG_DEBUG_FS */

#ifdef CONFIG_SWIOTLB_KUNIT_TEST
#include "swiotlb_overflow_test.c"
#endif
