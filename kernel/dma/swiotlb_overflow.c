// SPDX-License-Identifier: GPL-2.0
/*
 * Transient bounce buffers for a software IO TLB that is full.
 *
 * When the pool has no room for a mapping, a buffer is allocated for this one mapping and freed
 * by its unmap. Drivers see no difference. Documentation/core-api/swiotlb-overflow.rst states
 * what is guaranteed about placement, alignment, limits and what a device can see.
 *
 * Each buffer has a descriptor, struct swiotlb_overflow_buf, in an RCU hash list. The hash key is
 * the address shifted right by the buffer's class, the number of low-order bits that vary within
 * the mapping. Memory from the page allocator is naturally aligned, so there are about as many
 * classes as allocation orders. A device has a bit for each class that it ever used, in
 * dma_overflow_classes, and a lookup probes one hash chain for each of these bits.
 *
 * Life of a buffer, and what runs concurrently:
 *
 * - swiotlb_overflow_map() charges the memory, allocates without waiting and without holding a
 *   lock, fills the memory, then publishes the descriptor. It runs in any context that may map,
 *   including hard IRQ context.
 * - swiotlb_overflow_lookup() runs on any CPU, for addresses of transient buffers and for all
 *   other addresses.
 * - swiotlb_overflow_unmap() runs once for each buffer, on any CPU. As for a slot of the pool, the
 *   driver ensures that this mapping is no longer synced or looked up. Lookups of other
 *   addresses may still traverse the descriptor, so the descriptor is freed after a grace
 *   period. The memory is freed at once, see swiotlb_overflow_retire().
 *
 * tools/memory-model/litmus-tests/ has tests of the ordering.
 *
 * swiotlb_overflow_memory.c decides where the memory is: zones, slab slots and pages.
 * swiotlb_overflow_limits.c bounds it.
 */

#define pr_fmt(fmt) "software IO TLB: " fmt

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/cache.h>
#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/hash.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/local_lock.h>
#include <linux/percpu.h>
#include <linux/rculist.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/swiotlb.h>
#include <linux/swiotlb_overflow.h>

#include "swiotlb.h"
#include "swiotlb_overflow.h"

#define CREATE_TRACE_POINTS
#include <trace/events/swiotlb_overflow.h>

/* About one buffer per hash chain with 4096 buffers; with 64-bit pointers the table takes 32 KB. */
#define HASH_BITS	12
#define LOCK_BITS	6

/* Descriptors that share a grace period. Up to RETIRED_BATCH - 1 descriptors wait on each CPU. */
#define RETIRED_BATCH	16

const char * const swiotlb_overflow_failure_names[OVERFLOW_FAILURES] = {
	[OVERFLOW_OK]		= "none",
	[OVERFLOW_FAIL_POOL]	= "pool",
	[OVERFLOW_FAIL_SIZE]	= "size",
	[OVERFLOW_FAIL_CAP]	= "cap",
	[OVERFLOW_FAIL_SHARE]	= "device_share",
	[OVERFLOW_FAIL_MEMORY]	= "memory",
	[OVERFLOW_FAIL_REACH]	= "reach",
};

static struct hlist_head overflow_table[1 << HASH_BITS] __read_mostly;

/*
 * Lock i protects the hash chains whose index modulo ARRAY_SIZE(overflow_locks) is i. Maps and
 * unmaps of all devices take it concurrently, on any CPU and also in hard IRQ context. It is held
 * only to change a chain, and never together with another lock.
 */
static struct {
	spinlock_t lock;	/* hash chains */
} ____cacheline_aligned_in_smp overflow_locks[1 << LOCK_BITS] = {
	[0 ... (1 << LOCK_BITS) - 1] = { .lock = __SPIN_LOCK_UNLOCKED(overflow_locks.lock) },
};

/*
 * Descriptors that are off the hash chains and for which no grace period has started. The lock
 * disables interrupts because buffers may be unmapped in hard IRQ context.
 */
struct overflow_retired {
	local_lock_t			lock;
	unsigned int			count;
	struct swiotlb_overflow_buf	*first;
};

static DEFINE_PER_CPU(struct overflow_retired, overflow_retired) = {
	.lock = INIT_LOCAL_LOCK(lock),
};

DEFINE_PER_CPU(struct swiotlb_overflow_stats, swiotlb_overflow_stats);

static unsigned int overflow_hash(phys_addr_t addr, unsigned int class)
{
	return hash_64(addr >> class, HASH_BITS);
}

static spinlock_t *overflow_lock(unsigned int hash)
{
	return &overflow_locks[hash % ARRAY_SIZE(overflow_locks)].lock;
}

/*
 * After this, each CPU that is given an address of the mapping finds the buffer, by whatever means
 * it is given the address. smp_wmb() orders the hash chain before the address, and pairs with
 * smp_rmb() in has_swiotlb_overflow(). This includes the bit of the class, even if another CPU
 * set it and this one only observed it, because hlist_add_head_rcu() is a store release and
 * follows the test of the bit.
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
 * The memory is freed before the grace period ends: a CPU that still traverses the chain does not
 * look for an address in this memory. The next user of the memory may map it unbounced, and a
 * lookup of that address must not find the buffer. smp_mb() makes the removal from the chain
 * propagate to all CPUs before the memory is free, by whatever means it gets to its next user,
 * and pairs with smp_rmb() in has_swiotlb_overflow(). If the removal changes another descriptor
 * instead of the head of the chain, the lock extends this to the insertion of that descriptor.
 *
 * The descriptors of a CPU are collected, so that one callback frees RETIRED_BATCH of them.
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

/**
 * swiotlb_overflow_lookup() - find the transient buffer that contains a byte of a mapping
 * @dev:	device of the mapping
 * @paddr:	physical address of the byte
 *
 * Call has_swiotlb_overflow() first, it has the barrier. If the caller owns the mapping, the
 * descriptor remains valid after the return, because only the owner unmaps.
 *
 * Context: any.
 * Return: the buffer, or NULL if no buffer of @dev contains the byte.
 */
struct swiotlb_overflow_buf *swiotlb_overflow_lookup(struct device *dev, phys_addr_t paddr)
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
 * swiotlb_overflow_find() - is_swiotlb_overflow() for devices that have used transient buffers
 * @dev:	device for which the address was mapped
 * @paddr:	physical address
 *
 * Context: any.
 * Return: true if the byte at @paddr is part of a mapping of @dev in a transient buffer.
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
 * swiotlb_overflow_bounce() - copy between a transient buffer and the mapped memory
 * @dev:	device of the mapping
 * @tlb_addr:	physical address in the buffer at which the copy starts
 * @size:	in bytes; bytes beyond the mapping are not copied, with a warning
 * @dir:	DMA_TO_DEVICE: to the buffer, DMA_FROM_DEVICE: from the buffer
 *
 * Call has_swiotlb_overflow() first. Does nothing if @tlb_addr is not in a transient buffer of
 * @dev.
 *
 * Context: any; the caller owns the mapping.
 */
void swiotlb_overflow_bounce(struct device *dev, phys_addr_t tlb_addr, size_t size,
			     enum dma_data_direction dir)
{
	struct swiotlb_overflow_buf *buf = swiotlb_overflow_lookup(dev, tlb_addr);

	if (buf)
		overflow_copy(buf, tlb_addr - buf->start, size, dir);
}

/**
 * swiotlb_overflow_unmap() - copy the data that a device wrote and free its transient buffer
 * @dev:	device of the mapping
 * @tlb_addr:	physical address of the first byte of the mapping
 * @size:	size of the mapping, in bytes
 * @dir:	direction of the mapping
 * @attrs:	DMA_ATTR_SKIP_CPU_SYNC: do not copy
 *
 * Call has_swiotlb_overflow() first. The memory is free on return. Does nothing if @tlb_addr is
 * not in a transient buffer of @dev. An address inside a mapping causes a warning, and nothing is
 * freed.
 *
 * Context: any; the caller owns the mapping and gives it up.
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
	this_cpu_inc(swiotlb_overflow_stats.unmapped);
}

static phys_addr_t overflow_fail(struct device *dev, size_t size,
				 enum swiotlb_overflow_failure why, unsigned long attrs)
{
	struct swiotlb_overflow_limits *limits = &swiotlb_overflow_limits;
	struct io_tlb_mem *mem = dev->dma_io_tlb_mem;
	const char *reason = swiotlb_overflow_failure_names[why];

	this_cpu_inc(swiotlb_overflow_stats.failed[why]);
	trace_swiotlb_overflow_fail(dev, size, reason);
	if (!(attrs & DMA_ATTR_NO_WARN))
		dev_warn_ratelimited(dev,
				     "swiotlb buffer is full (sz: %zu bytes), total %lu (slots), used %lu (slots), overflow %ld of %lu (bytes), this device %ld of %lu (bytes): %s\n",
				     size, mem->nslabs, swiotlb_mem_used(mem),
				     atomic_long_read(&limits->bytes), READ_ONCE(limits->cap),
				     atomic_long_read(&dev->dma_overflow_bytes),
				     READ_ONCE(limits->device_cap), reason);
	return (phys_addr_t)DMA_MAPPING_ERROR;
}

static enum swiotlb_overflow_failure
overflow_alloc(struct swiotlb_overflow_buf *buf, size_t alloc_size, unsigned int alloc_align_mask,
	       bool decrypted, gfp_t gfp)
{
	size_t align = swiotlb_overflow_layout(buf, alloc_size, alloc_align_mask, decrypted);
	enum swiotlb_overflow_failure why;

	why = swiotlb_overflow_charge(buf->dev, buf->memory);
	if (why != OVERFLOW_OK)
		return why;
	why = swiotlb_overflow_alloc_memory(buf, align, decrypted, gfp);
	if (why != OVERFLOW_OK) {
		swiotlb_overflow_uncharge(buf->dev, buf->memory);
		return why;
	}
	buf->class = max_t(unsigned int, IO_TLB_SHIFT,
			   fls64(buf->start ^ (buf->start + buf->size - 1)));
	return OVERFLOW_OK;
}

/**
 * swiotlb_overflow_map() - map to a transient buffer because the pool is full
 * @dev:		device of the mapping
 * @orig_addr:		physical address of the memory to map
 * @mapping_size:	bytes to bounce
 * @alloc_size:		bytes that the device can see, at least @mapping_size
 * @alloc_align_mask:	alignment of the memory that the device can see, minus one
 * @decrypted:		the device needs decrypted memory
 * @attrs:		DMA_ATTR_NO_WARN: do not log a failure
 *
 * The buffer is filled in each direction, and the rest of its memory is zero. There is no buffer
 * for a device with a restricted pool or without a pool, nor where the host accesses the pool by
 * another address (swiotlb_unencrypted_base).
 *
 * Context: any context in which a spinlock_t can be taken; does not wait for memory.
 * Return: physical address of the mapping, or DMA_MAPPING_ERROR.
 */
phys_addr_t swiotlb_overflow_map(struct device *dev, phys_addr_t orig_addr, size_t mapping_size,
				 size_t alloc_size, unsigned int alloc_align_mask,
				 bool decrypted, unsigned long attrs)
{
	/* Drivers map in hard IRQ context. overflow_fail() logs more than the allocator would. */
	const gfp_t gfp = GFP_NOWAIT | __GFP_NOWARN;
	struct io_tlb_mem *mem = dev->dma_io_tlb_mem;
	enum swiotlb_overflow_failure why;
	struct swiotlb_overflow_buf *buf;

	/* swiotlb_tbl_map_single() has logged the reason. */
	if (!mem || !mem->nslabs || !mapping_size || mapping_size > alloc_size)
		return (phys_addr_t)DMA_MAPPING_ERROR;
	if (mem->for_alloc || swiotlb_unencrypted_base)
		return overflow_fail(dev, alloc_size, OVERFLOW_FAIL_POOL, attrs);
	if ((orig_addr & dma_get_min_align_mask(dev)) + alloc_size > IO_TLB_SEGSIZE << IO_TLB_SHIFT)
		return overflow_fail(dev, alloc_size, OVERFLOW_FAIL_SIZE, attrs);

	buf = kmalloc(sizeof(*buf), gfp);
	if (!buf)
		return overflow_fail(dev, alloc_size, OVERFLOW_FAIL_MEMORY, attrs);
	buf->dev = dev;
	buf->orig_addr = orig_addr;
	buf->size = mapping_size;
	why = overflow_alloc(buf, alloc_size, alloc_align_mask, decrypted, gfp);
	if (why != OVERFLOW_OK) {
		kfree(buf);
		return overflow_fail(dev, alloc_size, why, attrs);
	}

	/* Also for DMA_FROM_DEVICE: bytes that the device does not write must keep their value. */
	swiotlb_copy(orig_addr, buf->vaddr + buf->offset, mapping_size, DMA_TO_DEVICE);
	swiotlb_overflow_publish(buf);

	this_cpu_inc(swiotlb_overflow_stats.mapped);
	pr_info_once("pool of %lu slots is full, %s gets the first transient buffer\n",
		     mem->nslabs, dev_name(dev));
	trace_swiotlb_overflow_alloc(dev, buf->start, mapping_size, buf->memory);
	return buf->start;
}

static int __init swiotlb_overflow_init(void)
{
	int err = swiotlb_overflow_init_memory();

	/* The cap stays 0 and there are no transient buffers. */
	if (err)
		return err;
	swiotlb_overflow_init_limits();
	return 0;
}
core_initcall(swiotlb_overflow_init);
