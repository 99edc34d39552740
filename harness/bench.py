# SPDX-License-Identifier: GPL-2.0
"""`make bench`: the modules in bench/, on the base and on the series, side by side.

QEMU's -icount shift=0 makes a virtual nanosecond of every instruction, so the numbers are counts of
instructions; they are the same on every machine with the same compiler.
"""

import json
import re
import shutil

from harness import guest, kbuild, lanes, packages, paths, report, ui

USE = "bench"
SOURCE = paths.TOP / "bench"
SIDES = ("base", "series")
COUNTED = ["-icount", "shift=0,sleep=off", "-smp", "1"]
LINE = re.compile(r"bench: (\S+) ([\d.]+) (\S+)$", re.M)


def results(console):
    """{name: (number, unit)} of a console."""
    return {name: (float(number), unit) for name, number, unit in LINE.findall(console.replace("\r", ""))}


def rows(arch, base, series):
    """Lines of the table: both numbers and what they differ by."""
    found = []
    for name in dict.fromkeys([*base, *series]):
        if name not in base or name not in series:
            raise ui.Failure(f"{name} was measured on one side only", f"see {ui.short(lanes.log_dir(USE))}")
        before, after = base[name][0], series[name][0]
        percent = f"{(after - before) / before * 100:+.1f}%" if before else "-"
        found.append((arch, name, f"{before:.2f}", f"{after:.2f}", f"{after - before:+.2f}", percent, base[name][1]))
    return found


def folder(arch, side):
    """Objects of one side's kernel."""
    return lanes.out(USE) / "build" / paths.BASE / f"{arch}-{side}"


def configure(arch, side):
    """Write .config from the fragments of the base."""
    build, fragments = folder(arch, side), paths.TOP / "series" / paths.BASE / "bench"
    build.mkdir(parents=True, exist_ok=True)
    text = "".join((fragments / f"{name}.config").read_text(encoding="utf-8") for name in ("common", arch))
    wanted = build / "fragments"
    if (build / ".config").exists() and wanted.exists() and wanted.read_text(encoding="utf-8") == text:
        return
    (build / ".config").write_text(text, encoding="utf-8")
    kbuild.make(lanes.tree_dir(USE), build, arch, ["olddefconfig"],
                lanes.log_dir(USE) / f"{arch}-{side}.config.log")
    config = (build / ".config").read_text(encoding="utf-8").splitlines()
    lost = [line for line in text.splitlines() if re.match(r"CONFIG_|# CONFIG_", line) and
            line not in config and not (line.endswith("not set") and line.split()[1] + "=" not in "\n".join(config))]
    if lost:
        raise ui.Failure(f"the kernel's configuration does not take {lost[0]}",
                         f"mend series/{paths.BASE}/bench/")
    wanted.write_text(text, encoding="utf-8")


def build(arch, side):
    """Build one side's kernel and the modules for it; returns the modules."""
    tree, log = lanes.tree_dir(USE), lanes.log_dir(USE) / f"{arch}-{side}"
    configure(arch, side)
    kbuild.make(tree, folder(arch, side), arch, [guest.MACHINES[arch][0].rsplit("/", 1)[1], "modules"],
                f"{log}.build.log", name=f"build of {arch}-{side}")
    work = folder(arch, side) / "dma-reach-bench"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(SOURCE, work)
    kbuild.make(tree, folder(arch, side), arch, [f"M={work}", "modules"], f"{log}.modules.log",
                name=f"modules for {arch}-{side}")
    return sorted(work.glob("*.ko"))


def measure(arch, side, modules):
    """Boot one side and read its numbers."""
    program = guest.init(arch, lanes.out(USE), lanes.log_dir(USE) / f"{arch}.init.log")
    initrd = folder(arch, side) / "initramfs"
    initrd.write_bytes(guest.initramfs(program, modules))
    log = lanes.log_dir(USE) / f"{arch}-{side}.console.log"
    console = guest.boot(arch, folder(arch, side), initrd, log, ["slab_nomerge"], COUNTED)
    trouble = next((line for line in console.splitlines() if report.TROUBLE.search(line)), None)
    found = results(console)
    if trouble or not found:
        raise ui.Failure(f"{arch}-{side}: {trouble or 'nothing was measured'}", "read its console", log)
    return found


def cmd_bench():
    """Build, boot and compare."""
    from harness import series
    arches = list(guest.MACHINES)
    steps = ui.Steps("bench", 2 + len(SIDES) * (1 + 2 * len(arches)))
    with steps.step("look for packages"):
        packages.ensure(guest.packages(arches))
    with steps.step("compose the series"):
        tip = series.prepare(paths.BASE)
    found = {}
    for side in SIDES:
        with steps.step(f"put the {side} into a work tree"):
            tip.checkout(tip.base_commit if side == "base" else tip.tip, lanes.tree_dir(USE))
        for arch in arches:
            with steps.step(f"build {arch}, {side}"):
                modules = build(arch, side)
            with steps.step(f"boot {arch}, {side}"):
                found[arch, side] = measure(arch, side, modules)
    table = [row for arch in arches for row in rows(arch, *(found[arch, side] for side in SIDES))]
    kept = paths.OUT / "report/bench.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps({f"{arch}-{side}": values for (arch, side), values in found.items()}, indent=1)
                    + "\n", encoding="utf-8")
    ui.say()
    for line in report.table(("arch", "what", "base", "series", "difference", "", "unit"), table):
        ui.say(line)
    ui.say("With -icount shift=0 one ns is one instruction.")
    ui.say(f"logs: {ui.short(lanes.log_dir(USE))}, numbers: {ui.short(kept)}")
