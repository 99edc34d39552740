// SPDX-License-Identifier: GPL-2.0
/*
 * Guest's side of `make torture`: loads the torture module twice, and holds what the kernel says against
 * what it should.
 *
 * Words of the kernel's command line: swiotlb_torture.NAME=VALUE are parameters of the module, and
 * debugfs.PATH=VALUE is written to /sys/kernel/debug/PATH before. The first run is left to its end, the
 * second is unloaded in the middle. With guest.hotplug=1, all CPUs but the first go offline and come back, one after
 * the other, all the time.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"

#define DEBUGFS "/sys/kernel/debug/"
#define COUNTERS DEBUGFS "swiotlb/"
#define MODULE "swiotlb_torture"
#define SAYS "swiotlb-torture: "	/* begins what the module prints */
#define END "--- End of test: "

enum {
	LATE	= 300,		/* seconds after which a run that should have ended has not */
	MIDDLE	= 2,		/* seconds after which the second run is cut off */
	PAUSE	= 50000,	/* us for which a CPU stays as it is */
};

static int kmsg;

/* A run of the module, as far as the kernel's log tells. */
struct run {
	const char *name;		/* of its case */
	int seconds;
	int cut;			/* off by unloading the module, after as many seconds */
	int ended, succeeded;
	char statistics[512];		/* the last line of them */
};

/* Prints why a case fails; returns that it does. */
static int fails(const char *name, const char *what)
{
	ktap_note(name, "%s: %s", what, strerror(errno));
	return 0;
}

static int read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[length < 0 ? 0 : length] = '\0';
	return length >= 0;
}

static int write_debugfs(const char *name, char *word)
{
	char path[512], *value = strchr(word, '=');
	int fd, good;

	if (!value)
		return 1;
	*value++ = '\0';
	snprintf(path, sizeof(path), DEBUGFS "%s", word);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	good = fd >= 0 && write(fd, value, strlen(value)) >= 0;
	if (fd >= 0)
		close(fd);
	return good || fails(name, path);
}

/* Takes what the module has said since the last call; its complaints become notes of the run's case. */
static void listen_to(struct run *run)
{
	char record[2048], *line;
	ssize_t length;

	/* EPIPE: records were overwritten before they were read */
	while ((length = read(kmsg, record, sizeof(record) - 1)) > 0 || (length < 0 && errno == EPIPE)) {
		record[length < 0 ? 0 : length] = '\0';
		line = strstr(record, ";" SAYS);
		if (!line)
			continue;
		line = strtok(line + strlen(";" SAYS), "\n");
		if (!strncmp(line, "!!! ", 4)) {
			ktap_note(run->name, "%s", line);
		} else if (!strncmp(line, "bounced: ", strlen("bounced: "))) {
			snprintf(run->statistics, sizeof(run->statistics), "%s", line);
		} else if (!strncmp(line, END, strlen(END))) {
			run->ended = 1;
			run->succeeded = !strncmp(line + strlen(END), "SUCCESS", strlen("SUCCESS"));
		}
	}
}

/* name: number name: number ... */
static void show_statistics(const struct run *run)
{
	unsigned long long number;
	const char *at = run->statistics;
	char name[32];
	int length;

	while (sscanf(at, " %31[a-z]: %llu%n", name, &number, &length) == 2) {
		ktap_value(run->name, name, number);
		at += length;
	}
}

/* Loads and unloads the module; whether the run was as it should. */
static int torture(struct run *run, const char *parameters)
{
	int fd = open("/torture/" MODULE ".ko", O_RDONLY | O_CLOEXEC), by_itself;
	int patience = run->cut ? 0 : LATE;

	if (fd < 0 || syscall(SYS_finit_module, fd, parameters, 0))
		return fails(run->name, "loading");
	close(fd);
	sleep(run->seconds);
	for (listen_to(run); !run->ended && patience; patience--) {
		sleep(1);
		listen_to(run);
	}
	by_itself = run->ended;
	if (syscall(SYS_delete_module, MODULE, O_NONBLOCK))
		return fails(run->name, "unloading");
	listen_to(run);
	show_statistics(run);
	if (!run->ended)
		ktap_note(run->name, "it did not say how it ended");
	else if (by_itself == run->cut)
		ktap_note(run->name, by_itself ? "it ended by itself" : "it did not end by itself");
	else if (!run->succeeded)
		ktap_note(run->name, "it says that it failed");
	return run->succeeded && by_itself != run->cut;
}

/* A counter that has to be zero, or must not be; prints it as a value of the case. */
static int counter(const char *name, const char *file, const char *what, int zero)
{
	char path[128], text[64];
	unsigned long long number;

	snprintf(path, sizeof(path), COUNTERS "%s", file);
	if (!read_file(path, text, sizeof(text)) || !isdigit(text[0]))
		return fails(name, path);
	number = strtoull(text, NULL, 10);
	ktap_value(name, what, number);
	if (zero == (number == 0))
		return 1;
	ktap_note(name, zero ? "%s is not 0 in the end" : "%s is 0", what);
	return 0;
}

static int set_online(int cpu, const char *text)
{
	char path[64];
	int fd, good;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	good = fd >= 0 && write(fd, text, 1) == 1;
	if (fd >= 0)
		close(fd);
	return good;
}

/* Starts what takes CPUs offline, and counts in *count how often one was. */
static pid_t start_hotplug(volatile unsigned long *count)
{
	const int cpus = sysconf(_SC_NPROCESSORS_CONF);
	pid_t child;
	int cpu;

	fflush(stdout);
	child = fork();
	for (cpu = 1; !child; cpu = cpu % (cpus - 1) + 1) {
		*count += set_online(cpu, "0");
		usleep(PAUSE);
		set_online(cpu, "1");
		usleep(PAUSE);
	}
	return child;
}

static int end_hotplug(pid_t child, unsigned long count)
{
	int cpu;

	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	for (cpu = sysconf(_SC_NPROCESSORS_CONF) - 1; cpu; cpu--)
		set_online(cpu, "1");
	ktap_value("cpus_go_offline", "offline", count);
	return count != 0;
}

int main(void)
{
	volatile unsigned long *offline = mmap(NULL, sizeof(*offline), PROT_READ | PROT_WRITE,
					       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct run first = { .name = "runs_to_its_end" };
	struct run second = { .name = "unloaded_in_the_middle", .seconds = MIDDLE, .cut = 1 };
	char line[4096], parameters[4096] = "", *word;
	pid_t hotplug = 0;
	int good;

	if (read_file("/proc/cmdline", line, sizeof(line)) && strstr(line, " guest.hotplug=1") && offline != MAP_FAILED &&
	    sysconf(_SC_NPROCESSORS_CONF) > 1)
		hotplug = start_hotplug(offline);
	ktap_begin(MODULE, hotplug ? 5 : 4);
	kmsg = open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	good = kmsg >= 0 || fails(first.name, "/dev/kmsg");
	good &= !mount("debugfs", DEBUGFS, "debugfs", 0, "") || fails(first.name, DEBUGFS);
	good &= read_file("/proc/cmdline", line, sizeof(line)) || fails(first.name, "/proc/cmdline");
	lseek(kmsg, 0, SEEK_END);
	for (word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) {
		if (!strncmp(word, MODULE ".", strlen(MODULE "."))) {
			word += strlen(MODULE ".");
			sscanf(word, "duration=%d", &first.seconds);
			strcat(strcat(parameters, word), " ");
		} else if (!strncmp(word, "debugfs.", strlen("debugfs."))) {
			good &= write_debugfs(first.name, word + strlen("debugfs."));
		}
	}
	ktap_result(first.name, good & torture(&first, parameters));
	strcat(parameters, "duration=0 seed=2");
	ktap_result(second.name, torture(&second, parameters));
	if (hotplug)
		ktap_result("cpus_go_offline", end_hotplug(hotplug, *offline));
	ktap_result("pool_overflows", counter("pool_overflows", "overflow/total", "overflowed", 0));
	good = counter("nothing_is_left", "io_tlb_used", "io_tlb_used", 1);
	good &= counter("nothing_is_left", "overflow/buffers", "buffers", 1);
	good &= counter("nothing_is_left", "overflow/bytes", "bytes", 1);
	ktap_result("nothing_is_left", good);
	ktap_end();
	return 0;
}
