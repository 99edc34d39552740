// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite for the memory of Armv7 short-descriptor tables: where tables lie,
 * and what happens when memory is short.
 */
#include <linux/err.h>
#include <linux/error-injection.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/seq_file.h>

#include "arm_v7s_fixture.h"

KUNIT_ARRAY_PARAM(v7s_test_format, v7s_test_formats, v7s_test_format_desc);

static const struct v7s_test_format *const v7s_plain = &v7s_test_formats[0];

static int v7s_test_map_atomic(struct io_pgtable_ops *ops, unsigned long iova,
			       phys_addr_t paddr, size_t size)
{
	return ops->map(ops, iova, paddr, size, V7S_TEST_PROT, GFP_ATOMIC);
}

static struct v7s_tables *v7s_test_tables(struct v7s_test *t)
{
	return &io_pgtable_ops_to_data(t->ops)->tables;
}

static struct v7s_tables_stats v7s_test_stats(struct v7s_test *t)
{
	struct v7s_tables_stats stats;

	v7s_tables_get_stats(v7s_test_tables(t), &stats);
	return stats;
}

/* Open a file as user space does, on a separate mount. */
static struct file *v7s_test_open(struct kunit *test, const char *fs, const char *path,
				  int flags, struct vfsmount **mnt)
{
	struct file_system_type *type = get_fs_type(fs);
	struct file *file;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, type);
	*mnt = kern_mount(type);
	module_put(type->owner);
	KUNIT_ASSERT_FALSE(test, IS_ERR(*mnt));
	file = file_open_root_mnt(*mnt, path, flags, 0);
	if (IS_ERR(file))
		kern_unmount(*mnt);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	return file;
}

/* Set the size of the reserve of the page tables created from now on. */
static void v7s_test_set_reserve(struct kunit *test, const char *reserve)
{
	struct vfsmount *mnt;
	struct file *file;
	loff_t pos = 0;
	ssize_t ret;

	file = v7s_test_open(test, "sysfs", "module/io_pgtable_arm_v7s/parameters/reserve",
			     O_WRONLY, &mnt);
	ret = kernel_write(file, reserve, strlen(reserve), &pos);
	fput(file);
	kern_unmount(mnt);
	KUNIT_ASSERT_EQ(test, ret, strlen(reserve));
}

/* Return what debugfs shows, up to 4 KB. kernel_read() does not support debugfs. */
static char *v7s_test_read_debugfs(struct kunit *test)
{
	char *buf = kunit_kzalloc(test, SZ_4K, GFP_KERNEL);
	struct seq_file *seq;
	struct vfsmount *mnt;
	struct file *file;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, buf);
	file = v7s_test_open(test, "debugfs", "io-pgtable-arm-v7s", O_RDONLY, &mnt);
	seq = file->private_data;
	seq->buf = buf;
	seq->size = SZ_4K - 1;
	seq->op->show(seq, NULL);
	seq->buf = NULL;
	fput(file);
	kern_unmount(mnt);
	return buf;
}

/* Whether debugfs has a line for a page table of the case's device */
static bool v7s_test_listed(struct kunit *test)
{
	struct v7s_test *t = test->priv;
	char want[64];

	snprintf(want, sizeof(want), "\n%s 0x", dev_name(&t->pdev->dev));
	return IS_ENABLED(CONFIG_DEBUG_FS) && strstr(v7s_test_read_debugfs(test), want);
}

/* Allocations that fail */

/*
 * Only user space can change which allocations the fault injection of the
 * allocators lets fail. So a probe replaces it, for the allocations of the task
 * that runs the case.
 */
static struct {
	struct task_struct *task;
	bool atomic_only;	/* Allocations that may block succeed. */
	bool all;		/* Fail all others, not only the nth. */
	unsigned int nth;
	unsigned int failed;
} v7s_fault;

static bool v7s_test_fails(gfp_t gfp)
{
	if (!in_task() || current != READ_ONCE(v7s_fault.task))
		return false;
	if (v7s_fault.atomic_only && gfpflags_allow_blocking(gfp))
		return false;
	if (!v7s_fault.all && (!v7s_fault.nth || --v7s_fault.nth))
		return false;
	v7s_fault.failed++;
	return true;
}

#if defined(CONFIG_KPROBES) && defined(CONFIG_FUNCTION_ERROR_INJECTION) && \
	defined(CONFIG_HAVE_FUNCTION_ARG_ACCESS_API)
static int v7s_test_failslab(struct kprobe *p, struct pt_regs *regs)
{
	if (!v7s_test_fails((__force gfp_t)regs_get_kernel_argument(regs, 1)))
		return 0;
	regs_set_return_value(regs, -ENOMEM);
	override_function_with_return(regs);
	return 1;
}

static int v7s_test_fail_page(struct kprobe *p, struct pt_regs *regs)
{
	if (!v7s_test_fails((__force gfp_t)regs_get_kernel_argument(regs, 0)))
		return 0;
	regs_set_return_value(regs, true);
	override_function_with_return(regs);
	return 1;
}

static struct kprobe v7s_test_probes[] = {
	{ .symbol_name = "should_failslab", .pre_handler = v7s_test_failslab },
	{ .symbol_name = "should_fail_alloc_page", .pre_handler = v7s_test_fail_page },
};

static struct kprobe *v7s_test_probe_list[] = { &v7s_test_probes[0], &v7s_test_probes[1] };

static int v7s_test_suite_init(struct kunit_suite *suite)
{
	return register_kprobes(v7s_test_probe_list, ARRAY_SIZE(v7s_test_probe_list));
}

static void v7s_test_suite_exit(struct kunit_suite *suite)
{
	unregister_kprobes(v7s_test_probe_list, ARRAY_SIZE(v7s_test_probe_list));
}

static void v7s_test_need_faults(struct kunit *test) { }
#else
static int v7s_test_suite_init(struct kunit_suite *suite)
{
	return 0;
}

static void v7s_test_suite_exit(struct kunit_suite *suite) { }

static void v7s_test_need_faults(struct kunit *test)
{
	kunit_skip(test, "needs KPROBES and FUNCTION_ERROR_INJECTION, with arguments");
}
#endif

/* Let the @n-th allocation of this task from now on fail. */
static void v7s_test_fail_nth(unsigned int n)
{
	v7s_fault.atomic_only = false;
	v7s_fault.all = false;
	v7s_fault.nth = n;
	v7s_fault.failed = 0;
	WRITE_ONCE(v7s_fault.task, current);
}

/* Let all allocations of this task fail that may not block. */
static void v7s_test_fail_atomic(void)
{
	v7s_fault.atomic_only = true;
	v7s_fault.all = true;
	v7s_fault.failed = 0;
	WRITE_ONCE(v7s_fault.task, current);
}

/* Let no more allocations fail. Return how many have failed. */
static unsigned int v7s_test_fail_no_more(void)
{
	WRITE_ONCE(v7s_fault.task, NULL);
	return v7s_fault.failed;
}

/* A table that leaks is reported when its slab cache is destroyed. */
static void failed_creation_leaks_nothing(struct kunit *test)
{
	struct v7s_test *t = test->priv;
	unsigned int n, failed = 1, refused = 0;

	v7s_test_need_faults(test);
	v7s_test_set_format(test, test->param_value);
	for (n = 1; n < 256 && failed; n++) {
		struct io_pgtable_cfg cfg = t->cfg;
		struct io_pgtable_ops *ops;

		v7s_test_fail_nth(n);
		ops = alloc_io_pgtable_ops(ARM_V7S, &cfg, t);
		failed = v7s_test_fail_no_more();
		refused += !ops;
		/* A page table that was created nevertheless works. */
		if (ops)
			KUNIT_EXPECT_EQ(test, v7s_test_map(ops, SZ_1M, SZ_1G, SZ_4K), 0);
		free_io_pgtable_ops(ops);
	}
	/* Each allocation that creation needs failed once, and none in the last round. */
	KUNIT_EXPECT_EQ(test, failed, 0);
	KUNIT_EXPECT_GE(test, refused, 3);
	/* None of the failed ones is still listed. */
	KUNIT_EXPECT_FALSE(test, v7s_test_listed(test));
}

static void failed_map_changes_nothing(struct kunit *test)
{
	struct io_pgtable_ops *ops;
	unsigned int n, failed, refused = 0;
	size_t mapped;
	int ret = -1;

	v7s_test_need_faults(test);
	v7s_test_set_reserve(test, "0");
	ops = v7s_test_make(test, test->param_value);
	v7s_test_set_reserve(test, "16");
	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, 0, SZ_1G, SZ_4K), 0);

	/* Pages on both sides of a 1 MB boundary; only the first has a table. */
	for (n = 1; n < 64; n++) {
		mapped = 0;
		v7s_test_fail_nth(n);
		ret = ops->map_pages(ops, SZ_1M - SZ_4K, SZ_2G, SZ_4K, 2, V7S_TEST_PROT,
				     GFP_KERNEL, &mapped);
		failed = v7s_test_fail_no_more();
		v7s_test_expect_phys(test, 0, SZ_1G);
		v7s_test_expect_phys(test, SZ_1M - SZ_4K, SZ_2G);
		if (ret) {
			refused++;
			KUNIT_EXPECT_EQ(test, ret, -ENOMEM);
			KUNIT_EXPECT_EQ(test, mapped, SZ_4K);
			v7s_test_expect_phys(test, SZ_1M, 0);
			v7s_test_expect_tables(test, 1);
		} else if (failed) {
			/* The map does not depend on this allocation. Undo it. */
			KUNIT_ASSERT_EQ(test, ops->unmap(ops, SZ_1M, SZ_1M, NULL), SZ_1M);
		} else {
			break;
		}
		KUNIT_ASSERT_EQ(test, ops->unmap(ops, SZ_1M - SZ_4K, SZ_4K, NULL), SZ_4K);
	}
	KUNIT_EXPECT_GT(test, refused, 0);
	KUNIT_EXPECT_EQ(test, ret, 0);
	v7s_test_expect_phys(test, SZ_1M, SZ_2G + SZ_4K);
}

static void failed_split_changes_nothing(struct kunit *test)
{
	struct io_pgtable_ops *ops;
	unsigned long off;

	v7s_test_need_faults(test);
	v7s_test_set_reserve(test, "0");
	ops = v7s_test_make(test, test->param_value);
	v7s_test_set_reserve(test, "16");
	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, SZ_1M, SZ_2G, SZ_1M), 0);

	v7s_test_fail_nth(1);
	KUNIT_EXPECT_EQ(test, ops->unmap(ops, SZ_1M + SZ_64K, SZ_4K, NULL), 0);
	KUNIT_EXPECT_EQ(test, v7s_test_fail_no_more(), 1);
	for (off = 0; off < SZ_1M; off += SZ_4K)
		v7s_test_expect_phys(test, SZ_1M + off, SZ_2G + off);
	v7s_test_expect_tables(test, 0);
}

/* The reserve */

static void reserve_filled_at_creation(struct kunit *test)
{
	struct v7s_test *t = test->priv;
	struct v7s_tables_stats stats;

	v7s_test_make(test, test->param_value);
	stats = v7s_test_stats(t);
	KUNIT_EXPECT_EQ(test, stats.wanted, 16);
	KUNIT_EXPECT_EQ(test, stats.reserved, 16);
	KUNIT_EXPECT_EQ(test, stats.taken, 0);
	KUNIT_EXPECT_EQ(test, stats.refilled, 0);
	KUNIT_EXPECT_EQ(test, stats.failed, 0);
}

static void reserve_size_is_settable(struct kunit *test)
{
	static const struct { const char *set; unsigned int wanted; } sizes[] = {
		{ "0", 0 }, { "1", 1 }, { "100", 100 }, { "1000000", 1024 }, { "16", 16 },
	};
	struct v7s_test *t = test->priv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		v7s_test_set_reserve(test, sizes[i].set);
		v7s_test_make(test, v7s_plain);
		KUNIT_EXPECT_EQ(test, v7s_test_stats(t).wanted, sizes[i].wanted);
		KUNIT_EXPECT_EQ(test, v7s_test_stats(t).reserved, sizes[i].wanted);
		free_io_pgtable_ops(t->ops);
		t->ops = NULL;
	}
}

static void reserve_unused_while_memory_available(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, test->param_value);
	struct v7s_test *t = test->priv;
	unsigned int i;

	for (i = 0; i < 64; i++)
		KUNIT_ASSERT_EQ(test, v7s_test_map_atomic(ops, i * SZ_1M, SZ_1G, SZ_4K), 0);
	KUNIT_EXPECT_EQ(test, v7s_test_stats(t).taken, 0);
	KUNIT_EXPECT_EQ(test, v7s_test_stats(t).reserved, 16);
}

/* The reserve serves what the slab cache cannot, and is counted. */
static void reserve_serves_when_slab_fails(struct kunit *test)
{
	struct v7s_test *t = test->priv;
	struct io_pgtable_ops *ops;
	unsigned int i, mapped = 0;
	int after;

	v7s_test_need_faults(test);
	ops = v7s_test_make(test, test->param_value);
	v7s_test_fail_atomic();
	for (i = 0; i < 16; i++)
		mapped += !v7s_test_map_atomic(ops, i * SZ_1M, SZ_1G + i * SZ_4K, SZ_4K);
	after = v7s_test_map_atomic(ops, i * SZ_1M, SZ_1G, SZ_4K);
	v7s_test_fail_no_more();

	KUNIT_EXPECT_EQ(test, mapped, 16);
	KUNIT_EXPECT_EQ(test, after, -ENOMEM);
	KUNIT_EXPECT_EQ(test, v7s_test_stats(t).taken, 16);
	KUNIT_EXPECT_EQ(test, v7s_test_stats(t).failed, 1);
	KUNIT_EXPECT_EQ(test, v7s_test_stats(t).reserved, 0);
	for (i = 0; i < 16; i++) {
		v7s_test_expect_phys(test, i * SZ_1M, SZ_1G + i * SZ_4K);
		/* No other page is mapped: tables from the reserve are zeroed. */
		v7s_test_expect_phys(test, i * SZ_1M + SZ_4K, 0);
	}
	v7s_test_expect_tables(test, 16);

	/* A map that may block refills the reserve, even if it needs no table. */
	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, SZ_4K, SZ_1G, SZ_4K), 0);
	KUNIT_EXPECT_EQ(test, v7s_test_stats(t).reserved, 16);
	KUNIT_EXPECT_EQ(test, v7s_test_stats(t).refilled, 16);
}

/* A split allocates its table as in atomic context. */
static void reserve_serves_split(struct kunit *test)
{
	struct v7s_test *t = test->priv;
	struct io_pgtable_ops *ops;
	size_t unmapped;

	v7s_test_need_faults(test);
	ops = v7s_test_make(test, test->param_value);
	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, SZ_1M, SZ_2G, SZ_1M), 0);
	v7s_test_fail_atomic();
	unmapped = ops->unmap(ops, SZ_1M, SZ_4K, NULL);
	v7s_test_fail_no_more();

	KUNIT_EXPECT_EQ(test, unmapped, SZ_4K);
	KUNIT_EXPECT_EQ(test, v7s_test_stats(t).taken, 1);
	v7s_test_expect_phys(test, SZ_1M, 0);
	v7s_test_expect_phys(test, SZ_1M + SZ_4K, SZ_2G + SZ_4K);
}

/* If no map may block, the tables that unmaps free refill the reserve, zeroed. */
static void reserve_refilled_by_unmap(struct kunit *test)
{
	struct v7s_test *t = test->priv;
	struct io_pgtable_ops *ops;
	unsigned int i;

	v7s_test_need_faults(test);
	ops = v7s_test_make(test, test->param_value);
	v7s_test_fail_atomic();
	for (i = 0; i < 16; i++)
		KUNIT_EXPECT_EQ(test, ops->map_pages(ops, i * SZ_1M, SZ_1G, SZ_4K, 256,
						     V7S_TEST_PROT, GFP_ATOMIC, NULL), 0);
	for (i = 0; i < 8; i++)
		KUNIT_EXPECT_EQ(test, ops->unmap(ops, i * SZ_1M, SZ_1M, NULL), SZ_1M);
	KUNIT_EXPECT_EQ(test, v7s_test_stats(t).reserved, 8);
	for (i = 0; i < 8; i++)
		KUNIT_EXPECT_EQ(test, v7s_test_map_atomic(ops, i * SZ_1M, SZ_2G, SZ_4K), 0);
	v7s_test_fail_no_more();

	KUNIT_EXPECT_EQ(test, v7s_test_stats(t).taken, 24);
	for (i = 0; i < 8; i++) {
		v7s_test_expect_phys(test, i * SZ_1M, SZ_2G);
		v7s_test_expect_phys(test, i * SZ_1M + SZ_4K, 0);
	}
}

/* Skip the case unless the page allocator returns memory above 4 GB. */
static void v7s_test_need_memory_above_4g(struct kunit *test)
{
	struct page *page = alloc_page(GFP_KERNEL);
	phys_addr_t phys;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	phys = page_to_phys(page);
	__free_page(page);
	if (phys <= DMA_BIT_MASK(32))
		kunit_skip(test, "GFP_KERNEL memory lies below 4 GB, at %pa", &phys);
}

/* Allocate all memory below 4 GB that an atomic allocation can get. */
static void v7s_test_use_up_low_memory(struct list_head *used)
{
	gfp_t gfp = GFP_ATOMIC | GFP_DMA32 | __GFP_NOWARN;
	int order;

	for (order = MAX_ORDER - 1; order >= 0; order--) {
		struct page *page;

		while ((page = alloc_pages(gfp, order))) {
			set_page_private(page, order);
			list_add(&page->lru, used);
			cond_resched();
		}
	}
}

static void v7s_test_give_back_memory(struct list_head *used)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, used, lru) {
		unsigned int order = page_private(page);

		list_del(&page->lru);
		set_page_private(page, 0);
		__free_pages(page, order);
		cond_resched();
	}
}

/* Hard interrupt context, with no free memory below 4 GB */
static void reserve_serves_hardirq_without_low_memory(struct kunit *test)
{
	struct io_pgtable_ops *ops = v7s_test_make(test, v7s_plain);
	struct v7s_test *t = test->priv;
	struct v7s_tables_stats stats;
	unsigned int mb, atomic = 0;
	struct v7s_test_irq irq;
	LIST_HEAD(used);

	v7s_test_need_memory_above_4g(test);
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		kunit_skip(test, "PREEMPT_RT allocates nothing in hard interrupt context");

	v7s_test_use_up_low_memory(&used);
	/* Use up the slab cache, until the first table comes from the reserve. */
	for (mb = 1024; mb < 4000 && !v7s_test_stats(t).taken; mb++)
		atomic += !v7s_test_map_atomic(ops, mb * SZ_1M, SZ_1G, SZ_4K);

	irq = (struct v7s_test_irq) { .ops = ops };
	init_completion(&irq.done);
	hrtimer_init_on_stack(&irq.timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	irq.timer.function = v7s_test_map_in_irq;
	hrtimer_start(&irq.timer, ms_to_ktime(1), HRTIMER_MODE_REL_HARD);
	wait_for_completion(&irq.done);
	hrtimer_cancel(&irq.timer);
	destroy_hrtimer_on_stack(&irq.timer);
	stats = v7s_test_stats(t);
	v7s_test_give_back_memory(&used);

	KUNIT_EXPECT_EQ(test, atomic, mb - 1024);
	KUNIT_EXPECT_TRUE(test, irq.in_hardirq);
	KUNIT_EXPECT_EQ(test, stats.taken, 16);
	KUNIT_EXPECT_GE(test, irq.mapped, 15);
	KUNIT_EXPECT_EQ(test, v7s_test_count_tables(t).misplaced, 0);
	kunit_info(test, "proof: memory below 4 GB used up: %u more maps in atomic context from what the slab cache had, then %lu from the reserve\n",
		   atomic - 1 + irq.mapped - 15, stats.taken);

	KUNIT_ASSERT_EQ(test, v7s_test_map(ops, SZ_1M * 4000UL, SZ_1G, SZ_4K), 0);
	KUNIT_EXPECT_EQ(test, v7s_test_stats(t).reserved, 16);
}

/*
 * Tables may lie above 4 GB, but not beyond the output size. Which addresses the
 * allocators return first is hard to predict, so lower the limit to 4 GB.
 */
static void tables_beyond_limit_reallocated(struct kunit *test)
{
	static const struct v7s_test_format format = {
		"8 GB", V7S_MTK_QUIRKS | IO_PGTABLE_QUIRK_ARM_MTK_TTBR_EXT, 34, 33, true
	};
	struct v7s_test *t = test->priv;
	struct io_pgtable_ops *ops;
	struct v7s_tables *tables;
	unsigned long relocated;
	unsigned int i;
	void *level1;

	v7s_test_need_memory_above_4g(test);
	ops = v7s_test_make(test, &format);
	tables = v7s_test_tables(t);
	KUNIT_ASSERT_EQ(test, (u64)tables->last, DMA_BIT_MASK(33));
	/* Level 1 and the reserve, if they were allocated above 8 GB */
	relocated = v7s_test_stats(t).relocated;
	tables->last = DMA_BIT_MASK(32);

	for (i = 0; i < 256; i++)
		KUNIT_ASSERT_EQ(test, i % 2 ? v7s_test_map(ops, i * SZ_1M, SZ_1G, SZ_4K) :
				v7s_test_map_atomic(ops, i * SZ_1M, SZ_1G, SZ_4K), 0);
	for (i = 0; i < 256; i++)
		KUNIT_EXPECT_LE(test, (u64)v7s_test_table_phys(t, i * SZ_1M), DMA_BIT_MASK(32));
	KUNIT_EXPECT_EQ(test, v7s_test_stats(t).relocated, relocated + 256);

	level1 = v7s_tables_alloc(tables, 1, SZ_64K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, level1);
	KUNIT_EXPECT_LE(test, (u64)virt_to_phys(level1), DMA_BIT_MASK(32));
	v7s_tables_free(tables, level1, 1, SZ_64K);
	KUNIT_EXPECT_EQ(test, v7s_test_stats(t).relocated, relocated + 257);
	KUNIT_EXPECT_EQ(test, v7s_test_stats(t).misfits, 0);
}

static void debugfs_shows_each_page_table(struct kunit *test)
{
	if (!IS_ENABLED(CONFIG_DEBUG_FS))
		kunit_skip(test, "kernel without DEBUG_FS");

	KUNIT_EXPECT_FALSE(test, v7s_test_listed(test));
	v7s_test_make(test, v7s_plain);
	KUNIT_EXPECT_TRUE(test, v7s_test_listed(test));
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, strstr(v7s_test_read_debugfs(test),
						  " 16 16 0 0 0 0 0\n"));
}

static struct kunit_case arm_v7s_tables_cases[] = {
	KUNIT_CASE_PARAM(failed_creation_leaks_nothing, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(failed_map_changes_nothing, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(failed_split_changes_nothing, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(reserve_filled_at_creation, v7s_test_format_gen_params),
	KUNIT_CASE(reserve_size_is_settable),
	KUNIT_CASE_PARAM(reserve_unused_while_memory_available, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(reserve_serves_when_slab_fails, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(reserve_serves_split, v7s_test_format_gen_params),
	KUNIT_CASE_PARAM(reserve_refilled_by_unmap, v7s_test_format_gen_params),
	KUNIT_CASE(reserve_serves_hardirq_without_low_memory),
	KUNIT_CASE(tables_beyond_limit_reallocated),
	KUNIT_CASE(debugfs_shows_each_page_table),
	{}
};

static struct kunit_suite arm_v7s_tables_suite = {
	.name = "arm_v7s_tables",
	.suite_init = v7s_test_suite_init,
	.suite_exit = v7s_test_suite_exit,
	.init = v7s_test_init,
	.exit = v7s_test_exit,
	.test_cases = arm_v7s_tables_cases,
};

kunit_test_suite(arm_v7s_tables_suite);
