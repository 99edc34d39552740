/* SPDX-License-Identifier: GPL-2.0 */
/*
 * KTAP from a program in a guest, in the form that KUnit prints, so that harness/report/ reads both.
 *
 * A suite is one top-level result; its cases are indented by four spaces. A number goes into a note
 * of its case, before the case's result:
 *
 *	    # <case>: value: <name> <number> [<unit>]
 *	    # <case>: proof: <text for people>
 *	    # <case>: <why it failed>
 */
#ifndef HARNESS_KTAP_H
#define HARNESS_KTAP_H

#include <stdarg.h>
#include <stdio.h>

static struct {
	const char *suite;
	int cases, failed;
} ktap;

/* Begin a suite of @count cases. */
static inline void ktap_begin(const char *suite, int count)
{
	ktap.suite = suite;
	printf("KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: %s\n    1..%d\n", suite, count);
	fflush(stdout);
}

/* A line about the case @name, to be followed by its result. */
static inline void __attribute__((format(printf, 2, 3))) ktap_note(const char *name, const char *format, ...)
{
	va_list arguments;

	printf("    # %s: ", name);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
}

/* A number of the case @name. */
static inline void ktap_value(const char *name, const char *what, unsigned long long number)
{
	ktap_note(name, "value: %s %llu", what, number);
}

/* The result of the case @name; @ok is a truth value. */
static inline void ktap_result(const char *name, int ok)
{
	ktap.failed += !ok;
	printf("    %s %d %s\n", ok ? "ok" : "not ok", ++ktap.cases, name);
	fflush(stdout);
}

/* The case @name could not be run here. */
static inline void ktap_skip(const char *name, const char *reason)
{
	printf("    ok %d %s # SKIP %s\n", ++ktap.cases, name, reason);
	fflush(stdout);
}

/* End the suite; returns how many of its cases failed. */
static inline int ktap_end(void)
{
	printf("%s 1 %s\n", ktap.failed ? "not ok" : "ok", ktap.suite);
	fflush(stdout);
	return ktap.failed;
}

#endif
