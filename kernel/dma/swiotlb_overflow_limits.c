// SPDX-License-Identifier: GPL-2.0
/*
 * Limits on the memory of transient bounce buffers.
 */

#define pr_fmt(fmt) "software IO TLB: " fmt

#include <linux/atomic.h>
#include <linux/device.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mutex.h>

#include "swiotlb_overflow.h"

/* All devices together may use 1/8 of memory, unless swiotlb_overflow= sets another limit. */
#define DEFAULT_CAP_SHIFT	3
/*
 * Share of the limit that one device may use, in percent, so that a device which never unmaps
 * leaves memory to the others
 */
#define DEFAULT_DEVICE_SHARE	50

/*
 * All CPUs share the counter because the limit must be exact. An allocation and a free change it
 * once each.
 */
struct swiotlb_overflow_limits swiotlb_overflow_limits;

/* Keeps @device_cap consistent with @cap and @share if they are set concurrently. */
static DEFINE_MUTEX(limits_lock);

/**
 * swiotlb_overflow_uncharge() - return memory of a device to its limits
 * @dev:	the device
 * @bytes:	as charged
 *
 * Context: any.
 */
void swiotlb_overflow_uncharge(struct device *dev, size_t bytes)
{
	atomic_long_sub(bytes, &dev->dma_overflow_bytes);
	atomic_long_sub(bytes, &swiotlb_overflow_limits.bytes);
}

/**
 * swiotlb_overflow_charge() - charge memory to the limits of a device and of all devices
 * @dev:	the device
 * @bytes:	to be allocated
 *
 * Charges before it compares. Two CPUs may both fail to get the last bytes, but cannot both get
 * them.
 *
 * Context: any.
 * Return: OVERFLOW_OK, OVERFLOW_FAIL_CAP or OVERFLOW_FAIL_SHARE.
 */
enum swiotlb_overflow_failure swiotlb_overflow_charge(struct device *dev, size_t bytes)
{
	struct swiotlb_overflow_limits *limits = &swiotlb_overflow_limits;
	unsigned long now, peak;

	now = atomic_long_add_return(bytes, &limits->bytes);
	if (now > READ_ONCE(limits->cap)) {
		atomic_long_sub(bytes, &limits->bytes);
		return OVERFLOW_FAIL_CAP;
	}
	if (atomic_long_add_return(bytes, &dev->dma_overflow_bytes) >
	    READ_ONCE(limits->device_cap)) {
		swiotlb_overflow_uncharge(dev, bytes);
		return OVERFLOW_FAIL_SHARE;
	}
	peak = READ_ONCE(limits->peak);
	while (now > peak && !try_cmpxchg(&limits->peak, &peak, now))
		;
	return OVERFLOW_OK;
}

static void set_limits(unsigned long cap, unsigned int share)
{
	WRITE_ONCE(swiotlb_overflow_limits.cap, cap);
	WRITE_ONCE(swiotlb_overflow_limits.share, share);
	WRITE_ONCE(swiotlb_overflow_limits.device_cap, mult_frac(cap, share, 100));
}

/**
 * swiotlb_overflow_set_cap() - set the limit for all devices
 * @bytes:	up to LONG_MAX; 0 disables transient buffers
 *
 * Existing buffers are kept if they exceed the limit.
 *
 * Context: may sleep.
 * Return: 0, or -EINVAL if @bytes is too large.
 */
int swiotlb_overflow_set_cap(u64 bytes)
{
	if (bytes > LONG_MAX)
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

/* Values of the command line, until swiotlb_overflow_init_limits() */
static unsigned long boot_cap __initdata = ULONG_MAX;
static unsigned int boot_share __initdata = DEFAULT_DEVICE_SHARE;

/* swiotlb_overflow=<size>[KMG][,<percent>] */
static int __init swiotlb_overflow_setup(char *str)
{
	unsigned int share = DEFAULT_DEVICE_SHARE;
	char *end;
	u64 cap = memparse(str, &end);

	if (end == str || (*end && *end != ',') || cap > LONG_MAX ||
	    (*end == ',' && (kstrtouint(end + 1, 0, &share) || share > 100))) {
		pr_warn("swiotlb_overflow=%s: invalid value, using the default\n", str);
		return 0;
	}
	boot_cap = cap;
	boot_share = share;
	return 0;
}
early_param("swiotlb_overflow", swiotlb_overflow_setup);

/**
 * swiotlb_overflow_init_limits() - set the limits of the command line, or the default
 *
 * Until then the limit is 0.
 *
 * Context: once, while the machine boots.
 */
void __init swiotlb_overflow_init_limits(void)
{
	if (boot_cap == ULONG_MAX)
		boot_cap = min_t(u64, (u64)totalram_pages() << PAGE_SHIFT >> DEFAULT_CAP_SHIFT,
				 LONG_MAX);
	set_limits(boot_cap, boot_share);
}
