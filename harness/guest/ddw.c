// SPDX-License-Identifier: GPL-2.0
/*
 * Runs in the guests of `make ddw`: does the steps in /etc/ddw.steps and prints KTAP, a case for each step.
 *
 * A step is a line: the name of its case, then one of
 *
 *   bind FUNCTION             give a PCI function to ddw_probe
 *   unbind FUNCTION           take it away
 *   probe FUNCTION COMMAND    see ddw_probe.c; each "key number" of the answer is a value
 *   tables                    values LIOBN.weight and LIOBN.claimed: what debugfs knows of each window's table
 *   disk NAME MEGABYTES       compare the first half of a disk with the pattern, and write it to the second half;
 *                             values: bytes, wrong (words that differ)
 *   validate                  have the slab allocator check all its objects, the free ones too (slub_debug=P)
 *
 * A case passes if its step could be done; the harness compares the values with what it expects. A step that takes
 * longer than PATIENCE seconds has hung (value: hung). Nothing can be cleaned up then, so the guest restarts at once.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"

#define DEBUGFS		"/sys/kernel/debug/"
#define DEVICES		"/sys/bus/pci/devices/"
#define STEPS		"/etc/ddw.steps"

enum {
	PATIENCE	= 45,		/* seconds */
	APPEARS		= 10,		/* seconds until a disk is there, at most */
	CHUNK		= 192 << 10,	/* bytes of a request to a disk */
};

/* The current step */
static char current[64];
static int failures;

static void failed(const char *what)
{
	ktap_note(current, "%s: %s", what, strerror(errno));
	failures++;
}

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -1;
	ret = write(fd, text, strlen(text));
	close(fd);
	return ret < 0 ? -1 : 0;
}

static void bind(const char *function)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), DEVICES "%s/driver_override", function);
	if (put(path, "ddw_probe") || put("/sys/bus/pci/drivers_probe", function))
		failed(function);
}

static void unbind(const char *function)
{
	if (put("/sys/bus/pci/drivers/ddw_probe/unbind", function))
		failed(function);
}

static void probe(const char *function, const char *command)
{
	char path[PATH_MAX], line[128], key[64], value[64];
	FILE *answer;

	snprintf(path, sizeof(path), DEBUGFS "ddw_probe/%s", function);
	if (put(path, command)) {
		failed(command);
		return;
	}
	answer = fopen(path, "r");
	while (answer && fgets(line, sizeof(line), answer)) {
		if (sscanf(line, "%63s %63s", key, value) == 2)
			ktap_note(current, "value: %s %s", key, value);
	}
	if (answer)
		fclose(answer);
}

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* Each table of a window is a folder of files; a flag is N or Y. */
static void tables(void)
{
	static const char *const files[] = { "weight", "claimed" };
	struct dirent **names;
	int i, count = scandir(DEBUGFS "iommu", &names, visible, alphasort);
	char path[PATH_MAX], value[32];
	FILE *file;
	size_t j;

	for (i = 0; i < count; i++) {
		for (j = 0; j < sizeof(files) / sizeof(files[0]); j++) {
			snprintf(path, sizeof(path), DEBUGFS "iommu/%s/%s", names[i]->d_name, files[j]);
			file = fopen(path, "r");
			if (file && fscanf(file, "%31s", value) == 1)
				ktap_note(current, "value: %s.%s %s", names[i]->d_name, files[j],
					  !strcmp(value, "Y") ? "1" : !strcmp(value, "N") ? "0" : value);
			if (file)
				fclose(file);
		}
	}
	if (count < 0)
		failed(DEBUGFS "iommu");
}

/* The word at an offset of a disk, as in pattern() of ddw.py. */
static uint64_t pattern(uint64_t offset)
{
	return offset * 0x9e3779b97f4a7c15;
}

static void disk(const char *name, uint64_t megabytes)
{
	uint64_t half = (megabytes << 20) / 2, at, i, wrong = 0, *words;
	char path[PATH_MAX];
	size_t length;
	int fd, left;

	snprintf(path, sizeof(path), "/dev/%s", name);
	for (left = APPEARS; access(path, F_OK) && left; left--)
		sleep(1);
	fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd < 0 || posix_memalign((void **)&words, 4096, CHUNK)) {
		failed(path);
		return;
	}
	for (at = 0; at < half; at += length) {
		length = half - at < CHUNK ? half - at : CHUNK;
		memset(words, 0, length);
		if (pread(fd, words, length, at) != (ssize_t)length) {
			failed("read");
			break;
		}
		for (i = 0; i < length / sizeof(*words); i++)
			wrong += words[i] != pattern(at + i * sizeof(*words));
		for (i = 0; i < length / sizeof(*words); i++)
			words[i] = pattern(half + at + i * sizeof(*words));
		if (pwrite(fd, words, length, half + at) != (ssize_t)length) {
			failed("write");
			break;
		}
	}
	if (fsync(fd))
		failed("flush");
	ktap_value(current, "bytes", at);
	ktap_value(current, "wrong", wrong);
	free(words);
	close(fd);
}

static void validate(void)
{
	struct dirent **names;
	int i, count = scandir("/sys/kernel/slab", &names, visible, alphasort);
	char path[PATH_MAX];

	for (i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/validate", names[i]->d_name);
		put(path, "1");			/* fails without slub_debug */
	}
	if (count <= 0)
		failed("/sys/kernel/slab");
}

static void step(const char *line)
{
	char verb[16] = "", name[64] = "", command[96] = "";

	sscanf(line, "%*s %15s %63s %95[^\n]", verb, name, command);
	if (!strcmp(verb, "bind"))
		bind(name);
	else if (!strcmp(verb, "unbind"))
		unbind(name);
	else if (!strcmp(verb, "probe"))
		probe(name, command);
	else if (!strcmp(verb, "tables"))
		tables();
	else if (!strcmp(verb, "disk"))
		disk(name, strtoul(command, NULL, 0));
	else if (!strcmp(verb, "validate"))
		validate();
	else
		failed(line);
}

/* Restarts the guest unless the current step is done in time. */
static pid_t watch(void)
{
	cpu_set_t all;
	pid_t pid;

	memset(&all, 0xff, sizeof(all));
	fflush(stdout);
	pid = fork();
	if (!pid) {
		sched_setaffinity(0, sizeof(all), &all);
		sleep(PATIENCE);
		ktap_value(current, "hung", PATIENCE);
		put("/proc/sysrq-trigger", "b");
		pause();
	}
	return pid;
}

/* How many steps there are. */
static int count_lines(FILE *file)
{
	char line[256];
	int count = 0;

	while (fgets(line, sizeof(line), file))
		count++;
	rewind(file);
	return count;
}

int main(void)
{
	FILE *steps = fopen(STEPS, "r");
	cpu_set_t first;
	char line[256];
	pid_t watcher;

	setvbuf(stdout, NULL, _IOLBF, 0);
	CPU_ZERO(&first);
	CPU_SET(0, &first);			/* so that a race is one of two CPUs */
	if (!steps || sched_setaffinity(0, sizeof(first), &first)) {
		perror(STEPS);
		return 1;
	}
	mount("debugfs", DEBUGFS, "debugfs", 0, "");	/* it may be mounted already */
	ktap_begin("ddw", count_lines(steps));
	while (fgets(line, sizeof(line), steps)) {
		sscanf(line, "%63s", current);
		failures = 0;
		watcher = watch();
		step(line);
		kill(watcher, SIGKILL);
		waitpid(watcher, NULL, 0);
		ktap_result(current, !failures);
	}
	return ktap_end();
}
