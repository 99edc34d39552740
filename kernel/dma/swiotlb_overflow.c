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
#include <linux/cc_platform.h>
#include <linux/cpuhotplug.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/hash.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/local_lock.h>
#include <linux/log2.h>
#include <linux/memblock.h>
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

#define LOCK_BITS	6

/* Descriptors that share a grace period. Up to RETIRED_BATCH - 1 descriptors wait on each CPU. */
#define RETIRED_BATCH	16

const char * const swiotlb_overflow_failure_names[OVERFLOW_FAILURES] = {
	[OVERFLOW_OK]		= "none",
	[OVERFLOW_FAIL_POOL]	= "pool",
	[OVERFLOW_FAIL_SIZE]	= "size",
	[OVERFLOW_FAIL_CAP]	= "cap",
	[OVERFLOW_FAIL_ZONE]	= "zone",
	[OVERFLOW_FAIL_SHARE]	= "device_share",
	[OVERFLOW_FAIL_MEMORY]	= "memory",
	[OVERFLOW_FAIL_REACH]	= "reach",
};

/* There are as many hash chains as buffers under the highest limit, see overflow_init_table(). */
static struct hlist_head *overflow_table __ro_after_init;
static unsigned int overflow_hash_bits __ro_after_init;

/* What devices that used a transient buffer have as their range: memory may be anywhere. */
static struct io_tlb_mem overflow_range __ro_after_init = { .end = PHYS_ADDR_MAX };

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

DEFINE_PER_CPU(struct swiotlb_overflow_retired, swiotlb_overflow_retired) = {
	.lock = INIT_LOCAL_LOCK(lock),
};

DEFINE_PER_CPU(struct swiotlb_overflow_stats, swiotlb_overflow_stats);

static unsigned int overflow_hash(phys_addr_t addr, unsigned int class)
{
	return hash_64(addr >> class, overflow_hash_bits);
}

static spinlock_t *overflow_lock(unsigned int hash)
{
	return &overflow_locks[hash % ARRAY_SIZE(overflow_locks)].lock;
}

/*
 * After this, each CPU that is given an address of the mapping finds the buffer, by whatever means
 * it is given the address. smp_wmb() orders the hash chain before the address, and pairs with
 * smp_rmb() in swiotlb_range(). This includes the range of the device and the bit of the class,
 * even if another CPU set them and this one only observed them, because hlist_add_head_rcu() is a
 * store release and follows the tests.
 */
static void swiotlb_overflow_publish(struct swiotlb_overflow_buf *buf)
{
	unsigned int hash = overflow_hash(buf->start, buf->class);
	unsigned long flags;

	if (READ_ONCE(buf->dev->dma_io_tlb_range) != &overflow_range)
		WRITE_ONCE(buf->dev->dma_io_tlb_range, &overflow_range);
	if (!test_bit(buf->class, &buf->dev->dma_overflow_classes))
		set_bit(buf->class, &buf->dev->dma_overflow_classes);
	spin_lock_irqsave(overflow_lock(hash), flags);
	hlist_add_head_rcu(&buf->node, &overflow_table[hash]);
	spin_unlock_irqrestore(overflow_lock(hash), flags);
	smp_wmb();	/* pairs with swiotlb_range(), see above */
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
 * and pairs with smp_rmb() in swiotlb_range(). If the removal changes another descriptor
 * instead of the head of the chain, the lock extends this to the insertion of that descriptor.
 *
 * The descriptors of a CPU are collected, so that one callback frees RETIRED_BATCH of them.
 */
static void swiotlb_overflow_retire(struct swiotlb_overflow_buf *buf)
{
	unsigned int hash = overflow_hash(buf->start, buf->class);
	struct swiotlb_overflow_buf *batch = NULL;
	struct swiotlb_overflow_retired *retired;
	unsigned long flags;

	spin_lock_irqsave(overflow_lock(hash), flags);
	hlist_del_rcu(&buf->node);
	spin_unlock_irqrestore(overflow_lock(hash), flags);
	smp_mb();	/* pairs with swiotlb_range(), see above */
	swiotlb_overflow_free_memory(buf);

	local_lock_irqsave(&swiotlb_overflow_retired.lock, flags);
	retired = this_cpu_ptr(&swiotlb_overflow_retired);
	buf->retired = retired->first;
	retired->first = buf;
	if (++retired->count == RETIRED_BATCH) {
		batch = buf;
		retired->first = NULL;
		retired->count = 0;
	}
	local_unlock_irqrestore(&swiotlb_overflow_retired.lock, flags);
	if (batch)
		call_rcu(&batch->rcu, overflow_free_retired);
}

/**
 * swiotlb_overflow_lookup() - find the transient buffer that contains a byte of a mapping
 * @dev:	device of the mapping
 * @paddr:	physical address of the byte
 *
 * Call may_be_swiotlb_buffer() first, it has the barrier. If the caller owns the mapping, the
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
 * swiotlb_overflow_find() - is_swiotlb_buffer() for addresses that do not lie in the pool
 * @dev:	device for which the address was mapped
 * @paddr:	physical address
 *
 * Call may_be_swiotlb_buffer() first.
 *
 * Context: any.
 * Return: true if the byte at @paddr is part of a mapping of @dev in a transient buffer.
 */
bool swiotlb_overflow_find(struct device *dev, phys_addr_t paddr)
{
	return swiotlb_overflow_lookup(dev, paddr);
}
EXPORT_SYMBOL_GPL(swiotlb_overflow_find);

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

static void overflow_sync(struct device *dev, phys_addr_t tlb_addr, size_t size,
			  enum dma_data_direction dir)
{
	struct swiotlb_overflow_buf *buf = swiotlb_overflow_lookup(dev, tlb_addr);

	if (buf)
		overflow_copy(buf, tlb_addr - buf->start, size, dir);
}

/**
 * swiotlb_overflow_sync_for_device() - copy to a transient buffer
 * @dev:	device of the mapping
 * @tlb_addr:	physical address in the buffer at which the copy starts
 * @size:	in bytes; bytes beyond the mapping are not copied, with a warning
 * @dir:	direction of the mapping; DMA_FROM_DEVICE: does not copy
 *
 * Call may_be_swiotlb_buffer() first. Does nothing if @tlb_addr is not in a transient buffer of
 * @dev.
 *
 * Context: any; the caller owns the mapping.
 */
void swiotlb_overflow_sync_for_device(struct device *dev, phys_addr_t tlb_addr, size_t size,
				      enum dma_data_direction dir)
{
	if (dir != DMA_FROM_DEVICE)
		overflow_sync(dev, tlb_addr, size, DMA_TO_DEVICE);
}

/**
 * swiotlb_overflow_sync_for_cpu() - copy from a transient buffer
 * @dev:	device of the mapping
 * @tlb_addr:	physical address in the buffer at which the copy starts
 * @size:	in bytes; bytes beyond the mapping are not copied, with a warning
 * @dir:	direction of the mapping; DMA_TO_DEVICE: does not copy
 *
 * Call may_be_swiotlb_buffer() first. Does nothing if @tlb_addr is not in a transient buffer of
 * @dev.
 *
 * Context: any; the caller owns the mapping.
 */
void swiotlb_overflow_sync_for_cpu(struct device *dev, phys_addr_t tlb_addr, size_t size,
				   enum dma_data_direction dir)
{
	if (dir != DMA_TO_DEVICE)
		overflow_sync(dev, tlb_addr, size, DMA_FROM_DEVICE);
}

/**
 * swiotlb_overflow_unmap() - copy the data that a device wrote and free its transient buffer
 * @dev:	device of the mapping
 * @tlb_addr:	physical address of the first byte of the mapping
 * @size:	size of the mapping, in bytes
 * @dir:	direction of the mapping
 * @attrs:	DMA_ATTR_SKIP_CPU_SYNC: do not copy
 *
 * Call may_be_swiotlb_buffer() first. The memory is free on return. Does nothing if @tlb_addr is
 * not in a transient buffer of @dev. An address inside a mapping causes a warning, and nothing is
 * freed.
 *
 * Context: any; the caller owns the mapping and gives it up.
 */
void swiotlb_overflow_unmap(struct device *dev, phys_addr_t tlb_addr, size_t size,
			    enum dma_data_direction dir, unsigned long attrs)
{
	struct swiotlb_overflow_buf *buf = swiotlb_overflow_lookup(dev, tlb_addr);

	if (!buf)
		return;
	if (dev_WARN_ONCE(dev, buf->start != tlb_addr, "Unmap inside of a mapping: %pa\n",
			  &tlb_addr))
		return;
	if (!(attrs & DMA_ATTR_SKIP_CPU_SYNC) && dir != DMA_TO_DEVICE)
		overflow_copy(buf, 0, size, DMA_FROM_DEVICE);
	trace_swiotlb_overflow_free(dev, tlb_addr, buf->size, buf->memory);
	swiotlb_overflow_retire(buf);
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
				     "swiotlb buffer is full or out of reach (sz: %zu bytes), total %lu (slots), used %lu (slots), overflow %ld of %lu (bytes), this device %ld (bytes): %s\n",
				     size, mem->nslabs, swiotlb_mem_used(mem),
				     atomic_long_read(&limits->bytes), READ_ONCE(limits->cap),
				     atomic_long_read(&dev->dma_overflow_bytes), reason);
	return (phys_addr_t)DMA_MAPPING_ERROR;
}

static enum swiotlb_overflow_failure
overflow_alloc(struct swiotlb_overflow_buf *buf, unsigned int alloc_align_mask, gfp_t gfp)
{
	/*
	 * All of a pool is decrypted, on a host with SME also for devices that could do without.
	 * An IOMMU of such a host accesses all memory as encrypted, and that of a guest none.
	 */
	bool decrypted = alloc_align_mask ? cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT) :
			 force_dma_unencrypted(buf->dev) || buf->dev->dma_io_tlb_mem->decrypted;
	enum swiotlb_overflow_failure why;
	struct swiotlb_layout layout;

	swiotlb_layout(buf->dev, buf->orig_addr, buf->size, alloc_align_mask, &layout);
	if (layout.align_bits + layout.size > IO_TLB_SEGSIZE << IO_TLB_SHIFT)
		return OVERFLOW_FAIL_SIZE;
	why = swiotlb_overflow_alloc_memory(buf, &layout, decrypted, alloc_align_mask, gfp);
	if (why == OVERFLOW_OK)
		buf->class = max_t(unsigned int, IO_TLB_SHIFT,
				   fls64(buf->start ^ (buf->start + buf->size - 1)));
	return why;
}

/**
 * swiotlb_overflow_map() - map to a transient buffer because the pool is full or out of reach
 * @dev:		device of the mapping
 * @orig_addr:		physical address of the memory to map
 * @mapping_size:	in bytes
 * @alloc_align_mask:	granule of the IOMMU, minus one; 0 without an IOMMU
 * @dir:			direction of the mapping
 * @attrs:		DMA_ATTR_NO_WARN: do not log a failure
 *
 * The buffer is filled in each direction, and the rest of its memory is zero.
 *
 * Context: any context in which a spinlock_t can be taken; does not wait for memory.
 * Return: physical address of the mapping, or DMA_MAPPING_ERROR.
 */
phys_addr_t swiotlb_overflow_map(struct device *dev, phys_addr_t orig_addr, size_t mapping_size,
				 unsigned int alloc_align_mask, enum dma_data_direction dir,
				 unsigned long attrs)
{
	/*
	 * Drivers map in hard IRQ context. A task with PF_MEMALLOC may map too, but the reserves
	 * are for what frees memory soon, and a device can hold its buffer. overflow_fail() logs
	 * more than the allocator would.
	 */
	const gfp_t gfp = GFP_NOWAIT | __GFP_NOMEMALLOC | __GFP_NOWARN;
	enum swiotlb_overflow_failure why;
	struct swiotlb_overflow_buf *buf;

	if (!dev->dma_io_tlb_mem->can_overflow)
		return overflow_fail(dev, mapping_size, OVERFLOW_FAIL_POOL, attrs);
	/* No larger size is computed with. */
	if (mapping_size > IO_TLB_SEGSIZE << IO_TLB_SHIFT)
		return overflow_fail(dev, mapping_size, OVERFLOW_FAIL_SIZE, attrs);

	buf = kmalloc(sizeof(*buf), gfp);
	if (!buf)
		return overflow_fail(dev, mapping_size, OVERFLOW_FAIL_MEMORY, attrs);
	buf->dev = dev;
	buf->orig_addr = orig_addr;
	buf->size = mapping_size;
	why = overflow_alloc(buf, alloc_align_mask, gfp);
	if (why != OVERFLOW_OK) {
		kfree(buf);
		return overflow_fail(dev, mapping_size, why, attrs);
	}

	/* Also for DMA_FROM_DEVICE: bytes that the device does not write must keep their value. */
	swiotlb_copy(orig_addr, buf->vaddr + buf->offset, mapping_size, DMA_TO_DEVICE);
	swiotlb_write_back(dev, buf->start, mapping_size, dir, attrs);
	swiotlb_overflow_publish(buf);

	this_cpu_inc(swiotlb_overflow_stats.mapped);
	/* A console may map with its own lock held. */
	printk_deferred_once(KERN_INFO
			     pr_fmt("pool of %lu slots full or out of reach, first buffer: %s\n"),
			     dev->dma_io_tlb_mem->nslabs, dev_name(dev));
	trace_swiotlb_overflow_alloc(dev, buf->start, mapping_size, buf->memory);
	return buf->start;
}

/*
 * Nothing else would start the grace period of descriptors that wait for others on a dead CPU. That
 * CPU runs no more, so nobody else uses its list, and the lock is not taken.
 */
static int overflow_cpu_dead(unsigned int cpu)
{
	struct swiotlb_overflow_retired *retired = per_cpu_ptr(&swiotlb_overflow_retired, cpu);

	if (retired->first)
		call_rcu(&retired->first->rcu, overflow_free_retired);
	retired->first = NULL;
	retired->count = 0;
	return 0;
}

/*
 * As many hash chains as buffers fit into the limit, so that a chain has one buffer on average,
 * however many there are. The table takes 1/256 of the limit with 64-bit pointers.
 */
static void __init overflow_init_table(void)
{
	const unsigned long fewest = 1 << LOCK_BITS;
	unsigned long chains = max(swiotlb_overflow_limits.max_cap >> IO_TLB_SHIFT, fewest);

	overflow_table = alloc_large_system_hash("swiotlb overflow", sizeof(*overflow_table),
						 chains, 0, HASH_ZERO, &overflow_hash_bits, NULL,
						 fewest, 0);
}

static int __init swiotlb_overflow_init(void)
{
	int err = swiotlb_overflow_init_memory();

	/* The cap stays 0 and there are no transient buffers. */
	if (err)
		return err;
	err = cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "dma/swiotlb:dead", NULL,
					overflow_cpu_dead);
	if (err < 0)
		return err;
	swiotlb_overflow_init_limits();
	if (!swiotlb_overflow_limits.max_cap)
		return 0;
	overflow_init_table();
	return swiotlb_overflow_set_cap(swiotlb_overflow_limits.max_cap);
}
core_initcall(swiotlb_overflow_init);
