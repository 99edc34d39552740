/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Internals of the Armv7 short-descriptor format, for its own files and tests.
 */
#ifndef IO_PGTABLE_ARM_V7S_H
#define IO_PGTABLE_ARM_V7S_H

#include <linux/io-pgtable.h>
#include <linux/kernel.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "io-pgtable-arm-v7s-tables.h"

#define io_pgtable_to_data(x)						\
	container_of((x), struct arm_v7s_io_pgtable, iop)

#define io_pgtable_ops_to_data(x)					\
	io_pgtable_to_data(io_pgtable_ops_to_pgtable(x))

typedef u32 arm_v7s_iopte;

/**
 * struct arm_v7s_io_pgtable - a page table in the short-descriptor format
 * @iop: what the io-pgtable core and the IOMMU driver see
 * @pgd: the level-1 table
 * @tables: where its tables are allocated
 * @split_lock: serialises the splits of contiguous entries
 */
struct arm_v7s_io_pgtable {
	struct io_pgtable	iop;

	arm_v7s_iopte		*pgd;
	struct v7s_tables	tables;
	/* Taken by an unmap of a part of a contiguous entry, in any context */
	spinlock_t		split_lock;
};

/* While true, a map over an existing mapping returns -EEXIST without a warning. */
extern bool arm_v7s_selftest_running;

#endif /* IO_PGTABLE_ARM_V7S_H */
