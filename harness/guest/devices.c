// SPDX-License-Identifier: GPL-2.0
/*
 * Runs in the guests of `make devices`: moves data through one device, compares it, and prints KTAP.
 *
 * The kernel passes DEVICE, SIZE and FRAMES from its command line as environment. DEVICE is a disk, which fio
 * writes and verifies as /etc/devices.fio says, or "eth": then frames go both ways between eth0 and eth1, and
 * every byte that arrives is compared with what was sent.
 *
 *   data			values: compared (bytes), errors (failed requests), lost (frames), corrupt (blocks or frames),
 *				pool_slots (of the bounce-buffer pool, the most that were in use at a time when it looked)
 *   overflow_buffers		values: overflow_buffers (still allocated), overflow_total, overflow_peak_bytes
 *
 * A disk on which no request completes for STALLED seconds has hung (value: hung). Nothing can be cleaned up
 * then, so the guest restarts at once.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"

#define POOL_USED	"/sys/kernel/debug/swiotlb/io_tlb_used"
#define OVERFLOW	"/sys/kernel/debug/swiotlb/overflow/"
#define FIO		"/usr/bin/fio"
#define OUTPUT		"/fio.json"
#define COMPLAINTS	"/fio.errors"
#define DATA		"data"
#define BUFFERS		"overflow_buffers"

enum {
	STALLED		= 60,		/* seconds */
	LIFE		= 5,		/* seconds between two lines of progress, for the watchdog outside */
	LOOKS		= 20,		/* at the pool, in a second */
	WINDOW		= 64,		/* frames in flight in each direction */
	TOLD		= 1024,		/* frames between two lines of progress */
	SILENCE		= 8000,		/* ms without a frame, after which the missing ones are lost */
	GIVE_UP		= 3,		/* incomplete windows after which no more frames are sent */
	SHOWN		= 5,		/* lines of fio's complaints */
	ETHERTYPE	= 0x88b5,	/* for local experiments */
	JSON		= 1 << 18,	/* bytes of fio's output, at most */
	MOST		= 1024,		/* KB of a request, at most, where the disk knows no limit */
};

static unsigned long pool_slots;

static const char *setting(const char *name)
{
	const char *value = getenv(name);

	if (!value) {
		ktap_note(DATA, "the kernel's command line has no %s", name);
		exit(1);
	}
	return value;
}

static void put(const char *path, const char *word)
{
	FILE *file = fopen(path, "w");

	if (file) {
		fputs(word, file);
		fclose(file);
	}
}

/* Values of the overflow buffers, for the case @name; false if the kernel has no overflow buffers. */
static int say_overflow(const char *name)
{
	static const char *const files[] = { "buffers", "total", "peak_bytes" };
	unsigned long long value;
	int known = 0;
	char path[64];
	FILE *file;
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), OVERFLOW "%s", files[i]);
		file = fopen(path, "r");
		if (!file)
			continue;
		if (fscanf(file, "%llu", &value) == 1) {
			snprintf(path, sizeof(path), "overflow_%s", files[i]);
			ktap_value(name, path, value);
			known++;
		}
		fclose(file);
	}
	return known;
}

/* Completed requests of a disk. */
static unsigned long completed(const char *disk)
{
	unsigned long reads = 0, writes = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/block/%s/stat", disk);
	file = fopen(path, "r");
	if (!file)
		return 0;
	if (fscanf(file, "%lu %*u %*u %*u %lu", &reads, &writes) != 2)
		reads = writes = 0;
	fclose(file);
	return reads + writes;
}

/* A number that a file has; 0 if it cannot be read. */
static unsigned long read_number(const char *path)
{
	FILE *file = fopen(path, "r");
	unsigned long value = 0;

	if (file) {
		if (fscanf(file, "%lu", &value) != 1)
			value = 0;
		fclose(file);
	}
	return value;
}

static void look_at_pool(void)
{
	unsigned long used = read_number(POOL_USED);

	if (used > pool_slots)
		pool_slots = used;
}

/* Has a disk take requests as large as its driver allows, and tells fio how large that is. */
static void allow_largest_requests(const char *disk)
{
	char path[80], text[24];
	unsigned long most;

	snprintf(path, sizeof(path), "/sys/block/%s/queue/max_hw_sectors_kb", disk);
	most = read_number(path);
	if (!most || most > MOST)
		most = MOST;
	snprintf(text, sizeof(text), "%lu", most);
	snprintf(path, sizeof(path), "/sys/block/%s/queue/max_sectors_kb", disk);
	put(path, text);
	printf("requests of at most %lu KB\n", most);
	snprintf(text, sizeof(text), "%lu", most << 10);
	setenv("MOST", text, 1);
}

static void hung(void)
{
	ktap_value(DATA, "hung", STALLED);
	ktap_value(DATA, "pool_slots", pool_slots);
	say_overflow(DATA);
	put("/proc/sysrq-trigger", "w");	/* the blocked tasks, for the log */
	sleep(1);
	put("/proc/sysrq-trigger", "b");
	pause();
}

static void say_complaints(void)
{
	FILE *file = fopen(COMPLAINTS, "r");
	char line[512];
	int i;

	for (i = 0; file && i < SHOWN && fgets(line, sizeof(line), file); i++) {
		line[strcspn(line, "\n")] = '\0';
		ktap_note(DATA, "fio: %s", line);
	}
	if (file)
		fclose(file);
}

/* fio's output, or an empty string. */
static const char *output(void)
{
	static char text[JSON];
	FILE *file = fopen(OUTPUT, "r");

	if (file) {
		text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
		fclose(file);
	}
	return text;
}

/* The first number called @key in fio's output after the first @object; 0 if there is none. */
static unsigned long long number(const char *object, const char *key)
{
	const char *at = strstr(output(), object);

	at = at ? strstr(at, key) : NULL;
	at = at ? strchr(at, ':') : NULL;
	return at ? strtoull(at + 1, NULL, 10) : 0;
}

/* Blocks that differ from what fio had written. */
static unsigned long corrupt_blocks(void)
{
	FILE *file = fopen(COMPLAINTS, "r");
	unsigned long count = 0;
	char line[512];

	while (file && fgets(line, sizeof(line), file))
		count += strstr(line, "verify failed at") || strstr(line, "verify: bad");
	if (file)
		fclose(file);
	return count;
}

/* Returns whether fio came to its end, with or without errors. */
static int disk(const char *name)
{
	unsigned long before = 0, now, errors, corrupt;
	int seconds, looks, idle = 0, status = 0;
	char path[64];
	pid_t pid;

	snprintf(path, sizeof(path), "/dev/%s", name);
	for (; access(path, F_OK); sleep(1)) {
		if (++idle > STALLED)
			hung();
	}
	idle = 0;
	allow_largest_requests(name);
	pid = fork();
	if (!pid) {
		dup2(open(COMPLAINTS, O_WRONLY | O_CREAT | O_TRUNC, 0644), STDERR_FILENO);
		execl(FIO, "fio", "--output-format=json", "--output=" OUTPUT, "/etc/devices.fio", NULL);
		_exit(127);
	}
	for (seconds = 1; !waitpid(pid, &status, WNOHANG); seconds++) {
		for (looks = 0; looks < LOOKS; looks++) {
			usleep(1000000 / LOOKS);
			look_at_pool();
		}
		now = completed(name);
		idle = now == before ? idle + 1 : 0;
		before = now;
		if (idle >= STALLED)
			hung();
		if (seconds % LIFE == 0)
			printf("%lu requests done\n", now);
	}
	say_complaints();
	corrupt = corrupt_blocks();
	errors = number("\"jobs\"", "\"total_err\"");		/* a block that differs is one too */
	ktap_value(DATA, "compared", number("\"read\" : {", "\"io_bytes\""));
	ktap_value(DATA, "errors", errors > corrupt ? errors - corrupt : 0);
	ktap_value(DATA, "corrupt", corrupt);
	ktap_value(DATA, "pool_slots", pool_slots);
	if (WIFEXITED(status) && WEXITSTATUS(status) <= 1)	/* 1: there were errors */
		return 1;
	ktap_note(DATA, "fio ended with wait status %#x", status);
	return 0;
}

struct nic {
	int fd;
	struct ifreq request;		/* its flags, once it is up */
	unsigned char address[ETH_ALEN];
};

struct counts {
	unsigned long sent, received, corrupt, bytes;
};

static int nic_open(struct nic *nic, const char *name)
{
	struct sockaddr_ll where = { .sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE) };
	int i, room = 16 << 20;
	char carrier[64];
	struct ifreq *request = &nic->request;

	nic->fd = socket(AF_PACKET, SOCK_RAW, htons(ETHERTYPE));
	memset(request, 0, sizeof(*request));
	strncpy(request->ifr_name, name, IFNAMSIZ - 1);
	if (nic->fd < 0 || ioctl(nic->fd, SIOCGIFHWADDR, request))
		return -1;
	memcpy(nic->address, request->ifr_hwaddr.sa_data, ETH_ALEN);
	if (ioctl(nic->fd, SIOCGIFINDEX, request))
		return -1;
	where.sll_ifindex = request->ifr_ifindex;
	if (ioctl(nic->fd, SIOCGIFFLAGS, request))
		return -1;
	request->ifr_flags |= IFF_UP;
	if (ioctl(nic->fd, SIOCSIFFLAGS, request) || bind(nic->fd, (struct sockaddr *)&where, sizeof(where)))
		return -1;
	setsockopt(nic->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	/* IFF_RUNNING is set too for a short time after the driver has found the device. */
	snprintf(carrier, sizeof(carrier), "/sys/class/net/%s/carrier", name);
	for (i = 0; i < 20; i++, sleep(1)) {
		if (read_number(carrier) == 1)
			return 0;
	}
	return -1;
}

/* Frame `number` from one NIC to the other: its length and bytes follow from these three. */
static size_t frame(unsigned char *to, const struct nic *source, const struct nic *target, uint32_t number)
{
	uint32_t word = (number + 1) * 2654435761u ^ source->address[ETH_ALEN - 1];
	size_t i, length;

	memcpy(to, target->address, ETH_ALEN);
	memcpy(to + ETH_ALEN, source->address, ETH_ALEN);
	to[12] = ETHERTYPE >> 8;
	to[13] = ETHERTYPE & 0xff;
	memcpy(to + ETH_HLEN, &number, sizeof(number));
	length = ETH_ZLEN + word % (ETH_FRAME_LEN - ETH_ZLEN + 1);
	for (i = ETH_HLEN + sizeof(number); i < length; i++) {
		word ^= word << 13;
		word ^= word >> 17;
		word ^= word << 5;
		to[i] = word;
	}
	return length;
}

static void receive(const struct nic *at, const struct nic *from, struct counts *counts)
{
	unsigned char got[2048], wanted[ETH_FRAME_LEN];
	ssize_t length = recv(at->fd, got, sizeof(got), MSG_DONTWAIT);
	uint32_t number;

	if (length < ETH_ZLEN)
		return;
	memcpy(&number, got + ETH_HLEN, sizeof(number));
	if (frame(wanted, from, at, number) == (size_t)length && !memcmp(got, wanted, length)) {
		counts->received++;
		counts->bytes += length;
	} else {
		counts->corrupt++;
	}
}

static void nic_close(struct nic *nic)
{
	nic->request.ifr_flags &= ~IFF_UP;
	if (ioctl(nic->fd, SIOCSIFFLAGS, &nic->request))
		ktap_note(DATA, "an interface cannot be shut down: %m");
	close(nic->fd);
}

/* Returns whether frames could be sent. */
static int frames(uint32_t total)
{
	unsigned char buffer[ETH_FRAME_LEN];
	struct counts counts = { 0 };
	uint32_t number = 0;
	struct nic nics[2];
	int side, incomplete = 0;

	if (nic_open(&nics[0], "eth0") || nic_open(&nics[1], "eth1")) {
		ktap_note(DATA, "no link: %m");
		return 0;
	}
	while (number < total && incomplete < GIVE_UP) {
		unsigned long start = counts.received + counts.corrupt, wanted = 0;
		uint32_t end = number + WINDOW;

		for (; number < end; number++) {
			for (side = 0; side < 2; side++) {
				size_t length = frame(buffer, &nics[side], &nics[!side], number);

				counts.sent++;
				if (send(nics[side].fd, buffer, length, 0) == (ssize_t)length)
					wanted++;
			}
		}
		look_at_pool();
		while (counts.received + counts.corrupt - start < wanted) {
			struct pollfd polled[2] = { { nics[0].fd, POLLIN, 0 }, { nics[1].fd, POLLIN, 0 } };

			if (poll(polled, 2, SILENCE) <= 0)
				break;
			for (side = 0; side < 2; side++) {
				if (polled[side].revents)
					receive(&nics[side], &nics[!side], &counts);
			}
		}
		if (number % TOLD == 0)
			printf("%lu frames received\n", counts.received);
		incomplete += counts.received + counts.corrupt - start < 2 * WINDOW;
	}
	ktap_value(DATA, "compared", counts.bytes);
	ktap_value(DATA, "lost", counts.sent - counts.received - counts.corrupt);
	ktap_value(DATA, "corrupt", counts.corrupt);
	ktap_value(DATA, "pool_slots", pool_slots);
	nic_close(&nics[0]);
	nic_close(&nics[1]);
	return 1;
}

int main(void)
{
	const char *device;

	setvbuf(stdout, NULL, _IOLBF, 0);
	ktap_begin("devices", 2);
	device = setting("DEVICE");
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, "");	/* it may be mounted already */
	ktap_result(DATA, strcmp(device, "eth") ? disk(device) : frames(strtoul(setting("FRAMES"), NULL, 0)));
	if (say_overflow(BUFFERS))
		ktap_result(BUFFERS, 1);
	else
		ktap_skip(BUFFERS, "kernel without overflow buffers");
	return ktap_end();
}
