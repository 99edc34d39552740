// SPDX-License-Identifier: GPL-2.0
/*
 * Helpers that the KUnit suites of the software IO TLB share, see swiotlb_helpers.h.
 */
#include <kunit/test.h>
#include <linux/cc_platform.h>
#include <linux/dma-direct.h>
#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/kprobes.h>
#include <linux/platform_device.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/swiotlb.h>

#include "../swiotlb.h"
#include "swiotlb_helpers.h"

/* Does not divide the sizes of slots and pages, so that each of them holds other bytes. */
#define TEST_PERIOD	251

struct at_exit {
	void (*fn)(void *arg);
	void *arg;
};

static void at_exit_free(struct kunit_resource *res)
{
	struct at_exit *action = res->data;

	action->fn(action->arg);
	kfree(action);
}

static int at_exit_init(struct kunit_resource *res, void *context)
{
	res->data = context;
	return 0;
}

void swiotlb_test_at_exit(struct kunit *test, void (*fn)(void *), void *arg)
{
	struct at_exit *action = kmalloc(sizeof(*action), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, action);
	action->fn = fn;
	action->arg = arg;
	if (!kunit_alloc_resource(test, at_exit_init, at_exit_free, GFP_KERNEL, action)) {
		fn(arg);
		kfree(action);
		KUNIT_ASSERT_FAILURE(test, "no memory for a cleanup action");
	}
}

static void test_device_free(void *dev)
{
	swiotlb_set_pool(dev, &io_tlb_default_mem);
	platform_device_unregister(to_platform_device(dev));
}

struct device *swiotlb_test_device(struct kunit *test, u64 mask)
{
	struct platform_device *pdev = platform_device_alloc("swiotlb_test", PLATFORM_DEVID_AUTO);

	KUNIT_ASSERT_NOT_NULL(test, pdev);
	KUNIT_ASSERT_EQ(test, platform_device_add(pdev), 0);
	swiotlb_test_at_exit(test, test_device_free, &pdev->dev);
	KUNIT_ASSERT_EQ(test, dma_set_mask_and_coherent(&pdev->dev, mask), 0);
#if defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_DEVICE) || defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_CPU)
	/* The CPU plays the device. */
	pdev->dev.dma_coherent = true;
#endif
	return &pdev->dev;
}

struct test_pool {
	struct io_tlb_mem mem;
	void *pages;
	size_t bytes;
};

static void test_pool_free(void *arg)
{
	struct test_pool *pool = arg;

	if (pool->pages)
		free_pages_exact(pool->pages, pool->bytes);
	kfree(pool->mem.areas);
	kfree(pool->mem.slots);
	kfree(pool);
}

struct io_tlb_mem *swiotlb_test_pool(struct kunit *test, struct device *dev, unsigned long nslabs,
				     unsigned int nareas)
{
	struct test_pool *pool;

	if (cc_platform_has(CC_ATTR_MEM_ENCRYPT) || force_dma_unencrypted(dev) ||
	    swiotlb_unencrypted_base)
		kunit_skip(test, "needs memory that is not encrypted");
	pool = kzalloc(sizeof(*pool), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pool);
	swiotlb_test_at_exit(test, test_pool_free, pool);
	pool->mem.slots = kmalloc_array(nslabs, sizeof(*pool->mem.slots), GFP_KERNEL);
	pool->mem.areas = kmalloc_array(nareas, sizeof(*pool->mem.areas), GFP_KERNEL);
	pool->bytes = nslabs << IO_TLB_SHIFT;
	pool->pages = alloc_pages_exact(pool->bytes, GFP_KERNEL | GFP_DMA32);
	KUNIT_ASSERT_NOT_NULL(test, pool->mem.slots);
	KUNIT_ASSERT_NOT_NULL(test, pool->mem.areas);
	KUNIT_ASSERT_NOT_NULL(test, pool->pages);
	/* Whatever the memory held before, it is all set. */
	memset(pool->mem.slots, 0xa5, nslabs * sizeof(*pool->mem.slots));
	memset(pool->mem.areas, 0xa5, nareas * sizeof(*pool->mem.areas));
	memset(pool->pages, 0xa5, pool->bytes);
	swiotlb_init_io_tlb_mem(&pool->mem, virt_to_phys(pool->pages), nslabs, SWIOTLB_FORCE, true,
				nareas);
	pool->mem.can_overflow = false;
	swiotlb_set_pool(dev, &pool->mem);
	return &pool->mem;
}

#if defined(CONFIG_KPROBES) && defined(CONFIG_HAVE_FUNCTION_ARG_ACCESS_API) && \
	defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_DEVICE) && defined(CONFIG_64BIT)
/* The last ranges that were given to a device; no test maps more at a time */
static struct cleaned {
	phys_addr_t start;
	size_t size;
	enum dma_data_direction dir;
} cleaned[32];
static unsigned int cleanings;
static struct task_struct *cleaned_task;

static int record_cleaned(struct kprobe *probe, struct pt_regs *regs)
{
	struct cleaned *range = &cleaned[cleanings % ARRAY_SIZE(cleaned)];

	/* Drivers of the machine sync as well. */
	if (current != cleaned_task)
		return 0;
	range->start = regs_get_kernel_argument(regs, 0);
	range->size = regs_get_kernel_argument(regs, 1);
	range->dir = regs_get_kernel_argument(regs, 2);
	cleanings++;
	return 0;
}

static struct kprobe cleaned_probe;
static struct device *cleaned_device;

static void stop_recording(void *unused)
{
	cleaned_device->dma_coherent = true;
	unregister_kprobe(&cleaned_probe);
}

void swiotlb_test_forget_cleaned(void)
{
	memset(cleaned, 0, sizeof(cleaned));
	cleanings = 0;
}

void swiotlb_test_record_cleaned(struct kunit *test, struct device *dev)
{
	swiotlb_test_forget_cleaned();
	cleaned_task = current;
	cleaned_probe = (struct kprobe){
		.symbol_name = "arch_sync_dma_for_device",
		.pre_handler = record_cleaned,
	};
	KUNIT_ASSERT_EQ(test, register_kprobe(&cleaned_probe), 0);
	cleaned_device = dev;
	dev->dma_coherent = false;
	swiotlb_test_at_exit(test, stop_recording, NULL);
}

static bool byte_given(phys_addr_t byte, bool invalidated)
{
	unsigned int i;
	bool from;

	for (i = 0; i < ARRAY_SIZE(cleaned); i++) {
		from = cleaned[i].dir == DMA_FROM_DEVICE;
		if (byte - cleaned[i].start < cleaned[i].size && from == invalidated)
			return true;
	}
	return false;
}

static bool range_given(phys_addr_t start, size_t size, bool invalidated)
{
	for (; size; size--)
		if (!byte_given(start++, invalidated))
			return false;
	return true;
}

bool swiotlb_test_cleaned(phys_addr_t start, size_t size)
{
	return range_given(start, size, false);
}

bool swiotlb_test_invalidated(phys_addr_t start, size_t size)
{
	return range_given(start, size, true);
}

size_t swiotlb_test_cleaned_bytes(void)
{
	size_t bytes = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cleaned); i++)
		if (cleaned[i].dir != DMA_FROM_DEVICE)
			bytes += cleaned[i].size;
	return bytes;
}
#else
void swiotlb_test_record_cleaned(struct kunit *test, struct device *dev)
{
	kunit_skip(test, "needs CONFIG_KPROBES and caches that are not coherent");
}

bool swiotlb_test_cleaned(phys_addr_t start, size_t size)
{
	return false;
}

bool swiotlb_test_invalidated(phys_addr_t start, size_t size)
{
	return false;
}

void swiotlb_test_forget_cleaned(void)
{
}

size_t swiotlb_test_cleaned_bytes(void)
{
	return 0;
}
#endif

void swiotlb_test_pool_room(struct io_tlb_mem *mem, unsigned int slots)
{
	mem->areas[0].used = mem->area_nslabs - slots;
}

const void *swiotlb_test_granules_gen_params(const void *prev, char *desc)
{
	static const unsigned int masks[] = { 0, 0x7ff, 0xfff, 0x3fff, 0xffff };
	static const unsigned int granules[] = { 0, SZ_4K, SZ_16K, SZ_64K };
	static struct swiotlb_test_granules p;
	static unsigned int i;

	i = prev ? i + 1 : 0;
	if (i == ARRAY_SIZE(masks) * ARRAY_SIZE(granules))
		return NULL;
	p.min_align_mask = masks[i / ARRAY_SIZE(granules)];
	p.granule = granules[i % ARRAY_SIZE(granules)];
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "min_align_mask %#x, granule %#x", p.min_align_mask,
		 p.granule);
	return &p;
}

void swiotlb_test_fill(u8 *data, size_t size, unsigned int seed)
{
	size_t i;

	for (i = 0; i < size; i++)
		data[i] = (seed + i) % TEST_PERIOD;
}

bool swiotlb_test_filled(const u8 *data, size_t size, unsigned int seed)
{
	size_t i;

	for (i = 0; i < size; i++)
		if (data[i] != (seed + i) % TEST_PERIOD)
			return false;
	return true;
}

struct test_pages {
	void *pages;
	size_t size;
};

static void test_pages_free(void *arg)
{
	struct test_pages *t = arg;

	free_pages_exact(t->pages, t->size);
	kfree(t);
}

u8 *swiotlb_test_buffer(struct kunit *test, size_t size, unsigned int seed)
{
	struct test_pages *t = kmalloc(sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->size = size;
	t->pages = alloc_pages_exact(size, GFP_KERNEL);
	if (!t->pages)
		kfree(t);
	KUNIT_ASSERT_NOT_NULL(test, t->pages);
	swiotlb_test_at_exit(test, test_pages_free, t);
	swiotlb_test_fill(t->pages, size, seed);
	return t->pages;
}

u8 *swiotlb_test_device_view(struct device *dev, dma_addr_t addr)
{
	return phys_to_virt(dma_to_phys(dev, addr));
}

unsigned long swiotlb_test_mem_used(struct io_tlb_mem *mem)
{
	unsigned long used = 0;
	unsigned int i;

	for (i = 0; i < mem->nareas; i++)
		used += mem->areas[i].used;
	return used;
}

void swiotlb_test_directions(struct kunit *test, struct device *dev, size_t size)
{
	u8 *data = swiotlb_test_buffer(test, size + SZ_4K, 1), *view;
	enum dma_data_direction dir;
	unsigned int seen;
	dma_addr_t addr;

	for (dir = DMA_BIDIRECTIONAL; dir <= DMA_FROM_DEVICE; dir++) {
		swiotlb_test_fill(data, size + SZ_4K, 1);
		addr = dma_map_single(dev, data + 100, size, dir);
		KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
		KUNIT_EXPECT_TRUE(test, is_swiotlb_buffer(dev, dma_to_phys(dev, addr)));
		view = swiotlb_test_device_view(dev, addr);
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(view, size, 101));

		swiotlb_test_fill(view, size, 77);
		dma_unmap_single(dev, addr, size, dir);
		seen = dir == DMA_TO_DEVICE ? 101 : 77;
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data, 100, 1));
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data + 100, size, seen));
		KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data + 100 + size, SZ_4K - 100,
							    101 + size));
	}
}

void swiotlb_test_unwritten(struct kunit *test, struct device *dev)
{
	u8 *data = swiotlb_test_buffer(test, SZ_8K, 1);
	dma_addr_t addr = dma_map_single(dev, data, SZ_8K, DMA_FROM_DEVICE);

	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	swiotlb_test_fill(swiotlb_test_device_view(dev, addr) + 5000, 10, 77);
	dma_unmap_single(dev, addr, SZ_8K, DMA_FROM_DEVICE);
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data, 5000, 1));
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data + 5000, 10, 77));
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data + 5010, SZ_8K - 5010, 5011));
}

void swiotlb_test_skip_sync(struct kunit *test, struct device *dev)
{
	u8 *data = swiotlb_test_buffer(test, SZ_4K, 1);
	dma_addr_t addr = dma_map_single(dev, data, SZ_4K, DMA_FROM_DEVICE);

	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
	swiotlb_test_fill(swiotlb_test_device_view(dev, addr), SZ_4K, 77);
	dma_unmap_single_attrs(dev, addr, SZ_4K, DMA_FROM_DEVICE, DMA_ATTR_SKIP_CPU_SYNC);
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(data, SZ_4K, 1));
}

struct test_sync {
	struct device *dev;
	dma_addr_t addr;
	size_t size;
	u8 *data;		/* SZ_16K bytes */
	size_t offset;		/* of the mapping in @data */
};

static void sync_range(struct kunit *test, const struct test_sync *s, size_t at, size_t len)
{
	u8 *view = swiotlb_test_device_view(s->dev, s->addr), *mapped = s->data + s->offset;
	const size_t end = at + len, after = SZ_16K - s->offset - end;

	swiotlb_test_fill(view, s->size, 77);
	swiotlb_test_fill(s->data, SZ_16K, 1);
	dma_sync_single_range_for_cpu(s->dev, s->addr, at, len, DMA_FROM_DEVICE);
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(s->data, s->offset + at, 1));
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(mapped + at, len, 77 + at));
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(mapped + end, after, 1 + s->offset + end));

	swiotlb_test_fill(view, s->size, 77);
	swiotlb_test_fill(s->data, SZ_16K, 33);
	dma_sync_single_range_for_cpu(s->dev, s->addr, at, len, DMA_TO_DEVICE);
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(s->data, SZ_16K, 33));
	dma_sync_single_range_for_device(s->dev, s->addr, at, len, DMA_FROM_DEVICE);
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(view, s->size, 77));
	dma_sync_single_range_for_device(s->dev, s->addr, at, len, DMA_TO_DEVICE);
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(view, at, 77));
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(view + at, len, 33 + s->offset + at));
	KUNIT_EXPECT_TRUE(test, swiotlb_test_filled(view + end, s->size - end, 77 + end));
}

void swiotlb_test_sync(struct kunit *test, struct device *dev, size_t offset, size_t step)
{
	struct test_sync s = { .dev = dev, .size = SZ_8K, .offset = offset };
	size_t at;

	s.data = swiotlb_test_buffer(test, SZ_16K, 1);
	s.addr = dma_map_single(dev, s.data + offset, s.size, DMA_BIDIRECTIONAL);
	KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, s.addr));
	for (at = 0; at + 64 <= s.size; at += step) {
		sync_range(test, &s, at, 64);
		sync_range(test, &s, at, s.size - at);
	}
	dma_unmap_single_attrs(dev, s.addr, s.size, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
}
