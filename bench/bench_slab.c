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
 * objects lie in its caches. Prints "bench: <name> <number> <unit>".
 */
#include <linux/init.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#define ROUNDS	9
#define PAIRS	20000
#define OBJECTS	4096

static void *objects[OBJECTS] __initdata;

static void __init show(const char *what, unsigned int size, slab_flags_t flags, u64 ns,
			unsigned int count)
{
	u64 hundredths = div_u64(ns * 100 + count / 2, count);
	u32 rest;
	u64 whole = div_u64_rem(hundredths, 100, &rest);

	pr_info("bench: slab_%s_%u%s %llu.%02u ns\n", what, size,
		flags & SLAB_CACHE_DMA32 ? "_dma32" : "", whole, rest);
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

static int __init bench_cache(unsigned int size, slab_flags_t flags)
{
	u64 pairs = U64_MAX, alloc = U64_MAX, release = U64_MAX, a, r;
	struct kmem_cache *cache;
	int i, err = -ENOMEM;

	cache = kmem_cache_create("bench_slab", size, 0, flags, NULL);
	if (!cache)
		return err;
	for (i = 0; i < ROUNDS; i++) {
		a = time_pairs(cache);
		if (!a)
			goto out;
		pairs = min(pairs, a);
		if (!time_new(cache, &a, &r))
			goto out;
		alloc = min(alloc, a);
		release = min(release, r);
	}
	show("fast", size, flags, pairs, PAIRS);
	show("new", size, flags, alloc, OBJECTS);
	show("free", size, flags, release, OBJECTS);
	err = 0;
out:
	kmem_cache_destroy(cache);
	return err;
}

static int __init bench_init(void)
{
	static const unsigned int sizes[] __initconst = { 64, 1024 };
	static const slab_flags_t flags[] __initconst = { 0, SLAB_CACHE_DMA32 };
	unsigned int i, j;
	int err;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (j = 0; j < ARRAY_SIZE(flags); j++) {
			err = bench_cache(sizes[i], flags[j]);
			if (err)
				return err;
		}
	}
	return 0;
}
module_init(bench_init);

MODULE_DESCRIPTION("Costs of slab caches below 4 GB");
MODULE_LICENSE("GPL");
