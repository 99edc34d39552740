// SPDX-License-Identifier: GPL-2.0
/*
 * Takes each PCI function from its driver, marks it as untrusted, and gives it back, so that the driver maps all its
 * buffers as for a device on an external port. On arm64 no firmware says that of a port in a way that this kernel
 * understands. Boot with iommu.strict=1, which is what an untrusted device gets by itself.
 */
#include <linux/module.h>
#include <linux/pci.h>

static int __init untrusted_init(void)
{
	struct pci_dev *pdev = NULL;
	int ret, marked = 0;

	for_each_pci_dev(pdev) {
		if (!pdev->dev.driver)
			continue;
		device_release_driver(&pdev->dev);
		pdev->untrusted = true;
		ret = device_attach(&pdev->dev);
		if (ret <= 0) {
			pci_err(pdev, "no driver takes it back: %d\n", ret);
			pci_dev_put(pdev);
			return -ENODEV;
		}
		marked++;
	}
	return marked ? 0 : -ENODEV;
}
module_init(untrusted_init);

MODULE_DESCRIPTION("Marks PCI devices as untrusted");
MODULE_LICENSE("GPL");
