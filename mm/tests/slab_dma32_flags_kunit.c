// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite for the flags that choose the zone of a slab cache: which flags a
 * cache can be created with, and which ones an allocation can pass.
 *
 * The allocators report wrong flags with printk(), so the cases watch the
 * console tracepoint. A case that provokes a stack trace first writes a line
 * "expect: <text>" to its log, for tools that look for unexpected messages.
 */
#include <linux/cgroup.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/memcontrol.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/sched/mm.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/tracepoint.h>

#include "../slab.h"
#include "slab_dma32_fixture.h"

#define TEST_SIZE	1024

/* The console lines since observe() that contain its argument */
static struct {
	/* Taken by the case, and by the probe in any context and on any CPU */
	spinlock_t lock;
	const char *needle;
	unsigned int hits;
	char line[256];
} observed = {
	.lock = __SPIN_LOCK_UNLOCKED(observed.lock),
};

static void probe_console(void *ignore, const char *buf, size_t len)
{
	unsigned long flags;

	spin_lock_irqsave(&observed.lock, flags);
	if (observed.needle && strnstr(buf, observed.needle, len)) {
		observed.hits++;
		len = min(len, sizeof(observed.line) - 1);
		memcpy(observed.line, buf, len);
		observed.line[len] = '\0';
	}
	spin_unlock_irqrestore(&observed.lock, flags);
}

/* Start to count the lines that contain @needle. NULL stops counting. */
static void observe(const char *needle)
{
	unsigned long flags;

	spin_lock_irqsave(&observed.lock, flags);
	observed.needle = needle;
	observed.hits = 0;
	observed.line[0] = '\0';
	spin_unlock_irqrestore(&observed.lock, flags);
}

#define GFP_REPORT	"Unexpected gfp"

static void expect_gfp_report(struct kunit *test)
{
	kunit_info(test, "expect: %s\n", GFP_REPORT);
	observe(GFP_REPORT);
}

static void both_zones_refused(struct kunit *test)
{
	struct kmem_cache *cache;

	/* The check and its caller log a message each, with the name. */
	observe("szt_both");
	cache = szt_try_cache(test, "szt_both", TEST_SIZE, TEST_SIZE,
			      SLAB_CACHE_DMA | SLAB_CACHE_DMA32);

	KUNIT_EXPECT_PTR_EQ(test, cache, NULL);
	KUNIT_EXPECT_EQ(test, observed.hits, 2);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, strstr(observed.line, "error -22"));
}

static void refused_name_can_be_used(struct kunit *test)
{
	struct kmem_cache *cache;

	szt_need_zone_below_4g(test);
	cache = szt_try_cache(test, "szt_again", TEST_SIZE, TEST_SIZE,
			      SLAB_CACHE_DMA | SLAB_CACHE_DMA32);
	KUNIT_EXPECT_PTR_EQ(test, cache, NULL);

	cache = szt_cache(test, "szt_again", TEST_SIZE, TEST_SIZE, SLAB_CACHE_DMA32);
	KUNIT_EXPECT_EQ(test, szt_count_above(test, cache, TEST_SIZE, 16, GFP_KERNEL), 0);
}

static void one_zone_accepted(struct kunit *test)
{
	szt_need_zone_below_4g(test);
	observe("kmem_cache_create");
	szt_cache(test, "szt_plain", TEST_SIZE, 0, 0);
	szt_cache(test, "szt_dma", TEST_SIZE, 0, SLAB_CACHE_DMA);
	szt_cache(test, "szt_dma32", TEST_SIZE, 0, SLAB_CACHE_DMA32);
	KUNIT_EXPECT_EQ(test, observed.hits, 0);
}

static void dma32_refused_without_zone(struct kunit *test)
{
	struct kmem_cache *cache;

	if (IS_ENABLED(CONFIG_ZONE_DMA32) || IS_ENABLED(CONFIG_ZONE_DMA))
		kunit_skip(test, "kernel with ZONE_DMA32 or ZONE_DMA");

	observe("szt_no_zone): SLAB_CACHE_DMA32 needs");
	cache = szt_try_cache(test, "szt_no_zone", TEST_SIZE, TEST_SIZE,
			      SLAB_CACHE_DMA32);
	if (szt_no_zone_below_4g()) {
		KUNIT_EXPECT_PTR_EQ(test, cache, NULL);
		KUNIT_EXPECT_EQ(test, observed.hits, 1);
	} else {
		KUNIT_EXPECT_PTR_NE(test, cache, NULL);
		KUNIT_EXPECT_EQ(test, observed.hits, 0);
	}
}

/* Enough objects for more than one new slab, which is when flags are checked. */
static void gfp_dma32_accepted_for_dma32_cache(struct kunit *test)
{
	struct kmem_cache *cache;
	unsigned int i;

	szt_need_zone_below_4g(test);
	cache = szt_cache(test, "szt_served", TEST_SIZE, TEST_SIZE, SLAB_CACHE_DMA32);
	observe(GFP_REPORT);
	for (i = 0; i < 256; i++) {
		gfp_t gfp = i % 2 ? GFP_ATOMIC : GFP_KERNEL;
		void *p = szt_alloc(test, cache, gfp | GFP_DMA32);

		KUNIT_EXPECT_TRUE(test, szt_below_4g(p, TEST_SIZE));
	}
	KUNIT_EXPECT_EQ(test, observed.hits, 0);
}

/* The first object of a cache needs a slab, so one allocation causes one report. */
static void report_once(struct kunit *test, slab_flags_t flags, gfp_t gfp)
{
	struct kmem_cache *cache;

	if (flags & SLAB_CACHE_DMA32)
		szt_need_zone_below_4g(test);
	/* An unusual size, so that the cache shares slabs with no other. */
	cache = szt_cache(test, "szt_report", 7 * 136, 0, flags);
	expect_gfp_report(test);
	szt_alloc(test, cache, GFP_KERNEL | gfp);
	KUNIT_EXPECT_EQ(test, observed.hits, 1);
}

static void gfp_dma32_reported_for_plain_cache(struct kunit *test)
{
	report_once(test, 0, __GFP_DMA32);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, strstr(observed.line, "GFP_DMA32"));
}

static void gfp_dma32_reported_for_dma_cache(struct kunit *test)
{
	report_once(test, SLAB_CACHE_DMA, __GFP_DMA32);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, strstr(observed.line, "GFP_DMA32"));
}

static void gfp_highmem_reported_for_dma32_cache(struct kunit *test)
{
	report_once(test, SLAB_CACHE_DMA32, __GFP_HIGHMEM | __GFP_DMA32);
	/* The report names HIGHMEM only: DMA32 is the zone of the cache. */
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, strstr(observed.line, "HIGHMEM"));
	KUNIT_EXPECT_PTR_EQ(test, strstr(observed.line, "DMA32"), NULL);
}

static void gfp_dma_keeps_zone_of_cache(struct kunit *test)
{
	struct kmem_cache *cache;

	szt_need_zone_below_4g(test);
	cache = szt_cache(test, "szt_gfp_dma", TEST_SIZE, TEST_SIZE, SLAB_CACHE_DMA32);
	KUNIT_EXPECT_EQ(test, szt_count_above(test, cache, TEST_SIZE, 64,
					      GFP_KERNEL | GFP_DMA), 0);
}

static void gfp_dma32_reported_for_large_kmalloc(struct kunit *test)
{
	void *p;

	if (IS_ENABLED(CONFIG_SLOB))
		kunit_skip(test, "SLOB hands large kmalloc() to the page allocator");

	expect_gfp_report(test);
	p = kmalloc(2 * KMALLOC_MAX_CACHE_SIZE, GFP_KERNEL | __GFP_DMA32);
	KUNIT_EXPECT_EQ(test, observed.hits, 1);
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, p);
	kfree(p);
}

#ifdef CONFIG_MEMCG_KMEM
/* Create a memory cgroup as user space does. The caller puts the css. */
static struct cgroup_subsys_state *make_memcg(struct kunit *test,
					      struct vfsmount *mnt)
{
	struct cgroup_subsys_state *css;
	struct dentry *dentry;
	struct cgroup *cgrp;
	struct file *file;
	loff_t pos = 0;
	ssize_t ret;

	file = file_open_root_mnt(mnt, "cgroup.subtree_control", O_WRONLY, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	ret = kernel_write(file, "+memory", 7, &pos);
	fput(file);
	KUNIT_ASSERT_EQ(test, ret, 7);

	inode_lock_nested(d_inode(mnt->mnt_root), I_MUTEX_PARENT);
	dentry = lookup_one_len("szt", mnt->mnt_root, 3);
	ret = IS_ERR(dentry) ? PTR_ERR(dentry) :
	      vfs_mkdir(mnt_user_ns(mnt), d_inode(mnt->mnt_root), dentry, 0755);
	inode_unlock(d_inode(mnt->mnt_root));
	if (!IS_ERR(dentry))
		dput(dentry);
	KUNIT_ASSERT_EQ(test, ret, 0);

	cgrp = cgroup_get_from_path("/szt");
	KUNIT_ASSERT_FALSE(test, IS_ERR(cgrp));
	css = cgroup_get_e_css(cgrp, &memory_cgrp_subsys);
	cgroup_put(cgrp);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, css);
	return css;
}

static void remove_memcg(struct vfsmount *mnt)
{
	struct inode *root = d_inode(mnt->mnt_root);
	struct dentry *dentry;

	inode_lock_nested(root, I_MUTEX_PARENT);
	dentry = lookup_one_len("szt", mnt->mnt_root, 3);
	if (!IS_ERR(dentry)) {
		if (d_really_is_positive(dentry))
			vfs_rmdir(mnt_user_ns(mnt), root, dentry);
		dput(dentry);
	}
	inode_unlock(root);
}

static struct mem_cgroup *memcg_of(const void *p, struct kmem_cache *cache)
{
	struct slab *slab = virt_to_slab(p);
	struct obj_cgroup **objcgs = slab ? slab_objcgs(slab) : NULL;
	struct obj_cgroup *objcg;

	if (!objcgs)
		return NULL;
	objcg = objcgs[obj_to_index(cache, slab, (void *)p)];
	return objcg ? obj_cgroup_memcg(objcg) : NULL;
}

static void accounted_objects(struct kunit *test, struct mem_cgroup *memcg,
			      unsigned int *charged, unsigned int *above)
{
	struct mem_cgroup *old_memcg;
	struct kmem_cache *cache;
	unsigned int i;

	cache = szt_cache(test, "szt_account", TEST_SIZE, TEST_SIZE,
			  SLAB_CACHE_DMA32 | SLAB_ACCOUNT);
	/*
	 * Each slab of an accounted cache gets an array from kmalloc(). With
	 * enough of them the kmalloc() cache needs new slabs too.
	 */
	for (i = 0; i < 4096; i++) {
		gfp_t gfp = i % 2 ? GFP_KERNEL : GFP_KERNEL | GFP_DMA32;
		void *p;

		old_memcg = set_active_memcg(memcg);
		p = kmem_cache_alloc(cache, gfp);
		set_active_memcg(old_memcg);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, p);
		szt_hold(test, cache, p);
		*charged += memcg_of(p, cache) == memcg;
		*above += !szt_below_4g(p, TEST_SIZE);
	}
}

static void accounted_to_memcg(struct kunit *test)
{
	unsigned int charged = 0, above = 0;
	struct cgroup_subsys_state *css;
	struct file_system_type *type;
	struct vfsmount *mnt;

	szt_need_zone_below_4g(test);
	if (IS_ENABLED(CONFIG_SLOB))
		kunit_skip(test, "SLOB has no memory cgroup accounting");

	type = get_fs_type("cgroup2");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, type);
	mnt = kern_mount(type);
	module_put(type->owner);
	KUNIT_ASSERT_FALSE(test, IS_ERR(mnt));

	css = make_memcg(test, mnt);
	observe(GFP_REPORT);
	accounted_objects(test, mem_cgroup_from_css(css), &charged, &above);
	KUNIT_EXPECT_EQ(test, charged, 4096);
	KUNIT_EXPECT_EQ(test, above, 0);
	KUNIT_EXPECT_EQ(test, observed.hits, 0);

	szt_free_objects(test);
	css_put(css);
	remove_memcg(mnt);
	kern_unmount(mnt);
}
#else
static void accounted_to_memcg(struct kunit *test)
{
	kunit_skip(test, "kernel without CONFIG_MEMCG_KMEM");
}
#endif /* CONFIG_MEMCG_KMEM */

/* The tracepoint is not exported by name. */
static struct tracepoint *console_tracepoint;

static void find_console(struct tracepoint *tp, void *ignore)
{
	if (!strcmp(tp->name, "console"))
		console_tracepoint = tp;
}

static int slab_dma32_flags_test_init(struct kunit *test)
{
	int ret = szt_init(test);

	if (ret)
		return ret;
	for_each_kernel_tracepoint(find_console, NULL);
	if (!console_tracepoint)
		return -ENOENT;
	return tracepoint_probe_register(console_tracepoint, probe_console, NULL);
}

static void slab_dma32_flags_test_exit(struct kunit *test)
{
	observe(NULL);
	if (console_tracepoint)
		tracepoint_probe_unregister(console_tracepoint, probe_console, NULL);
	tracepoint_synchronize_unregister();
	szt_exit(test);
}

static struct kunit_case slab_dma32_flags_test_cases[] = {
	KUNIT_CASE(both_zones_refused),
	KUNIT_CASE(refused_name_can_be_used),
	KUNIT_CASE(one_zone_accepted),
	KUNIT_CASE(dma32_refused_without_zone),
	KUNIT_CASE(gfp_dma32_accepted_for_dma32_cache),
	KUNIT_CASE(gfp_dma32_reported_for_plain_cache),
	KUNIT_CASE(gfp_dma32_reported_for_dma_cache),
	KUNIT_CASE(gfp_highmem_reported_for_dma32_cache),
	KUNIT_CASE(gfp_dma_keeps_zone_of_cache),
	KUNIT_CASE(gfp_dma32_reported_for_large_kmalloc),
	KUNIT_CASE(accounted_to_memcg),
	{}
};

static struct kunit_suite slab_dma32_flags_test_suite = {
	.name = "slab_dma32_flags",
	.init = slab_dma32_flags_test_init,
	.exit = slab_dma32_flags_test_exit,
	.test_cases = slab_dma32_flags_test_cases,
};

kunit_test_suite(slab_dma32_flags_test_suite);

MODULE_LICENSE("GPL");
