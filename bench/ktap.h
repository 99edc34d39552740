/* SPDX-License-Identifier: GPL-2.0 */
/*
 * KTAP from a module's init, in the form that KUnit prints, so that harness/report/ reads both. A number is
 * a note of its case: "# <case>: value: <name> <number> <unit>".
 */
#ifndef BENCH_KTAP_H
#define BENCH_KTAP_H

#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/math64.h>

static unsigned int ktap_cases, ktap_failed;

/* Begin a suite of @count cases. */
static inline void ktap_begin(const char *suite, unsigned int count)
{
	pr_info("KTAP version 1\n");
	pr_info("1..1\n");
	pr_info("    KTAP version 1\n");
	pr_info("    # Subtest: %s\n", suite);
	pr_info("    1..%u\n", count);
}

/* @sum of @count measurements of the case @name; their average is shown. */
static inline void ktap_value(const char *name, const char *what, u64 sum, u32 count, const char *unit)
{
	u32 rest;
	u64 whole = div_u64_rem(div_u64(sum * 100 + count / 2, count), 100, &rest);

	pr_info("    # %s: value: %s %llu.%02u %s\n", name, what, whole, rest, unit);
}

/* The result of the case @name. */
static inline void ktap_result(const char *name, bool good)
{
	ktap_failed += !good;
	pr_info("    %s %u %s\n", good ? "ok" : "not ok", ++ktap_cases, name);
}

/* The case @name cannot be measured on this kernel. */
static inline void ktap_skip(const char *name, const char *reason)
{
	pr_info("    ok %u %s # SKIP %s\n", ++ktap_cases, name, reason);
}

/* End the suite. Return: 0, or -EIO if a case has failed. */
static inline int ktap_end(const char *suite)
{
	pr_info("%s 1 %s\n", ktap_failed ? "not ok" : "ok", suite);
	return ktap_failed ? -EIO : 0;
}

#endif
