# SPDX-License-Identifier: GPL-2.0
"""`make bench`: the modules in bench/, on the base and on the series, side by side, and on newer kernels.

QEMU's -icount shift=0 makes a virtual nanosecond of every instruction, so the numbers are counts of
instructions; they are the same on every machine with the same compiler. Newer kernels run
bench_swiotlb.c only.
"""

import os
import re
import tomllib
from pathlib import Path

from harness import paths, report, ui
from harness.guest import image, kernel, qemu
from harness.runs.loop import begin
from harness.source import newer

USE = "bench"
SOURCE = paths.TOP / "bench"
SIDES = ("base", "series")
ARCHES = ("arm64", "x86_64")
NEWER_ARCH = "x86_64"
COUNTED = ["-icount", "shift=0,sleep=off", "-smp", "1"]
PROCESSOR = {"x86_64": ["-cpu", "qemu64"]}              # it copies with plain moves, not with one long instruction
BOOT = ["slab_nomerge", "swiotlb=512,1"]                # the pool has the size that bench_swiotlb.c wants
BOOT_SERIES = ["swiotlb_overflow=2G,100"]


def bars():
    return tomllib.loads((paths.base_dir() / USE / "bars.toml").read_text(encoding="utf-8"))


def given():
    """Refuse sources of newer kernels that are not there."""
    for variable in map(newer.variable, newer.NAMES):
        path = os.environ.get(variable)
        if path and not Path(path).expanduser().exists():
            raise ui.Failure(f"{variable}: there is no {path}",
                             "give a linux-source package, a tarball or an unpacked tree")


def spreads(values):
    """By how much a cost of mappings in overflow buffers grows with what is outstanding, as values of their own."""
    costs = {}
    for name, (number, _) in values.items():
        cost = re.fullmatch(r"(swiotlb_over_\d+_\w+)_\d+", name)
        if cost:
            costs.setdefault(cost[1], []).append(number)
    return {f"{name}_spread": (max(numbers) / min(numbers) if min(numbers) else 1.0, "max/min")
            for name, numbers in costs.items()}


def verdict(wanted, name, before, after):
    """The bar for a value of the series, None if it has none, and whether it is met; `before` is the base's value.
    A value that was not measured is a miss."""
    if name in wanted["least"]:
        bar = wanted["least"][name]
        return f">={bar:g}", after is not None and after >= bar
    bar = next((bar for pattern, bar in wanted["most"].items() if re.fullmatch(pattern, name)), None)
    if bar == "base":
        bar = before
    return (None, True) if bar is None else (f"<={bar:g}", after is not None and round(after, 1) <= round(bar, 1))


def rows(wanted, arch, columns):
    """Lines of the table; `columns` are the values of the base, of the series and of newer kernels."""
    columns = [{**values, **spreads(values)} for values in columns]
    units = {name: unit for values in reversed(columns) for name, (_, unit) in values.items()}
    for name in dict.fromkeys(name for values in columns for name in values):
        before, after, *others = numbers = [values.get(name, (None,))[0] for values in columns]
        percent = f"{(after - before) / before * 100:+.1f}%" if before and after is not None else "-"
        bar, met = verdict(wanted, name, before, after) if arch == wanted["arch"] else (None, True)
        first, second, *rest = ("-" if number is None else f"{number:.2f}" for number in numbers)
        yield (arch, name, first, second, percent, *rest, units[name], bar or "",
               "" if bar is None else "met" if met else "missed")


def folder(arch, side):
    return paths.build_dir(f"{arch}-{side}", USE)


def build(arch, side, tree):
    """Build one side's kernel and the modules for it; returns the modules."""
    log = paths.log_dir(USE) / f"{arch}-{side}"
    names = ["common", arch, side if side in SIDES else "newer"]
    fragments = [paths.base_dir() / USE / f"{name}.config" for name in names]
    kernel.build(tree, folder(arch, side), arch, [path for path in fragments if path.exists()], log, "modules")
    work = kernel.modules(tree, folder(arch, side), arch, SOURCE, f"{log}.modules.log",
                          "" if side in SIDES else "obj-m := bench_swiotlb.o\n")
    return sorted(work.glob("*.ko"))


def measure(wanted, arch, side, modules):
    """Boot one side; its values. A case may be skipped, for a kernel may lack what it measures."""
    log = paths.log_dir(USE) / f"{arch}-{side}.console.log"
    hung = qemu.start(arch, folder(arch, side), image.archive(arch, paths.out(USE), modules), log,
                      BOOT + (BOOT_SERIES if side == "series" else []), [*COUNTED, *PROCESSOR.get(arch, [])])
    result = report.guest(log.read_text(encoding="utf-8", errors="replace"), f"{arch}-{side}", ui.short(log), hung)
    report.judge(result, {module.stem: wanted["cases"][module.stem] for module in modules},
                 [case.full for case in result.cases()])
    if result.count("failed"):
        for line in report.summary([result]):
            ui.say(line)
        raise ui.Failure(f"{arch}-{side} was not measured", "read its console", log)
    return result.values()


def cmd_bench():
    given()
    wanted = bars()
    steps, composed = begin("bench", 1 + 2 * (len(SIDES) * len(ARCHES) + len(newer.NAMES)), image.packages(ARCHES))
    with steps.step("look for newer kernels"):
        others = newer.sources()
    todo = [(arch, side, paths.tree_dir(USE)) for side in SIDES for arch in ARCHES]
    todo += [(NEWER_ARCH, side, tree) for side, (tree, _) in others.items()]
    steps.total = steps.count + 2 * len(todo)
    values = {}
    for arch, side, tree in todo:
        with steps.step(f"build {arch}, {side}"):
            if side in SIDES:
                composed.checkout(composed.base_commit if side == "base" else composed.tip, tree)
            modules = build(arch, side, tree)
        with steps.step(f"boot {arch}, {side}"):
            values[arch, side] = measure(wanted, arch, side, modules)
    kept = report.keep("bench", {f"{arch}-{side}": numbers for (arch, side), numbers in values.items()})
    header = ("arch", "what", *SIDES, "", *(version for _, version in others.values()), "unit", "bar", "")
    lines = [row for arch in ARCHES
             for row in rows(wanted, arch, [values.get((arch, side), {}) for side in (*SIDES, *others)])]
    for line in ["", *report.table(header, lines)]:
        ui.say(line)
    ui.say("With -icount shift=0 one ns is one instruction.")
    if others:
        ui.say("On this processor 6.1 copies 8 bytes with one instruction, newer kernels with three: "
               "compare them where little is copied.")
    ui.say(f"logs: {ui.short(paths.log_dir(USE))}, numbers: {ui.short(kept)}")
