// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite for the addresses of the objects of a SLAB_CACHE_DMA32 cache.
 *
 * Only the physical address of an object counts, not the zone that it came
 * from: the zone that covers the first 4 GB differs between architectures
 * (arm64 may leave ZONE_DMA32 empty). An equal cache without the flag is the
 * control. Where the objects of that lie below 4 GB too, as on a machine with
 * little memory, a case would prove nothing and is skipped.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/hrtimer.h>
#include <linux/kfence.h>
#include <linux/math.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "slab_dma32_fixture.h"

/* A level-2 table of the Armv7 short-descriptor format, the main user */
#define TABLE_SIZE	1024

/* As many tables as 4 GB of IOVA space need */
#define NR_TABLES	4096

static void below_4g(struct kunit *test)
{
	unsigned int above, control;
	struct kmem_cache *cache;

	cache = szt_cache(test, "szt_control", TABLE_SIZE, TABLE_SIZE, 0);
	control = szt_count_above(test, cache, TABLE_SIZE, NR_TABLES, GFP_KERNEL);
	szt_free_objects(test);

	cache = szt_cache(test, "szt_dma32", TABLE_SIZE, TABLE_SIZE, SLAB_CACHE_DMA32);
	above = szt_count_above(test, cache, TABLE_SIZE, NR_TABLES, GFP_KERNEL);

	KUNIT_EXPECT_EQ(test, above, 0);
	KUNIT_EXPECT_GT(test, control, 0);
	kunit_info(test, "proof: %u objects of %u bytes: %u above 4 GB without SLAB_CACHE_DMA32, %u with it\n",
		   NR_TABLES, TABLE_SIZE, control, above);
}

static void zeroed_on_node_below_4g(struct kunit *test)
{
	struct kmem_cache *cache;
	unsigned int i;
	void *p;

	cache = szt_cache(test, "szt_node", TABLE_SIZE, TABLE_SIZE, SLAB_CACHE_DMA32);
	for (i = 0; i < 64; i++) {
		p = kmem_cache_alloc_node(cache, GFP_KERNEL | __GFP_ZERO, numa_mem_id());
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, p);
		szt_hold(test, cache, p);
		KUNIT_EXPECT_TRUE(test, szt_below_4g(p, TABLE_SIZE));
		KUNIT_EXPECT_PTR_EQ(test, memchr_inv(p, 0, TABLE_SIZE), NULL);
		/* An object that is reused without being zeroed shows this. */
		memset(p, 0xa5, TABLE_SIZE);
		if (i == 31)
			szt_free_objects(test);
	}
}

static const unsigned int sizes[] = {
	16, 32, 64, 128, 256, 512, 1024, 2048, 4096,
};

static void size_desc(const unsigned int *size, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u bytes", *size);
}

KUNIT_ARRAY_PARAM(size, sizes, size_desc);

static void aligned_below_4g(struct kunit *test)
{
	unsigned int size = *(const unsigned int *)test->param_value;
	unsigned int i, misaligned = 0, above = 0;
	struct kmem_cache *cache;

	cache = szt_cache(test, "szt_align", size, size, SLAB_CACHE_DMA32);
	for (i = 0; i < 512; i++) {
		void *p = szt_alloc(test, cache, GFP_KERNEL);

		misaligned += !IS_ALIGNED(virt_to_phys(p), size);
		above += !szt_below_4g(p, size);
	}
	KUNIT_EXPECT_EQ(test, misaligned, 0);
	KUNIT_EXPECT_EQ(test, above, 0);
}

/* Sizes that no other cache has, and some above a page */
static const unsigned int odd_sizes[] = { 8, 24, 100, 1000, 3000, 8192, 20000 };

KUNIT_ARRAY_PARAM(odd_size, odd_sizes, size_desc);

static void odd_size_below_4g(struct kunit *test)
{
	unsigned int size = *(const unsigned int *)test->param_value;
	struct kmem_cache *cache;

	cache = szt_cache(test, "szt_odd", size, 0, SLAB_CACHE_DMA32);
	KUNIT_EXPECT_EQ(test, szt_count_above(test, cache, size, 256, GFP_KERNEL), 0);
}

static const struct flag_param {
	const char *name;
	slab_flags_t flags;
} other_flags[] = {
	{ "SLAB_HWCACHE_ALIGN", SLAB_HWCACHE_ALIGN },
	{ "SLAB_TYPESAFE_BY_RCU", SLAB_TYPESAFE_BY_RCU },
	{ "SLAB_RECLAIM_ACCOUNT", SLAB_RECLAIM_ACCOUNT },
	{ "SLAB_ACCOUNT", SLAB_ACCOUNT },
	{ "SLAB_PANIC", SLAB_PANIC },
};

static void flag_desc(const struct flag_param *param, char *desc)
{
	strscpy(desc, param->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(other_flag, other_flags, flag_desc);

static void other_flag_below_4g(struct kunit *test)
{
	const struct flag_param *param = test->param_value;
	struct kmem_cache *cache;

	/* A name for each: with RCU the name is in use until a grace period is over. */
	cache = szt_cache(test, param->name, TABLE_SIZE, TABLE_SIZE,
			  SLAB_CACHE_DMA32 | param->flags);
	KUNIT_EXPECT_EQ(test, szt_count_above(test, cache, TABLE_SIZE, 256, GFP_KERNEL), 0);
}

static void bulk_below_4g(struct kunit *test)
{
	unsigned int i, above = 0, wrong = 0;
	const unsigned int n = 256;
	struct kmem_cache *cache;
	void **p;

	cache = szt_cache(test, "szt_bulk", TABLE_SIZE, TABLE_SIZE, SLAB_CACHE_DMA32);
	p = kunit_kcalloc(test, n, sizeof(*p), GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, p);

	KUNIT_ASSERT_EQ(test, kmem_cache_alloc_bulk(cache, GFP_KERNEL, n, p), n);
	for (i = 0; i < n; i++) {
		above += !szt_below_4g(p[i], TABLE_SIZE);
		memset(p[i], i, TABLE_SIZE);
	}
	/* Of two objects that overlap, one has the pattern of the other. */
	for (i = 0; i < n; i++)
		wrong += !!memchr_inv(p[i], i, TABLE_SIZE);
	kmem_cache_free_bulk(cache, n, p);

	KUNIT_EXPECT_EQ(test, above, 0);
	KUNIT_EXPECT_EQ(test, wrong, 0);
}

/*
 * Allocate ordinary objects and free every other one. There are then free slots
 * above 4 GB, which an allocator that ignores the zone would use.
 */
static void below_4g_with_free_slots_above(struct kunit *test)
{
	struct szt_fixture *f = test->priv;
	struct kmem_cache *plain, *dma32;
	struct szt_object *o, *next;
	unsigned int i = 0;

	plain = szt_cache(test, "szt_fill", TABLE_SIZE / 2, TABLE_SIZE / 2, 0);
	dma32 = szt_cache(test, "szt_among", TABLE_SIZE / 2, TABLE_SIZE / 2,
			  SLAB_CACHE_DMA32);
	KUNIT_EXPECT_GT(test, szt_count_above(test, plain, TABLE_SIZE / 2, 1024,
					      GFP_KERNEL), 0);
	list_for_each_entry_safe(o, next, &f->objects, node) {
		if (i++ % 2)
			continue;
		list_del(&o->node);
		kmem_cache_free(o->cache, o->p);
		kfree(o);
	}
	KUNIT_EXPECT_EQ(test, szt_count_above(test, dma32, TABLE_SIZE / 2, 512,
					      GFP_KERNEL), 0);
}

static void not_merged_with_other_zone(struct kunit *test)
{
	struct kmem_cache *plain, *dma, *dma32, *after;

	/* The search for an alias must reject caches created before and after. */
	plain = szt_cache(test, "szt_plain", TABLE_SIZE, TABLE_SIZE, 0);
	dma = szt_cache(test, "szt_dma", TABLE_SIZE, TABLE_SIZE, SLAB_CACHE_DMA);
	dma32 = szt_cache(test, "szt_dma32", TABLE_SIZE, TABLE_SIZE, SLAB_CACHE_DMA32);
	after = szt_cache(test, "szt_after", TABLE_SIZE, TABLE_SIZE, 0);

	KUNIT_EXPECT_PTR_NE(test, dma32, plain);
	KUNIT_EXPECT_PTR_NE(test, dma32, dma);
	KUNIT_EXPECT_PTR_NE(test, dma32, after);
	KUNIT_EXPECT_EQ(test, szt_count_above(test, dma32, TABLE_SIZE, 64, GFP_KERNEL), 0);
	KUNIT_EXPECT_GT(test, szt_count_above(test, after, TABLE_SIZE, 64, GFP_KERNEL), 0);
}

static void merged_with_same_flags(struct kunit *test)
{
	struct kmem_cache *plain, *alias, *dma32, *twin;

	plain = szt_cache(test, "szt_plain1", TABLE_SIZE, TABLE_SIZE, 0);
	alias = szt_cache(test, "szt_plain2", TABLE_SIZE, TABLE_SIZE, 0);
	if (plain != alias)
		kunit_skip(test, "caches are not merged in this kernel");

	dma32 = szt_cache(test, "szt_first", TABLE_SIZE, TABLE_SIZE, SLAB_CACHE_DMA32);
	twin = szt_cache(test, "szt_twin", TABLE_SIZE, TABLE_SIZE, SLAB_CACHE_DMA32);
	KUNIT_EXPECT_PTR_EQ(test, dma32, twin);

	/* The cache remains usable when its alias is destroyed. */
	szt_destroy_newest(test);
	KUNIT_EXPECT_EQ(test, szt_count_above(test, dma32, TABLE_SIZE, 64, GFP_KERNEL), 0);
}

struct irq_alloc {
	struct hrtimer timer;
	struct completion done;
	struct kmem_cache *cache;
	bool in_hardirq;
	unsigned int got;
	void *p[64];
};

static enum hrtimer_restart alloc_in_hardirq(struct hrtimer *timer)
{
	struct irq_alloc *irq = container_of(timer, struct irq_alloc, timer);

	irq->in_hardirq = in_hardirq();
	while (irq->got < ARRAY_SIZE(irq->p)) {
		void *p = kmem_cache_alloc(irq->cache, GFP_ATOMIC);

		if (!p)
			break;
		irq->p[irq->got++] = p;
	}
	complete(&irq->done);
	return HRTIMER_NORESTART;
}

static void atomic_below_4g(struct kunit *test)
{
	unsigned int i, above = 0;
	struct irq_alloc *irq;

	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		kunit_skip(test, "PREEMPT_RT allocates nothing in hard interrupt context");

	irq = kunit_kzalloc(test, sizeof(*irq), GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, irq);
	irq->cache = szt_cache(test, "szt_atomic", TABLE_SIZE, TABLE_SIZE,
			       SLAB_CACHE_DMA32);
	init_completion(&irq->done);
	hrtimer_init(&irq->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	irq->timer.function = alloc_in_hardirq;
	hrtimer_start(&irq->timer, ms_to_ktime(1), HRTIMER_MODE_REL_HARD);
	wait_for_completion(&irq->done);
	hrtimer_cancel(&irq->timer);

	for (i = 0; i < irq->got; i++)
		szt_hold(test, irq->cache, irq->p[i]);
	for (i = 0; i < irq->got; i++)
		above += !szt_below_4g(irq->p[i], TABLE_SIZE);

	KUNIT_EXPECT_TRUE(test, irq->in_hardirq);
	KUNIT_EXPECT_EQ(test, irq->got, ARRAY_SIZE(irq->p));
	KUNIT_EXPECT_EQ(test, above, 0);
}

static void under_spinlock_below_4g(struct kunit *test)
{
	DEFINE_SPINLOCK(lock);
	struct kmem_cache *cache;
	unsigned long flags;
	unsigned int i;
	void *p;

	cache = szt_cache(test, "szt_locked", TABLE_SIZE, TABLE_SIZE, SLAB_CACHE_DMA32);
	for (i = 0; i < 64; i++) {
		spin_lock_irqsave(&lock, flags);
		p = kmem_cache_zalloc(cache, GFP_ATOMIC);
		spin_unlock_irqrestore(&lock, flags);

		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, p);
		szt_hold(test, cache, p);
		KUNIT_EXPECT_TRUE(test, szt_below_4g(p, TABLE_SIZE));
	}
}

#ifdef CONFIG_KFENCE
static void not_allocated_from_kfence(struct kunit *test)
{
	unsigned int i, kfence_plain = 0, kfence_dma32 = 0, above = 0;
	struct kmem_cache *plain, *dma32;

	if (!kfence_sample_interval)
		kunit_skip(test, "KFENCE is switched off");

	plain = szt_cache(test, "szt_plain", TABLE_SIZE, TABLE_SIZE, 0);
	dma32 = szt_cache(test, "szt_dma32", TABLE_SIZE, TABLE_SIZE, SLAB_CACHE_DMA32);

	/*
	 * When the allocation gate opens, the DMA32 cache allocates first. The
	 * gate stays open until the control cache uses it, which shows that it
	 * was open. How often it opens depends on the load of the machine.
	 */
	for (i = 0; i < 65536 && kfence_plain < 4; i++) {
		void *p;

		kfence_dma32 += is_kfence_address(szt_alloc(test, dma32, GFP_KERNEL));
		p = szt_alloc(test, plain, GFP_KERNEL);
		kfence_plain += is_kfence_address(p);
		if (i % 64 == 63)
			szt_free_objects(test);
		fsleep(kfence_sample_interval * USEC_PER_MSEC);
	}
	above = szt_count_above(test, dma32, TABLE_SIZE, 64, GFP_KERNEL);

	KUNIT_EXPECT_GE(test, kfence_plain, 4);
	KUNIT_EXPECT_EQ(test, kfence_dma32, 0);
	KUNIT_EXPECT_EQ(test, above, 0);
}
#else
static void not_allocated_from_kfence(struct kunit *test)
{
	kunit_skip(test, "kernel without CONFIG_KFENCE");
}
#endif /* CONFIG_KFENCE */

/* The name is reused with another zone each time, the slabs must not be. */
static void recreated_below_4g(struct kunit *test)
{
	struct kmem_cache *cache;
	unsigned int i, above;

	for (i = 0; i < 16; i++) {
		cache = szt_cache(test, "szt_again", TABLE_SIZE, TABLE_SIZE,
				  i % 2 ? 0 : SLAB_CACHE_DMA32);
		above = szt_count_above(test, cache, TABLE_SIZE, 128, GFP_KERNEL);
		if (i % 2)
			KUNIT_EXPECT_GT(test, above, 0);
		else
			KUNIT_EXPECT_EQ(test, above, 0);
		szt_free_objects(test);
		kmem_cache_shrink(cache);
		szt_destroy_newest(test);
	}
}

static int slab_dma32_test_init(struct kunit *test)
{
	int ret = szt_init(test);

	if (!ret) {
		szt_need_zone_below_4g(test);
		szt_need_memory_above_4g(test);
	}
	return ret;
}

static struct kunit_case slab_dma32_test_cases[] = {
	KUNIT_CASE(below_4g),
	KUNIT_CASE(zeroed_on_node_below_4g),
	KUNIT_CASE_PARAM(aligned_below_4g, size_gen_params),
	KUNIT_CASE_PARAM(odd_size_below_4g, odd_size_gen_params),
	KUNIT_CASE_PARAM(other_flag_below_4g, other_flag_gen_params),
	KUNIT_CASE(bulk_below_4g),
	KUNIT_CASE(below_4g_with_free_slots_above),
	KUNIT_CASE(not_merged_with_other_zone),
	KUNIT_CASE(merged_with_same_flags),
	KUNIT_CASE(atomic_below_4g),
	KUNIT_CASE(under_spinlock_below_4g),
	KUNIT_CASE(not_allocated_from_kfence),
	KUNIT_CASE(recreated_below_4g),
	{}
};

static struct kunit_suite slab_dma32_test_suite = {
	.name = "slab_dma32",
	.init = slab_dma32_test_init,
	.exit = szt_exit,
	.test_cases = slab_dma32_test_cases,
};

kunit_test_suite(slab_dma32_test_suite);

MODULE_LICENSE("GPL");
