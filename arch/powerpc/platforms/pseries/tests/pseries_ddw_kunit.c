// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of enable_ddw().
 *
 * The firmware, the hypervisor and the device tree are simulated: a PE with two functions, whose
 * firmware has a default window and room for a number of others, and fails at the step that a case
 * names. The simulation is the oracle: it knows which windows exist, and counts each TCE that is
 * set in a window that does not.
 */
#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/dma-map-ops.h>
#include <linux/kthread.h>
#include <linux/log2.h>
#include <linux/memory.h>
#include <linux/of.h>
#include <linux/pci.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <trace/events/kmem.h>
#include <asm/iommu.h>
#include <asm/iommu-table.h>
#include <asm/pci-bridge.h>
#include "../ddw.h"

#define TEST_LIOBN_DEFAULT	0x7e570000
#define TEST_LIOBN_DDW		0x7e570001
#define TEST_DDW_BASE		0x0800000000000000ULL
#define TEST_PAGES		SZ_64K		/* size of one mapping, 16 TCEs */

enum test_step {
	STEP_NONE,
	STEP_NOT_APPLICABLE,
	STEP_QUERY,
	STEP_NO_DEFAULT_PROPERTY,
	STEP_SHORT_DEFAULT_PROPERTY,
	STEP_NO_RESET,
	STEP_REMOVE,
	STEP_QUERY_AGAIN,
	STEP_STILL_NO_WINDOW,
	STEP_NO_PAGE_SIZE,
	STEP_CREATE,
	STEP_SET,
};

struct ddw_test {
	struct kunit *test;
	struct device_node *np;
	struct pci_controller phb;
	struct pci_bus bus;
	struct pci_dev *dev, *sibling;
	struct iommu_table *tbl;		/* of the default window */
	void *data;
	bool detached;
	const struct ddw_fw_ops *saved_fw;

	/* The firmware */
	enum test_step fail;
	bool reset_fails, pmem;
	bool has_default, has_ddw;
	unsigned int room, queries, creates, removes, resets;
	u64 block;
	struct dynamic_dma_window_prop cleared;
	unsigned long cleared_pfn, cleared_pfns;
	/* Called when the default window has just been removed */
	void (*default_gone)(struct ddw_test *t);

	/* The TCEs */
	atomic_long_t tces, nowhere;

	/* How often a removed property has been freed */
	atomic_t frees;
};

static struct ddw_test *ddw_test;

static int test_query(struct pci_dev *dev, const u32 *ddw_avail, struct ddw_query_response *query,
		      struct device_node *parent)
{
	struct ddw_test *t = ddw_test;

	t->queries++;
	if (t->fail == STEP_QUERY || (t->fail == STEP_QUERY_AGAIN && t->queries > 1))
		return -1;
	query->windows_available = t->fail == STEP_STILL_NO_WINDOW ? 0 : t->room;
	query->largest_available_block = t->block;
	query->page_size = t->fail == STEP_NO_PAGE_SIZE ? 0 : 2;	/* 64 KB */
	return 0;
}

static int test_create(struct pci_dev *dev, const u32 *ddw_avail,
		       struct ddw_create_response *create, int page_shift, int window_shift)
{
	struct ddw_test *t = ddw_test;

	t->creates++;
	if (t->fail == STEP_CREATE || !t->room)
		return -1;
	t->room--;
	t->has_ddw = true;
	create->liobn = TEST_LIOBN_DDW;
	create->addr_hi = TEST_DDW_BASE >> 32;
	create->addr_lo = 0;
	return 0;
}

static int test_remove(const u32 *ddw_avail, u64 liobn)
{
	struct ddw_test *t = ddw_test;

	t->removes++;
	if (liobn == TEST_LIOBN_DDW && t->has_ddw) {
		t->has_ddw = false;
	} else if (liobn == TEST_LIOBN_DEFAULT && t->has_default && t->fail != STEP_REMOVE) {
		t->has_default = false;
		if (t->default_gone)
			t->default_gone(t);
	} else {
		return -3;
	}
	t->room++;
	return 0;
}

static int test_reset(struct pci_dev *dev, struct device_node *par_dn)
{
	struct ddw_test *t = ddw_test;

	t->resets++;
	if (t->reset_fails)
		return -1;
	t->has_default = true;
	t->has_ddw = false;
	t->room = 0;
	return 0;
}

static int test_clear(unsigned long start_pfn, unsigned long num_pfn, const void *window)
{
	struct ddw_test *t = ddw_test;

	t->cleared = *(const struct dynamic_dma_window_prop *)window;
	t->cleared_pfn = start_pfn;
	t->cleared_pfns = num_pfn;
	return 0;
}

static int test_set(unsigned long start_pfn, unsigned long num_pfn, void *window)
{
	return ddw_test->fail == STEP_SET ? -1 : 0;
}

static bool test_has_pmem(void)
{
	return ddw_test->pmem;
}

static bool test_table_has_window(struct iommu_table *tbl)
{
	return tbl->it_index == TEST_LIOBN_DEFAULT ? ddw_test->has_default : ddw_test->has_ddw;
}

static int test_table_set(struct iommu_table *tbl, long index, long npages, unsigned long uaddr,
			  enum dma_data_direction direction, unsigned long attrs)
{
	if (!test_table_has_window(tbl))
		atomic_long_inc(&ddw_test->nowhere);
	atomic_long_add(npages, &ddw_test->tces);
	return 0;
}

static void test_table_clear(struct iommu_table *tbl, long index, long npages)
{
	if (!test_table_has_window(tbl))
		atomic_long_inc(&ddw_test->nowhere);
	if (npages != tbl->it_size)
		atomic_long_sub(npages, &ddw_test->tces);
}

static struct iommu_table_ops test_table_ops = {
	.set = test_table_set,
	.clear = test_table_clear,
};

static const struct ddw_fw_ops test_fw_ops = {
	.query = test_query,
	.create = test_create,
	.remove = test_remove,
	.reset = test_reset,
	.clear = test_clear,
	.set = test_set,
	.has_pmem = test_has_pmem,
	.table_ops = &test_table_ops,
};

/* The node owns the property, as with an adapter that is added to a partition. */
static void test_property(struct ddw_test *t, const char *name, const u32 *cells, unsigned int n)
{
	struct property *prop = kzalloc(sizeof(*prop), GFP_KERNEL);
	__be32 *value = kcalloc(n, sizeof(*value), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(t->test, prop);
	KUNIT_ASSERT_NOT_NULL(t->test, value);
	prop->name = kstrdup(name, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(t->test, prop->name);
	prop->value = value;
	prop->length = n * sizeof(*value);
	while (n--)
		value[n] = cpu_to_be32(cells[n]);
	KUNIT_ASSERT_EQ(t->test, of_add_property(t->np, prop), 0);
}

static void test_no_property(struct ddw_test *t, const char *name)
{
	KUNIT_ASSERT_EQ(t->test, of_remove_property(t->np, of_find_property(t->np, name, NULL)), 0);
}

static bool test_has_property(struct ddw_test *t, const char *name)
{
	return of_find_property(t->np, name, NULL);
}

static void test_release_device(struct device *dev)
{
	kfree(to_pci_dev(dev));
}

static struct pci_dev *test_device(struct ddw_test *t, const char *name)
{
	struct pci_dev *pdev = kzalloc(sizeof(*pdev), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(t->test, pdev);
	device_initialize(&pdev->dev);
	pdev->dev.release = test_release_device;
	KUNIT_ASSERT_EQ(t->test, dev_set_name(&pdev->dev, "%s", name), 0);
	pdev->bus = &t->bus;
	pdev->dma_mask = DMA_BIT_MASK(32);
	pdev->dev.dma_mask = &pdev->dma_mask;
	pdev->dev.coherent_dma_mask = DMA_BIT_MASK(32);
	set_dma_ops(&pdev->dev, &dma_iommu_ops);
	set_iommu_table_base(&pdev->dev, t->tbl);
	list_add_tail(&pdev->bus_list, &t->bus.devices);
	return pdev;
}

static int ddw_test_init(struct kunit *test)
{
	static const u32 applicable[] = { 1, 2, 3 }, extensions[] = { 1, 4 }, two[] = { 2 };
	/* LIOBN; address 0 and size 1 GB, of two cells each */
	static const u32 window[] = { TEST_LIOBN_DEFAULT, 0, 0, 0, SZ_1G };
	struct ddw_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	struct iommu_table_group *group;
	struct pci_dn *pdn;

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->test = test;
	test->priv = t;
	ddw_test = t;
	t->data = kunit_kmalloc(test, 2 * TEST_PAGES, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t->data);
	t->data = PTR_ALIGN(t->data, TEST_PAGES);

	t->np = kzalloc(sizeof(*t->np), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t->np);
	of_node_init(t->np);
	of_node_set_flag(t->np, OF_DYNAMIC);
	of_node_set_flag(t->np, OF_DETACHED);
	t->np->full_name = kstrdup("ddw-test", GFP_KERNEL);
	test_property(t, "ibm,ddw-applicable", applicable, ARRAY_SIZE(applicable));
	test_property(t, "ibm,ddw-extensions", extensions, ARRAY_SIZE(extensions));
	test_property(t, "ibm,#dma-address-cells", two, 1);
	test_property(t, "ibm,#dma-size-cells", two, 1);
	test_property(t, "ibm,dma-window", window, ARRAY_SIZE(window));

	INIT_LIST_HEAD(&t->bus.devices);
	t->bus.sysdata = &t->phb;
	t->phb.bus = &t->bus;
	t->phb.node = NUMA_NO_NODE;

	group = iommu_pseries_alloc_group(NUMA_NO_NODE);
	KUNIT_ASSERT_NOT_NULL(test, group);
	t->tbl = group->tables[0];
	iommu_table_setparms_common(t->tbl, 0, TEST_LIOBN_DEFAULT, 0, SZ_1G, IOMMU_PAGE_SHIFT_4K,
				    NULL, &test_table_ops);
	t->has_default = true;
	KUNIT_ASSERT_NOT_NULL(test, iommu_init_table(t->tbl, NUMA_NO_NODE, 0, 0));

	/* The node frees it. */
	pdn = kzalloc(sizeof(*pdn), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pdn);
	pdn->phb = &t->phb;
	pdn->table_group = group;
	t->np->data = pdn;
	t->dev = test_device(t, "ddw-test:0");
	t->sibling = test_device(t, "ddw-test:1");

	t->block = 1ULL << 40;
	t->saved_fw = ddw_fw;
	ddw_fw = &test_fw_ops;
	return 0;
}

static void test_detach(struct ddw_test *t)
{
	struct of_reconfig_data rd = { .dn = t->np };

	KUNIT_EXPECT_EQ(t->test, iommu_reconfig_notifier(NULL, OF_RECONFIG_DETACH_NODE, &rd),
			NOTIFY_OK);
	t->detached = true;
}

static void ddw_test_exit(struct kunit *test)
{
	struct ddw_test *t = test->priv;

	KUNIT_EXPECT_EQ(test, atomic_long_read(&t->nowhere), 0);
	if (!t->detached)
		test_detach(t);
	KUNIT_EXPECT_EQ(test, kref_read(&t->np->kobj.kref), 1);
	of_node_put(t->np);
	put_device(&t->dev->dev);
	put_device(&t->sibling->dev);
	ddw_fw = t->saved_fw;
}

static bool test_enable(struct ddw_test *t)
{
	return enable_ddw(t->dev, t->np);
}

static dma_addr_t test_map(struct ddw_test *t, struct pci_dev *pdev)
{
	return dma_map_single_attrs(&pdev->dev, t->data, TEST_PAGES, DMA_TO_DEVICE,
				    DMA_ATTR_NO_WARN);
}

static void test_unmap(struct ddw_test *t, struct pci_dev *pdev, dma_addr_t handle)
{
	dma_unmap_single(&pdev->dev, handle, TEST_PAGES, DMA_TO_DEVICE);
}

static bool test_maps(struct ddw_test *t, struct pci_dev *pdev)
{
	dma_addr_t handle = test_map(t, pdev);

	if (dma_mapping_error(&pdev->dev, handle))
		return false;
	test_unmap(t, pdev, handle);
	KUNIT_EXPECT_EQ(t->test, atomic_long_read(&t->tces), 0);
	return true;
}

/* Counts the times that the property on top of the node's list of removed ones is freed. */
static void test_kfree(void *data, unsigned long call_site, const void *ptr)
{
	struct ddw_test *t = data;

	if (ptr && ptr == READ_ONCE(t->np->deadprops))
		atomic_inc(&t->frees);
}

static void removed_property_is_freed_by_node(struct kunit *test)
{
	struct ddw_test *t = test->priv;

	t->room = 1;
	t->fail = STEP_SET;
	if (register_trace_kfree(test_kfree, t))
		kunit_skip(test, "CONFIG_TRACEPOINTS");
	test_enable(t);
	unregister_trace_kfree(test_kfree, t);
	tracepoint_synchronize_unregister();

	KUNIT_EXPECT_EQ(test, t->removes, 1);
	KUNIT_EXPECT_NOT_NULL(test, t->np->deadprops);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->frees), 0);
	/* What has been freed already must not be freed again with the node. */
	if (atomic_read(&t->frees))
		t->np->deadprops = NULL;
}

/* The bitmap of a window of 2^60 bytes does not fit into any memory. */
static void table_without_memory_is_not_created(struct kunit *test)
{
	const struct dynamic_dma_window_prop window = {
		.liobn = cpu_to_be32(TEST_LIOBN_DDW),
		.dma_base = cpu_to_be64(TEST_DDW_BASE),
		.tce_shift = cpu_to_be32(IOMMU_PAGE_SHIFT_4K),
		.window_shift = cpu_to_be32(60),
	};
	struct ddw_test *t = test->priv;
	struct iommu_table *tbl = ddw_create_table(&t->phb, &window);

	KUNIT_EXPECT_NULL(test, tbl);
	if (tbl)
		iommu_tce_table_put(tbl);
}

static void second_window_maps_all_memory(struct kunit *test)
{
	struct ddw_test *t = test->priv;

	t->room = 1;
	KUNIT_EXPECT_TRUE(test, test_enable(t));
	KUNIT_EXPECT_EQ(test, t->removes + t->resets, 0);
	KUNIT_EXPECT_TRUE(test, test_has_property(t, DIRECT64_PROPNAME));
	KUNIT_EXPECT_TRUE(test, test_has_property(t, "ibm,dma-window"));
	KUNIT_EXPECT_EQ(test, t->dev->dev.archdata.dma_offset, TEST_DDW_BASE);
	KUNIT_EXPECT_EQ(test, t->dev->dev.bus_dma_limit, 0);
	KUNIT_EXPECT_PTR_EQ(test, get_iommu_table_base(&t->dev->dev), (void *)t->tbl);
	KUNIT_EXPECT_TRUE(test, test_maps(t, t->sibling));

	/* The other function finds the same window. */
	KUNIT_EXPECT_TRUE(test, enable_ddw(t->sibling, t->np));
	KUNIT_EXPECT_EQ(test, t->sibling->dev.archdata.dma_offset, TEST_DDW_BASE);
	KUNIT_EXPECT_EQ(test, t->queries, 1);
}

/* The function that comes second uses the same table, and does not bypass it. */
static void sibling_joins_window_with_table(struct kunit *test)
{
	struct ddw_test *t = test->priv;
	struct iommu_table_group *group = PCI_DN(t->np)->table_group;
	dma_addr_t handle;

	t->room = 1;
	t->block = SZ_1G / SZ_64K;
	KUNIT_EXPECT_FALSE(test, test_enable(t));
	KUNIT_EXPECT_TRUE(test, test_has_property(t, DMA64_PROPNAME));
	KUNIT_ASSERT_NOT_NULL(test, group->tables[1]);
	KUNIT_EXPECT_PTR_EQ(test, get_iommu_table_base(&t->dev->dev), (void *)group->tables[1]);
	KUNIT_EXPECT_PTR_EQ(test, get_iommu_table_base(&t->sibling->dev), (void *)t->tbl);

	KUNIT_EXPECT_FALSE(test, enable_ddw(t->sibling, t->np));
	KUNIT_EXPECT_PTR_EQ(test, get_iommu_table_base(&t->sibling->dev),
			    (void *)group->tables[1]);
	KUNIT_EXPECT_FALSE(test, test_enable(t));

	t->dev->dma_mask = DMA_BIT_MASK(64);
	handle = test_map(t, t->dev);
	KUNIT_EXPECT_GE(test, handle, TEST_DDW_BASE);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&t->tces), 1);
	test_unmap(t, t->dev, handle);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&t->tces), 0);
}

static void old_mapping_returns_to_default_table(struct kunit *test)
{
	struct ddw_test *t = test->priv;
	dma_addr_t old, handle;

	t->room = 1;
	t->block = SZ_1G / SZ_64K;
	old = test_map(t, t->dev);
	KUNIT_EXPECT_FALSE(test, test_enable(t));

	t->dev->dma_mask = DMA_BIT_MASK(64);
	handle = test_map(t, t->dev);
	KUNIT_EXPECT_GE(test, handle, TEST_DDW_BASE);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&t->tces), 16 + 1);
	test_unmap(t, t->dev, handle);
	test_unmap(t, t->dev, old);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&t->tces), 0);
	KUNIT_EXPECT_EQ(test, bitmap_weight(t->tbl->it_map, t->tbl->it_size), 1);
}

/* What a driver on another CPU may do while the default window is removed */
static void test_nobody_maps(struct ddw_test *t)
{
	KUNIT_EXPECT_FALSE(t->test, test_maps(t, t->sibling));
	KUNIT_EXPECT_FALSE(t->test, test_maps(t, t->dev));
}

static void only_window_replaced_by_direct_window(struct kunit *test)
{
	struct ddw_test *t = test->priv;
	struct iommu_table_group *group = PCI_DN(t->np)->table_group;

	t->default_gone = test_nobody_maps;
	KUNIT_EXPECT_TRUE(test, test_enable(t));
	KUNIT_EXPECT_EQ(test, t->removes, 1);
	KUNIT_EXPECT_TRUE(test, t->has_ddw && !t->has_default);
	KUNIT_EXPECT_FALSE(test, test_has_property(t, "ibm,dma-window"));
	KUNIT_EXPECT_NULL(test, group->tables[0]);
	KUNIT_EXPECT_EQ(test, t->dev->dev.bus_dma_limit, 0);

	/* No device has the old table any more, and it is still in memory. */
	KUNIT_ASSERT_NULL(test, get_iommu_table_base(&t->dev->dev));
	KUNIT_ASSERT_NULL(test, get_iommu_table_base(&t->sibling->dev));
	KUNIT_EXPECT_FALSE(test, test_maps(t, t->sibling));
	KUNIT_EXPECT_EQ(test, dma_iommu_dma_supported(&t->sibling->dev, DMA_BIT_MASK(32)), 0);
	/* A CPU that has read its address before finds it full. */
	set_iommu_table_base(&t->sibling->dev, t->tbl);
	KUNIT_EXPECT_FALSE(test, test_maps(t, t->sibling));
	KUNIT_EXPECT_EQ(test, kref_read(&t->tbl->it_kref), 1);
	set_iommu_table_base(&t->sibling->dev, NULL);

	KUNIT_EXPECT_TRUE(test, enable_ddw(t->sibling, t->np));
}

static void only_window_replaced_by_window_with_table(struct kunit *test)
{
	struct ddw_test *t = test->priv;
	struct iommu_table_group *group = PCI_DN(t->np)->table_group;
	unsigned int i;

	t->block = SZ_1G / SZ_64K;
	t->default_gone = test_nobody_maps;
	/* With persistent memory, the second call must not take the window for a direct one. */
	t->pmem = true;
	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_FALSE(test, test_enable(t));
		KUNIT_EXPECT_EQ(test, t->dev->dev.bus_dma_limit, 0);
	}
	KUNIT_EXPECT_EQ(test, t->creates, 1);
	KUNIT_EXPECT_NULL(test, group->tables[0]);
	KUNIT_ASSERT_NOT_NULL(test, group->tables[1]);
	KUNIT_EXPECT_NULL(test, group->tables[1]->it_older);
	KUNIT_EXPECT_PTR_EQ(test, get_iommu_table_base(&t->sibling->dev),
			    (void *)group->tables[1]);
	/* Its addresses are out of reach with 32 bits. */
	KUNIT_EXPECT_FALSE(test, test_maps(t, t->sibling));
	t->sibling->dma_mask = DMA_BIT_MASK(64);
	KUNIT_EXPECT_TRUE(test, test_maps(t, t->sibling));
}

/* All RAM fits into the window, persistent memory does not, so the window has a table. */
static void large_window_with_table_is_not_direct(struct kunit *test)
{
	struct ddw_test *t = test->priv;
	unsigned int i;

	t->pmem = true;
	t->block = 1ULL << (order_base_2(ddw_memory_hotplug_max()) - 16);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_FALSE(test, test_enable(t));
	KUNIT_EXPECT_TRUE(test, test_has_property(t, DMA64_PROPNAME));
	t->dev->dma_mask = DMA_BIT_MASK(64);
	KUNIT_EXPECT_TRUE(test, test_maps(t, t->dev));
}

static void default_window_property_is_parsed(struct kunit *test)
{
	struct ddw_test *t = test->priv;

	KUNIT_EXPECT_TRUE(test, test_enable(t));
	KUNIT_EXPECT_EQ(test, be32_to_cpu(t->cleared.liobn), TEST_LIOBN_DEFAULT);
	KUNIT_EXPECT_EQ(test, be64_to_cpu(t->cleared.dma_base), 0);
	KUNIT_EXPECT_EQ(test, be32_to_cpu(t->cleared.tce_shift), IOMMU_PAGE_SHIFT_4K);
	KUNIT_EXPECT_EQ(test, be32_to_cpu(t->cleared.window_shift), ilog2(SZ_1G));
	KUNIT_EXPECT_EQ(test, t->cleared_pfn, 0);
	KUNIT_EXPECT_EQ(test, t->cleared_pfns, SZ_1G >> PAGE_SHIFT);
}

static void window_in_use_is_not_replaced(struct kunit *test)
{
	struct ddw_test *t = test->priv;
	dma_addr_t handle = test_map(t, t->sibling);
	unsigned int i;

	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_FALSE(test, test_enable(t));
	KUNIT_EXPECT_TRUE(test, t->has_default);
	KUNIT_EXPECT_EQ(test, t->removes + t->creates + t->resets, 0);
	KUNIT_EXPECT_EQ(test, t->queries, 3);
	KUNIT_EXPECT_TRUE(test, test_has_property(t, "ibm,dma-window"));

	/* Both functions can still map. */
	test_unmap(t, t->sibling, handle);
	KUNIT_EXPECT_TRUE(test, test_maps(t, t->sibling));
	KUNIT_EXPECT_TRUE(test, test_maps(t, t->dev));
}

static void retry_after_busy_succeeds(struct kunit *test)
{
	struct ddw_test *t = test->priv;
	dma_addr_t handle = test_map(t, t->dev);

	KUNIT_EXPECT_FALSE(test, test_enable(t));
	test_unmap(t, t->dev, handle);
	KUNIT_EXPECT_TRUE(test, test_enable(t));
	KUNIT_EXPECT_TRUE(test, t->has_ddw);
}

static struct bus_type test_bus = { .name = "ddw-test" };
static struct device_driver test_driver = { .name = "ddw-test", .bus = &test_bus };

static void window_of_bound_sibling_is_not_replaced(struct kunit *test)
{
	struct ddw_test *t = test->priv;

	KUNIT_ASSERT_EQ(test, bus_register(&test_bus), 0);
	KUNIT_ASSERT_EQ(test, driver_register(&test_driver), 0);
	t->sibling->dev.bus = &test_bus;
	KUNIT_ASSERT_EQ(test, device_add(&t->sibling->dev), 0);
	KUNIT_ASSERT_PTR_EQ(test, t->sibling->dev.driver, &test_driver);

	KUNIT_EXPECT_FALSE(test, test_enable(t));
	KUNIT_EXPECT_EQ(test, t->removes, 0);
	KUNIT_EXPECT_TRUE(test, test_maps(t, t->sibling));

	/* A bridge has a driver too, and maps nothing. */
	t->sibling->hdr_type = PCI_HEADER_TYPE_BRIDGE;
	KUNIT_EXPECT_TRUE(test, test_enable(t));

	device_del(&t->sibling->dev);
	driver_unregister(&test_driver);
	bus_unregister(&test_bus);
	t->sibling->dev.bus = NULL;
}

/* Two functions that are probed at the same time do not keep each other from getting a window. */
static void sibling_in_probe_does_not_prevent_replacement(struct kunit *test)
{
	struct ddw_test *t = test->priv;

	device_lock(&t->sibling->dev);
	KUNIT_EXPECT_TRUE(test, test_enable(t));
	device_unlock(&t->sibling->dev);
	KUNIT_EXPECT_NULL(test, get_iommu_table_base(&t->sibling->dev));
}

struct failure {
	const char *name;
	enum test_step step;
};

/* These happen after the removal of the default window, if there is room for one window only. */
static const struct failure late_failures[] = {
	{ "second query", STEP_QUERY_AGAIN },
	{ "no window after the removal", STEP_STILL_NO_WINDOW },
	{ "no page size", STEP_NO_PAGE_SIZE },
	{ "create", STEP_CREATE },
	{ "set", STEP_SET },
};

static const struct failure early_failures[] = {
	{ "no windows at all", STEP_NOT_APPLICABLE },
	{ "query", STEP_QUERY },
	{ "no property of the default window", STEP_NO_DEFAULT_PROPERTY },
	{ "short property of the default window", STEP_SHORT_DEFAULT_PROPERTY },
	{ "no reset", STEP_NO_RESET },
	{ "remove", STEP_REMOVE },
};

/* With room for two windows */
static const struct failure second_window_failures[] = {
	{ "no windows at all", STEP_NOT_APPLICABLE },
	{ "query", STEP_QUERY },
	{ "no page size", STEP_NO_PAGE_SIZE },
	{ "create", STEP_CREATE },
	{ "set", STEP_SET },
};

static void failure_desc(const struct failure *failure, char *desc)
{
	strscpy(desc, failure->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(late_failure, late_failures, failure_desc);
KUNIT_ARRAY_PARAM(early_failure, early_failures, failure_desc);
KUNIT_ARRAY_PARAM(second_window_failure, second_window_failures, failure_desc);

static void test_prepare(struct ddw_test *t, enum test_step step)
{
	static const u32 four[] = { TEST_LIOBN_DEFAULT, 0, 0, 0 };	/* of five cells */

	t->fail = step;
	if (step == STEP_NOT_APPLICABLE)
		test_no_property(t, "ibm,ddw-applicable");
	if (step == STEP_NO_RESET)
		test_no_property(t, "ibm,ddw-extensions");
	if (step == STEP_NO_DEFAULT_PROPERTY || step == STEP_SHORT_DEFAULT_PROPERTY)
		test_no_property(t, "ibm,dma-window");
	if (step == STEP_SHORT_DEFAULT_PROPERTY)
		test_property(t, "ibm,dma-window", four, ARRAY_SIZE(four));
}

/* Nothing is left of the attempt, and it is not repeated for this PE. */
static void test_nothing_left(struct ddw_test *t)
{
	unsigned int queries = t->queries;

	KUNIT_EXPECT_FALSE(t->test, t->has_ddw);
	KUNIT_EXPECT_FALSE(t->test, test_has_property(t, DIRECT64_PROPNAME));
	KUNIT_EXPECT_FALSE(t->test, test_has_property(t, DMA64_PROPNAME));
	KUNIT_EXPECT_PTR_EQ(t->test, get_iommu_table_base(&t->dev->dev), (void *)t->tbl);
	KUNIT_EXPECT_PTR_EQ(t->test, PCI_DN(t->np)->table_group->tables[0], t->tbl);
	KUNIT_EXPECT_FALSE(t->test, test_enable(t));
	KUNIT_EXPECT_EQ(t->test, t->queries, queries);
}

static void early_failure_removes_nothing(struct kunit *test)
{
	const struct failure *failure = test->param_value;
	struct ddw_test *t = test->priv;

	test_prepare(t, failure->step);
	KUNIT_EXPECT_FALSE(test, test_enable(t));
	KUNIT_EXPECT_EQ(test, t->resets, 0);
	KUNIT_EXPECT_TRUE(test, t->has_default);
	KUNIT_EXPECT_TRUE(test, test_maps(t, t->dev));
	KUNIT_EXPECT_TRUE(test, test_maps(t, t->sibling));
	test_nothing_left(t);
}

static void late_failure_restores_default_window(struct kunit *test)
{
	const struct failure *failure = test->param_value;
	struct ddw_test *t = test->priv;

	test_prepare(t, failure->step);
	t->default_gone = test_nobody_maps;
	KUNIT_EXPECT_FALSE(test, test_enable(t));
	KUNIT_EXPECT_EQ(test, t->resets, 1);
	KUNIT_EXPECT_TRUE(test, t->has_default);
	KUNIT_EXPECT_FALSE(test, t->tbl->it_claimed);
	KUNIT_EXPECT_TRUE(test, test_maps(t, t->dev));
	KUNIT_EXPECT_TRUE(test, test_maps(t, t->sibling));
	test_nothing_left(t);
}

static void maps_fail_after_failed_reset(struct kunit *test)
{
	const struct failure *failure = test->param_value;
	struct ddw_test *t = test->priv;

	t->reset_fails = true;
	test_prepare(t, failure->step);
	KUNIT_EXPECT_FALSE(test, test_enable(t));
	KUNIT_EXPECT_EQ(test, t->resets, 1);
	KUNIT_EXPECT_TRUE(test, t->tbl->it_claimed);
	KUNIT_EXPECT_FALSE(test, test_maps(t, t->dev));
	KUNIT_EXPECT_FALSE(test, test_maps(t, t->sibling));
	test_nothing_left(t);
}

static void failure_of_second_window_keeps_default_window(struct kunit *test)
{
	const struct failure *failure = test->param_value;
	struct ddw_test *t = test->priv;
	dma_addr_t handle = test_map(t, t->dev);

	t->room = 1;
	test_prepare(t, failure->step);
	KUNIT_EXPECT_FALSE(test, test_enable(t));
	KUNIT_EXPECT_EQ(test, t->resets, 0);
	KUNIT_EXPECT_TRUE(test, t->has_default);
	test_unmap(t, t->dev, handle);
	KUNIT_EXPECT_TRUE(test, test_maps(t, t->dev));
	test_nothing_left(t);
}

/* The node has a property of that name already, so that the new window cannot be announced. */
static void window_without_property_is_removed(struct kunit *test)
{
	static const u32 cell[] = { 0 };
	struct ddw_test *t = test->priv;

	t->room = 1;
	test_property(t, DIRECT64_PROPNAME, cell, ARRAY_SIZE(cell));
	KUNIT_EXPECT_FALSE(test, test_enable(t));
	KUNIT_EXPECT_EQ(test, t->creates, 1);
	KUNIT_EXPECT_EQ(test, t->removes, 1);
	KUNIT_EXPECT_TRUE(test, test_maps(t, t->dev));
	of_remove_property(t->np, of_find_property(t->np, DIRECT64_PROPNAME, NULL));
	test_nothing_left(t);
}

static void list_entries_hold_node_reference(struct kunit *test)
{
	struct ddw_test *t = test->priv;

	t->room = 1;
	KUNIT_EXPECT_EQ(test, kref_read(&t->np->kobj.kref), 1);
	KUNIT_EXPECT_TRUE(test, test_enable(t));
	KUNIT_EXPECT_EQ(test, kref_read(&t->np->kobj.kref), 2);
	test_detach(t);
	KUNIT_EXPECT_EQ(test, kref_read(&t->np->kobj.kref), 1);
}

static void failure_record_removed_with_node(struct kunit *test)
{
	struct ddw_test *t = test->priv;

	t->fail = STEP_QUERY;
	KUNIT_EXPECT_FALSE(test, test_enable(t));
	KUNIT_EXPECT_TRUE(test, ddw_has_failed(t->np));
	KUNIT_EXPECT_EQ(test, kref_read(&t->np->kobj.kref), 2);
	test_detach(t);
	KUNIT_EXPECT_FALSE(test, ddw_has_failed(t->np));
}

/* The addresses at which the new memory would be mapped belong to the table. */
static void new_memory_not_mapped_in_window_with_table(struct kunit *test)
{
	struct ddw_test *t = test->priv;
	struct memory_notify arg = { .start_pfn = SZ_1G >> PAGE_SHIFT, .nr_pages = 16 };

	t->room = 1;
	t->block = SZ_1G / SZ_64K;
	KUNIT_EXPECT_FALSE(test, test_enable(t));
	/* The window is listed. */
	KUNIT_EXPECT_EQ(test, kref_read(&t->np->kobj.kref), 2);
	/* A hypervisor call for that window would fail, since the window is simulated. */
	KUNIT_EXPECT_EQ(test, iommu_mem_notifier(NULL, MEM_GOING_ONLINE, &arg), NOTIFY_OK);
	KUNIT_EXPECT_EQ(test, iommu_mem_notifier(NULL, MEM_OFFLINE, &arg), NOTIFY_OK);
}

static void bypass_limited_until_old_mappings_are_gone(struct kunit *test)
{
	struct ddw_test *t = test->priv;
	dma_addr_t old = test_map(t, t->dev), direct;

	t->room = 1;
	KUNIT_EXPECT_TRUE(test, test_enable(t));
	KUNIT_EXPECT_GT(test, t->dev->dev.bus_dma_limit, TEST_DDW_BASE);
	t->dev->dma_mask = DMA_BIT_MASK(64);
	direct = test_map(t, t->dev);
	KUNIT_EXPECT_EQ(test, direct, TEST_DDW_BASE + virt_to_phys(t->data));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&t->tces), 16);
	test_unmap(t, t->dev, old);
	test_unmap(t, t->dev, direct);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&t->tces), 0);
	KUNIT_EXPECT_EQ(test, bitmap_weight(t->tbl->it_map, t->tbl->it_size), 1);

	/* Setting the next mask finds nothing in use. */
	KUNIT_EXPECT_TRUE(test, test_enable(t));
	KUNIT_EXPECT_EQ(test, t->dev->dev.bus_dma_limit, 0);
}

static void mappings_of_sibling_do_not_limit_bypass(struct kunit *test)
{
	struct ddw_test *t = test->priv;
	dma_addr_t handle = test_map(t, t->sibling);

	t->room = 1;
	KUNIT_EXPECT_TRUE(test, test_enable(t));
	KUNIT_EXPECT_EQ(test, t->dev->dev.bus_dma_limit, 0);
	KUNIT_EXPECT_TRUE(test, enable_ddw(t->sibling, t->np));
	KUNIT_EXPECT_GT(test, t->sibling->dev.bus_dma_limit, TEST_DDW_BASE);
	test_unmap(t, t->sibling, handle);
	KUNIT_EXPECT_TRUE(test, enable_ddw(t->sibling, t->np));
	KUNIT_EXPECT_EQ(test, t->sibling->dev.bus_dma_limit, 0);
}

static void memory_beyond_window_limits_bypass(struct kunit *test)
{
	struct ddw_test *t = test->priv;
	int shift = order_base_2(ddw_memory_hotplug_max());
	unsigned int i;

	t->room = 1;
	t->pmem = true;
	t->block = 1ULL << (shift - 16);
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_TRUE(test, test_enable(t));
		KUNIT_EXPECT_EQ(test, t->dev->dev.bus_dma_limit, TEST_DDW_BASE + (1ULL << shift));
	}
}

static int test_mapper(void *arg)
{
	struct ddw_test *t = arg;

	while (!kthread_should_stop()) {
		dma_addr_t handle = test_map(t, t->sibling);

		if (!dma_mapping_error(&t->sibling->dev, handle))
			test_unmap(t, t->sibling, handle);
		cond_resched();
	}
	return 0;
}

/* The second query fails, so the default window is removed and restored again and again. */
static void concurrent_maps_always_have_a_window(struct kunit *test)
{
	struct ddw_test *t = test->priv;
	unsigned int i, stayed = 0, removed = 0;
	struct task_struct *thread;

	if (num_online_cpus() < 2)
		kunit_skip(test, "one CPU");
	thread = kthread_run(test_mapper, t, "ddw-test");
	KUNIT_ASSERT_FALSE(test, IS_ERR(thread));
	for (i = 0; i < 200; i++) {
		unsigned int removes = t->removes;

		t->queries = 0;
		t->fail = STEP_QUERY_AGAIN;
		KUNIT_EXPECT_FALSE(test, test_enable(t));
		stayed += t->removes == removes;
		removed += t->removes != removes;
		ddw_clear_failed(t->np);
		usleep_range(10, 200);
	}
	kthread_stop(thread);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&t->nowhere), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&t->tces), 0);
	KUNIT_EXPECT_EQ(test, t->resets, removed);
	KUNIT_EXPECT_TRUE(test, test_maps(t, t->sibling));
	kunit_info(test, "the window was in use %u times, and removed %u times\n", stayed, removed);
}

static struct kunit_case ddw_cases[] = {
	KUNIT_CASE(failure_record_removed_with_node),
	KUNIT_CASE(list_entries_hold_node_reference),
	KUNIT_CASE(removed_property_is_freed_by_node),
	KUNIT_CASE_PARAM(failure_of_second_window_keeps_default_window,
			 second_window_failure_gen_params),
	KUNIT_CASE(window_without_property_is_removed),
	KUNIT_CASE(table_without_memory_is_not_created),
	KUNIT_CASE(default_window_property_is_parsed),
	KUNIT_CASE(large_window_with_table_is_not_direct),
	KUNIT_CASE(sibling_joins_window_with_table),
	KUNIT_CASE(new_memory_not_mapped_in_window_with_table),
	KUNIT_CASE_PARAM(early_failure_removes_nothing, early_failure_gen_params),
	KUNIT_CASE(window_in_use_is_not_replaced),
	KUNIT_CASE(retry_after_busy_succeeds),
	KUNIT_CASE(only_window_replaced_by_direct_window),
	KUNIT_CASE_PARAM(late_failure_restores_default_window, late_failure_gen_params),
	KUNIT_CASE(concurrent_maps_always_have_a_window),
	KUNIT_CASE(window_of_bound_sibling_is_not_replaced),
	KUNIT_CASE(sibling_in_probe_does_not_prevent_replacement),
	KUNIT_CASE_PARAM(maps_fail_after_failed_reset, late_failure_gen_params),
	KUNIT_CASE(old_mapping_returns_to_default_table),
	KUNIT_CASE(bypass_limited_until_old_mappings_are_gone),
	KUNIT_CASE(mappings_of_sibling_do_not_limit_bypass),
	KUNIT_CASE(second_window_maps_all_memory),
	KUNIT_CASE(only_window_replaced_by_window_with_table),
	KUNIT_CASE(memory_beyond_window_limits_bypass),
	{}
};

static struct kunit_suite ddw_suite = {
	.name = "pseries_ddw",
	.init = ddw_test_init,
	.exit = ddw_test_exit,
	.test_cases = ddw_cases,
};

kunit_test_suite(ddw_suite);
