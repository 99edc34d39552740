// SPDX-License-Identifier: GPL-2.0
/*
 * Limits on the memory of transient bounce buffers.
 */

#define pr_fmt(fmt) "software IO TLB: " fmt

#include <linux/atomic.h>
#include <linux/ctype.h>
#include <linux/device.h>
#include <linux/highmem.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/mutex.h>

#include "swiotlb_overflow.h"

/* All devices together may use 1/8 of memory, up to 16 GB, unless swiotlb_overflow= says else. */
#define DEFAULT_CAP_SHIFT	3
#define DEFAULT_CAP_MAX		(16ULL << 30)
/*
 * Share of the limit that one device may use, in percent, so that a device which never unmaps
 * leaves memory to the others
 */
#define DEFAULT_DEVICE_SHARE	50
/*
 * At most 1/4 of the memory of a DMA zone, or 1/2 if the limit on all buffers was raised. Devices
 * that can use no other memory need the rest for what they map without bouncing, and for coherent
 * memory.
 */
#define ZONE_CAP_SHIFT		2
#define RAISED_ZONE_CAP_SHIFT	1

/*
 * All CPUs share the counter because the limit must be exact. An allocation and a free change it
 * once each.
 */
struct swiotlb_overflow_limits swiotlb_overflow_limits;

/*
 * Memory of the DMA zones in bytes, each with the zones below. What is no DMA zone, or does not
 * exist, limits nothing.
 */
static u64 zone_memory[OVERFLOW_ZONES] __ro_after_init = {
	[0 ... OVERFLOW_ZONES - 1] = U64_MAX,
};

static unsigned long default_cap __ro_after_init;

/* Keeps the limits consistent with each other if they are set concurrently. */
static DEFINE_MUTEX(limits_lock);

/*
 * Charges unless this exceeds the limit: not even for a moment, because charges of others to the
 * same limit would fail.
 */
static bool try_charge(atomic_long_t *charged, size_t bytes, unsigned long limit)
{
	long old = atomic_long_read(charged);

	do {
		if (old + bytes > limit)
			return false;
	} while (!atomic_long_try_cmpxchg(charged, &old, old + bytes));
	return true;
}

static void count_peak(struct swiotlb_overflow_limits *limits)
{
	unsigned long now = atomic_long_read(&limits->bytes), peak = READ_ONCE(limits->peak);

	while (now > peak && !try_cmpxchg(&limits->peak, &peak, now))
		;
}

static_assert(ARRAY_SIZE(((struct device *)NULL)->dma_overflow_zone_bytes) == OVERFLOW_ZONES - 1);

static void uncharge_zone(struct device *dev, enum overflow_zone zone, size_t bytes)
{
	atomic_long_sub(bytes, &swiotlb_overflow_limits.zones[zone].bytes);
	atomic_long_sub(bytes, &dev->dma_overflow_zone_bytes[zone - 1]);
}

/*
 * Charges a DMA zone: the device's share of it, and all of it. Inline, because a device that
 * reaches 32 bits charges ZONE_DMA32 with each buffer, and the compiler would call a function.
 */
static __always_inline enum swiotlb_overflow_failure
charge_zone(struct device *dev, enum overflow_zone zone, size_t bytes)
{
	struct swiotlb_overflow_zone *z = &swiotlb_overflow_limits.zones[zone];

	if (!try_charge(&dev->dma_overflow_zone_bytes[zone - 1], bytes, READ_ONCE(z->device_cap)))
		return OVERFLOW_FAIL_SHARE;
	if (!try_charge(&z->bytes, bytes, READ_ONCE(z->cap))) {
		atomic_long_sub(bytes, &dev->dma_overflow_zone_bytes[zone - 1]);
		return OVERFLOW_FAIL_ZONE;
	}
	return OVERFLOW_OK;
}

/*
 * ZONE_DMA is part of what ZONE_DMA32 is limited to. On arm64, where it usually has all of the
 * lowest 4 GB, both are the same memory. Not inline, to keep the way of the others short.
 */
static noinline enum swiotlb_overflow_failure charge_lowest(struct device *dev, size_t bytes)
{
	enum swiotlb_overflow_failure why = charge_zone(dev, OVERFLOW_ZONE_DMA, bytes);

	if (why != OVERFLOW_OK)
		return why;
	why = charge_zone(dev, OVERFLOW_ZONE_DMA32, bytes);
	if (why != OVERFLOW_OK)
		uncharge_zone(dev, OVERFLOW_ZONE_DMA, bytes);
	return why;
}

static enum swiotlb_overflow_failure charge_zones(struct device *dev, enum overflow_zone zone,
						  size_t bytes)
{
	if (zone == OVERFLOW_ZONE_NORMAL)
		return OVERFLOW_OK;
	if (zone == OVERFLOW_ZONE_DMA)
		return charge_lowest(dev, bytes);
	return charge_zone(dev, OVERFLOW_ZONE_DMA32, bytes);
}

static void uncharge_zones(struct device *dev, enum overflow_zone zone, size_t bytes)
{
	if (zone == OVERFLOW_ZONE_NORMAL)
		return;
	if (zone == OVERFLOW_ZONE_DMA)
		uncharge_zone(dev, OVERFLOW_ZONE_DMA, bytes);
	uncharge_zone(dev, OVERFLOW_ZONE_DMA32, bytes);
}

/**
 * swiotlb_overflow_charge() - charge memory to the limits of a device and of all devices
 * @dev:	the device
 * @zone:	zone from which the memory is to be allocated
 * @bytes:	to be allocated
 *
 * Context: any.
 * Return: OVERFLOW_OK, or which limit would be exceeded.
 */
enum swiotlb_overflow_failure swiotlb_overflow_charge(struct device *dev, enum overflow_zone zone,
						      size_t bytes)
{
	struct swiotlb_overflow_limits *limits = &swiotlb_overflow_limits;
	enum swiotlb_overflow_failure why;

	if (!try_charge(&dev->dma_overflow_bytes, bytes,
			READ_ONCE(limits->zones[OVERFLOW_ZONE_NORMAL].device_cap)))
		return atomic_long_read(&limits->bytes) + bytes > READ_ONCE(limits->cap) ?
			OVERFLOW_FAIL_CAP : OVERFLOW_FAIL_SHARE;
	why = charge_zones(dev, zone, bytes);
	if (why != OVERFLOW_OK) {
		atomic_long_sub(bytes, &dev->dma_overflow_bytes);
		return why;
	}
	if (!try_charge(&limits->bytes, bytes, READ_ONCE(limits->cap))) {
		uncharge_zones(dev, zone, bytes);
		atomic_long_sub(bytes, &dev->dma_overflow_bytes);
		return OVERFLOW_FAIL_CAP;
	}
	count_peak(limits);
	return OVERFLOW_OK;
}

/**
 * swiotlb_overflow_uncharge() - return memory of a device to its limits
 * @dev:	the device
 * @zone:	as charged
 * @bytes:	as charged
 *
 * Context: any.
 */
void swiotlb_overflow_uncharge(struct device *dev, enum overflow_zone zone, size_t bytes)
{
	atomic_long_sub(bytes, &swiotlb_overflow_limits.bytes);
	uncharge_zones(dev, zone, bytes);
	atomic_long_sub(bytes, &dev->dma_overflow_bytes);
}

static void set_limits(unsigned long cap, unsigned int share)
{
	unsigned int shift = cap > default_cap ? RAISED_ZONE_CAP_SHIFT : ZONE_CAP_SHIFT, i;
	struct swiotlb_overflow_zone *zone;

	WRITE_ONCE(swiotlb_overflow_limits.cap, cap);
	WRITE_ONCE(swiotlb_overflow_limits.share, share);
	for (i = 0; i < OVERFLOW_ZONES; i++) {
		zone = &swiotlb_overflow_limits.zones[i];
		WRITE_ONCE(zone->cap, min_t(u64, cap, zone_memory[i] >> shift));
		WRITE_ONCE(zone->device_cap, mult_frac(zone->cap, share, 100));
	}
}

/**
 * swiotlb_overflow_set_cap() - set the limit for all devices
 * @bytes:	up to the limit at boot, for which the hash table is sized; 0 disables transient
 *		buffers
 *
 * Existing buffers are kept if they exceed the limit.
 *
 * Context: may sleep.
 * Return: 0, or -EINVAL if @bytes is too large.
 */
int swiotlb_overflow_set_cap(u64 bytes)
{
	if (bytes > swiotlb_overflow_limits.max_cap)
		return -EINVAL;
	mutex_lock(&limits_lock);
	set_limits(bytes, swiotlb_overflow_limits.share);
	mutex_unlock(&limits_lock);
	return 0;
}

/**
 * swiotlb_overflow_set_share() - set the share of the limit that one device may use
 * @percent:	0 to 100
 *
 * Context: may sleep.
 * Return: 0, or -EINVAL if @percent is too large.
 */
int swiotlb_overflow_set_share(u64 percent)
{
	if (percent > 100)
		return -EINVAL;
	mutex_lock(&limits_lock);
	set_limits(swiotlb_overflow_limits.cap, percent);
	mutex_unlock(&limits_lock);
	return 0;
}

/**
 * swiotlb_overflow_parse() - read the limits that swiotlb_overflow= has on the command line
 * @str:	"<size>[KMG]" or "<size>[KMG],<percent>"; NULL if there is no value
 * @cap:	limit for all devices, in bytes
 * @share:	share of one device, in percent; the default if @str has none
 *
 * Context: any.
 * Return: 0, or -EINVAL if @str is something else; then neither @cap nor @share is changed.
 */
int swiotlb_overflow_parse(const char *str, unsigned long *cap, unsigned int *share)
{
	unsigned int percent = DEFAULT_DEVICE_SHARE;
	char *end;
	u64 bytes;

	if (!str || !isdigit(*str))
		return -EINVAL;
	bytes = memparse(str, &end);
	if (bytes > LONG_MAX)
		return -EINVAL;
	if (*end == ',' && (kstrtouint(end + 1, 0, &percent) || percent > 100))
		return -EINVAL;
	if (*end && *end != ',')
		return -EINVAL;
	*cap = bytes;
	*share = percent;
	return 0;
}

/* Values of the command line, until swiotlb_overflow_init_limits() */
static unsigned long boot_cap __initdata = ULONG_MAX;
static unsigned int boot_share __initdata = DEFAULT_DEVICE_SHARE;

static int __init swiotlb_overflow_setup(char *str)
{
	if (swiotlb_overflow_parse(str, &boot_cap, &boot_share))
		pr_warn("swiotlb_overflow=%s: invalid value, using the default\n", str ?: "");
	return 0;
}
early_param("swiotlb_overflow", swiotlb_overflow_setup);

static unsigned long __init memory_up_to(enum zone_type highest)
{
	unsigned long pages = 0;
	struct zone *zone;

	for_each_populated_zone(zone)
		if (zone_idx(zone) <= highest)
			pages += zone_managed_pages(zone);
	return pages << PAGE_SHIFT;
}

/**
 * swiotlb_overflow_init_limits() - set the limits of the command line, or the default
 *
 * A limit above the low memory is the low memory, because the hash table is sized for it.
 *
 * The limit on all buffers stays 0, for the caller to set it.
 *
 * Context: once, while the machine boots.
 */
void __init swiotlb_overflow_init_limits(void)
{
	/* Buffers lie in low memory. */
	u64 memory = (u64)(totalram_pages() - totalhigh_pages()) << PAGE_SHIFT;

	default_cap = min_t(u64, memory >> DEFAULT_CAP_SHIFT,
			    min_t(u64, DEFAULT_CAP_MAX, LONG_MAX));
	if (boot_cap == ULONG_MAX)
		boot_cap = default_cap;
	boot_cap = min_t(u64, boot_cap, memory);
#ifdef CONFIG_ZONE_DMA32
	zone_memory[OVERFLOW_ZONE_DMA32] = memory_up_to(ZONE_DMA32);
#endif
#ifdef CONFIG_ZONE_DMA
	zone_memory[OVERFLOW_ZONE_DMA] = memory_up_to(ZONE_DMA);
#endif
	swiotlb_overflow_limits.max_cap = boot_cap;
	set_limits(0, boot_share);
}
