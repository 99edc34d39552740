// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite for what /sys/kernel/slab shows of the zone of a cache. It reads
 * the files through a sysfs mount, as slabinfo does.
 */
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/string.h>

#include "slab_dma32_fixture.h"

#define TEST_SIZE	1024

/*
 * Read kernel/slab/@cache/@attr into @buf, NUL-terminated. Returns the length
 * or a negative error; @mode gets the permissions of the file.
 */
static ssize_t read_attr(struct kunit *test, const char *cache, const char *attr,
			 char *buf, size_t len, umode_t *mode)
{
	struct file_system_type *type = get_fs_type("sysfs");
	struct vfsmount *mnt;
	struct file *file;
	loff_t pos = 0;
	ssize_t ret;
	char *path;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, type);
	mnt = kern_mount(type);
	module_put(type->owner);
	KUNIT_ASSERT_FALSE(test, IS_ERR(mnt));

	path = kasprintf(GFP_KERNEL, "kernel/slab/%s/%s", cache, attr);
	file = path ? file_open_root_mnt(mnt, path, O_RDONLY, 0) : ERR_PTR(-ENOMEM);
	kfree(path);
	if (IS_ERR(file)) {
		ret = PTR_ERR(file);
	} else {
		*mode = file_inode(file)->i_mode & 0777;
		ret = kernel_read(file, buf, len - 1, &pos);
		buf[max_t(ssize_t, ret, 0)] = '\0';
		fput(file);
	}
	kern_unmount(mnt);
	return ret;
}

static const struct zone_param {
	const char *name;
	slab_flags_t flags;
	const char *cache_dma32;
} zones[] = {
	{ "no zone", 0, "0\n" },
	{ "SLAB_CACHE_DMA", SLAB_CACHE_DMA, "0\n" },
	{ "SLAB_CACHE_DMA32", SLAB_CACHE_DMA32, "1\n" },
};

static void zone_desc(const struct zone_param *param, char *desc)
{
	strscpy(desc, param->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(zone, zones, zone_desc);

static void cache_dma32_shows_flag(struct kunit *test)
{
	const struct zone_param *param = test->param_value;
	umode_t mode = 0;
	char buf[8];

	szt_need_zone_below_4g(test);
	szt_cache(test, "szt_shown", TEST_SIZE, TEST_SIZE, param->flags);
	KUNIT_ASSERT_GT(test, read_attr(test, "szt_shown", "cache_dma32", buf,
					sizeof(buf), &mode), 0);
	KUNIT_EXPECT_STREQ(test, buf, param->cache_dma32);
	/* read-only, like each attribute that shows a flag */
	KUNIT_EXPECT_EQ(test, mode, 0400);
}

static void cache_dma32_shown_through_alias(struct kunit *test)
{
	struct kmem_cache *cache, *alias;
	umode_t mode;
	char buf[8];

	szt_need_zone_below_4g(test);
	cache = szt_cache(test, "szt_first", TEST_SIZE, TEST_SIZE, SLAB_CACHE_DMA32);
	alias = szt_cache(test, "szt_alias", TEST_SIZE, TEST_SIZE, SLAB_CACHE_DMA32);
	if (cache != alias)
		kunit_skip(test, "caches are not merged in this kernel");

	KUNIT_ASSERT_GT(test, read_attr(test, "szt_alias", "cache_dma32", buf,
					sizeof(buf), &mode), 0);
	KUNIT_EXPECT_STREQ(test, buf, "1\n");
}

static int slab_dma32_sysfs_test_init(struct kunit *test)
{
	int ret = szt_init(test);

	if (!ret && !(IS_ENABLED(CONFIG_SLUB) && IS_ENABLED(CONFIG_SYSFS)))
		kunit_skip(test, "no /sys/kernel/slab without SLUB and sysfs");
	return ret;
}

static struct kunit_case slab_dma32_sysfs_test_cases[] = {
	KUNIT_CASE_PARAM(cache_dma32_shows_flag, zone_gen_params),
	KUNIT_CASE(cache_dma32_shown_through_alias),
	{}
};

static struct kunit_suite slab_dma32_sysfs_test_suite = {
	.name = "slab_dma32_sysfs",
	.init = slab_dma32_sysfs_test_init,
	.exit = szt_exit,
	.test_cases = slab_dma32_sysfs_test_cases,
};

kunit_test_suite(slab_dma32_sysfs_test_suite);

MODULE_LICENSE("GPL");
