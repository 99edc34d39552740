// SPDX-License-Identifier: GPL-2.0
/*
 * /init of the harness's guests: inserts modules, runs programs, ends the guest.
 *
 * The kernel hands on what follows "--" on its command line: names of modules to insert, in that order.
 * Without any, all of /modules is inserted, in the order of names. Then each file in /programs runs, in
 * the order of names, with the NAME=value of the command line as environment. In the end a KTAP suite of
 * one case says whether all of this succeeded. QEMU runs with -no-reboot, so a reboot is the end on every
 * architecture.
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

#include "ktap.h"

#define CASE	"modules_and_programs"

/* Printed in the end, for what a program prints may be a suite of its own. */
static char failures[4096];

static void __attribute__((format(printf, 1, 2))) failed(const char *format, ...)
{
	size_t used = strlen(failures);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(failures + used, sizeof(failures) - used, format, arguments);
	va_end(arguments);
}

static void mount_at(const char *type, const char *where)
{
	mkdir(where, 0755);
	if (mount(type, where, type, 0, ""))
		failed("%s: %s\n", where, strerror(errno));
}

static void insert(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
		failed("%s: %s\n", path, strerror(errno));
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
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		failed("%s: %s\n", path, strerror(errno));
	else if (status)
		failed("%s: wait status %#x\n", path, status);
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

static void say_result(void)
{
	char *line = strtok(failures, "\n");
	int good = !line;

	ktap_begin("init", 1);
	for (; line; line = strtok(NULL, "\n"))
		ktap_note(CASE, "%s", line);
	ktap_result(CASE, good);
	ktap_end();
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
	say_result();
	sync();
	reboot(RB_AUTOBOOT);
	return 1;
}
