/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fixture of the KUnit suites for SLAB_CACHE_DMA32. Caches and objects that a
 * case creates are freed after it, also when a failed assertion ends it early.
 */
#ifndef MM_TESTS_SLAB_DMA32_FIXTURE_H
#define MM_TESTS_SLAB_DMA32_FIXTURE_H

#include <kunit/test.h>
#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/slab.h>

/* The highest physical address that a 32-bit device can reach */
#define SZT_LIMIT	DMA_BIT_MASK(32)

/**
 * struct szt_object - an object that a case has allocated
 * @node: entry of szt_fixture.objects
 * @cache: the cache that @p was allocated from
 * @p: the object
 */
struct szt_object {
	struct list_head node;
	struct kmem_cache *cache;
	void *p;
};

/**
 * struct szt_cache - a cache that a case has created
 * @node: entry of szt_fixture.caches
 * @cache: the cache; a merged cache is listed once for each creation
 */
struct szt_cache {
	struct list_head node;
	struct kmem_cache *cache;
};

/**
 * struct szt_fixture - what has to be freed after a case, kunit::priv
 * @caches: list of struct szt_cache, newest first
 * @objects: list of struct szt_object, newest first
 */
struct szt_fixture {
	struct list_head caches;
	struct list_head objects;
};

static inline int szt_init(struct kunit *test)
{
	struct szt_fixture *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);

	if (!f)
		return -ENOMEM;

	INIT_LIST_HEAD(&f->caches);
	INIT_LIST_HEAD(&f->objects);
	test->priv = f;
	return 0;
}

static inline void szt_free_objects(struct kunit *test)
{
	struct szt_fixture *f = test->priv;
	struct szt_object *o, *next;

	list_for_each_entry_safe(o, next, &f->objects, node) {
		kmem_cache_free(o->cache, o->p);
		kfree(o);
	}
	INIT_LIST_HEAD(&f->objects);
}

static inline void szt_exit(struct kunit *test)
{
	struct szt_fixture *f = test->priv;
	struct szt_cache *c, *next;

	if (!f)
		return;

	szt_free_objects(test);
	list_for_each_entry_safe(c, next, &f->caches, node) {
		kmem_cache_destroy(c->cache);
		kfree(c);
	}
	INIT_LIST_HEAD(&f->caches);
}

/* Create a cache for the duration of the case; NULL if it is refused. */
static inline struct kmem_cache *szt_try_cache(struct kunit *test,
					       const char *name,
					       unsigned int size,
					       unsigned int align,
					       slab_flags_t flags)
{
	struct szt_fixture *f = test->priv;
	struct szt_cache *c = kzalloc(sizeof(*c), GFP_KERNEL);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, c);
	c->cache = kmem_cache_create(name, size, align, flags, NULL);
	if (!c->cache) {
		kfree(c);
		return NULL;
	}
	list_add(&c->node, &f->caches);
	return c->cache;
}

static inline struct kmem_cache *szt_cache(struct kunit *test, const char *name,
					   unsigned int size,
					   unsigned int align,
					   slab_flags_t flags)
{
	struct kmem_cache *cache = szt_try_cache(test, name, size, align, flags);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, cache);
	return cache;
}

/* Destroy the newest cache of the case. All its objects must be free. */
static inline void szt_destroy_newest(struct kunit *test)
{
	struct szt_fixture *f = test->priv;
	struct szt_cache *c = list_first_entry(&f->caches, struct szt_cache, node);

	list_del(&c->node);
	kmem_cache_destroy(c->cache);
	kfree(c);
}

/* Free an object after the case that was not allocated with szt_alloc(). */
static inline void szt_hold(struct kunit *test, struct kmem_cache *cache, void *p)
{
	struct szt_fixture *f = test->priv;
	struct szt_object *o = kzalloc(sizeof(*o), GFP_KERNEL);

	if (!o)
		kmem_cache_free(cache, p);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, o);
	o->cache = cache;
	o->p = p;
	list_add(&o->node, &f->objects);
}

static inline void *szt_alloc(struct kunit *test, struct kmem_cache *cache,
			      gfp_t flags)
{
	void *p = kmem_cache_alloc(cache, flags);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, p);
	szt_hold(test, cache, p);
	return p;
}

/* Whether a 32-bit device can reach all of an object. */
static inline bool szt_below_4g(const void *p, unsigned int size)
{
	return virt_to_phys((void *)p) + size - 1 <= SZT_LIMIT;
}

/* Allocate @n objects of @size bytes and count those that end above 4 GB. */
static inline unsigned int szt_count_above(struct kunit *test,
					   struct kmem_cache *cache,
					   unsigned int size, unsigned int n,
					   gfp_t flags)
{
	unsigned int above = 0;

	while (n--)
		above += !szt_below_4g(szt_alloc(test, cache, flags), size);
	return above;
}

/*
 * Skip the case unless the page allocator returns memory above 4 GB. On a
 * machine without such memory no object can be in the wrong place.
 */
static inline void szt_need_memory_above_4g(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL);
	phys_addr_t phys;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	phys = page_to_phys(page);
	__free_page(page);
	if (phys <= SZT_LIMIT)
		kunit_skip(test, "GFP_KERNEL memory lies below 4 GB, at %pa", &phys);
}

/* Whether the kernel has memory above 4 GB, and no zone below */
static inline bool szt_no_zone_below_4g(void)
{
	return !IS_ENABLED(CONFIG_ZONE_DMA32) && !IS_ENABLED(CONFIG_ZONE_DMA) &&
	       virt_to_phys(high_memory - 1) > SZT_LIMIT;
}

/* Skip the case where a SLAB_CACHE_DMA32 cache cannot work. */
static inline void szt_need_zone_below_4g(struct kunit *test)
{
	if (szt_no_zone_below_4g())
		kunit_skip(test, "memory above 4 GB, and no zone below");
}

#endif /* MM_TESTS_SLAB_DMA32_FIXTURE_H */
