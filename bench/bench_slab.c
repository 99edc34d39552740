// SPDX-License-Identifier: GPL-2.0
/*
 * What an object of a slab cache costs, with SLAB_CACHE_DMA32 and without.
 *
 * fast: an allocation and its free while the cache has a free object at hand.
 * new:  an allocation on average of many, so that the cache needs new slabs all the time.
 * free: the free of those.
 *
 * Public interfaces only: the module builds for a kernel with the series and for one without. Run it with
 * -icount shift=0, where a nanosecond is an instruction, and with slab_nomerge, so that nobody else's
 * objects lie in its caches.
 */
#include <linux/init.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "ktap.h"

#define ROUNDS	9
#define PAIRS	20000
#define OBJECTS	4096

static void *objects[OBJECTS] __initdata;

static void __init show(const char *what, const char *cache, u64 ns, unsigned int count)
{
	char name[32];

	snprintf(name, sizeof(name), "slab_%s_%s", what, cache);
	ktap_value(cache, name, ns, count, "ns");
}

/* Alternates between one object's allocation and free; the per-cpu slab stays the same. */
static u64 __init time_pairs(struct kmem_cache *cache)
{
	unsigned long irq;
	unsigned int i;
	u64 start, ns;
	void *p;

	local_irq_save(irq);
	p = kmem_cache_alloc(cache, GFP_ATOMIC);
	if (p)
		kmem_cache_free(cache, p);
	start = ktime_get_ns();
	for (i = 0; i < PAIRS; i++) {
		p = kmem_cache_alloc(cache, GFP_ATOMIC);
		if (unlikely(!p))
			break;
		kmem_cache_free(cache, p);
	}
	ns = ktime_get_ns() - start;
	local_irq_restore(irq);
	return i == PAIRS ? ns : 0;
}

/* Fills new slabs, then empties them again: *alloc and *release are the times. */
static bool __init time_new(struct kmem_cache *cache, u64 *alloc, u64 *release)
{
	unsigned int i, count;
	unsigned long irq;
	u64 start;

	kmem_cache_shrink(cache);
	local_irq_save(irq);
	start = ktime_get_ns();
	for (count = 0; count < OBJECTS; count++) {
		objects[count] = kmem_cache_alloc(cache, GFP_ATOMIC);
		if (unlikely(!objects[count]))
			break;
	}
	*alloc = ktime_get_ns() - start;
	start = ktime_get_ns();
	for (i = 0; i < count; i++)
		kmem_cache_free(cache, objects[i]);
	*release = ktime_get_ns() - start;
	local_irq_restore(irq);
	return count == OBJECTS;
}

/* @name: of its case. */
static bool __init bench_cache(const char *name, unsigned int size, slab_flags_t flags)
{
	u64 pairs = U64_MAX, alloc = U64_MAX, release = U64_MAX, a, r;
	struct kmem_cache *cache;
	bool good = false;
	int i;

	cache = kmem_cache_create("bench_slab", size, 0, flags, NULL);
	if (!cache)
		return false;
	for (i = 0; i < ROUNDS; i++) {
		a = time_pairs(cache);
		pairs = min(pairs, a);
		good = a && time_new(cache, &a, &r);
		if (!good)
			break;
		alloc = min(alloc, a);
		release = min(release, r);
	}
	kmem_cache_destroy(cache);
	if (!good)
		return false;
	show("fast", name, pairs, PAIRS);
	show("new", name, alloc, OBJECTS);
	show("free", name, release, OBJECTS);
	return true;
}

static int __init bench_init(void)
{
	static const unsigned int sizes[] __initconst = { 64, 1024 };
	static const slab_flags_t flags[] __initconst = { 0, SLAB_CACHE_DMA32 };
	unsigned int i, j;
	char name[16];

	ktap_begin("bench_slab", ARRAY_SIZE(sizes) * ARRAY_SIZE(flags));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (j = 0; j < ARRAY_SIZE(flags); j++) {
			snprintf(name, sizeof(name), "%u%s", sizes[i], flags[j] ? "_dma32" : "");
			ktap_result(name, bench_cache(name, sizes[i], flags[j]));
		}
	}
	return ktap_end("bench_slab");
}
module_init(bench_init);

MODULE_DESCRIPTION("Costs of slab caches below 4 GB");
MODULE_LICENSE("GPL");
