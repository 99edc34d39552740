// SPDX-License-Identifier: GPL-2.0
/*
 * Four ways to get the 1 KB level-2 tables of the Armv7 short-descriptor format below 4 GB: a slab cache
 * with SLAB_CACHE_DMA32, a genalloc pool of 4 MB, a page_frag cache, and a page for each.
 *
 * bytes:   memory for 4096 live tables, by table
 * live:    pages that hold 1024 tables;  churn: the same after 8192 times a free and an allocation
 * pinned:  pages that are held by 64 of the 1024, when the others are freed
 * atomic:  of 256 allocations with GFP_ATOMIC and memory below 4 GB used up, how many are served
 * alloc:   an allocation, on average of 1024 without a free
 *
 * Public interfaces only, the same source for each kernel. Run it with -icount shift=0, where a nanosecond
 * is an instruction.
 */
#include <linux/genalloc.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/sort.h>
#if __has_include(<linux/page_frag_cache.h>)
#include <linux/page_frag_cache.h>
#endif

#include "ktap.h"

#define TABLE	SZ_1K
#define MOST	4096
#define LIVE	1024
#define CHURN	8192
#define LEFT	64
#define ATOMIC	256

/* One of the ways. A way without memory of its own counts the pages that its live tables are in. */
struct way {
	const char *name;
	int (*open)(void);
	void *(*alloc)(gfp_t gfp);
	void (*free)(void *table);
	void (*close)(void);
	unsigned int fixed_pages;
};

static void *tables[MOST] __initdata;
static unsigned long heads[MOST] __initdata;

static struct kmem_cache *cache;
static struct gen_pool *pool;
static unsigned long pool_memory;
static struct page_frag_cache frag;

static int __init cache_open(void)
{
	cache = kmem_cache_create("bench_tables", TABLE, TABLE, SLAB_CACHE_DMA32, NULL);
	return cache ? 0 : -ENOMEM;
}

static void *__init cache_alloc(gfp_t gfp)
{
	return kmem_cache_alloc(cache, gfp);
}

static void __init cache_free(void *table)
{
	kmem_cache_free(cache, table);
}

static void __init cache_close(void)
{
	kmem_cache_destroy(cache);
}

static int __init pool_open(void)
{
	pool_memory = __get_free_pages(GFP_KERNEL | GFP_DMA32, get_order(MOST * TABLE));
	pool = gen_pool_create(ilog2(TABLE), NUMA_NO_NODE);
	if (!pool || !pool_memory)
		return -ENOMEM;
	return gen_pool_add(pool, pool_memory, MOST * TABLE, NUMA_NO_NODE);
}

static void *__init pool_alloc(gfp_t gfp)
{
	return (void *)gen_pool_alloc(pool, TABLE);
}

static void __init pool_free(void *table)
{
	gen_pool_free(pool, (unsigned long)table, TABLE);
}

static void __init pool_close(void)
{
	if (pool)
		gen_pool_destroy(pool);
	free_pages(pool_memory, get_order(MOST * TABLE));
}

static int __init frag_open(void)
{
	return 0;
}

static void *__init frag_alloc(gfp_t gfp)
{
	return page_frag_alloc(&frag, TABLE, gfp | GFP_DMA32);
}

static void __init frag_free(void *table)
{
	page_frag_free(table);
}

/* What is left in the cache goes with its last fragment. */
static void __init frag_close(void)
{
}

static void *__init page_alloc(gfp_t gfp)
{
	return (void *)__get_free_page(gfp | GFP_DMA32);
}

static void __init page_free(void *table)
{
	free_page((unsigned long)table);
}

static struct way ways[] __initdata = {
	{ "slab", cache_open, cache_alloc, cache_free, cache_close },
	{ "genalloc", pool_open, pool_alloc, pool_free, pool_close, MOST * TABLE / PAGE_SIZE },
	{ "page_frag", frag_open, frag_alloc, frag_free, frag_close },
	{ "page", frag_open, page_alloc, page_free, frag_close },
};

static int __init cmp_ulong(const void *a, const void *b)
{
	unsigned long l = *(const unsigned long *)a, r = *(const unsigned long *)b;

	return l < r ? -1 : l > r;
}

/* Pages that are not free because of the tables: a slab or a fragment's page is freed as a whole. */
static unsigned int __init pages_held(const struct way *way, unsigned int count)
{
	unsigned int i, pages = 0;

	if (way->fixed_pages)
		return way->fixed_pages;
	for (i = 0; i < count; i++)
		heads[i] = (unsigned long)virt_to_head_page(tables[i]);
	sort(heads, count, sizeof(*heads), cmp_ulong, NULL);
	for (i = 0; i < count; i++)
		if (!i || heads[i] != heads[i - 1])
			pages += 1 << compound_order((struct page *)heads[i]);
	return pages;
}

static bool __init fill(const struct way *way, unsigned int from, unsigned int to)
{
	for (; from < to; from++) {
		tables[from] = way->alloc(GFP_KERNEL);
		if (!tables[from])
			return false;
	}
	return true;
}

static void __init empty(const struct way *way, unsigned int from, unsigned int to)
{
	for (; from < to; from++)
		way->free(tables[from]);
}

/* Take what an atomic allocation below 4 GB can get, chained through the pages themselves. */
static void *__init use_up(void)
{
	gfp_t gfp = GFP_ATOMIC | GFP_DMA32 | __GFP_NOWARN;
	unsigned long *chain = NULL, *block;
	int order;

	for (order = get_order(SZ_4M); order >= 0; order--) {
		while ((block = (unsigned long *)__get_free_pages(gfp, order))) {
			block[0] = (unsigned long)chain;
			block[1] = order;
			chain = block;
		}
	}
	return chain;
}

static void __init give_back(unsigned long *chain)
{
	while (chain) {
		unsigned long *next = (unsigned long *)chain[0];

		free_pages((unsigned long)chain, chain[1]);
		chain = next;
	}
}

static void __init show(const struct way *way, const char *what, u64 number, const char *unit)
{
	char name[32];

	snprintf(name, sizeof(name), "tables_%s_%s", way->name, what);
	ktap_value(way->name, name, number, 1, unit);
}

static bool __init bench_way(const struct way *way)
{
	unsigned int i, served = 0;
	struct rnd_state rnd;
	void *chain;
	u64 start;

	if (!fill(way, 0, MOST))
		return false;
	show(way, "bytes", (u64)pages_held(way, MOST) * PAGE_SIZE / MOST, "B");
	empty(way, 0, MOST);

	start = ktime_get_ns();
	if (!fill(way, 0, LIVE))
		return false;
	show(way, "alloc", div_u64(ktime_get_ns() - start, LIVE), "ns");
	show(way, "live", pages_held(way, LIVE), "pages");

	prandom_seed_state(&rnd, 20181111);
	for (i = 0; i < CHURN; i++) {
		unsigned int victim = prandom_u32_state(&rnd) % LIVE;

		way->free(tables[victim]);
		if (!fill(way, victim, victim + 1))
			return false;
	}
	show(way, "churn", pages_held(way, LIVE), "pages");

	for (i = 0; i < LEFT; i++) {
		unsigned int keep = i + prandom_u32_state(&rnd) % (LIVE - i);

		swap(tables[i], tables[keep]);
	}
	empty(way, LEFT, LIVE);
	show(way, "pinned", pages_held(way, LEFT), "pages");
	empty(way, 0, LEFT);

	chain = use_up();
	for (served = 0; served < ATOMIC; served++) {
		tables[served] = way->alloc(GFP_ATOMIC | __GFP_NOWARN);
		if (!tables[served])
			break;
	}
	empty(way, 0, served);
	give_back(chain);
	show(way, "atomic", served, "of_256");
	return true;
}

static int __init bench_init(void)
{
	unsigned int i;

	ktap_begin("bench_tables", ARRAY_SIZE(ways));
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		ktap_result(ways[i].name, !ways[i].open() && bench_way(&ways[i]));
		ways[i].close();
	}
	return ktap_end("bench_tables");
}
module_init(bench_init);

MODULE_DESCRIPTION("Ways to allocate 1 KB tables below 4 GB");
MODULE_LICENSE("GPL");
