// SPDX-License-Identifier: GPL-2.0
/*
 * Runs in the guests of `make ddw`: takes the steps in /etc/ddw.steps, one on each line, and says what came of them.
 *
 *   bind FUNCTION             give a PCI function to ddw_probe
 *   unbind FUNCTION           take it away
 *   probe FUNCTION COMMAND    see ddw_probe.c; prints each "key value" of the answer
 *   tables                    what debugfs knows of the table of each DMA window
 *   disk NAME MEGABYTES       the first half of a disk has to hold the pattern; it is written to the second half
 *   validate                  let the slab allocator look at all its objects, those that are free too (slub_debug=P)
 *
 * A step that takes longer than PATIENCE seconds never ends. Nothing can be cleaned up then: the guest ends at once.
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

#define DEBUGFS		"/sys/kernel/debug/"
#define DEVICES		"/sys/bus/pci/devices/"

enum {
	PATIENCE	= 45,		/* seconds */
	APPEARS		= 10,		/* seconds until a disk is there */
	CHUNK		= 192 << 10,	/* bytes of a request to a disk */
};

static int failures;

static void failed(const char *step, const char *what)
{
	printf("ddw: error %s: %s: %s\n", step, what, strerror(errno));
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
		failed("bind", function);
}

static void unbind(const char *function)
{
	if (put("/sys/bus/pci/drivers/ddw_probe/unbind", function))
		failed("unbind", function);
}

static void probe(const char *function, const char *command)
{
	char path[PATH_MAX], line[128];
	FILE *answer;

	snprintf(path, sizeof(path), DEBUGFS "ddw_probe/%s", function);
	printf("ddw: probe %s %s\n", function, command);
	if (put(path, command)) {
		failed("probe", command);
		return;
	}
	answer = fopen(path, "r");
	while (answer && fgets(line, sizeof(line), answer))
		printf("ddw: %s", line);
	if (answer)
		fclose(answer);
}

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* Each table of a window is a folder of numbers. */
static void tables(void)
{
	struct dirent **names, **files;
	int i, j, count = scandir(DEBUGFS "iommu", &names, visible, alphasort), numbers;
	char path[PATH_MAX], value[32];
	FILE *file;

	for (i = 0; i < count; i++) {
		snprintf(path, sizeof(path), DEBUGFS "iommu/%s", names[i]->d_name);
		numbers = scandir(path, &files, visible, alphasort);
		printf("ddw: table %s", names[i]->d_name);
		for (j = 0; j < numbers; j++) {
			snprintf(path, sizeof(path), DEBUGFS "iommu/%s/%s", names[i]->d_name, files[j]->d_name);
			file = fopen(path, "r");
			if (file && fscanf(file, "%31s", value) == 1)
				printf(" %s %s", files[j]->d_name, value);
			if (file)
				fclose(file);
		}
		printf("\n");
	}
	if (count < 0)
		failed("tables", DEBUGFS "iommu");
}

/* The word at an offset of a disk; so does pattern() in ddw.py. */
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
		failed("disk", path);
		return;
	}
	for (at = 0; at < half; at += length) {
		length = half - at < CHUNK ? half - at : CHUNK;
		memset(words, 0, length);
		if (pread(fd, words, length, at) != (ssize_t)length) {
			failed("disk", "read");
			break;
		}
		for (i = 0; i < length / sizeof(*words); i++)
			wrong += words[i] != pattern(at + i * sizeof(*words));
		for (i = 0; i < length / sizeof(*words); i++)
			words[i] = pattern(half + at + i * sizeof(*words));
		if (pwrite(fd, words, length, half + at) != (ssize_t)length) {
			failed("disk", "write");
			break;
		}
	}
	if (fsync(fd))
		failed("disk", "flush");
	printf("ddw: disk %s bytes %llu wrong %llu\n", name, (unsigned long long)at, (unsigned long long)wrong);
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
		put(path, "1");			/* a cache that is not debugged refuses */
	}
	if (count <= 0)
		failed("validate", "/sys/kernel/slab");
}

static void step(char *line)
{
	char word[16] = "", name[64] = "", command[96] = "";

	sscanf(line, "%15s %63s %95[^\n]", word, name, command);
	if (!strcmp(word, "bind"))
		bind(name);
	else if (!strcmp(word, "unbind"))
		unbind(name);
	else if (!strcmp(word, "probe"))
		probe(name, command);
	else if (!strcmp(word, "tables"))
		tables();
	else if (!strcmp(word, "disk"))
		disk(name, strtoul(command, NULL, 0));
	else if (!strcmp(word, "validate"))
		validate();
	else
		failed("steps", line);
}

/* Ends the guest unless the step that has just begun is done in time. */
static pid_t watch(const char *line)
{
	cpu_set_t all;
	pid_t pid;

	memset(&all, 0xff, sizeof(all));
	fflush(stdout);
	pid = fork();
	if (!pid) {
		sched_setaffinity(0, sizeof(all), &all);
		sleep(PATIENCE);
		printf("ddw: hung in %s", line);
		fflush(stdout);
		put("/proc/sysrq-trigger", "b");
		pause();
	}
	return pid;
}

int main(void)
{
	FILE *steps = fopen("/etc/ddw.steps", "r");
	cpu_set_t first;
	char line[256];
	pid_t watcher;

	setvbuf(stdout, NULL, _IOLBF, 0);
	CPU_ZERO(&first);
	CPU_SET(0, &first);			/* so that a race is one of two CPUs */
	if (!steps || sched_setaffinity(0, sizeof(first), &first) || mount("debugfs", DEBUGFS, "debugfs", 0, ""))
		failed("main", "setup");
	while (steps && fgets(line, sizeof(line), steps)) {
		watcher = watch(line);
		step(line);
		kill(watcher, SIGKILL);
		waitpid(watcher, NULL, 0);
	}
	printf("ddw: end\n");
	return failures ? 1 : 0;
}
