// SPDX-License-Identifier: GPL-2.0
/*
 * /init of the harness's guests: inserts modules, runs programs, ends the guest.
 *
 * The kernel hands on what follows "--" on its command line: names of modules to insert, in that order.
 * Without any, all of /modules is inserted, in the order of names. Then each file in /programs runs, in
 * the order of names, with the NAME=value of the command line as environment. QEMU runs with -no-reboot,
 * so a reboot is the end on every architecture.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int failures;

static void failed(const char *what)
{
	printf("init: %s: failed: %s\n", what, strerror(errno));
	failures++;
}

static void mount_at(const char *type, const char *where)
{
	mkdir(where, 0755);
	if (mount(type, where, type, 0, ""))
		failed(where);
}

static void insert(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
		failed(path);
	if (fd >= 0)
		close(fd);
}

static void run(const char *path)
{
	char *const argv[] = { (char *)path, NULL };
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		execv(path, argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0) {
		failed(path);
	} else if (status) {
		printf("init: %s: failed: wait status %#x\n", path, status);
		failures++;
	}
}

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void each_file(const char *folder, void (*act)(const char *))
{
	struct dirent **names;
	int i, count = scandir(folder, &names, visible, alphasort);
	char path[512];

	for (i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
		act(path);
	}
}

int main(int argc, char **argv)
{
	int i;

	mount_at("proc", "/proc");
	mount_at("sysfs", "/sys");
	mount_at("devtmpfs", "/dev");
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	for (i = 1; i < argc; i++)
		insert(argv[i]);
	if (argc < 2)
		each_file("/modules", insert);
	each_file("/programs", run);
	printf("init: done, %d failed\n", failures);
	fflush(stdout);
	sync();
	reboot(RB_AUTOBOOT);
	return 1;
}
