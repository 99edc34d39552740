// SPDX-License-Identifier: GPL-2.0
/*
 * Files of transient bounce buffers in debugfs: use, limits and failures.
 *
 * The functions that read and write the files are not static because the KUnit suite calls them.
 */

#include <linux/atomic.h>
#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/percpu.h>
#include <linux/swiotlb.h>

#include "swiotlb_overflow.h"

static unsigned long stats_sum(size_t offset)
{
	void __percpu *base = &swiotlb_overflow_stats;
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*(unsigned long *)(per_cpu_ptr(base, cpu) + offset));
	return sum;
}

#define STATS_SUM(member)	stats_sum(offsetof(struct swiotlb_overflow_stats, member))

/* While other CPUs map and unmap, the sums of the two counters are not exact. */
int swiotlb_overflow_buffers_get(void *unused, u64 *value)
{
	*value = max(0L, (long)(STATS_SUM(mapped) - STATS_SUM(unmapped)));
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(buffers_fops, swiotlb_overflow_buffers_get, NULL, "%llu\n");

int swiotlb_overflow_total_get(void *unused, u64 *value)
{
	*value = STATS_SUM(mapped);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(total_fops, swiotlb_overflow_total_get, NULL, "%llu\n");

int swiotlb_overflow_bytes_get(void *unused, u64 *value)
{
	*value = atomic_long_read(&swiotlb_overflow_limits.bytes);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(bytes_fops, swiotlb_overflow_bytes_get, NULL, "%llu\n");

int swiotlb_overflow_failed_get(void *failure, u64 *value)
{
	*value = STATS_SUM(failed[(unsigned long)failure]);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(failed_fops, swiotlb_overflow_failed_get, NULL, "%llu\n");

int swiotlb_overflow_cap_get(void *unused, u64 *value)
{
	*value = READ_ONCE(swiotlb_overflow_limits.cap);
	return 0;
}

int swiotlb_overflow_cap_set(void *unused, u64 value)
{
	return swiotlb_overflow_set_cap(value);
}
DEFINE_DEBUGFS_ATTRIBUTE(cap_fops, swiotlb_overflow_cap_get, swiotlb_overflow_cap_set, "%llu\n");

int swiotlb_overflow_share_get(void *unused, u64 *value)
{
	*value = READ_ONCE(swiotlb_overflow_limits.share);
	return 0;
}

int swiotlb_overflow_share_set(void *unused, u64 value)
{
	return swiotlb_overflow_set_share(value);
}
DEFINE_DEBUGFS_ATTRIBUTE(share_fops, swiotlb_overflow_share_get, swiotlb_overflow_share_set,
			 "%llu\n");

static int __init swiotlb_overflow_debugfs(void)
{
	struct dentry *dir = debugfs_create_dir("overflow", io_tlb_default_mem.debugfs);
	char name[32];
	unsigned long i;

	debugfs_create_file("buffers", 0400, dir, NULL, &buffers_fops);
	debugfs_create_file("bytes", 0400, dir, NULL, &bytes_fops);
	debugfs_create_ulong("peak_bytes", 0400, dir, &swiotlb_overflow_limits.peak);
	debugfs_create_file("total", 0400, dir, NULL, &total_fops);
	debugfs_create_file("cap_bytes", 0600, dir, NULL, &cap_fops);
	debugfs_create_file("device_share_percent", 0600, dir, NULL, &share_fops);
	for (i = OVERFLOW_OK + 1; i < OVERFLOW_FAILURES; i++) {
		snprintf(name, sizeof(name), "failed_%s", swiotlb_overflow_failure_names[i]);
		debugfs_create_file(name, 0400, dir, (void *)i, &failed_fops);
	}
	return 0;
}
late_initcall(swiotlb_overflow_debugfs);
