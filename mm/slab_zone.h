/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The zone that the objects of a slab cache come from.
 *
 * The flags that a cache was created with decide, and the gfp mask of an
 * allocation must not contradict them. The functions here are shared by SLAB,
 * SLUB and SLOB, so that all of them give the same answer:
 *
 *   - a cache asks for one zone at most (slab_zone_check()),
 *   - that zone follows from the flags of the cache (slab_zone_gfp()),
 *   - an allocation may repeat the zone of a SLAB_CACHE_DMA32 cache; any other
 *     zone is reported and dropped (slab_check_gfp()).
 *
 * With SLAB and SLUB, none of this runs when an allocation finds a free object.
 */
#ifndef MM_SLAB_ZONE_H
#define MM_SLAB_ZONE_H

#include "internal.h"
#include "slab.h"

/* The flags of a cache that choose a zone */
#define SLAB_ZONE_FLAGS (SLAB_CACHE_DMA | SLAB_CACHE_DMA32)

int slab_zone_check(const char *name, slab_flags_t flags);
gfp_t slab_zone_gfp(slab_flags_t flags);

/**
 * slab_check_gfp() - drop what an allocation from a cache must not ask for
 * @s: the cache
 * @flags: gfp mask that the caller of the allocator passed
 *
 * The objects of a cache share its pages, so a single allocation cannot choose
 * their zone. %__GFP_DMA32 is accepted where @s was created with
 * %SLAB_CACHE_DMA32: the caller asks for what the cache returns anyway. For any
 * other cache it is reported and dropped, as %__GFP_HIGHMEM and unknown bits
 * are.
 *
 * Context: Any. SLAB and SLUB call it when they add a slab to @s. SLOB, which
 *          adds no slabs to a cache, calls it for each object.
 * Return: @flags without the bits that a slab allocator does not accept.
 */
static inline gfp_t slab_check_gfp(const struct kmem_cache *s, gfp_t flags)
{
	if (likely(!(flags & GFP_SLAB_BUG_MASK)))
		return flags;

	if (s->flags & SLAB_CACHE_DMA32)
		flags &= ~__GFP_DMA32;

	return flags & GFP_SLAB_BUG_MASK ? kmalloc_fix_flags(flags) : flags;
}

#endif /* MM_SLAB_ZONE_H */
