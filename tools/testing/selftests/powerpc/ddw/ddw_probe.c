// SPDX-License-Identifier: GPL-2.0
/*
 * ddw_probe: calls the DMA API for a PCI function, one step at a time, as user space says
 *
 * On pseries a device that sets a 64-bit mask is moved to a larger DMA window, while mappings of
 * its own, or of other functions of the same partitionable endpoint, may still be in the default
 * one.  This driver lets a script do that, and reports the results of the DMA API.  debugfs shows
 * how many entries of a window's table are in use (CONFIG_IOMMU_DEBUGFS).
 *
 * The driver binds only to functions whose driver_override names it.  Each of them gets a file
 * /sys/kernel/debug/ddw_probe/<function>: write a command, and read its result, in lines of
 * "key value".
 *
 *   mask BITS			dma_set_mask()
 *   coherent_mask BITS		dma_set_coherent_mask()
 *   map COUNT			map COUNT more buffers of 4 KB
 *   unmap			unmap all of them, the oldest first
 *   alloc COUNT		allocate COUNT more coherent buffers of 4 KB
 *   free			free all of them
 *   check			send data to the device and back through each buffer; needs QEMU's
 *				edu
 *   cost COUNT			map and unmap a buffer COUNT times; reports the shortest time in
 *				nanoseconds, which are instructions in QEMU with -icount shift=0
 *   race FUNCTION TRIES	set a 64-bit mask, TRIES times or until the window is replaced,
 *				while another CPU maps and unmaps on FUNCTION, which must have no
 *				driver
 */

#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/random.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#define SIZE		SZ_4K
#define MOST		64	/* buffers of each kind */

/* QEMU's edu: its registers, and its own buffer of 4 KB */
#define EDU_VENDOR	0x1234
#define EDU_DEVICE	0x11e8
#define EDU_ID		0x00
#define EDU_ID_VALUE	0x010000ed
#define EDU_DMA_SOURCE	0x80
#define EDU_DMA_TARGET	0x88
#define EDU_DMA_COUNT	0x90
#define EDU_DMA_COMMAND	0x98
#define EDU_RUN		BIT(0)
#define EDU_TO_MEMORY	BIT(1)
#define EDU_BUFFER	0x40000
#define EDU_BYTES	SZ_2K	/* edu does not accept the last byte of its buffer */

struct buffer {
	void *cpu;
	dma_addr_t dma;
};

struct probe {
	struct pci_dev *pdev;
	struct dentry *file;
	void __iomem *edu;		/* NULL: no DMA engine */
	struct mutex lock;		/* one command at a time; protects the members below */
	unsigned int mapped, allocated;
	struct buffer streaming[MOST], coherent[MOST];
	size_t length;
	char result[512];
};

static struct dentry *folder;

__printf(2, 3)
static void say(struct probe *probe, const char *format, ...)
{
	size_t room = sizeof(probe->result) - probe->length;
	va_list arguments;

	va_start(arguments, format);
	probe->length += vscnprintf(probe->result + probe->length, room, format, arguments);
	va_end(arguments);
}

/* The default window ends below 4 GB; a dynamic window begins far above. */
static bool in_default_window(dma_addr_t dma)
{
	return dma < SZ_4G;
}

static void say_buffers(struct probe *probe, const struct buffer *buffers, unsigned int count,
			unsigned int wanted)
{
	unsigned int i, low = 0;

	for (i = 0; i < count; i++)
		low += in_default_window(buffers[i].dma);
	say(probe, "done %u\nfailed %u\ndefault_window %u\n", count, wanted - count, low);
	if (count)
		say(probe, "first %#llx\n", (u64)buffers[0].dma);
}

static bool map(struct device *dev, struct buffer *buffer)
{
	buffer->cpu = kzalloc(SIZE, GFP_KERNEL);
	if (!buffer->cpu)
		return false;
	buffer->dma = dma_map_single(dev, buffer->cpu, SIZE, DMA_BIDIRECTIONAL);
	if (!dma_mapping_error(dev, buffer->dma))
		return true;
	kfree(buffer->cpu);
	return false;
}

static void unmap(struct device *dev, struct buffer *buffer)
{
	dma_unmap_single(dev, buffer->dma, SIZE, DMA_BIDIRECTIONAL);
	kfree(buffer->cpu);
}

static void map_all(struct probe *probe, unsigned int count)
{
	unsigned int old = probe->mapped;

	count = min(count, MOST - old);
	while (probe->mapped < old + count) {
		if (!map(&probe->pdev->dev, &probe->streaming[probe->mapped]))
			break;
		probe->mapped++;
	}
	say_buffers(probe, probe->streaming + old, probe->mapped - old, count);
}

static void unmap_all(struct probe *probe)
{
	unsigned int i;

	for (i = 0; i < probe->mapped; i++)
		unmap(&probe->pdev->dev, &probe->streaming[i]);
	say(probe, "done %u\n", probe->mapped);
	probe->mapped = 0;
}

static void alloc_all(struct probe *probe, unsigned int count)
{
	unsigned int old = probe->allocated;

	count = min(count, MOST - old);
	while (probe->allocated < old + count) {
		struct buffer *buffer = &probe->coherent[probe->allocated];

		buffer->cpu = dma_alloc_coherent(&probe->pdev->dev, SIZE, &buffer->dma,
						 GFP_KERNEL);
		if (!buffer->cpu)
			break;
		probe->allocated++;
	}
	say_buffers(probe, probe->coherent + old, probe->allocated - old, count);
}

static void free_all(struct probe *probe)
{
	struct buffer *buffer;
	unsigned int i;

	for (i = 0; i < probe->allocated; i++) {
		buffer = &probe->coherent[i];
		dma_free_coherent(&probe->pdev->dev, SIZE, buffer->cpu, buffer->dma);
	}
	say(probe, "done %u\n", probe->allocated);
	probe->allocated = 0;
}

/* QEMU gives the registers its target's byte order instead of PCI's: big endian on ppc64le. */
static u64 edu_order(struct probe *probe, u64 value)
{
	return readl(probe->edu + EDU_ID) == EDU_ID_VALUE ? value : swab64(value);
}

static void edu_write(struct probe *probe, unsigned int where, u64 value)
{
	writeq(edu_order(probe, value), probe->edu + where);
}

static bool edu_copy(struct probe *probe, u64 source, u64 target, u64 direction)
{
	int ms;

	edu_write(probe, EDU_DMA_SOURCE, source);
	edu_write(probe, EDU_DMA_TARGET, target);
	edu_write(probe, EDU_DMA_COUNT, EDU_BYTES);
	edu_write(probe, EDU_DMA_COMMAND, EDU_RUN | direction);
	for (ms = 0; ms < 2000; ms += 20) {
		if (!(edu_order(probe, readq(probe->edu + EDU_DMA_COMMAND)) & EDU_RUN))
			return true;
		msleep(20);
	}
	return false;
}

/* Return: true if the device can read a buffer and write to it */
static bool reaches(struct probe *probe, const struct buffer *buffer, bool coherent)
{
	struct device *dev = &probe->pdev->dev;
	u8 sent[64];

	get_random_bytes(sent, sizeof(sent));
	if (!coherent)
		dma_sync_single_for_cpu(dev, buffer->dma, SIZE, DMA_BIDIRECTIONAL);
	memcpy(buffer->cpu + EDU_BYTES - sizeof(sent), sent, sizeof(sent));
	if (!coherent)
		dma_sync_single_for_device(dev, buffer->dma, SIZE, DMA_BIDIRECTIONAL);
	if (!edu_copy(probe, buffer->dma, EDU_BUFFER, 0))
		return false;
	memset(buffer->cpu, 0, SIZE);
	if (!edu_copy(probe, EDU_BUFFER, buffer->dma, EDU_TO_MEMORY))
		return false;
	if (!coherent)
		dma_sync_single_for_cpu(dev, buffer->dma, SIZE, DMA_BIDIRECTIONAL);
	return !memcmp(buffer->cpu + EDU_BYTES - sizeof(sent), sent, sizeof(sent));
}

static int check(struct probe *probe)
{
	unsigned int i, good = 0;

	if (!probe->edu)
		return -ENODEV;
	for (i = 0; i < probe->mapped; i++)
		good += reaches(probe, &probe->streaming[i], false);
	for (i = 0; i < probe->allocated; i++)
		good += reaches(probe, &probe->coherent[i], true);
	say(probe, "reached %u\nlost %u\n", good, probe->mapped + probe->allocated - good);
	return 0;
}

/* The state of the other function's mask while this one maps */
enum phase { BEFORE, CHANGING, REPLACED, PHASES };

static const char *const phase_names[] = { "before", "changing", "replaced" };

struct race {
	struct pci_dev *sibling;
	enum phase phase;		/* written by race(), read by the thread */
	unsigned int mapped[PHASES], failed[PHASES];	/* written by the thread */
};

/* There is a mapping for about half of the time. */
static int race_thread(void *data)
{
	struct race *race = data;
	struct device *dev = &race->sibling->dev;
	struct buffer buffer;
	enum phase phase;

	while (!kthread_should_stop()) {
		phase = READ_ONCE(race->phase);
		if (map(dev, &buffer)) {
			race->mapped[phase]++;
			udelay(get_random_u32() % 200);
			unmap(dev, &buffer);
		} else {
			race->failed[phase]++;
		}
		udelay(get_random_u32() % 200);
		cond_resched();
	}
	return 0;
}

static void race_say(struct probe *probe, const struct race *race, unsigned int tries)
{
	int i;

	say(probe, "tries %u\nreplaced %d\n", tries, race->phase == REPLACED);
	for (i = 0; i < PHASES; i++)
		say(probe, "mapped_%s %u\nfailed_%s %u\n", phase_names[i], race->mapped[i],
		    phase_names[i], race->failed[i]);
}

static int race(struct probe *probe, const char *sibling, unsigned int tries)
{
	unsigned int domain, bus, slot, function, done = 0;
	struct device *dev = &probe->pdev->dev;
	struct race race = { .phase = BEFORE };
	struct task_struct *thread;
	struct buffer buffer;
	int ret;

	if (sscanf(sibling, "%x:%x:%x.%u", &domain, &bus, &slot, &function) != 4)
		return -EINVAL;
	race.sibling = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, function));
	if (!race.sibling)
		return -ENODEV;
	ret = -EBUSY;
	if (!race.sibling->dev.driver)
		ret = dma_set_mask(&race.sibling->dev, DMA_BIT_MASK(32));
	if (ret)
		goto put;
	thread = kthread_create(race_thread, &race, "ddw_probe");
	if (IS_ERR(thread)) {
		ret = PTR_ERR(thread);
		goto put;
	}
	kthread_bind(thread, cpumask_any_but(cpu_online_mask, raw_smp_processor_id()));
	wake_up_process(thread);
	for (; done < tries && race.phase != REPLACED; done++) {
		usleep_range(1000, 2000);
		WRITE_ONCE(race.phase, CHANGING);
		ret = dma_set_mask(dev, DMA_BIT_MASK(64));
		if (!ret && map(dev, &buffer)) {
			WRITE_ONCE(race.phase, in_default_window(buffer.dma) ? BEFORE : REPLACED);
			unmap(dev, &buffer);
		} else {
			WRITE_ONCE(race.phase, BEFORE);
		}
	}
	msleep(50);
	kthread_stop(thread);
	race_say(probe, &race, done);
put:
	pci_dev_put(race.sibling);
	return ret;
}

static int cost(struct probe *probe, unsigned int count)
{
	struct device *dev = &probe->pdev->dev;
	u64 begin, mapped = U64_MAX, unmapped = U64_MAX;
	unsigned int i;
	dma_addr_t dma;
	void *cpu;

	if (!count)
		return -EINVAL;
	cpu = kzalloc(SIZE, GFP_KERNEL);
	if (!cpu)
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		begin = ktime_get_ns();
		dma = dma_map_single(dev, cpu, SIZE, DMA_BIDIRECTIONAL);
		mapped = min(mapped, ktime_get_ns() - begin);
		if (dma_mapping_error(dev, dma))
			break;
		begin = ktime_get_ns();
		dma_unmap_single(dev, dma, SIZE, DMA_BIDIRECTIONAL);
		unmapped = min(unmapped, ktime_get_ns() - begin);
	}
	kfree(cpu);
	say(probe, "done %u\n", i);
	say(probe, "map_ns %llu\n", mapped);
	say(probe, "unmap_ns %llu\n", unmapped);
	return 0;
}

static int run(struct probe *probe, const char *command)
{
	struct device *dev = &probe->pdev->dev;
	char word[16], name[32];
	unsigned int number = 0;
	int words;

	if (sscanf(command, "race %31s %u", name, &number) == 2)
		return race(probe, name, number);
	words = sscanf(command, "%15s %u", word, &number);
	if (words == 2 && !strcmp(word, "mask") && number <= 64)
		say(probe, "result %d\n", dma_set_mask(dev, DMA_BIT_MASK(number)));
	else if (words == 2 && !strcmp(word, "coherent_mask") && number <= 64)
		say(probe, "result %d\n", dma_set_coherent_mask(dev, DMA_BIT_MASK(number)));
	else if (words == 2 && !strcmp(word, "map"))
		map_all(probe, number);
	else if (words == 2 && !strcmp(word, "alloc"))
		alloc_all(probe, number);
	else if (words == 2 && !strcmp(word, "cost"))
		return cost(probe, number);
	else if (words == 1 && !strcmp(word, "unmap"))
		unmap_all(probe);
	else if (words == 1 && !strcmp(word, "free"))
		free_all(probe);
	else if (words == 1 && !strcmp(word, "check"))
		return check(probe);
	else
		return -EINVAL;
	return 0;
}

static ssize_t command_write(struct file *file, const char __user *from, size_t count,
			     loff_t *position)
{
	struct probe *probe = ((struct seq_file *)file->private_data)->private;
	char *command = memdup_user_nul(from, min_t(size_t, count, 128));
	int ret;

	if (IS_ERR(command))
		return PTR_ERR(command);
	mutex_lock(&probe->lock);
	probe->length = 0;
	ret = run(probe, strim(command));
	mutex_unlock(&probe->lock);
	kfree(command);
	return ret ?: count;
}

static int command_show(struct seq_file *file, void *unused)
{
	struct probe *probe = file->private;

	mutex_lock(&probe->lock);
	seq_write(file, probe->result, probe->length);
	mutex_unlock(&probe->lock);
	return 0;
}

static int command_open(struct inode *inode, struct file *file)
{
	return single_open(file, command_show, inode->i_private);
}

static const struct file_operations command_fops = {
	.owner		= THIS_MODULE,
	.open		= command_open,
	.read		= seq_read,
	.write		= command_write,
	.llseek		= seq_lseek,
	.release	= single_release,
};

static int ddw_probe_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct probe *probe = devm_kzalloc(&pdev->dev, sizeof(*probe), GFP_KERNEL);
	int ret;

	if (!probe)
		return -ENOMEM;
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	probe->pdev = pdev;
	mutex_init(&probe->lock);
	if (pdev->vendor == EDU_VENDOR && pdev->device == EDU_DEVICE) {
		ret = pcim_iomap_regions(pdev, BIT(0), KBUILD_MODNAME);
		if (ret)
			return ret;
		probe->edu = pcim_iomap_table(pdev)[0];
		pci_set_master(pdev);
	}
	pci_set_drvdata(pdev, probe);
	probe->file = debugfs_create_file(pci_name(pdev), 0600, folder, probe, &command_fops);
	return 0;
}

static void ddw_probe_remove(struct pci_dev *pdev)
{
	struct probe *probe = pci_get_drvdata(pdev);

	debugfs_remove(probe->file);	/* waits for a command that is running */
	unmap_all(probe);
	free_all(probe);
	pci_clear_master(pdev);
}

static struct pci_driver ddw_probe_driver = {
	.name	= KBUILD_MODNAME,
	.probe	= ddw_probe_probe,
	.remove	= ddw_probe_remove,
};

static int __init ddw_probe_init(void)
{
	int ret;

	folder = debugfs_create_dir(KBUILD_MODNAME, NULL);
	ret = pci_register_driver(&ddw_probe_driver);
	if (ret)
		debugfs_remove(folder);
	return ret;
}
module_init(ddw_probe_init);

static void __exit ddw_probe_exit(void)
{
	pci_unregister_driver(&ddw_probe_driver);
	debugfs_remove(folder);
}
module_exit(ddw_probe_exit);

MODULE_DESCRIPTION("Calls the DMA API for a PCI function as user space says");
MODULE_LICENSE("GPL");
