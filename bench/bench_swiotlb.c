// SPDX-License-Identifier: GPL-2.0
/*
 * What bouncing costs, in the pool and when the pool is full.
 *
 * direct:  a device that reaches all of memory
 * hit:     a device with a 32-bit mask and buffers above 4 GB, while the pool has room
 * over:    the same while the pool is full, with 1 to 4096 buffers outstanding, of 512 bytes also with
 *          as many as fit into 1 GB; the oldest is next
 *   map, unmap: DMA_BIDIRECTIONAL, so that each copies the whole buffer
 *   sync:       dma_sync_single_for_cpu() of 64 bytes
 *   other:      the sync of another device, which has one buffer
 *   unmap_all:  the unmap, and what it leaves to RCU, workqueues and others to do
 *   failed:     maps that failed; there are no costs then, and the case is skipped
 *   bytes:      memory taken by a map, on average of 4096
 * back:    from the end of 4096 unmaps of 64 KB until their memory is free
 * aligned: maps that keep the low 12 address bits for a device that wants this, and keep the data
 *
 * The pool has to have POOL_SLOTS slots: boot with swiotlb=512,1 and one processor. A kernel with
 * CONFIG_SWIOTLB_DYNAMIC adds a pool after an overflow, when its worker runs; this module keeps the
 * processor until all costs that depend on the number of pools are taken.
 *
 * Public interfaces only, the same source for each kernel. Run it with -icount shift=0, where a
 * nanosecond is an instruction.
 */
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/init.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <linux/vmstat.h>

#include "ktap.h"

#define POOL_SLOTS	512
#define SLOT		SZ_2K
#define MOST		4096		/* buffers outstanding, of any size */
#define MANY_SIZE	512
#define MANY		524288		/* buffers outstanding, of MANY_SIZE */
#define COUNT		1024		/* that an average is taken of */
#define WARM		512		/* maps that use up what is left in slabs */
#define MOST_FILLERS	(64 * POOL_SLOTS)
#define SYNC		64
#define ALIGN_MASK	(SZ_4K - 1)
#define NO_ROOM		"maps fail when the pool is full"
#define SPIN		256
#define BATCH		2048

struct cost {
	u64 map;
	u64 sync;
	u64 other;
	u64 unmap;
	unsigned int count;
	unsigned int failed;
};

static const size_t sizes[] __initconst = { 64, MANY_SIZE, SZ_4K, SZ_64K };
static const unsigned int outstanding[] __initconst = { 1, 64, 1024, MOST, 65536, MANY };

enum dev_kind { DIRECT, BOUNCED, ALIGNED, OTHER, FILLER, USERS };

static struct platform_device *users[USERS] __initdata;
static dma_addr_t *buffers __initdata;
static dma_addr_t *fillers __initdata;
static dma_addr_t others_buffer __initdata = DMA_MAPPING_ERROR;
static unsigned int nr_fillers __initdata, pool_slots __initdata = POOL_SLOTS;
static void *source __initdata;		/* above 4 GB */
static u64 clock_cost __initdata;	/* of reading the clock */
static u64 spin_cost __initdata;	/* times 1024 */
static unsigned long spins;

static dma_addr_t __init map(struct device *dev, void *data, size_t size)
{
	return dma_map_single_attrs(dev, data, size, DMA_BIDIRECTIONAL, DMA_ATTR_NO_WARN);
}

static void __init unmap(struct device *dev, dma_addr_t buffer, size_t size)
{
	dma_unmap_single(dev, buffer, size, DMA_BIDIRECTIONAL);
}

static void __init show(const char *test, const char *what, u64 sum, unsigned int count,
			const char *unit)
{
	char name[48];

	snprintf(name, sizeof(name), "swiotlb_%s", what);
	ktap_value(test, name, sum, count, unit);
}

static u64 __init since(u64 start)
{
	u64 ns = ktime_get_ns() - start;

	return ns > clock_cost ? ns - clock_cost : 0;
}

/* With what the lists of the processors hold. */
static unsigned long __init free_memory(void)
{
	struct zone *zone = NODE_DATA(0)->node_zones;
	unsigned long pages = 0;
	int i, cpu;

	for (i = 0; i < MAX_NR_ZONES; i++, zone++) {
		if (!populated_zone(zone))
			continue;
		pages += zone_page_state_snapshot(zone, NR_FREE_PAGES);
		for_each_online_cpu(cpu)
			pages += per_cpu_ptr(zone->per_cpu_pageset, cpu)->count;
	}
	return pages;
}

/* Another device takes all slots; its own overflow, if it gets there, is not in anybody's way. */
static void __init fill_pool(void)
{
	struct device *dev = &users[FILLER]->dev;

	for (; nr_fillers < min(pool_slots, MOST_FILLERS); nr_fillers++) {
		fillers[nr_fillers] = map(dev, source, SLOT);
		if (dma_mapping_error(dev, fillers[nr_fillers]))
			break;
	}
}

static void __init empty_pool(void)
{
	while (nr_fillers)
		unmap(&users[FILLER]->dev, fillers[--nr_fillers], SLOT);
}

/* The worker, if it runs from now on, adds a pool of the same size. */
static void __init pool_grows(void)
{
	if (IS_ENABLED(CONFIG_SWIOTLB_DYNAMIC))
		pool_slots += POOL_SLOTS;
}

/* With @many buffers outstanding, @count times: syncs and unmaps the oldest, maps another one. */
static void __init run(struct device *dev, size_t size, unsigned int many, unsigned int count,
		       struct cost *cost)
{
	unsigned long irq;
	dma_addr_t *oldest;
	unsigned int i;
	u64 start;

	*cost = (struct cost){ .count = count };
	for (i = 0; i < many; i++) {
		buffers[i] = map(dev, source, size);
		cost->failed += !!dma_mapping_error(dev, buffers[i]);
	}
	local_irq_save(irq);
	for (i = 0; i < count && !cost->failed; i++) {
		oldest = &buffers[i % many];
		start = ktime_get_ns();
		dma_sync_single_for_cpu(dev, *oldest, SYNC, DMA_BIDIRECTIONAL);
		cost->sync += since(start);
		if (others_buffer != DMA_MAPPING_ERROR) {
			start = ktime_get_ns();
			dma_sync_single_for_cpu(&users[OTHER]->dev, others_buffer, SYNC,
						DMA_BIDIRECTIONAL);
			cost->other += since(start);
		}
		start = ktime_get_ns();
		unmap(dev, *oldest, size);
		cost->unmap += since(start);
		start = ktime_get_ns();
		*oldest = map(dev, source, size);
		cost->map += since(start);
		cost->failed += !!dma_mapping_error(dev, *oldest);
	}
	local_irq_restore(irq);
	for (i = 0; i < many; i++)
		if (!dma_mapping_error(dev, buffers[i]))
			unmap(dev, buffers[i], size);
}

static void __init show_cost(const char *test, const char *suffix, const struct cost *cost)
{
	char name[40];

	snprintf(name, sizeof(name), "%s_map%s", test, suffix);
	show(test, name, cost->map, cost->count, "ns");
	snprintf(name, sizeof(name), "%s_sync%s", test, suffix);
	show(test, name, cost->sync, cost->count, "ns");
	if (cost->other) {
		snprintf(name, sizeof(name), "%s_other%s", test, suffix);
		show(test, name, cost->other, cost->count, "ns");
	}
	snprintf(name, sizeof(name), "%s_unmap%s", test, suffix);
	show(test, name, cost->unmap, cost->count, "ns");
}

/* Whether so many buffers of a size are measured. */
static bool __init measured(size_t size, unsigned int many)
{
	return many <= MOST || size == MANY_SIZE;
}

static void __init bench_pool(enum dev_kind kind, const char *what, size_t size)
{
	struct cost cost;
	char test[32];

	snprintf(test, sizeof(test), "%s_%zu", what, size);
	run(&users[kind]->dev, size, 64, COUNT, &cost);
	if (!cost.failed)
		show_cost(test, "", &cost);
	ktap_result(test, !cost.failed);
}

static void __init bench_memory(const char *test, size_t size)
{
	struct device *dev = &users[BOUNCED]->dev;
	unsigned long before = 0, after;
	unsigned int i, failed = 0;
	char name[32];

	for (i = 0; i < MOST + WARM; i++) {
		if (i == WARM)
			before = free_memory();
		buffers[i] = map(dev, source, size);
		failed += !!dma_mapping_error(dev, buffers[i]);
	}
	after = free_memory();
	for (i = 0; i < MOST + WARM; i++)
		if (!dma_mapping_error(dev, buffers[i]))
			unmap(dev, buffers[i], size);
	if (failed)
		return;
	snprintf(name, sizeof(name), "%s_bytes", test);
	show(test, name, (u64)(before - after) << PAGE_SHIFT, MOST, "bytes");
}

/* With a full pool. Returns how many maps failed: on kernels that cannot do without room in it, many. */
static unsigned int __init bench_overflow(size_t size, struct cost *costs)
{
	unsigned int i, failed = 0;
	char test[32], name[40];

	snprintf(test, sizeof(test), "over_%zu", size);
	bench_memory(test, size);
	others_buffer = map(&users[OTHER]->dev, source, size);
	for (i = 0; i < ARRAY_SIZE(outstanding); i++) {
		if (!measured(size, outstanding[i]))
			continue;
		run(&users[BOUNCED]->dev, size, outstanding[i], COUNT, &costs[i]);
		failed += costs[i].failed;
		snprintf(name, sizeof(name), "_%u", outstanding[i]);
		if (!costs[i].failed)
			show_cost(test, name, &costs[i]);
	}
	if (others_buffer != DMA_MAPPING_ERROR)
		unmap(&users[OTHER]->dev, others_buffer, size);
	others_buffer = DMA_MAPPING_ERROR;
	snprintf(name, sizeof(name), "%s_failed", test);
	show(test, name, failed, 1, "maps");
	if (failed)
		ktap_skip(test, NO_ROOM);
	else
		ktap_result(test, true);
	return failed;
}

/* The linear map stands in for the device: what was mapped is read, what is unmapped is written. */
static bool __init keeps(struct device *dev, size_t size, unsigned int offset)
{
	void *data = source + offset, *seen;
	dma_addr_t buffer;
	bool good;

	memset(data, 0x5a, size);
	buffer = map(dev, data, size);
	if (dma_mapping_error(dev, buffer))
		return false;
	seen = phys_to_virt(buffer);
	good = (buffer & ALIGN_MASK) == offset && !memchr_inv(seen, 0x5a, size);
	memset(seen, 0xa5, size);
	unmap(dev, buffer, size);
	return good && !memchr_inv(data, 0xa5, size);
}

static void __init bench_alignment(void)
{
	static const unsigned int sizes[] __initconst = { 512, 2048, 4096, 65536 };
	static const unsigned int offsets[] __initconst = {
		0, 0x100, 0x200, 0x400, 0x600, 0x800, 0xa00, 0xc00, 0xe00
	};
	unsigned int i, j, good = 0;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		for (j = 0; j < ARRAY_SIZE(offsets); j++)
			good += keeps(&users[ALIGNED]->dev, sizes[i], offsets[j]);
	show("aligned", "aligned", good, 1, "of_36");
	ktap_result("aligned", true);
}

/* Takes the time that nobody else wants: QEMU's clock jumps while the processor is idle. */
static int spin(void *unused)
{
	unsigned int i;

	sched_set_normal(current, MAX_NICE);
	while (!kthread_should_stop()) {
		for (i = 0; i < SPIN; i++)
			barrier();
		WRITE_ONCE(spins, spins + 1);
		schedule();
	}
	return 0;
}

/* kfree_rcu() may wait for seconds to have enough objects for a batch; here they are. */
static void __init fill_batch(void)
{
	struct waiting {
		struct rcu_head rcu;
	} *object;
	unsigned int i;

	for (i = 0; i < BATCH; i++) {
		object = kmalloc(sizeof(*object), GFP_KERNEL);
		if (object)
			kfree_rcu(object, rcu);
	}
}

/* Everything that was queued has run, and nobody frees memory any more. */
static void __init settle(void)
{
	unsigned long last;
	int i = 0;

	fill_batch();
	do {
		last = free_memory();
		rcu_barrier();
		msleep(20);
	} while (++i < 3 || (free_memory() != last && i < 100));
}

/*
 * Instructions that are left to others by @count unmaps. spin() runs whenever nobody else does, so
 * the processor is never idle and time is instructions; how often spin() went round tells how many
 * of them were its own. Ticks are part of spin_cost: a longer wait does not count as work.
 */
static s64 __init work_after(size_t size, unsigned int many, unsigned int count)
{
	struct cost cost;
	unsigned long before;
	u64 start, ns;

	preempt_disable();
	fill_pool();
	run(&users[BOUNCED]->dev, size, many, count - many, &cost);
	pool_grows();
	before = READ_ONCE(spins);
	start = ktime_get_ns();
	preempt_enable();
	settle();
	ns = ktime_get_ns() - start;
	return ns - (((READ_ONCE(spins) - before) * spin_cost) >> 10);
}

/* Other work of the kernel comes in between now and then: the least of some tries. */
static s64 __init least_work(size_t size, unsigned int many, unsigned int count, unsigned int tries)
{
	s64 least = S64_MAX;

	while (tries--)
		least = min(least, work_after(size, many, count));
	return least;
}

/* @alone is what settling takes anyhow, with its grace periods and a new pool. */
static void __init bench_deferred(const char *test, size_t size, unsigned int many,
				  const struct cost *cost, s64 alone)
{
	unsigned int count = max_t(unsigned int, many, MOST);
	u64 unmaps = div_u64(cost->unmap * count, COUNT);
	s64 work = least_work(size, many, count, 2) - alone;
	char name[32];

	snprintf(name, sizeof(name), "over_%zu_unmap_all_%u", size, many);
	show(test, name, unmaps + max(work, 0LL), count, "ns");
}

static int __init calibrate(void)
{
	unsigned long before = READ_ONCE(spins);
	u64 start = ktime_get_ns();

	msleep(200);
	if (READ_ONCE(spins) == before)
		return -EIO;
	spin_cost = div64_ul((ktime_get_ns() - start) << 10, READ_ONCE(spins) - before);
	return 0;
}

static void __init bench_back(void)
{
	struct device *dev = &users[BOUNCED]->dev;
	unsigned long before, wanted, irq;
	unsigned int i;
	u64 start, ns;

	settle();
	preempt_disable();
	fill_pool();
	before = free_memory();
	for (i = 0; i < MOST; i++)
		buffers[i] = map(dev, source, SZ_64K);
	wanted = free_memory();
	wanted += (before - wanted) / 64 * 63;		/* a slab may keep some */
	pool_grows();
	preempt_enable();
	settle();
	local_irq_save(irq);
	for (i = 0; i < MOST; i++)
		unmap(dev, buffers[i], SZ_64K);
	start = ktime_get_ns();
	local_irq_restore(irq);
	do {
		ns = ktime_get_ns() - start;
		if (free_memory() >= wanted)
			break;
		schedule();
	} while (ns < 60ULL * NSEC_PER_SEC);
	show("back", "back", ns, NSEC_PER_USEC, "us");
	ktap_result("back", true);
}

/* What unmaps leave for later, with a thread that takes all other time; @costs is NULL if maps fail. */
static void __init bench_later(struct cost (*costs)[ARRAY_SIZE(outstanding)])
{
	struct task_struct *spinner = NULL;
	unsigned int i, j;
	bool good = false;
	char test[32];
	s64 alone = 0;

	if (costs) {
		settle();
		spinner = kthread_run(spin, NULL, "bench_spin");
		good = !IS_ERR(spinner) && !calibrate();
		if (good)
			alone = least_work(SZ_4K, 1, 1, 4);
	}
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		snprintf(test, sizeof(test), "unmap_all_%zu", sizes[i]);
		for (j = 0; j < ARRAY_SIZE(outstanding) && good; j++)
			if (measured(sizes[i], outstanding[j]))
				bench_deferred(test, sizes[i], outstanding[j], &costs[i][j], alone);
		if (costs)
			ktap_result(test, good);
		else
			ktap_skip(test, NO_ROOM);
	}
	if (!IS_ERR_OR_NULL(spinner))
		kthread_stop(spinner);
}

static int __init bench_all(void)
{
	static struct cost costs[ARRAY_SIZE(sizes)][ARRAY_SIZE(outstanding)] __initdata;
	unsigned int i, failed = 0;

	ktap_begin("bench_swiotlb", 3 + 1 + 2 * ARRAY_SIZE(sizes) + 1);
	preempt_disable();
	bench_pool(DIRECT, "direct", SZ_4K);
	bench_pool(BOUNCED, "hit", 512);
	bench_pool(BOUNCED, "hit", SZ_4K);
	fill_pool();
	bench_alignment();
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		failed += bench_overflow(sizes[i], costs[i]);
	pool_grows();
	preempt_enable();
	bench_later(failed ? NULL : costs);
	if (failed)
		ktap_skip("back", NO_ROOM);
	else
		bench_back();
	return ktap_end("bench_swiotlb");
}

static int __init add_users(void)
{
	struct platform_device *user;
	int i, err;

	for (i = 0; i < USERS; i++) {
		user = platform_device_register_simple("bench_swiotlb", i, NULL, 0);
		if (IS_ERR(user))
			return PTR_ERR(user);
		users[i] = user;
		err = dma_set_mask(&user->dev, DMA_BIT_MASK(i == DIRECT ? 64 : 32));
		if (err)
			return err;
	}
	return dma_set_min_align_mask(&users[ALIGNED]->dev, ALIGN_MASK), 0;
}

static int __init bench_init(void)
{
	unsigned int order = get_order(SZ_64K + SZ_4K);
	u64 start;
	int i, err;

	source = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, order);
	fillers = vmalloc_array(MOST_FILLERS, sizeof(*fillers));
	buffers = vmalloc_array(MANY, sizeof(*buffers));
	err = source && fillers && buffers ? add_users() : -ENOMEM;
	if (!err && upper_32_bits(virt_to_phys(source)) == 0)
		err = -EINVAL;
	if (!err) {
		start = ktime_get_ns();
		clock_cost = ktime_get_ns() - start;
		err = bench_all();
		empty_pool();
	}
	for (i = 0; i < USERS; i++)
		platform_device_unregister(users[i]);
	vfree(buffers);
	vfree(fillers);
	if (source)
		free_pages((unsigned long)source, order);
	return err;
}
module_init(bench_init);

MODULE_DESCRIPTION("Costs of bouncing, in the pool and when it is full");
MODULE_LICENSE("GPL");
