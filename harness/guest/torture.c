// SPDX-License-Identifier: GPL-2.0
/*
 * Guest's side of `make torture`: loads the torture module twice, prints what the kernel counted.
 *
 * Words of the kernel's command line: swiotlb_torture.NAME=VALUE are parameters of the module, and
 * debugfs.PATH=VALUE is written to /sys/kernel/debug/PATH before. The first run is left to its end, the
 * second is unloaded in the middle.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEBUGFS "/sys/kernel/debug"
#define MODULE "swiotlb_torture"

static void die(const char *what)
{
	printf("torture: %s: %s\n", what, strerror(errno));
	exit(1);
}

static size_t read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);

	if (got < 0)
		die(path);
	close(fd);
	text[got] = '\0';
	return got;
}

static void write_debugfs(char *word)
{
	char path[512], *value = strchr(word, '=');
	int fd;

	if (!value)
		return;
	*value++ = '\0';
	snprintf(path, sizeof(path), DEBUGFS "/%s", word);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		die(path);
	close(fd);
}

static void load(const char *parameters)
{
	int fd = open("/torture/" MODULE ".ko", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, parameters, 0))
		die("loading");
	close(fd);
}

static void unload(void)
{
	if (syscall(SYS_delete_module, MODULE, O_NONBLOCK))
		die("unloading");
}

/* Numbers only: one line each */
static void print_folder(const char *folder)
{
	DIR *dir = opendir(folder);
	char path[512], text[64];
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_type != DT_REG)
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		text[read_file(path, text, sizeof(text)) - 1] = '\0';
		printf("torture: %s %s\n", entry->d_name, text);
	}
	if (dir)
		closedir(dir);
}

int main(void)
{
	char line[4096], parameters[4096] = "", *word;
	unsigned int duration = 0;

	if (mount("debugfs", DEBUGFS, "debugfs", 0, ""))
		die(DEBUGFS);
	read_file("/proc/cmdline", line, sizeof(line));
	for (word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) {
		if (!strncmp(word, MODULE ".", strlen(MODULE "."))) {
			word += strlen(MODULE ".");
			if (!strncmp(word, "duration=", strlen("duration=")))
				duration = atoi(strchr(word, '=') + 1);
			strcat(strcat(parameters, word), " ");
		} else if (!strncmp(word, "debugfs.", strlen("debugfs."))) {
			write_debugfs(word + strlen("debugfs."));
		}
	}
	load(parameters);
	sleep(duration + 1);
	unload();
	strcat(parameters, "duration=0 seed=2");
	load(parameters);
	sleep(2);
	unload();
	print_folder(DEBUGFS "/swiotlb");
	print_folder(DEBUGFS "/swiotlb/overflow");
	return 0;
}
