/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which zone the objects of a slab cache come from.
 *
 * Two sides have a say in it: the flags that a cache was created with, and the
 * gfp mask of a single allocation. The functions here decide for both, so that
 * SLAB, SLUB and SLOB give the same answer:
 *
 *   - a cache asks for one zone at most (slab_zone_check()),
 *   - that zone comes from the flags of the cache (slab_zone_gfp()),
 *   - an allocation may repeat the zone of a SLAB_CACHE_DMA32 cache and may ask
 *     for no other that is not reachable (slab_check_gfp()).
 *
 * None of this is on the path of an allocation that finds a free object.
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
 * slab_check_gfp - Drop what an allocation from a cache must not ask for
 * @s: The cache.
 * @flags: The gfp mask that the caller of the allocator passed.
 *
 * The pages of a cache are shared by all of its objects, so a single allocation
 * cannot choose their zone. %__GFP_DMA32 is fine all the same where @s was
 * created with %SLAB_CACHE_DMA32: the caller then says what the cache does
 * anyway. For every other cache it is reported and dropped, like %__GFP_HIGHMEM
 * and unknown bits are.
 *
 * Context: Any. Called when a slab is added to @s, not for each object (SLOB,
 *          which adds no slab to a cache, calls it for each object).
 * Return: @flags without the bits that are not for a slab allocator.
 */
static inline gfp_t slab_check_gfp(const struct kmem_cache *s, gfp_t flags)
{
	if (likely(!(flags & GFP_SLAB_BUG_MASK)))
		return flags;

	if (s->flags & SLAB_CACHE_DMA32)
		flags &= ~__GFP_DMA32;

	return flags & GFP_SLAB_BUG_MASK ? kmalloc_fix_flags(flags) : flags;
}

/**
 * slab_zone_fits - May an object for this gfp mask come from this slab
 * @slab: A slab with room for the object.
 * @flags: The gfp mask of the allocation, zone modifiers included.
 *
 * For an allocator whose slabs are shared by caches (SLOB): the page allocator
 * looks at the zone only when a slab is new.
 *
 * Context: Any.
 * Return: true if the page allocator could have returned @slab for @flags.
 */
static inline bool slab_zone_fits(const struct slab *slab, gfp_t flags)
{
	return folio_zonenum(slab_folio(slab)) <= gfp_zone(flags);
}

#endif /* MM_SLAB_ZONE_H */
