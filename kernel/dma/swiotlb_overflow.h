/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Internals of transient bounce buffers: what swiotlb.c calls, and what the files
 * swiotlb_overflow*.c and the KUnit suite share.
 */
#ifndef _KERNEL_DMA_SWIOTLB_OVERFLOW_H
#define _KERNEL_DMA_SWIOTLB_OVERFLOW_H

#include <linux/atomic.h>
#include <linux/local_lock.h>
#include <linux/percpu-defs.h>
#include <linux/types.h>

struct device;
struct swiotlb_layout;

/* Only called if CONFIG_SWIOTLB_OVERFLOW is enabled. */
phys_addr_t swiotlb_overflow_map(struct device *dev, phys_addr_t orig_addr, size_t mapping_size,
				 unsigned int alloc_align_mask, enum dma_data_direction dir,
				 unsigned long attrs);

#ifdef CONFIG_SWIOTLB_OVERFLOW

/**
 * enum swiotlb_overflow_source - origin of the memory of a transient buffer
 * @OVERFLOW_PAGES:		block of the page allocator
 * @OVERFLOW_SINGLE_PAGES:	pages of a block of the page allocator whose other pages were freed
 * @OVERFLOW_SLOT:		slab cache
 * @OVERFLOW_ATOMIC_POOL:	pool for atomic allocations of decrypted memory
 */
enum swiotlb_overflow_source {
	OVERFLOW_PAGES,
	OVERFLOW_SINGLE_PAGES,
	OVERFLOW_SLOT,
	OVERFLOW_ATOMIC_POOL,
};

/**
 * enum overflow_zone - zones of transient buffers, in the order in which they are tried
 * @OVERFLOW_ZONE_NORMAL:	all memory
 * @OVERFLOW_ZONE_DMA32:	ZONE_DMA32 and below
 * @OVERFLOW_ZONE_DMA:		ZONE_DMA
 * @OVERFLOW_ZONES:		number of values
 */
enum overflow_zone {
	OVERFLOW_ZONE_NORMAL,
	OVERFLOW_ZONE_DMA32,
	OVERFLOW_ZONE_DMA,
	OVERFLOW_ZONES,
};

/**
 * enum swiotlb_overflow_failure - why there is no transient buffer for a mapping
 * @OVERFLOW_OK:		there is one
 * @OVERFLOW_FAIL_POOL:		the pool of the device never overflows
 * @OVERFLOW_FAIL_SIZE:		the mapping is larger than the pool permits
 * @OVERFLOW_FAIL_CAP:		limit on the memory of all buffers
 * @OVERFLOW_FAIL_ZONE:		limit on the memory of all buffers in the zone
 * @OVERFLOW_FAIL_SHARE:	limit on the memory of the buffers of a device
 * @OVERFLOW_FAIL_MEMORY:	the allocator has no memory
 * @OVERFLOW_FAIL_REACH:	the device cannot reach the memory that was found
 * @OVERFLOW_FAILURES:		number of values
 */
enum swiotlb_overflow_failure {
	OVERFLOW_OK,
	OVERFLOW_FAIL_POOL,
	OVERFLOW_FAIL_SIZE,
	OVERFLOW_FAIL_CAP,
	OVERFLOW_FAIL_ZONE,
	OVERFLOW_FAIL_SHARE,
	OVERFLOW_FAIL_MEMORY,
	OVERFLOW_FAIL_REACH,
	OVERFLOW_FAILURES,
};

/**
 * struct swiotlb_overflow_buf - descriptor of a transient buffer
 * @node:	entry of a hash chain
 * @dev:	device of the mapping; only compared
 * @start:	physical address of the first byte of the mapping
 * @orig_addr:	physical address of the memory that is bounced
 * @retired:	next descriptor that waits for a grace period; replaces @orig_addr when the
 *		memory has been freed
 * @vaddr:	virtual address of the memory, @offset bytes before the mapping; need not be in
 *		the linear map
 * @size:	size of the mapping, in bytes
 * @memory:	size of the memory, in bytes
 * @offset:	padding before the mapping, in bytes
 * @class:	number of low-order address bits that vary within the mapping
 * @source:	enum swiotlb_overflow_source of the memory
 * @zone:	enum overflow_zone that was asked for the memory
 * @rcu:	frees the descriptor
 *
 * All members are written before the descriptor is published. Until the unmap they are only
 * read.
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
	u8			zone;
	struct rcu_head		rcu;
};

/**
 * struct swiotlb_overflow_stats - event counters of a CPU
 * @mapped:	transient buffers that were mapped
 * @unmapped:	transient buffers that were unmapped
 * @failed:	mappings that failed, by reason
 */
struct swiotlb_overflow_stats {
	unsigned long	mapped;
	unsigned long	unmapped;
	unsigned long	failed[OVERFLOW_FAILURES];
};

DECLARE_PER_CPU(struct swiotlb_overflow_stats, swiotlb_overflow_stats);

/**
 * struct swiotlb_overflow_retired - descriptors of a CPU for which no grace period has started
 * @lock:	disables interrupts because buffers may be unmapped in hard IRQ context
 * @count:	number of descriptors, less than a batch
 * @first:	list of descriptors, which are off the hash chains
 */
struct swiotlb_overflow_retired {
	local_lock_t			lock;	/* @count and @first */
	unsigned int			count;
	struct swiotlb_overflow_buf	*first;
};

DECLARE_PER_CPU(struct swiotlb_overflow_retired, swiotlb_overflow_retired);

extern const char * const swiotlb_overflow_failure_names[OVERFLOW_FAILURES];

/**
 * struct swiotlb_overflow_zone - limits on transient buffers of a zone
 * @bytes:		bytes in use by all devices in this zone and those below, except in
 *			OVERFLOW_ZONE_NORMAL
 * @cap:		limit on @bytes
 * @device_cap:		limit on the bytes of a device in this zone
 */
struct swiotlb_overflow_zone {
	atomic_long_t	bytes;
	unsigned long	cap;
	unsigned long	device_cap;
};

/**
 * struct swiotlb_overflow_limits - limits on the memory of transient buffers, and its use
 * @bytes:		bytes in use by all devices
 * @peak:		the highest value of @bytes
 * @cap:		limit on @bytes
 * @max_cap:		highest value of @cap
 * @share:		share of a device, in percent of @cap or of the limit of a zone
 * @zones:		limits by zone
 */
struct swiotlb_overflow_limits {
	atomic_long_t	bytes;
	unsigned long	peak;
	unsigned long	cap;
	unsigned long	max_cap;
	unsigned int	share;
	struct swiotlb_overflow_zone zones[OVERFLOW_ZONES];
};

extern struct swiotlb_overflow_limits swiotlb_overflow_limits;

/* swiotlb_overflow.c */
struct swiotlb_overflow_buf *swiotlb_overflow_lookup(struct device *dev, phys_addr_t paddr);

/* swiotlb_overflow_memory.c */
enum swiotlb_overflow_failure
swiotlb_overflow_alloc_memory(struct swiotlb_overflow_buf *buf,
			      const struct swiotlb_layout *layout, bool decrypted,
			      bool translated, gfp_t gfp);
void swiotlb_overflow_free_memory(const struct swiotlb_overflow_buf *buf);
int swiotlb_overflow_init_memory(void);

/* swiotlb_overflow_limits.c */
enum swiotlb_overflow_failure swiotlb_overflow_charge(struct device *dev, enum overflow_zone zone,
						      size_t bytes);
void swiotlb_overflow_uncharge(struct device *dev, enum overflow_zone zone, size_t bytes);
int swiotlb_overflow_set_cap(u64 bytes);
int swiotlb_overflow_set_share(u64 percent);
int swiotlb_overflow_parse(const char *str, unsigned long *cap, unsigned int *share);
void swiotlb_overflow_init_limits(void);

#ifdef CONFIG_DEBUG_FS
/* swiotlb_overflow_debugfs.c */
int swiotlb_overflow_buffers_get(void *unused, u64 *value);
int swiotlb_overflow_total_get(void *unused, u64 *value);
int swiotlb_overflow_bytes_get(void *unused, u64 *value);
int swiotlb_overflow_failed_get(void *failure, u64 *value);
int swiotlb_overflow_cap_get(void *unused, u64 *value);
int swiotlb_overflow_cap_set(void *unused, u64 value);
int swiotlb_overflow_share_get(void *unused, u64 *value);
int swiotlb_overflow_share_set(void *unused, u64 value);
#endif

#endif /* CONFIG_SWIOTLB_OVERFLOW */
#endif /* _KERNEL_DMA_SWIOTLB_OVERFLOW_H */
