// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite "swiotlb_matrix": bounced mappings in all combinations of what a device asks of an
 * address, of the granules of its IOMMU, and of the state of its pool.
 *
 * The CPU plays the device, and does the worst that this device can do: it writes all that its
 * IOMMU lets it reach. The cases look at bytes and addresses only, which a driver, its device and
 * their neighbours see, and compute what these have to be from the arguments of the mapping.
 */
#include <kunit/test.h>
#include <linux/atomic.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/prandom.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/swiotlb.h>

#include "../swiotlb.h"
#include "../swiotlb_overflow.h"
#include "swiotlb_helpers.h"

#define AREA		SZ_1M
#define SLOT		SZ_2K
#define SLOTS		512
#define OTHERS		0x80	/* in all bytes of the mappings of others */
#define FREE		0xee	/* in all bytes of the pool that are not mapped */
#define DEVICE		0x77	/* written by the device */

enum state { POOL_FREE, POOL_FRAGMENTED, POOL_FULL };

struct span {
	phys_addr_t start, end;
};

static bool overlap(struct span a, struct span b)
{
	return a.start < b.end && b.start < a.end;
}

struct mapping {
	size_t at, size;		/* in the area */
	enum dma_data_direction dir;
	phys_addr_t phys;
	struct span reach;		/* what the device can write because of this mapping */
};

struct matrix {
	struct kunit *test;
	const struct swiotlb_test_granules *c;
	struct device *dev;
	struct io_tlb_mem *mem;
	struct span pool, area;
	u8 *data, *before;		/* what is mapped, and a copy of it */
	unsigned long occupied[BITS_TO_LONGS(SLOTS)];
	bool may_fail;			/* as memory is short */
	unsigned int in_pool, elsewhere, failed;
};

/*
 * Where the CPU reads and writes what the device does. Memory of an atomic pool has a mapping of
 * its own, so as not to be in the caches of the linear one.
 */
static u8 *view(struct matrix *m, phys_addr_t phys)
{
	struct swiotlb_overflow_buf *buf;

	if (!m->mem->decrypted || overlap((struct span){ phys, phys + 1 }, m->pool))
		return phys_to_virt(phys);
	buf = swiotlb_overflow_lookup(m->dev, phys);
	return buf ? buf->vaddr + buf->offset + (phys - buf->start) : phys_to_virt(phys);
}

static bool all_bytes(struct matrix *m, struct span range, u8 value)
{
	return !memchr_inv(view(m, range.start), value, range.end - range.start);
}

/* Slots 1, 3, 6, 10, ... stay in use, so that 1, 2, 3, ... are free in between. */
static bool stays(enum state state, unsigned int slot)
{
	unsigned int i, triangle = 1;

	for (i = 2; triangle < slot; i++)
		triangle += i;
	return state == POOL_FULL || (state == POOL_FRAGMENTED && triangle == slot);
}

/* Others map all of the pool, and unmap what does not stay. */
static void occupy(struct matrix *m, enum state state)
{
	u8 *data = swiotlb_test_buffer(m->test, SLOT, 0);
	phys_addr_t phys;
	unsigned int i;

	memset(data, OTHERS, SLOT);
	for (i = 0; i < SLOTS; i++) {
		phys = swiotlb_tbl_map_single(m->dev, virt_to_phys(data), SLOT, 0, DMA_TO_DEVICE,
					      0);
		KUNIT_ASSERT_EQ(m->test, phys, m->mem->start + i * SLOT);
	}
	for (i = 0; i < SLOTS; i++) {
		if (stays(state, i)) {
			__set_bit(i, m->occupied);
			continue;
		}
		swiotlb_tbl_unmap_single(m->dev, m->mem->start + i * SLOT, SLOT, DMA_TO_DEVICE, 0);
		memset(phys_to_virt(m->mem->start + i * SLOT), FREE, SLOT);
	}
	KUNIT_ASSERT_EQ(m->test, swiotlb_test_mem_used(m->mem), bitmap_weight(m->occupied, SLOTS));
}

static void check_others(struct matrix *m)
{
	struct span slot;
	unsigned int i;

	for_each_set_bit(i, m->occupied, SLOTS) {
		slot.start = m->mem->start + i * SLOT;
		slot.end = slot.start + SLOT;
		KUNIT_EXPECT_TRUE(m->test, all_bytes(m, slot, OTHERS));
	}
}

/* Without an IOMMU a device can write anywhere, so only that is asked which a slot promises. */
static struct span reach_of(struct matrix *m, phys_addr_t phys, size_t size)
{
	struct span range = { phys, phys + size };
	unsigned int unit = m->c->granule;

	if (overlap(range, m->pool))
		unit = max_t(unsigned int, unit, SLOT);
	if (unit) {
		range.start = ALIGN_DOWN(range.start, unit);
		range.end = ALIGN(range.end, unit);
	}
	return range;
}

static void check_cleaned(struct matrix *m, struct span range)
{
	bool cleaned = swiotlb_test_cleaned(range.end - 1, 1);
	phys_addr_t byte;

	for (byte = range.start; cleaned && byte < range.end; byte += 61)
		cleaned = swiotlb_test_cleaned(byte, 1);
	KUNIT_ASSERT_TRUE(m->test, cleaned);
}

/* Returns whether there is a mapping. */
static bool map_one(struct matrix *m, struct mapping *one, const struct mapping *others,
		    unsigned int count)
{
	const phys_addr_t orig = virt_to_phys(m->data) + one->at;
	const unsigned int granule_mask = m->c->granule ? m->c->granule - 1 : 0;
	struct kunit *test = m->test;
	struct span padding;
	unsigned int i;

	swiotlb_test_forget_cleaned();
	one->phys = swiotlb_tbl_map_single(m->dev, orig, one->size, granule_mask, one->dir,
					   DMA_ATTR_NO_WARN);
	if (one->phys == (phys_addr_t)DMA_MAPPING_ERROR) {
		m->failed++;
		KUNIT_EXPECT_TRUE_MSG(test, m->may_fail && one->size > SZ_4K, "%zu bytes at %#zx",
				      one->size, one->at);
		return false;
	}
#ifdef CONFIG_ARCH_HAS_SYNC_DMA_FOR_DEVICE
	/* As the callers do */
	if (!dev_is_dma_coherent(m->dev))
		arch_sync_dma_for_device(one->phys, one->size, one->dir);
#endif
	one->reach = reach_of(m, one->phys, one->size);
	KUNIT_EXPECT_EQ(test, one->phys & m->c->min_align_mask, orig & m->c->min_align_mask);
	KUNIT_EXPECT_TRUE(test, is_swiotlb_buffer(m->dev, one->phys));
	KUNIT_EXPECT_TRUE(test, is_swiotlb_buffer(m->dev, one->phys + one->size - 1));

	/* In the pool, where nobody else is, or away from it and from all others */
	if (overlap(one->reach, m->pool)) {
		m->in_pool++;
		KUNIT_ASSERT_GE(test, one->reach.start, m->pool.start);
		KUNIT_ASSERT_LE(test, one->reach.end, m->pool.end);
		i = (one->reach.start - m->pool.start) / SLOT;
		KUNIT_EXPECT_GE(test, find_next_bit(m->occupied, SLOTS, i),
				min_t(phys_addr_t, SLOTS, (one->reach.end - m->pool.start) / SLOT));
	} else {
		m->elsewhere++;
		KUNIT_ASSERT_FALSE(test, overlap(one->reach, m->area));
	}
	for (i = 0; i < count; i++)
		KUNIT_ASSERT_FALSE(test, overlap(one->reach, others[i].reach));

	/* The device reads the data, and next to it nothing. */
	KUNIT_EXPECT_EQ(test, memcmp(view(m, one->phys), m->before + one->at, one->size), 0);
	if (m->c->granule) {
		padding = (struct span){ one->reach.start, one->phys };
		KUNIT_EXPECT_TRUE(test, all_bytes(m, padding, 0));
		padding = (struct span){ one->phys + one->size, one->reach.end };
		KUNIT_EXPECT_TRUE(test, all_bytes(m, padding, 0));
	}
	if (!dev_is_dma_coherent(m->dev)) {
		padding = (struct span){ one->phys, one->phys + one->size };
		check_cleaned(m, m->c->granule ? one->reach : padding);
	}
	return true;
}

static void unmap_one(struct matrix *m, struct mapping *one)
{
	u8 *data = m->data + one->at;
	struct kunit *test = m->test;

	swiotlb_tbl_unmap_single(m->dev, one->phys, one->size, one->dir, 0);
	KUNIT_EXPECT_EQ(test, is_swiotlb_buffer(m->dev, one->phys), overlap(one->reach, m->pool));
	if (one->dir == DMA_TO_DEVICE)
		KUNIT_EXPECT_EQ(test, memcmp(data, m->before + one->at, one->size), 0);
	else
		KUNIT_EXPECT_NULL(test, memchr_inv(data, DEVICE, one->size));
	memcpy(data, m->before + one->at, one->size);
}

/* Mappings of all sizes at the same time, at an offset in their pages */
static void map_and_unmap(struct matrix *m, size_t offset, unsigned int round)
{
	const size_t most = SZ_256K - ALIGN(m->c->min_align_mask, SLOT);
	const size_t sizes[] = { 1, 512, SZ_2K, SZ_4K, SZ_64K, most };
	struct mapping mappings[ARRAY_SIZE(sizes)];
	unsigned int i, count = 0;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		mappings[count].at = i * SZ_128K + offset;
		mappings[count].size = sizes[i];
		mappings[count].dir = (round + i) % 3;
		count += map_one(m, &mappings[count], mappings, count);
	}
	for (i = 0; i < count; i++)
		memset(view(m, mappings[i].reach.start), DEVICE,
		       mappings[i].reach.end - mappings[i].reach.start);
	check_others(m);
	for (i = 0; i < count; i += 2)
		unmap_one(m, &mappings[i]);
	for (i = 1; i < count; i += 2)
		unmap_one(m, &mappings[i]);

	KUNIT_EXPECT_EQ(m->test, memcmp(m->data, m->before, AREA), 0);
	KUNIT_EXPECT_EQ(m->test, swiotlb_test_mem_used(m->mem), bitmap_weight(m->occupied, SLOTS));
	KUNIT_EXPECT_EQ(m->test, atomic_long_read(&m->dev->dma_overflow_bytes), 0);
}

static void start(struct kunit *test, struct matrix *m, enum state state)
{
	struct rnd_state random;

	if (swiotlb_overflow_limits.zones[OVERFLOW_ZONE_NORMAL].device_cap < SZ_2M)
		kunit_skip(test, "needs a larger swiotlb_overflow=");
	m->test = test;
	m->c = test->param_value;
	m->dev = swiotlb_test_device(test, DMA_BIT_MASK(64));
	m->mem = swiotlb_test_pool(test, m->dev, SLOTS, 1);
	m->mem->can_overflow = true;
	m->pool = (struct span){ m->mem->start, m->mem->end };
	m->before = swiotlb_test_buffer(test, AREA, 0);
	m->data = swiotlb_test_buffer(test, AREA, 0);
	m->area = (struct span){ virt_to_phys(m->data), virt_to_phys(m->data) + AREA };
	prandom_seed_state(&random, 1);
	prandom_bytes_state(&random, m->before, AREA);
	memcpy(m->data, m->before, AREA);
	occupy(m, state);
	KUNIT_ASSERT_EQ(test, dma_set_min_align_mask(m->dev, m->c->min_align_mask), 0);
}

/*
 * Each step of 512 bytes in 4 KB, then each offset in 4 KB in some page. One that fails is enough:
 * the others would fail alike, with megabytes of messages.
 */
static void run(struct matrix *m)
{
	unsigned int round = 0;
	size_t offset;

	for (offset = 0; offset < SZ_64K && m->test->status == KUNIT_SUCCESS;
	     offset += offset < SZ_4K ? 0x200 : 0x3a00)
		map_and_unmap(m, offset, round++);
}

static void *new_matrix(struct kunit *test, enum state state)
{
	struct matrix *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, m);
	start(test, m, state);
	return m;
}

static void free_pool_maps_right(struct kunit *test)
{
	struct matrix *m = new_matrix(test, POOL_FREE);

	run(m);
	KUNIT_EXPECT_GT(test, m->in_pool, m->elsewhere);
}

static void fragmented_pool_maps_right(struct kunit *test)
{
	struct matrix *m = new_matrix(test, POOL_FRAGMENTED);

	run(m);
	KUNIT_EXPECT_NE(test, m->elsewhere, 0);
	if (m->c->granule <= SZ_4K && m->c->min_align_mask <= 0xfff)
		KUNIT_EXPECT_NE(test, m->in_pool, 0);
}

static void full_pool_maps_right(struct kunit *test)
{
	struct matrix *m = new_matrix(test, POOL_FULL);

	run(m);
	KUNIT_EXPECT_EQ(test, m->in_pool, 0);
}

static void mappings_right_without_coherence(struct kunit *test)
{
	struct matrix *m = new_matrix(test, POOL_FRAGMENTED);

	swiotlb_test_record_cleaned(test, m->dev);
	run(m);
}

/* Memory behind an IOMMU is decrypted for an encrypted guest only, which the device tells. */
static const void *untranslated_gen_params(const void *prev, char *desc)
{
	const struct swiotlb_test_granules *p;

	do {
		p = swiotlb_test_granules_gen_params(prev, desc);
		prev = p;
	} while (p && p->granule);
	return p;
}

/* As with encrypted memory. The atomic pool may have no room for the large ones. */
static void mappings_right_in_decrypted_memory(struct kunit *test)
{
	struct matrix *m = new_matrix(test, POOL_FRAGMENTED);

	if (!IS_ENABLED(CONFIG_DMA_COHERENT_POOL))
		kunit_skip(test, "needs CONFIG_DMA_COHERENT_POOL");
	m->mem->decrypted = true;
	m->may_fail = true;
	run(m);
	KUNIT_EXPECT_NE(test, m->elsewhere, 0);
}

static struct kunit_case matrix_cases[] = {
	KUNIT_CASE_PARAM(free_pool_maps_right, swiotlb_test_granules_gen_params),
	KUNIT_CASE_PARAM(fragmented_pool_maps_right, swiotlb_test_granules_gen_params),
	KUNIT_CASE_PARAM(full_pool_maps_right, swiotlb_test_granules_gen_params),
	KUNIT_CASE_PARAM(mappings_right_without_coherence, swiotlb_test_granules_gen_params),
	KUNIT_CASE_PARAM(mappings_right_in_decrypted_memory, untranslated_gen_params),
	{}
};

static struct kunit_suite matrix_suite = {
	.name = "swiotlb_matrix",
	.test_cases = matrix_cases,
};

kunit_test_suite(matrix_suite);
