// SPDX-License-Identifier: GPL-2.0
/*
 * Memory for the tables of the Armv7 short-descriptor format.
 *
 * The IOMMU finds a table by a physical address of 32 bits: level 1 in its base
 * register, level 2 in an entry of level 1. So all of a table has to lie below
 * 4 GB, or, with the MediaTek extension that adds address bits, below the output
 * size of the page table.
 *
 * Level 1 is 16 KB (64 KB for 34-bit input addresses), from the page allocator.
 * A level-2 table is 1 KB, aligned to 1 KB, from one of two slab caches that all
 * page tables share: one with objects below 4 GB, one with objects anywhere.
 * The latter is tried first where the IOMMU reaches more than 4 GB.
 *
 * A map in interrupt context may need a level-2 table while memory below 4 GB
 * is short. The ordinary GFP_ATOMIC allocation comes first, because it can use
 * the atomic reserve of the page allocator. When it fails, a small reserve that
 * belongs to the page table serves the request. A mempool does the opposite: it
 * denies a part of the page allocator's reserve to the ordinary allocation, and
 * where it may sleep, it sleeps until an element is freed, but tables are rarely
 * freed.
 * The reserve is filled when the page table is created, by maps that may block,
 * and by tables that an unmap frees.
 */
#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/init.h>
#include <linux/io.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/ratelimit.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "io-pgtable-arm-v7s-tables.h"

/* The parameter is io_pgtable_arm_v7s.reserve, without the name of this file. */
#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX	"io_pgtable_arm_v7s."

/* On 32-bit arm, ZONE_DMA is the zone that devices reach. */
#ifdef CONFIG_ZONE_DMA32
#define V7S_GFP_LOW	GFP_DMA32
#define V7S_SLAB_LOW	SLAB_CACHE_DMA32
#else
#define V7S_GFP_LOW	GFP_DMA
#define V7S_SLAB_LOW	SLAB_CACHE_DMA
#endif

#define V7S_L2_SIZE	SZ_1K
#define V7S_RESERVE_MAX	1024U

static unsigned int v7s_reserve = 16;
module_param_named(reserve, v7s_reserve, uint, 0644);
MODULE_PARM_DESC(reserve, "Level-2 tables (1 KB each) that each new page table keeps for maps in atomic context, 0 to 1024 (default 16)");

/* Slab caches for the level-2 tables of all page tables */
enum v7s_cache_kind { V7S_CACHE_LOW, V7S_CACHE_ANY, V7S_NR_CACHES };

static struct {
	const char *name;
	slab_flags_t flags;
	struct kmem_cache *cache;
	unsigned int users;
} v7s_caches[V7S_NR_CACHES] = {
	[V7S_CACHE_LOW] = { .name = "io-pgtable_armv7s_l2", .flags = V7S_SLAB_LOW },
	[V7S_CACHE_ANY] = { .name = "io-pgtable_armv7s_l2_any" },
};

/*
 * Protects the caches, their users and the list of page tables. Taken in process
 * context when a page table is created or freed, and when the list is shown.
 */
static DEFINE_MUTEX(v7s_mutex);
static LIST_HEAD(v7s_list);

static int v7s_cache_get(enum v7s_cache_kind kind)
{
	lockdep_assert_held(&v7s_mutex);

	if (!v7s_caches[kind].users) {
		v7s_caches[kind].cache = kmem_cache_create(v7s_caches[kind].name,
							   V7S_L2_SIZE, V7S_L2_SIZE,
							   v7s_caches[kind].flags, NULL);
		if (!v7s_caches[kind].cache)
			return -ENOMEM;
	}
	v7s_caches[kind].users++;
	return 0;
}

static void v7s_cache_put(enum v7s_cache_kind kind)
{
	lockdep_assert_held(&v7s_mutex);

	if (--v7s_caches[kind].users)
		return;
	kmem_cache_destroy(v7s_caches[kind].cache);
	v7s_caches[kind].cache = NULL;
}

/*
 * A cache exists as long as there is a page table that uses it, so neither this
 * function nor its caller needs v7s_mutex.
 */
static void *v7s_alloc_from(bool low, int lvl, size_t size, gfp_t gfp)
{
	if (lvl == 1)
		return (void *)__get_free_pages((low ? gfp | V7S_GFP_LOW : gfp) | __GFP_ZERO,
						get_order(size));
	return kmem_cache_zalloc(v7s_caches[low ? V7S_CACHE_LOW : V7S_CACHE_ANY].cache, gfp);
}

/*
 * The slab allocator knows which cache a level-2 table came from. SLOB does not,
 * but it needs only the size of the object, which both caches have in common.
 */
static void v7s_free_to(void *table, int lvl, size_t size)
{
	if (lvl == 1)
		free_pages((unsigned long)table, get_order(size));
	else if (IS_ENABLED(CONFIG_SLOB))
		kmem_cache_free(v7s_caches[V7S_CACHE_LOW].cache, table);
	else
		kfree(table);
}

static bool v7s_fits(const struct v7s_tables *tables, void *table, size_t size)
{
	phys_addr_t phys = virt_to_phys(table);

	return IS_ALIGNED(phys, size) && phys + size - 1 <= tables->last;
}

static void v7s_count(struct v7s_tables *tables, unsigned long *counter)
{
	unsigned long flags;

	spin_lock_irqsave(&tables->lock, flags);
	++*counter;
	spin_unlock_irqrestore(&tables->lock, flags);
}

static void v7s_report_misfit(struct v7s_tables *tables, int lvl, void *table, bool low)
{
	static DEFINE_RATELIMIT_STATE(burst, DEFAULT_RATELIMIT_INTERVAL, 1);
	phys_addr_t phys = virt_to_phys(table);

	v7s_count(tables, &tables->stats.misfits);
	if (__ratelimit(&burst))
		dev_err(tables->dev, "level-%d table at %pa is misaligned or beyond %pa (asked for %s)\n",
			lvl, &phys, &tables->last, low ? "memory below 4 GB" : "any memory");
}

/* Allocate a table that the IOMMU can use, or return NULL. */
static void *v7s_alloc_fitting(struct v7s_tables *tables, int lvl, size_t size, gfp_t gfp)
{
	bool low = !tables->anywhere;
	void *table;

	table = v7s_alloc_from(low, lvl, size, gfp);
	if (table && !low && !v7s_fits(tables, table, size)) {
		v7s_free_to(table, lvl, size);
		v7s_count(tables, &tables->stats.relocated);
		low = true;
		table = v7s_alloc_from(low, lvl, size, gfp);
	}
	if (table && !v7s_fits(tables, table, size)) {
		v7s_report_misfit(tables, lvl, table, low);
		v7s_free_to(table, lvl, size);
		return NULL;
	}
	return table;
}

/* Put a zeroed level-2 table into the reserve; false if it is full. */
static bool v7s_reserve_push(struct v7s_tables *tables, void *table, bool count)
{
	struct v7s_tables_stats *stats = &tables->stats;
	unsigned long flags;
	bool room;

	spin_lock_irqsave(&tables->lock, flags);
	room = stats->reserved < stats->wanted;
	if (room) {
		tables->spare[stats->reserved] = table;
		/* Pairs with the lockless read in v7s_tables_need_refill(). */
		WRITE_ONCE(stats->reserved, stats->reserved + 1);
		stats->refilled += count;
	}
	spin_unlock_irqrestore(&tables->lock, flags);
	return room;
}

static void *v7s_reserve_pop(struct v7s_tables *tables)
{
	struct v7s_tables_stats *stats = &tables->stats;
	unsigned long flags;
	void *table = NULL;

	spin_lock_irqsave(&tables->lock, flags);
	if (stats->reserved) {
		/* Pairs with the lockless read in v7s_tables_need_refill(). */
		WRITE_ONCE(stats->reserved, stats->reserved - 1);
		table = tables->spare[stats->reserved];
		tables->spare[stats->reserved] = NULL;
		stats->taken++;
	} else {
		stats->failed++;
	}
	spin_unlock_irqrestore(&tables->lock, flags);
	return table;
}

static void v7s_reserve_fill(struct v7s_tables *tables, bool count)
{
	/* No request waits for these tables, so do not reclaim hard. */
	gfp_t gfp = GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN;

	while (v7s_tables_need_refill(tables)) {
		void *table = v7s_alloc_fitting(tables, 2, V7S_L2_SIZE, gfp);

		if (!table)
			return;
		if (!v7s_reserve_push(tables, table, count)) {
			v7s_free_to(table, 2, V7S_L2_SIZE);
			return;
		}
	}
}

/**
 * v7s_tables_refill() - fill the reserve
 * @tables: the memory of a page table
 *
 * Allocates as many tables as it can without hard reclaim. The next call
 * allocates those that are still missing.
 *
 * Context: Process context. May sleep. May run concurrently with all functions
 *          but v7s_tables_destroy().
 */
void v7s_tables_refill(struct v7s_tables *tables)
{
	v7s_reserve_fill(tables, true);
}

/**
 * v7s_tables_alloc() - allocate a table
 * @tables: the memory of a page table
 * @lvl: level of the table, 1 or 2
 * @size: bytes, a power of two; always 1 KB for level 2
 * @gfp: how to allocate, without zone modifiers; if it does not allow to block,
 *       a level-2 table comes from the reserve when the allocator has none
 *
 * Context: Any that @gfp allows.
 * Return: A zeroed table, aligned to @size, at an address that the IOMMU can
 *         use, or NULL after a rate-limited message with the reason.
 */
void *v7s_tables_alloc(struct v7s_tables *tables, int lvl, size_t size, gfp_t gfp)
{
	static DEFINE_RATELIMIT_STATE(burst, DEFAULT_RATELIMIT_INTERVAL, 1);
	void *table;

	if (lvl == 1 || gfpflags_allow_blocking(gfp))
		return v7s_alloc_fitting(tables, lvl, size, gfp);

	table = v7s_alloc_fitting(tables, lvl, size, gfp | __GFP_NOWARN);
	if (likely(table))
		return table;

	table = v7s_reserve_pop(tables);
	if (!table && __ratelimit(&burst))
		dev_warn(tables->dev, "no memory for a level-2 table, and the reserve of %u is used up\n",
			 tables->stats.wanted);
	return table;
}

/**
 * v7s_tables_free() - free a table
 * @tables: the memory of a page table
 * @table: a table from v7s_tables_alloc() that the IOMMU no longer reads
 * @lvl: its level
 * @size: its size in bytes
 *
 * A level-2 table goes into the reserve if that is not full, because maps that
 * never block have no other way to refill it.
 *
 * Context: Any.
 */
void v7s_tables_free(struct v7s_tables *tables, void *table, int lvl, size_t size)
{
	if (lvl == 2 && unlikely(v7s_tables_need_refill(tables))) {
		memset(table, 0, size);
		if (v7s_reserve_push(tables, table, true))
			return;
	}
	v7s_free_to(table, lvl, size);
}

/**
 * v7s_tables_get_stats() - read the counters
 * @tables: the memory of a page table
 * @stats: filled with the counters, all from the same moment
 *
 * Context: Any.
 */
void v7s_tables_get_stats(struct v7s_tables *tables, struct v7s_tables_stats *stats)
{
	unsigned long flags;

	spin_lock_irqsave(&tables->lock, flags);
	*stats = tables->stats;
	spin_unlock_irqrestore(&tables->lock, flags);
}

static int v7s_caches_get(const struct v7s_tables *tables)
{
	int ret = v7s_cache_get(V7S_CACHE_LOW);

	if (!ret && tables->anywhere) {
		ret = v7s_cache_get(V7S_CACHE_ANY);
		if (ret)
			v7s_cache_put(V7S_CACHE_LOW);
	}
	return ret;
}

static void v7s_caches_put(const struct v7s_tables *tables)
{
	v7s_cache_put(V7S_CACHE_LOW);
	if (tables->anywhere)
		v7s_cache_put(V7S_CACHE_ANY);
}

/**
 * v7s_tables_init() - prepare the memory of a page table
 * @tables: to be initialised
 * @cfg: configuration of the page table
 *
 * Fills the reserve as far as memory allows.
 *
 * Context: Process context. May sleep.
 * Return: 0, or -ENOMEM, in which case there is nothing to destroy.
 */
int v7s_tables_init(struct v7s_tables *tables, const struct io_pgtable_cfg *cfg)
{
	unsigned int wanted = min(READ_ONCE(v7s_reserve), V7S_RESERVE_MAX);
	int ret;

	memset(tables, 0, sizeof(*tables));
	spin_lock_init(&tables->lock);
	tables->dev = cfg->iommu_dev;
	tables->last = DMA_BIT_MASK(32);
	if (cfg->quirks & IO_PGTABLE_QUIRK_ARM_MTK_TTBR_EXT) {
		tables->last = DMA_BIT_MASK(cfg->oas);
		tables->anywhere = cfg->oas > 32;
	}
	tables->spare = kcalloc(wanted, sizeof(*tables->spare), GFP_KERNEL);
	if (!tables->spare)
		return -ENOMEM;
	tables->stats.wanted = wanted;

	mutex_lock(&v7s_mutex);
	ret = v7s_caches_get(tables);
	if (!ret)
		list_add_tail(&tables->node, &v7s_list);
	mutex_unlock(&v7s_mutex);
	if (ret) {
		kfree(tables->spare);
		return ret;
	}

	v7s_reserve_fill(tables, false);
	return 0;
}

/**
 * v7s_tables_destroy() - free the reserve and undo v7s_tables_init()
 * @tables: the memory of a page table whose tables are all free
 *
 * Context: Process context. May sleep. No map or unmap may be running.
 */
void v7s_tables_destroy(struct v7s_tables *tables)
{
	mutex_lock(&v7s_mutex);
	list_del(&tables->node);
	while (tables->stats.reserved)
		v7s_free_to(tables->spare[--tables->stats.reserved], 2, V7S_L2_SIZE);
	v7s_caches_put(tables);
	mutex_unlock(&v7s_mutex);
	kfree(tables->spare);
}

#ifdef CONFIG_DEBUG_FS
static int v7s_tables_show(struct seq_file *s, void *unused)
{
	struct v7s_tables_stats stats;
	struct v7s_tables *tables;

	seq_puts(s, "iommu last_address reserved wanted taken refilled relocated misfits failed\n");
	mutex_lock(&v7s_mutex);
	list_for_each_entry(tables, &v7s_list, node) {
		v7s_tables_get_stats(tables, &stats);
		seq_printf(s, "%s %pa %u %u %lu %lu %lu %lu %lu\n",
			   tables->dev ? dev_name(tables->dev) : "-", &tables->last,
			   stats.reserved, stats.wanted, stats.taken, stats.refilled,
			   stats.relocated, stats.misfits, stats.failed);
	}
	mutex_unlock(&v7s_mutex);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(v7s_tables);

static int __init v7s_tables_debugfs_init(void)
{
	debugfs_create_file("io-pgtable-arm-v7s", 0400, NULL, NULL, &v7s_tables_fops);
	return 0;
}
late_initcall(v7s_tables_debugfs_init);
#endif /* CONFIG_DEBUG_FS */
