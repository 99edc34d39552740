// SPDX-License-Identifier: GPL-2.0
/*
 * Torture test for the software IO TLB.
 *
 * Buffers of many sizes are mapped for devices that cannot reach them, until the pool is full and
 * beyond. Each mapping goes from the CPU that made it to a second one, which plays the device and
 * syncs, and to a third one, which unmaps it. Other mappings are made and unmapped in timer
 * interrupts. Memory is compared with a model of each byte that the device and the driver must
 * see, and of the bytes around the mapping, which must not change.
 *
 * In between, pages that the devices can reach are mapped right after they were allocated. They
 * were often a bounce buffer a moment before. If they are still taken for one, bytes change that
 * must not change.
 *
 * The test uses the DMA API like a driver, and does not depend on how the software IO TLB works.
 */

#define pr_fmt(fmt) "swiotlb-torture: " fmt

#include <linux/atomic.h>
#include <linux/cc_platform.h>
#include <linux/cpu.h>
#include <linux/cpumask.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/hrtimer.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/percpu.h>
#include <linux/platform_device.h>
#include <linux/prandom.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/swiotlb.h>

static bool onstart = IS_MODULE(CONFIG_SWIOTLB_TORTURE_TEST);
module_param(onstart, bool, 0444);
MODULE_PARM_DESC(onstart, "Start when loaded or, if built in, at boot");

static int nmappers = -1;
module_param(nmappers, int, 0444);
MODULE_PARM_DESC(nmappers, "Number of CPUs that map, -1: all CPUs");

static unsigned int nbuffers = 128;
module_param(nbuffers, uint, 0444);
MODULE_PARM_DESC(nbuffers, "Maximum number of mappings of each CPU that maps");

static unsigned int duration = 30;
module_param(duration, uint, 0444);
MODULE_PARM_DESC(duration, "Duration in seconds, 0: until the module is unloaded");

static unsigned int stat_interval = 10;
module_param(stat_interval, uint, 0444);
MODULE_PARM_DESC(stat_interval, "Seconds between lines of statistics, 0: only the last line");

static unsigned int irq_interval = 500;
module_param(irq_interval, uint, 0444);
MODULE_PARM_DESC(irq_interval, "Microseconds between interrupts that map or unmap, 0: none");

static unsigned int seed = 1;
module_param(seed, uint, 0444);
MODULE_PARM_DESC(seed, "Random seed");

static bool relaxed;
module_param(relaxed, bool, 0444);
MODULE_PARM_DESC(relaxed,
		 "Hand over addresses without a barrier, which not every implementation supports");

#define MOST_ERRORS	20	/* that are printed in detail */
#define IRQ_BUFFERS	64
#define NOISE_SIZE	SZ_64K
#define NOISE_STARTS	SZ_4K

enum torture_state {
	TORTURE_IDLE,		/* owned by the mapper */
	TORTURE_TO_SYNC,	/* owned by the mapper, and by the syncer once @addr is set */
	TORTURE_TO_UNMAP,	/* owned by the mapper, and by the unmapper once @addr is set */
	TORTURE_SYNCED,		/* owned by the unmapper */
};

/*
 * A buffer and its models. Only its owner changes it: the thread that @state names, or the
 * interrupt that took it from irq_slots. Other threads only read @state and @addr.
 */
struct torture_buf {
	int			state;
	dma_addr_t		addr;
	struct device		*dev;
	enum dma_data_direction	dir;
	size_t			offset;		/* offset of the mapping in @run */
	size_t			size;
	u8			*run;		/* pages around the mapping: @own or new pages */
	size_t			room;		/* size of @run */
	u8			*view;		/* memory that the device accesses */
	u8			*want;		/* model of @run */
	u8			*seen;		/* model of @view */
	u8			*shadow;	/* memory for @seen if the mapping is bounced */
	u8			*own;
	unsigned int		order;		/* order of @own */
	u32			start;		/* pattern in @own while it is not mapped */
	bool			mapped;
};

/* A mapper with the syncer and the unmapper of its mappings, on different CPUs if possible */
struct torture_chain {
	struct task_struct	*mapper;
	struct task_struct	*syncer;
	struct task_struct	*unmapper;
	struct torture_buf	*bufs;
	atomic_t		live;
	unsigned int		low;		/* number of mappings that are kept for now */
	struct hrtimer		timer;
	struct rnd_state	rnd[3];
	struct rnd_state	irq_rnd;
};

struct torture_stats {
	unsigned long	bounced;
	unsigned long	direct;
	unsigned long	failed;
	unsigned long	nomem;
	unsigned long	in_irq;
	unsigned long	synced;
	unsigned long	unmapped;
};

static const struct {
	u64		mask;
	unsigned int	min_align_mask;
} device_kinds[] = {
	{ DMA_BIT_MASK(32), 0 },
	{ DMA_BIT_MASK(32), SZ_4K - 1 },
	{ DMA_BIT_MASK(32), SZ_512 - 1 },
	{ DMA_BIT_MASK(33), 0 },
	{ DMA_BIT_MASK(64), 0 },
};

static DEFINE_PER_CPU(struct torture_stats, torture_stats);
static atomic_t torture_errors;
static struct platform_device *devices[ARRAY_SIZE(device_kinds)];
static struct torture_chain *chains;
static struct torture_buf *irq_bufs;
static struct torture_buf *irq_slots[IRQ_BUFFERS];
static struct task_struct *torture_manager;
static u8 *noise;
static bool draining;

/* A pattern is the noise from a start position on. */
static void fill_pattern(u8 *data, size_t size, u32 start)
{
	const u8 *from = noise + start % NOISE_STARTS;
	size_t part;

	for (; size; size -= part, data += part) {
		part = min_t(size_t, size, NOISE_SIZE);
		memcpy(data, from, part);
	}
}

static void check(const struct torture_buf *buf, const char *what, const u8 *data, const u8 *want,
		  size_t size)
{
	size_t i;

	if (likely(!memcmp(data, want, size)))
		return;
	if (atomic_inc_return(&torture_errors) > MOST_ERRORS)
		return;
	for (i = 0; i < size - 1 && data[i] == want[i]; i++)
		;
	pr_alert("!!! %s: byte %zu of %zu is %#x, not %#x; %s %pad, %zu bytes at %zu of %zu, %d\n",
		 what, i, size, data[i], want[i], dev_name(buf->dev), &buf->addr, buf->size,
		 buf->offset, buf->room, buf->dir);
}

static void check_idle(struct torture_buf *buf)
{
	size_t room = PAGE_SIZE << buf->order, at, part;

	for (at = 0; at < room; at += part) {
		part = min_t(size_t, room - at, NOISE_SIZE);
		check(buf, "a buffer that is not mapped", buf->own + at,
		      noise + buf->start % NOISE_STARTS, part);
	}
}

static size_t random_below(struct rnd_state *rnd, size_t bound)
{
	return prandom_u32_state(rnd) % bound;
}

static void random_range(struct rnd_state *rnd, size_t room, size_t *offset, size_t *size)
{
	*size = 1 + random_below(rnd, max_t(size_t, 1, room >> random_below(rnd, 8)));
	*offset = random_below(rnd, room - *size + 1);
}

/* Choose a mapping for an idle buffer. */
static void prepare_buf(struct torture_buf *buf, struct rnd_state *rnd, gfp_t gfp)
{
	unsigned int order = random_below(rnd, buf->order + 1);
	struct page *fresh = NULL;
	size_t most;

	check_idle(buf);
	if (random_below(rnd, 4) == 0) {
		fresh = alloc_pages(gfp | GFP_DMA32 | __GFP_NORETRY | __GFP_NOWARN, order);
		if (!fresh)
			this_cpu_inc(torture_stats.nomem);
	}
	buf->run = fresh ? page_address(fresh) : buf->own;
	buf->room = PAGE_SIZE << (fresh ? order : buf->order);
	if (fresh)
		fill_pattern(buf->run, buf->room, buf->start);
	fill_pattern(buf->want, buf->room, buf->start);

	buf->dev = &devices[random_below(rnd, ARRAY_SIZE(devices))]->dev;
	buf->dir = random_below(rnd, 3);
	most = buf->room > SZ_256K ? SZ_256K : min_t(size_t, buf->room, SZ_64K);
	random_range(rnd, min(most, dma_max_mapping_size(buf->dev)), &buf->offset, &buf->size);
	buf->offset = random_below(rnd, buf->room - buf->size + 1);
	buf->mapped = false;
}

static dma_addr_t map_buf(struct torture_buf *buf)
{
	return dma_map_single_attrs(buf->dev, buf->run + buf->offset, buf->size, buf->dir,
				    DMA_ATTR_NO_WARN);
}

static void give_back(struct torture_buf *buf, struct rnd_state *rnd)
{
	size_t room = PAGE_SIZE << buf->order;

	if (buf->run != buf->own) {
		free_pages((unsigned long)buf->run, get_order(buf->room));
		check_idle(buf);
	}
	buf->start = prandom_u32_state(rnd);
	fill_pattern(buf->own, room, buf->start);
}

static void map_failed(struct torture_buf *buf, struct rnd_state *rnd)
{
	this_cpu_inc(torture_stats.failed);
	check(buf, "after a map that failed", buf->run, buf->want, buf->room);
	give_back(buf, rnd);
}

/* The address has arrived: find the memory that the device accesses, and check it. */
static void arrived(struct torture_buf *buf)
{
	phys_addr_t phys = dma_to_phys(buf->dev, buf->addr);
	bool direct;

	if (buf->mapped)
		return;
	buf->mapped = true;
	buf->view = phys_to_virt(phys);
	direct = buf->view == buf->run + buf->offset;
	if (is_swiotlb_buffer(buf->dev, phys) == direct) {
		atomic_inc(&torture_errors);
		dev_err_ratelimited(buf->dev, "%zu bytes at %pap: %s, which is_swiotlb_buffer() denies\n",
				    buf->size, &phys, direct ? "not bounced" : "bounced");
	}
	if (direct) {
		buf->seen = buf->want + buf->offset;
		this_cpu_inc(torture_stats.direct);
	} else {
		buf->seen = buf->shadow;
		memcpy(buf->seen, buf->want + buf->offset, buf->size);
		this_cpu_inc(torture_stats.bounced);
	}
	check(buf, "device, after map", buf->view, buf->seen, buf->size);
}

static void device_writes(struct torture_buf *buf, struct rnd_state *rnd)
{
	u32 start = prandom_u32_state(rnd);
	size_t offset, size;

	random_range(rnd, buf->size, &offset, &size);
	fill_pattern(buf->view + offset, size, start);
	fill_pattern(buf->seen + offset, size, start);
}

static void sync_for_cpu(struct torture_buf *buf, struct rnd_state *rnd)
{
	size_t offset, size;

	device_writes(buf, rnd);
	random_range(rnd, buf->size, &offset, &size);
	dma_sync_single_range_for_cpu(buf->dev, buf->addr, offset, size, buf->dir);
	memmove(buf->want + buf->offset + offset, buf->seen + offset, size);
}

static void sync_for_device(struct torture_buf *buf, struct rnd_state *rnd)
{
	u32 start = prandom_u32_state(rnd);
	size_t offset, size;

	random_range(rnd, buf->size, &offset, &size);
	fill_pattern(buf->run + buf->offset + offset, size, start);
	fill_pattern(buf->want + buf->offset + offset, size, start);
	random_range(rnd, buf->size, &offset, &size);
	dma_sync_single_range_for_device(buf->dev, buf->addr, offset, size, buf->dir);
	memmove(buf->seen + offset, buf->want + buf->offset + offset, size);
}

static void sync_buf(struct torture_buf *buf, struct rnd_state *rnd)
{
	unsigned int rounds;

	arrived(buf);
	for (rounds = random_below(rnd, 4); rounds; rounds--) {
		if (buf->dir != DMA_TO_DEVICE)
			sync_for_cpu(buf, rnd);
		if (buf->dir != DMA_FROM_DEVICE)
			sync_for_device(buf, rnd);
		this_cpu_inc(torture_stats.synced);
	}
	check(buf, "device, after sync", buf->view, buf->seen, buf->size);
	check(buf, "driver, after sync", buf->run, buf->want, buf->room);
}

static void unmap_buf(struct torture_buf *buf, struct rnd_state *rnd)
{
	unsigned long attrs = random_below(rnd, 8) ? 0 : DMA_ATTR_SKIP_CPU_SYNC;

	arrived(buf);
	if (buf->dir != DMA_TO_DEVICE && random_below(rnd, 2))
		device_writes(buf, rnd);
	check(buf, "device, before unmap", buf->view, buf->seen, buf->size);
	dma_unmap_single_attrs(buf->dev, buf->addr, buf->size, buf->dir, attrs);
	if (buf->dir != DMA_TO_DEVICE && !attrs)
		memmove(buf->want + buf->offset, buf->seen, buf->size);
	check(buf, "driver, after unmap", buf->run, buf->want, buf->room);
	this_cpu_inc(torture_stats.unmapped);
	give_back(buf, rnd);
}

/* Hands over a buffer, with all members, to the owner that the new state names. */
static void set_state(struct torture_buf *buf, enum torture_state state)
{
	/* Pairs with smp_load_acquire() in get_state() */
	smp_store_release(&buf->state, state);
}

static enum torture_state get_state(struct torture_buf *buf)
{
	/* Pairs with smp_store_release() in set_state() */
	return smp_load_acquire(&buf->state);
}

/*
 * Hands over the address, after the state. Drivers usually have a lock or a barrier here. It also
 * orders the contents of the mapping, and can hide that the map lacks a barrier.
 */
static void hand_over(struct torture_buf *buf, dma_addr_t addr)
{
	if (relaxed)
		WRITE_ONCE(buf->addr, addr);
	else
		/* Pairs with the address dependency of the CPU that accesses the mapping */
		smp_store_release(&buf->addr, addr);
}

static bool is_here(struct torture_buf *buf, enum torture_state state)
{
	return get_state(buf) == state && READ_ONCE(buf->addr) != DMA_MAPPING_ERROR;
}

static struct torture_buf *find_buf(struct torture_chain *chain, struct rnd_state *rnd,
				    enum torture_state state, enum torture_state or_state)
{
	unsigned int i, first = random_below(rnd, nbuffers);
	struct torture_buf *buf;

	for (i = 0; i < nbuffers; i++) {
		buf = &chain->bufs[(first + i) % nbuffers];
		if (is_here(buf, state) || is_here(buf, or_state))
			return buf;
	}
	return NULL;
}

static void pause_if(bool idle)
{
	if (idle)
		schedule_timeout_idle(1);
	else
		cond_resched();
}

static bool map_one(struct torture_chain *chain, struct rnd_state *rnd)
{
	unsigned int i, first = random_below(rnd, nbuffers);
	struct torture_buf *buf;
	dma_addr_t addr;

	for (i = 0; i < nbuffers; i++) {
		buf = &chain->bufs[(first + i) % nbuffers];
		if (get_state(buf) == TORTURE_IDLE)
			break;
	}
	if (i == nbuffers)
		return false;
	prepare_buf(buf, rnd, GFP_KERNEL);
	atomic_inc(&chain->live);
	set_state(buf, random_below(rnd, 4) ? TORTURE_TO_SYNC : TORTURE_TO_UNMAP);
	addr = map_buf(buf);
	if (dma_mapping_error(buf->dev, addr)) {
		map_failed(buf, rnd);
		atomic_dec(&chain->live);
		set_state(buf, TORTURE_IDLE);
		return false;
	}
	hand_over(buf, addr);
	return true;
}

static ktime_t irq_delay(struct rnd_state *rnd)
{
	return ns_to_ktime((irq_interval + random_below(rnd, irq_interval)) * NSEC_PER_USEC);
}

static enum hrtimer_restart map_in_interrupt(struct hrtimer *timer)
{
	struct torture_chain *chain = container_of(timer, struct torture_chain, timer);
	struct rnd_state *rnd = &chain->irq_rnd;
	struct torture_buf **slot = &irq_slots[random_below(rnd, IRQ_BUFFERS)];
	/* Pairs with smp_store_release() below, on another CPU */
	struct torture_buf *buf = xchg_acquire(slot, NULL);

	hrtimer_forward_now(timer, irq_delay(rnd));
	if (!buf)
		return HRTIMER_RESTART;
	if (buf->addr != DMA_MAPPING_ERROR) {
		if (random_below(rnd, 2))
			sync_buf(buf, rnd);
		unmap_buf(buf, rnd);
		buf->addr = DMA_MAPPING_ERROR;
	} else {
		prepare_buf(buf, rnd, GFP_ATOMIC);
		buf->addr = map_buf(buf);
		if (dma_mapping_error(buf->dev, buf->addr))
			map_failed(buf, rnd);
		this_cpu_inc(torture_stats.in_irq);
	}
	/* Pairs with xchg_acquire() above, on another CPU */
	smp_store_release(slot, buf);
	return HRTIMER_RESTART;
}

static int mapper(void *arg)
{
	struct torture_chain *chain = arg;
	struct rnd_state *rnd = &chain->rnd[0];
	unsigned int i;

	if (irq_interval)
		hrtimer_start(&chain->timer, irq_delay(rnd), HRTIMER_MODE_REL_PINNED);
	for (i = 0; !kthread_should_stop(); i++) {
		/* The pool is sometimes full and sometimes almost empty. */
		if (i % 1024 == 0)
			WRITE_ONCE(chain->low, random_below(rnd, nbuffers));
		pause_if(!map_one(chain, rnd));
	}
	return 0;
}

static int syncer(void *arg)
{
	struct torture_chain *chain = arg;
	struct rnd_state *rnd = &chain->rnd[1];
	struct torture_buf *buf;

	while (!kthread_should_stop() || atomic_read(&chain->live)) {
		buf = find_buf(chain, rnd, TORTURE_TO_SYNC, TORTURE_TO_SYNC);
		if (buf) {
			sync_buf(buf, rnd);
			set_state(buf, TORTURE_SYNCED);
		}
		pause_if(!buf);
	}
	return 0;
}

static int unmapper(void *arg)
{
	struct torture_chain *chain = arg;
	struct rnd_state *rnd = &chain->rnd[2];
	struct torture_buf *buf;

	while (!kthread_should_stop() || atomic_read(&chain->live)) {
		buf = NULL;
		if (READ_ONCE(draining) || atomic_read(&chain->live) > READ_ONCE(chain->low))
			buf = find_buf(chain, rnd, TORTURE_SYNCED, TORTURE_TO_UNMAP);
		if (buf) {
			unmap_buf(buf, rnd);
			WRITE_ONCE(buf->addr, DMA_MAPPING_ERROR);
			set_state(buf, TORTURE_IDLE);
			atomic_dec(&chain->live);
		}
		pause_if(!buf);
	}
	return 0;
}

static unsigned long stats_sum(size_t offset)
{
	unsigned long sum = 0;
	void *stats;
	int cpu;

	for_each_possible_cpu(cpu) {
		stats = per_cpu_ptr(&torture_stats, cpu);
		sum += READ_ONCE(*(unsigned long *)(stats + offset));
	}
	return sum;
}

#define STATS_SUM(member)	stats_sum(offsetof(struct torture_stats, member))

static void print_stats(void)
{
	pr_alert("bounced: %lu direct: %lu failed: %lu nomem: %lu irq: %lu synced: %lu unmapped: %lu errors: %d\n",
		 STATS_SUM(bounced), STATS_SUM(direct), STATS_SUM(failed), STATS_SUM(nomem),
		 STATS_SUM(in_irq), STATS_SUM(synced), STATS_SUM(unmapped),
		 atomic_read(&torture_errors));
}

static void print_parameters(const char *tag)
{
	pr_alert("--- %s: nmappers=%d nbuffers=%u duration=%u stat_interval=%u irq_interval=%u seed=%u relaxed=%d\n",
		 tag, nmappers, nbuffers, duration, stat_interval, irq_interval, seed, relaxed);
}

static void stop_task(struct task_struct **thread)
{
	if (!*thread)
		return;
	kthread_stop(*thread);
	put_task_struct(*thread);
	*thread = NULL;
}

static void stop_all(void)
{
	int i;

	for (i = 0; i < nmappers; i++) {
		stop_task(&chains[i].mapper);
		hrtimer_cancel(&chains[i].timer);
	}
	WRITE_ONCE(draining, true);
	for (i = 0; i < nmappers; i++) {
		stop_task(&chains[i].syncer);
		stop_task(&chains[i].unmapper);
	}
	for (i = 0; i < IRQ_BUFFERS; i++)
		if (irq_bufs[i].addr != DMA_MAPPING_ERROR)
			unmap_buf(&irq_bufs[i], &chains[0].irq_rnd);
}

static void report(void)
{
	unsigned long mapped = STATS_SUM(bounced) + STATS_SUM(direct);

	print_stats();
	if (mapped != STATS_SUM(unmapped)) {
		pr_alert("!!! %lu mapped, %lu unmapped\n", mapped, STATS_SUM(unmapped));
		atomic_inc(&torture_errors);
	}
	if (!STATS_SUM(bounced)) {
		pr_alert("!!! nothing was bounced: swiotlb=force, or more memory above 4 GB\n");
		atomic_inc(&torture_errors);
	}
	print_parameters(atomic_read(&torture_errors) ? "End of test: FAILURE" :
							"End of test: SUCCESS");
}

/* Prints statistics and ends the test after @duration or when the module is unloaded. */
static int manager(void *unused)
{
	unsigned long printed = jiffies, end = printed + duration * HZ;

	while (!kthread_should_stop() && (!duration || time_before(jiffies, end))) {
		schedule_timeout_interruptible(HZ / 10);
		if (stat_interval && time_after_eq(jiffies, printed + stat_interval * HZ)) {
			print_stats();
			printed += stat_interval * HZ;
		}
	}
	stop_all();
	report();
	while (!kthread_should_stop())
		schedule_timeout_interruptible(HZ / 10);
	return 0;
}

static int __init start_task(struct task_struct **thread, int (*fn)(void *), void *arg,
			     int number, const char *name)
{
	unsigned int cpu = cpumask_nth(number % num_online_cpus(), cpu_online_mask);
	struct task_struct *task = kthread_create(fn, arg, "swiotlb_%s/%u", name, cpu);

	if (IS_ERR(task))
		return PTR_ERR(task);
	*thread = get_task_struct(task);
	kthread_bind(task, cpu);
	wake_up_process(task);
	return 0;
}

static int __init init_buf(struct torture_buf *buf, unsigned int order)
{
	size_t room = PAGE_SIZE << order;

	buf->addr = DMA_MAPPING_ERROR;
	buf->order = order;
	buf->dev = &devices[0]->dev;
	buf->own = (u8 *)__get_free_pages(GFP_KERNEL | __GFP_NOWARN, order);
	buf->want = kvmalloc(room, GFP_KERNEL);
	buf->shadow = kvmalloc(room, GFP_KERNEL);
	if (!buf->own || !buf->want || !buf->shadow)
		return -ENOMEM;
	fill_pattern(buf->own, room, buf->start);
	return 0;
}

static void free_bufs(struct torture_buf *bufs, unsigned int count)
{
	unsigned int i;

	for (i = 0; bufs && i < count; i++) {
		free_pages((unsigned long)bufs[i].own, bufs[i].order);
		kvfree(bufs[i].want);
		kvfree(bufs[i].shadow);
	}
	kvfree(bufs);
}

static int __init init_chain(struct torture_chain *chain, unsigned int number)
{
	unsigned int i;
	int err;

	hrtimer_init(&chain->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED);
	chain->timer.function = map_in_interrupt;
	for (i = 0; i < ARRAY_SIZE(chain->rnd); i++)
		prandom_seed_state(&chain->rnd[i], (u64)seed << 32 | (number << 8) | i);
	prandom_seed_state(&chain->irq_rnd, (u64)seed << 32 | (number << 8) | 0xff);
	chain->bufs = kvcalloc(nbuffers, sizeof(*chain->bufs), GFP_KERNEL);
	if (!chain->bufs)
		return -ENOMEM;
	for (i = 0; i < nbuffers; i++) {
		/* Most buffers are small, a few have room for the largest mapping. */
		err = init_buf(&chain->bufs[i], i % 32 == 31 ? get_order(SZ_512K) : i % 6);
		if (err)
			return err;
	}
	return 0;
}

static int __init init_device(unsigned int kind)
{
	struct platform_device *pdev;
	int err;

	pdev = platform_device_alloc("swiotlb_torture", PLATFORM_DEVID_AUTO);
	if (!pdev)
		return -ENOMEM;
	err = platform_device_add(pdev);
	if (err) {
		platform_device_put(pdev);
		return err;
	}
	devices[kind] = pdev;
	if (get_dma_ops(&pdev->dev))
		return -EOPNOTSUPP;
#if defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_DEVICE) || defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_CPU)
	/* A CPU plays the device. */
	pdev->dev.dma_coherent = true;
#endif
	err = dma_set_mask_and_coherent(&pdev->dev, device_kinds[kind].mask);
	return err ?: dma_set_min_align_mask(&pdev->dev, device_kinds[kind].min_align_mask);
}

static void clean_up(void)
{
	unsigned int i;

	for (i = 0; chains && i < nmappers; i++)
		free_bufs(chains[i].bufs, nbuffers);
	free_bufs(irq_bufs, IRQ_BUFFERS);
	kfree(chains);
	for (i = 0; i < ARRAY_SIZE(devices); i++)
		platform_device_unregister(devices[i]);
	kvfree(noise);
}

static int __init set_up(void)
{
	struct rnd_state rnd;
	unsigned int i;
	int err;

	noise = kvmalloc(NOISE_SIZE + NOISE_STARTS, GFP_KERNEL);
	chains = kcalloc(nmappers, sizeof(*chains), GFP_KERNEL);
	irq_bufs = kvcalloc(IRQ_BUFFERS, sizeof(*irq_bufs), GFP_KERNEL);
	if (!noise || !chains || !irq_bufs)
		return -ENOMEM;
	prandom_seed_state(&rnd, seed);
	prandom_bytes_state(&rnd, noise, NOISE_SIZE + NOISE_STARTS);
	for (i = 0; i < ARRAY_SIZE(devices); i++) {
		err = init_device(i);
		if (err)
			return err;
	}
	for (i = 0; i < nmappers; i++) {
		err = init_chain(&chains[i], i);
		if (err)
			return err;
	}
	for (i = 0; i < IRQ_BUFFERS; i++) {
		err = init_buf(&irq_bufs[i], i % 3);
		if (err)
			return err;
		irq_slots[i] = &irq_bufs[i];
	}
	return 0;
}

static int __init start_chain(struct torture_chain *chain, int number)
{
	int err = start_task(&chain->syncer, syncer, chain, number + 1, "sync");

	if (!err)
		err = start_task(&chain->unmapper, unmapper, chain, number + 2, "unmap");
	/* The mapper creates work for the others, so start it last. */
	if (!err)
		err = start_task(&chain->mapper, mapper, chain, number, "map");
	return err;
}

static int __init start_all(void)
{
	int i, err = 0;

	cpus_read_lock();
	for (i = 0; i < nmappers && !err; i++)
		err = start_chain(&chains[i], i);
	cpus_read_unlock();
	if (err)
		return err;
	torture_manager = kthread_run(manager, NULL, "swiotlb_torture");
	return PTR_ERR_OR_ZERO(torture_manager);
}

static int __init swiotlb_torture_init(void)
{
	int err;

	if (!onstart)
		return 0;
	/* The CPU that plays the device would need another address for decrypted memory. */
	if (cc_platform_has(CC_ATTR_MEM_ENCRYPT))
		return -EOPNOTSUPP;
	if (nmappers < 0)
		nmappers = num_online_cpus();
	if (!nmappers || !nbuffers)
		return -EINVAL;
	err = set_up();
	if (err) {
		clean_up();
		return err;
	}
	print_parameters("Start of test");
	err = start_all();
	if (err) {
		torture_manager = NULL;
		stop_all();
		clean_up();
	}
	return err;
}
late_initcall(swiotlb_torture_init);

static void __exit swiotlb_torture_exit(void)
{
	if (!torture_manager)
		return;
	/* If it never ran, it has stopped nobody. */
	if (kthread_stop(torture_manager) == -EINTR)
		stop_all();
	clean_up();
}
module_exit(swiotlb_torture_exit);

MODULE_DESCRIPTION("Torture test for the software IO TLB");
MODULE_LICENSE("GPL");
