/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fixture of the KUnit suites for SLAB_CACHE_DMA32: caches and objects that a
 * case makes are gone after it, also when an assertion ends it early.
 */
#ifndef MM_SLAB_ZONE_TEST_H
#define MM_SLAB_ZONE_TEST_H

#include <kunit/test.h>
#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/slab.h>

/* Physical address of the last byte that a 32-bit device reaches */
#define SZT_LIMIT	DMA_BIT_MASK(32)

/**
 * struct szt_object - an object that a case holds
 * @node: On szt_fixture.objects.
 * @cache: Where @p came from.
 * @p: The object.
 */
struct szt_object {
	struct list_head node;
	struct kmem_cache *cache;
	void *p;
};

/**
 * struct szt_cache - a cache that a case made
 * @node: On szt_fixture.caches.
 * @cache: The cache; one cache is listed as often as it was created.
 */
struct szt_cache {
	struct list_head node;
	struct kmem_cache *cache;
};

/**
 * struct szt_fixture - what a case has to give back, kunit::priv
 * @caches: struct szt_cache, the newest first.
 * @objects: struct szt_object, the newest first.
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

/* Create a cache that goes with the case; NULL if the allocator refuses it. */
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

/* Destroy the newest cache of the case, which holds no object any more. */
static inline void szt_destroy_newest(struct kunit *test)
{
	struct szt_fixture *f = test->priv;
	struct szt_cache *c = list_first_entry(&f->caches, struct szt_cache, node);

	list_del(&c->node);
	kmem_cache_destroy(c->cache);
	kfree(c);
}

/* Note an object that was allocated by other means than szt_alloc(). */
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

/* Whether all of an object lies where a 32-bit device can reach it. */
static inline bool szt_below_4g(const void *p, unsigned int size)
{
	return virt_to_phys((void *)p) + size - 1 <= SZT_LIMIT;
}

/* Count those of @n objects of @size bytes that reach beyond 4 GB. */
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
 * Skip the case unless memory is handed out above 4 GB: on a machine without,
 * or where the zones below are used first, no object can be misplaced.
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

/* Whether a kernel has neither of the zones, and needs one of them */
static inline bool szt_no_zone_below_4g(void)
{
	return !IS_ENABLED(CONFIG_ZONE_DMA32) && !IS_ENABLED(CONFIG_ZONE_DMA) &&
	       virt_to_phys(high_memory - 1) > SZT_LIMIT;
}

/* Skip the case where a SLAB_CACHE_DMA32 cache cannot be had. */
static inline void szt_need_zone_below_4g(struct kunit *test)
{
	if (szt_no_zone_below_4g())
		kunit_skip(test, "memory above 4 GB, and no zone below");
}

#endif /* MM_SLAB_ZONE_TEST_H */
