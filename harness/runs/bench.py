# SPDX-License-Identifier: GPL-2.0
"""`make bench`: the modules in bench/, on the base and on the series, side by side.

QEMU's -icount shift=0 makes a virtual nanosecond of every instruction, so the numbers are counts of
instructions; they are the same on every machine with the same compiler.
"""

import json
import re
import shutil

from harness import paths, ui
from harness.guest import guest
from harness.report import report
from harness.runs import lanes
from harness.source import debian, kbuild, newer

USE = "bench"
SOURCE = paths.TOP / "bench"
SIDES = ("base", "series")
ARCHES = ("arm64", "x86_64")
COUNTED = ["-icount", "shift=0,sleep=off", "-smp", "1"]
BOOT = ["slab_nomerge", "swiotlb=512,1"]                # the pool has the size that bench_swiotlb.c wants
BOOT_SERIES = ["swiotlb_overflow=2G,100"]
SWIOTLB = "swiotlb_"
NEWER_ARCH = "x86_64"                                   # newer kernels run bench_swiotlb.c only, here only
# What the series wants to reach on x86_64. None: what the base has.
BARS = {
    r"over_512_map_\d+": 1250,
    r"over_512_sync_\d+": 170,
    r"over_512_unmap_all_\d+": 600,
    r"over_512_\w+_spread": 1.2,
    r"over_512_bytes": 2300,
    r"over_65536_map_\d+": 27000,
    r"back": 1000,
    r"(hit|direct)_\w+": None,
}
LEAST = {"aligned": 36}
LINE = re.compile(r"bench: (\S+) ([\d.]+) (\S+)$", re.M)


def results(console):
    """{name: (number, unit)} of a console."""
    return {name: (float(number), unit) for name, number, unit in LINE.findall(console.replace("\r", ""))}


def rows(arch, base, series):
    """Lines of the table: both numbers and what they differ by."""
    found = []
    for name in dict.fromkeys([*base, *series]):
        if name.startswith(SWIOTLB):
            continue
        if name not in base or name not in series:
            raise ui.Failure(f"{name} was measured on one side only", f"see {ui.short(lanes.log_dir(USE))}")
        before, after = base[name][0], series[name][0]
        percent = f"{(after - before) / before * 100:+.1f}%" if before else "-"
        found.append((arch, name, f"{before:.2f}", f"{after:.2f}", f"{after - before:+.2f}", percent, base[name][1]))
    return found


def swiotlb(values):
    """The numbers of bench_swiotlb.c, with the spread of each cost over what is outstanding."""
    found = {name.removeprefix(SWIOTLB): value for name, value in values.items() if name.startswith(SWIOTLB)}
    costs = {}
    for name, (number, _) in found.items():
        cost = re.fullmatch(r"(over_\d+_\w+)_\d+", name)
        if cost:
            costs.setdefault(cost[1], []).append(number)
    for name, numbers in costs.items():
        found[f"{name}_spread"] = (max(numbers) / min(numbers) if min(numbers) else 1.0, "max/min")
    return found


def verdict(name, base, series):
    """The bar that the series has to get under (or, of LEAST, up to), and whether it does."""
    least = LEAST.get(name)
    bar = next((bar for pattern, bar in BARS.items() if re.fullmatch(pattern, name)), False)
    if bar is None:
        bar = base.get(name, (False,))[0]
    if bar is False and least is None:
        return "", ""
    number = series.get(name, (None,))[0]
    met = number is not None and (number >= least if least is not None else round(number, 1) <= round(bar, 1))
    return (f">={least}" if least is not None else f"<={bar:g}"), "met" if met else "missed"


def swiotlb_rows(arch, columns):
    """Lines of the table of all kernels; `columns` are results() of base, series and newer kernels."""
    columns = [swiotlb(values) for values in columns]
    found = []
    for name in dict.fromkeys(name for values in columns for name in values):
        unit = next(values[name][1] for values in columns if name in values)
        numbers = (f"{values[name][0]:.2f}" if name in values else "-" for values in columns)
        bar = verdict(name, *columns[:2]) if arch == NEWER_ARCH else ("", "")
        found.append((arch, name, *numbers, unit, *bar))
    return found


def folder(arch, side):
    """Objects of one side's kernel."""
    return lanes.out(USE) / "build" / paths.BASE / f"{arch}-{side}"


def build(arch, side, tree):
    """Build one side's kernel and the modules for it; returns the modules."""
    log = lanes.log_dir(USE) / f"{arch}-{side}"
    names = ("common", arch) if side in SIDES else ("common", arch, "newer")
    guest.build(tree, folder(arch, side), arch, [paths.TOP / "bases" / paths.BASE / USE / f"{name}.config"
                                                 for name in names], log, "modules")
    work = folder(arch, side) / "dma-reach-bench"
    shutil.rmtree(work, ignore_errors=True)
    if side in SIDES:
        shutil.copytree(SOURCE, work)
    else:
        work.mkdir()
        shutil.copy(SOURCE / "bench_swiotlb.c", work)
        (work / "Kbuild").write_text("obj-m := bench_swiotlb.o\n", encoding="ascii")
    kbuild.make(tree, folder(arch, side), arch, [f"M={work}", "modules"], f"{log}.modules.log",
                name=f"modules for {arch}-{side}")
    return sorted(work.glob("*.ko"))


def measure(arch, side, modules):
    """Boot one side and read its numbers."""
    program = guest.init(arch, lanes.out(USE), lanes.log_dir(USE) / f"{arch}.init.log")
    initrd = folder(arch, side) / "initramfs"
    initrd.write_bytes(guest.initramfs(program, modules))
    log = lanes.log_dir(USE) / f"{arch}-{side}.console.log"
    parameters = BOOT + (BOOT_SERIES if side == "series" else [])
    console = guest.boot(arch, folder(arch, side), initrd, log, parameters, COUNTED)
    trouble = next((line for line in console.splitlines() if report.TROUBLE.search(line)), None)
    found = results(console)
    if trouble or not found:
        raise ui.Failure(f"{arch}-{side}: {trouble or 'nothing was measured'}", "read its console", log)
    return found


def cmd_bench():
    """Build, boot and compare."""
    from harness.series import series
    steps = ui.Steps("bench", 3 + len(SIDES) * (1 + 2 * len(ARCHES)) + 2 * len(newer.NAMES))
    with steps.step("look for packages"):
        debian.ensure(guest.packages(ARCHES))
    with steps.step("compose the series"):
        tip = series.prepare(paths.BASE)
    with steps.step("look for newer kernels"):
        others = newer.sources()
    steps.total -= 2 * (len(newer.NAMES) - len(others))
    found = {}

    def numbers(arch, side, tree):
        with steps.step(f"build {arch}, {side}"):
            modules = build(arch, side, tree)
        with steps.step(f"boot {arch}, {side}"):
            found[arch, side] = measure(arch, side, modules)
    for side in SIDES:
        with steps.step(f"put the {side} into a work tree"):
            tip.checkout(tip.base_commit if side == "base" else tip.tip, lanes.tree_dir(USE))
        for arch in ARCHES:
            numbers(arch, side, lanes.tree_dir(USE))
    for side, (tree, _) in others.items():
        numbers(NEWER_ARCH, side, tree)
    table = [row for arch in ARCHES for row in rows(arch, *(found[arch, side] for side in SIDES))]
    bounce = [row for arch in ARCHES
              for row in swiotlb_rows(arch, [found.get((arch, side), {}) for side in (*SIDES, *others)])]
    kept = paths.OUT / "report/bench.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps({f"{arch}-{side}": values for (arch, side), values in found.items()}, indent=1)
                    + "\n", encoding="utf-8")
    ui.say()
    for line in report.table(("arch", "what", "base", "series", "difference", "", "unit"), table):
        ui.say(line)
    ui.say()
    versions = [version for _, version in others.values()]
    for line in report.table(("arch", "swiotlb", *SIDES, *versions, "unit", "bar", ""), bounce):
        ui.say(line)
    ui.say("With -icount shift=0 one ns is one instruction.")
    if others:
        ui.say("On this processor 6.1 copies 8 bytes with one instruction, newer kernels with three: "
               "compare them where little is copied.")
    ui.say(f"logs: {ui.short(lanes.log_dir(USE))}, numbers: {ui.short(kept)}")
