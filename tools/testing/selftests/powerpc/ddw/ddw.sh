#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# DMA mappings of a PCI function on pseries remain valid when its driver changes its masks.
#
#   DDW_FUNCTION=0001:00:01.0 ./ddw.sh
#
# The function must have no driver, and should be the only one of its partitionable endpoint: its
# DMA window may be replaced, until the next boot. The device itself is idle. A kernel that takes
# mappings for mappings in the new window may crash.

KSFT_SKIP=4
FUNCTION=$DDW_FUNCTION
DEVICE=/sys/bus/pci/devices/$FUNCTION
DEBUGFS=/sys/kernel/debug
PROBE=$DEBUGFS/ddw_probe/$FUNCTION
number=0
failed=0

echo "TAP version 13"

skip()
{
	echo "1..0 # SKIP $1"
	exit $KSFT_SKIP
}

# do_probe COMMAND: let ddw_probe call the DMA API
do_probe()
{
	echo "# $*"
	echo "$*" >"$PROBE" || failures="$failures '$*' refused"
}

# want KEY VALUE: compare the result of the last command
want()
{
	given=$(sed -n "s/^$1 //p" "$PROBE")
	[ "$given" = "$2" ] || failures="$failures $1 is $given, not $2;"
}

# Entries in use in the table of the function's default window; 0 if the window is gone
entries()
{
	node=$(readlink -f "$DEVICE/of_node")
	while [ "$node" != / ] && [ ! -f "$node/ibm,dma-window" ]; do
		node=$(dirname "$node")
	done
	[ "$node" = / ] && echo 0 && return
	liobn=$(od -An -tx1 -N4 "$node/ibm,dma-window" | tr -d ' \n')
	cat "$DEBUGFS/iommu/$liobn/weight" 2>/dev/null || echo 0
}

# Number of kernel messages that no test may cause
complaints()
{
	dmesg | grep -c -E 'iommu_free: invalid entry|plpar_tce_\w+ failed|clear tces in window'
}

begin()
{
	failures=
	before=$(entries)
	complained=$(complaints)
}

end()
{
	number=$((number + 1))
	after=$(entries)
	[ "$after" -le "$before" ] || failures="$failures $before entries in use became $after;"
	[ "$(complaints)" = "$complained" ] || failures="$failures see dmesg;"
	if [ -z "$failures" ]; then
		echo "ok $number $1"
	else
		echo "#$failures"
		echo "not ok $number $1"
		failed=1
	fi
}

[ -n "$FUNCTION" ] || skip "DDW_FUNCTION does not name a PCI function"
[ -d "$DEVICE" ] || skip "there is no $FUNCTION"
[ -e "$DEVICE/driver" ] && skip "$FUNCTION has a driver"
[ -d "$DEBUGFS/iommu" ] || skip "CONFIG_IOMMU_DEBUGFS is off, or debugfs is not mounted"
[ -d /sys/module/ddw_probe ] || insmod ./ddw_probe.ko || skip "ddw_probe.ko cannot be loaded"
echo ddw_probe >"$DEVICE/driver_override"
echo "$FUNCTION" >/sys/bus/pci/drivers_probe
[ -f "$PROBE" ] || skip "ddw_probe does not take $FUNCTION"

echo "1..4"

# If there is room for one window only, it is replaced once it is idle.
begin
do_probe map 16
want "done" 16
do_probe mask 64
want result 0
do_probe unmap
do_probe mask 64
do_probe map 1
want "done" 1
do_probe unmap
do_probe mask 32
end "unmapped_after_a_larger_mask"

begin
do_probe mask 64
want result 0
do_probe map 16
want "done" 16
do_probe mask 32
do_probe unmap
end "unmapped_after_a_smaller_mask"

begin
do_probe alloc 2
do_probe mask 64
do_probe coherent_mask 64
do_probe free
do_probe alloc 2
want "done" 2
do_probe coherent_mask 32
do_probe mask 32
do_probe free
end "coherent_memory_freed_after_another_mask"

# Without a default window the first maps fail, and nothing can be left there.
begin
do_probe mask 32
do_probe map 16
do_probe mask 64
do_probe map 16
echo "$FUNCTION" >/sys/bus/pci/drivers/ddw_probe/unbind
end "nothing_left_by_a_driver_that_went"

echo >"$DEVICE/driver_override"
exit $failed
