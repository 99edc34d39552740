# SPDX-License-Identifier: GPL-2.0
"""`make ddw`: DMA windows of a pseries guest in QEMU, on the base and on the series.

Each scenario is a boot, in which ddw.c takes steps with real devices, or with ddw_probe.ko, which calls the DMA
API of a PCI function.  What the steps have to give is beside them.  The base may crash; the series may not.
"""

import array
import json
import re
import shutil
import sys
from dataclasses import asdict, dataclass, field

from harness import paths, ui
from harness.guest import guest
from harness.report import report
from harness.runs import devices, lanes
from harness.series import compose
from harness.source import kbuild, packages
from harness.runs.sides import SIDES, Side

USE = "ddw"
ARCH = "powerpc"
PROBE = paths.TOP / "tools/testing/selftests/powerpc/ddw"
# Each second boot of a scenario goes without: what has been freed stays as it is for a while, and is used on.
POISON = ["slub_debug=FZPU"]
MEGABYTES = 4
FRAMES = 256
BUID = 0x20000000       # low half of the first host bridge's number; the next ones follow
PAIRS = 8               # host bridges with two functions each, in a boot of the race
TRIES = 8               # on each of them, unless the window is replaced

# QEMU offers two windows for each host bridge. This word of the firmware creates a window of one entry, so
# that the kernel finds none available, and has to replace the default one. `shift` is the entry's size.
FIRMWARE = ('hex : one-entry >r " ibm,create-pe-dma-window" rtas-get-token rtas-cb rtas>token l! '
            '5 rtas-cb rtas>nargs l! 4 rtas-cb rtas>nret l! 0 rtas-cb rtas>args0 l! 8000000 rtas-cb rtas>args1 l! '
            'r> rtas-cb rtas>args2 l! {shift:x} rtas-cb rtas>args3 l! {shift:x} rtas-cb rtas>args4 l! enter-rtas ;')
EDU = "edu,dma_mask=0xffffffffffffffff"     # it drives all 64 address lines


def on(bridge, *functions):
    """QEMU's arguments for a host bridge with functions at 01.0, 02.0 and so on."""
    words = ["-device", f"spapr-pci-host-bridge,index={bridge},id=p{bridge}"] if bridge else []
    bus = f"p{bridge}.0" if bridge else "pci.0"
    for slot, function in enumerate(functions, 1):
        words += ["-device", f"{function},bus={bus},addr={slot}"]
    return words


def drives(*names):
    """QEMU's arguments for disks that a device names as its drive."""
    return [word for name in names
            for word in ("-drive", f"if=none,id={name},format=raw,cache=unsafe,file={{out}}/{name}")]


def script(text, bridge=0):
    """Steps for ddw.c; A and B are the two functions on a host bridge, and what begins with them is for ddw_probe."""
    found = []
    for line in text.strip().splitlines():
        words = [f"{bridge:04}:00:{'0AB'.index(word):02}.0" if word in ("A", "B") else word for word in line.split()]
        found.append(" ".join((["probe"] if line.split()[0] in ("A", "B") else []) + words))
    return found


@dataclass
class Scenario:
    """A boot: QEMU's arguments, and steps of ddw.c, each with what has to come of it after "->"."""
    about: str
    qemu: list
    steps: list
    bridges: int = 1
    entry: int = None           # shift of the window that the firmware creates; None: it does not
    windows: int = 0            # how many the kernel has to create; None: as many as may be
    disks: tuple = ()
    frames: bool = False        # two NICs, for devices.c
    says: str = ""              # what the series has to say in the log


DISKS = ("nvme", "virtio", "usb")
REAL = [*drives(*DISKS), *on(0, "nvme,serial=1,drive=nvme"),
        *on(1, "virtio-blk-pci,drive=virtio,disable-legacy=on,iommu_platform=on"),
        *on(2, "qemu-xhci,id=xhci"), "-device", "usb-storage,bus=xhci.0,drive=usb",
        "-netdev", "hubport,id=n0,hubid=0", "-netdev", "hubport,id=n1,hubid=0",
        *on(3, "e1000e,romfile=,netdev=n0", "e1000e,romfile=,netdev=n1")]
REAL_STEPS = [f"disk {name} {MEGABYTES} -> wrong 0" for name in ("nvme0n1", "vda", "sda")]
SCENARIOS = {
    "drivers": Scenario("NVMe, virtio-blk, USB storage and e1000e, two windows", REAL, REAL_STEPS, bridges=4,
                        windows=4, disks=DISKS, frames=True),
    "drivers-single": Scenario("the same, one window", REAL, REAL_STEPS, bridges=4, entry=12, windows=4, disks=DISKS,
                               frames=True),
    "two-windows": Scenario("map at 32 bits, set a 64-bit mask, unmap", on(0, EDU), script("""
        bind A
        A map 16 -> done 16 default_window 16
        A mask 64 -> result 0
        A map 2 -> done 2 default_window 0
        A check -> reached 18 lost 0
        A unmap -> done 18
        """), windows=1, says="16 TCEs of the default DMA window in use, the first at 0x1000"),
    "way-back": Scenario("map at 64 bits, set a 32-bit mask, unmap", on(0, EDU), script("""
        bind A
        A mask 64 -> result 0
        A map 16 -> done 16 default_window 0
        A mask 32 -> result 0
        A map 2 -> done 2 default_window 2
        A unmap -> done 18
        """), windows=1),
    "coherent": Scenario("coherent memory across both changes", on(0, EDU), script("""
        bind A
        A alloc 2 -> done 2 default_window 2
        A mask 64 -> result 0
        A coherent_mask 64 -> result 0
        A check -> reached 2 lost 0
        A free -> done 2
        A coherent_mask 64 -> result 0
        A alloc 2 -> done 2 default_window 0
        A coherent_mask 32 -> result 0
        A mask 32 -> result 0
        A check -> reached 2 lost 0
        A free -> done 2
        A alloc 2 -> done 2 default_window 2
        A free -> done 2
        """), windows=1),
    "mixed": Scenario("buffers of both windows at the same time", on(0, EDU), script("""
        bind A
        A map 2 -> done 2 default_window 2
        A alloc 1 -> done 1 default_window 1
        A mask 64 -> result 0
        A map 2 -> done 2 default_window 0
        A coherent_mask 64 -> result 0
        A mask 32 -> result 0
        A map 2 -> done 2 default_window 2
        A mask 64 -> result 0
        A map 2 -> done 2 default_window 0
        A check -> reached 9 lost 0
        A unmap -> done 8
        A free -> done 1
        """), windows=1),
    "neighbour": Scenario("the other function has a driver of 32 bits", on(0, EDU, EDU), script("""
        bind B
        B map 2 -> done 2 default_window 2
        bind A
        A mask 64 -> result 0
        A coherent_mask 64 -> result 0
        A map 2 -> done 2 default_window 0
        A alloc 1 -> done 1 default_window 0
        A check -> reached 3 lost 0
        A unmap -> done 2
        A free -> done 1
        B check -> reached 2 lost 0
        B unmap -> done 2
        """), windows=1),
    "busy": Scenario("one window: busy, then idle, then try again", on(0, EDU), script("""
        bind A
        A map 16 -> done 16 default_window 16
        A mask 64 -> result 0
        A map 1 -> done 1 default_window 1
        A check -> reached 17 lost 0
        A unmap -> done 17
        A mask 64 -> result 0
        A map 1 -> done 1 default_window 0
        A check -> reached 1 lost 0
        A unmap -> done 1
        """), entry=12, windows=1, says="default DMA window stays: 16 TCEs in use, the first at 0x1000"),
    "sibling": Scenario("one window: a driver of 32 bits on the other function", on(0, EDU, EDU), script("""
        bind B
        bind A
        A mask 64 -> result 0
        A map 1 -> done 1 default_window 1
        B map 16 -> done 16 default_window 16
        B check -> reached 16 lost 0
        B unmap -> done 16
        A check -> reached 1 lost 0
        A unmap -> done 1
        unbind B
        A mask 64 -> result 0
        A map 1 -> done 1 default_window 0
        A check -> reached 1 lost 0
        A unmap -> done 1
        """), entry=12, windows=1, says="default DMA window stays: 0000:00:02.0 uses it"),
    "coherent-mask": Scenario("one window: replaced, then a coherent mask of 32 bits", on(0, EDU), script("""
        bind A
        A mask 64 -> result 0
        A map 1 -> done 1 default_window 0
        A check -> reached 1 lost 0
        A coherent_mask 32 -> result -5
        A alloc 1 -> done 0
        A map 1 -> done 1 default_window 0
        A check -> reached 2 lost 0
        A unmap -> done 2
        """), entry=12, windows=1),
    "restore": Scenario("one window: removed, none created, reset",
                        [*on(0, EDU), "-global", "spapr-pci-host-bridge.pgsz=0x100000"], script("""
        bind A
        A mask 64 -> result 0
        A map 16 -> done 16 default_window 16
        A check -> reached 16 lost 0
        A unmap -> done 16
        """), entry=20),
    "cost": Scenario("instructions to map and to unmap a page, by a table and directly",
                     [*on(0, EDU), "-smp", "cpus=1", "-icount", "shift=0,sleep=off"], script("""
        bind A
        A cost 1000 -> done 1000
        A mask 64 -> result 0
        A cost 1000 -> done 1000
        """), windows=1),
    "race": Scenario("one window: another CPU maps on the other function",
                     [word for bridge in range(PAIRS) for word in on(bridge, EDU, "pci-testdev")],
                     [step for bridge in range(PAIRS) for step in script(f"""
        bind A
        A race B {TRIES} -> mapped_replaced 0
        """, bridge)], bridges=PAIRS, entry=12, windows=None),
}
# How many boots of each scenario
FULL = {**dict.fromkeys(SCENARIOS, 1), "race": 16}
QUICK = dict.fromkeys(("two-windows", "coherent", "busy", "sibling", "coherent-mask", "restore", "race"), 1)

# Lines of the kernel's log that nothing may bring
BAD = {
    "hcalls": re.compile(r"plpar_tce_\w+ failed"),
    "handles": re.compile(r"iommu_free: invalid entry"),
    "uncleared": re.compile(r"failed to clear tces in window"),
    "poison": re.compile(r"6b6b6b6b|Poison overwritten|Object padding overwritten|Redzone overwritten"),
}
RESULTS = ("ok", "wrong", "hung", "crash")
CREATED = re.compile(r"ibm,create-pe-dma-window\(.*returned 0 ")
TABLE = re.compile(r"^ddw: table ([0-9a-f]+)((?: \w+ \w+)*)$", re.M)
DEARER = 1.02           # what a map or an unmap may cost, against the base
HEADER = ("scenario", "", "boots", "windows", "TCEs", "DMA", "lost", *BAD, "tries", "replaced", "mapped", "refused",
          "map", "unmap", "result")


@dataclass
class Outcome:
    """What came of a scenario on one side; None is what it does not have."""
    scenario: str
    side: str
    boots: int = 1
    windows: int = 0            # that the kernel created
    left: int = None            # entries in use in default windows, without the one that is reserved
    reached: int = None         # buffers that a device has read and written
    lost: int = None            # and that it has not
    hcalls: int = 0             # lines of the log, see BAD
    handles: int = 0
    uncleared: int = 0
    poison: int = 0
    tries: int = None           # to replace a window in a race
    replaced: int = None
    mapped: int = None          # maps that succeeded in a window that was gone
    refused: int = None         # and those that failed, as they should
    map: list = field(default_factory=list)     # instructions: by a table, directly
    unmap: list = field(default_factory=list)
    result: str = "ok"          # or wrong, or crash, or hung
    problems: list = field(default_factory=list)

    def row(self):
        """A row of the table."""
        words = (self.boots, self.windows, self.left, self.reached, self.lost, self.hcalls, self.handles,
                 self.uncleared, self.poison, self.tries, self.replaced, self.mapped, self.refused,
                 *(" ".join(map(str, cost)) or None for cost in (self.map, self.unmap)))
        return (self.scenario, self.side, *("-" if word is None else word for word in words), self.result)


def answers(console):
    """[(step without its first word, {key: value})] of what ddw_probe said, and of the disks."""
    found = []
    for line in re.findall(r"^ddw: (.*)$", console, re.M):
        words = line.split()
        if words[0] == "probe":
            found.append((" ".join(words[1:]), {}))
        elif words[0] == "disk" and len(words) == 6:
            found.append((f"{words[1]} {MEGABYTES}", dict(zip(words[2::2], words[3::2]))))
        elif len(words) == 2 and found:
            found[-1][1][words[0]] = words[1]
    return found


def entries_left(console):
    """How many entries of default windows are in use at the end; None if the end was not reached."""
    left = None
    for name, text in TABLE.findall(console):
        numbers = dict(zip(text.split()[::2], text.split()[1::2]))
        left = left or 0
        if int(name, 16) & 0xff == 0 and numbers.get("claimed", "0") in "0N":
            left += int(numbers["weight"]) - 1
    return left


def compare(steps, given):
    """What the answers lack of what the steps want; a step without an answer is only told once."""
    given = list(given)
    for step in steps:
        line, _, wanted = step.partition(" -> ")
        kind, _, rest = line.partition(" ")
        if kind not in ("probe", "disk"):
            continue
        if not given or given[0][0] != rest:
            yield f"{rest}: not done"
            return
        values = given.pop(0)[1]
        words = wanted.split()
        for key, value in zip(words[::2], words[1::2]):
            if values.get(key) != value:
                yield f"{rest}: {key} {values.get(key, 'unknown')}, not {value}"


def read(name, side, console):
    """The Outcome of a console."""
    scenario, one = SCENARIOS[name], Outcome(name, side)
    lines = [report.STAMP.sub("", line) for line in console.replace("\r", "").splitlines()]
    console = "\n".join(lines)
    one.windows = len(CREATED.findall(console))
    for key, text in BAD.items():
        setattr(one, key, sum(1 for line in lines if text.search(line)))
    given = answers(console)

    def total(key):
        values = [int(values[key]) for _, values in given if key in values]
        return sum(values) if values else None
    one.reached, one.lost, one.tries = total("reached"), total("lost"), total("tries")
    one.replaced, one.mapped, one.refused = total("replaced"), total("mapped_replaced"), total("failed_replaced")
    one.map, one.unmap = ([int(values[key]) for _, values in given if key in values] for key in ("map_ns", "unmap_ns"))
    one.left = entries_left(console)
    hung = re.search(r"^ddw: hung in (.*)$", console, re.M)
    trouble = next((line for line in lines if report.TROUBLE.search(line)), None)
    done = bool(report.END.search(console))
    one.problems += [trouble] if trouble else []
    one.problems += [line.removeprefix("ddw: ") for line in lines if line.startswith(("ddw: error ", "ddw: hung "))]
    if done or not trouble and not hung:
        one.problems += compare(scenario.steps, given)
    if one.left:
        one.problems.append(f"{one.left} TCEs left")
    one.problems += [f"{key}: {getattr(one, key)} lines" for key in BAD if getattr(one, key)]
    if scenario.windows is not None and one.windows != scenario.windows:
        one.problems.append(f"{one.windows} windows, not {scenario.windows}")
    if one.replaced and not one.mapped and not one.refused:
        one.problems.append("nobody mapped after the window was replaced, so this shows nothing")
    if scenario.frames:
        moved = re.search(r"^devices: frames sent (\d+) received (\d+) corrupt (\d+) bytes \d+$", console, re.M)
        if not moved or moved[1] != moved[2] or moved[3] != "0":
            one.problems.append(f"frames: {moved[0] if moved else 'none'}")
    if scenario.says and scenario.says not in console:
        one.problems.append(f"the log does not say: {scenario.says}")
    if not done:
        one.problems.append("the guest did not restart by itself")
        one.result = "crash" if trouble and not hung else "hung"
    elif one.problems or guest.DONE not in console:
        one.problems = one.problems or ["a program failed in the guest"]
        one.result = "wrong"
    return one


def add(outcomes):
    """One Outcome of several boots of a scenario."""
    one = outcomes[0]
    for other in outcomes[1:]:
        one.boots += 1
        for key in ("windows", "left", "reached", "lost", *BAD, "tries", "replaced", "mapped", "refused"):
            values = [value for value in (getattr(one, key), getattr(other, key)) if value is not None]
            setattr(one, key, sum(values) if values else None)
        one.problems += other.problems
        one.result = max(one.result, other.result, key=RESULTS.index)
    return one


def compare_costs(outcomes):
    """The series may not be dearer than the base, where both were measured."""
    base = {one.scenario: one for one in outcomes if one.side == "base"}
    for one in outcomes:
        if one.side != "series" or one.scenario not in base:
            continue
        for key in ("map", "unmap"):
            for before, after in zip(getattr(base[one.scenario], key), getattr(one, key)):
                if after > DEARER * before:
                    one.problems.append(f"{key}: {after} instructions, {before} on the base")
                    one.result = max(one.result, "wrong", key=RESULTS.index)


def pattern(start, size):
    """What ddw.c reads from a disk, and writes to it."""
    words = array.array("Q", (at * 0x9e3779b97f4a7c15 & (1 << 64) - 1 for at in range(start, start + size, 8)))
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes()


def of(name):
    """One side's work tree, kernel and logs."""
    return Side(USE, ARCH, name)


def build(tip, side):
    """Build one side's kernel, and the probe for it."""
    one = of(side)
    tree, work = one.build(tip, "modules"), one.folder / "ddw_probe"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(PROBE, work)
    kbuild.make(tree, one.folder, ARCH, [f"M={work}", "modules"], one.logs / f"{ARCH}-{side}.modules.log",
                name=f"ddw_probe for {side}")


def initramfs(name, side):
    """The user space of a scenario."""
    scenario, out, logs = SCENARIOS[name], lanes.out(USE), lanes.out(USE) / "log"
    steps = out / "steps"
    programs = [guest.program(ARCH, word, out, logs / f"{word}.log")
                for word in ("ddw", *(["devices"] if scenario.frames else []))]
    steps.write_text("".join(f"{step.partition(' -> ')[0]}\n" for step in [*scenario.steps, "tables", "validate"]),
                     encoding="ascii")
    archive = guest.initramfs(guest.init(ARCH, out, logs / "init.log"), [of(side).folder / "ddw_probe/ddw_probe.ko"],
                              programs, [("etc/ddw.steps", steps)])
    (out / "initramfs").write_bytes(archive)
    return out / "initramfs"


def boot(name, side, number):
    """Boot a scenario, and read what came of it."""
    scenario, out = SCENARIOS[name], lanes.out(USE)
    log = of(side).logs / f"{name}{f'-{number}' if number else ''}.console.log"
    archive, half = initramfs(name, side), MEGABYTES << 19
    for disk in scenario.disks:
        (out / disk).write_bytes(pattern(0, half) + bytes(half))
    qemu = ["-smp", "2", *(word.format(out=out) for word in scenario.qemu)]
    if scenario.entry:
        words = [FIRMWARE.format(shift=scenario.entry), *(f"{BUID + i:x} one-entry" for i in range(scenario.bridges))]
        qemu += ["-prom-env", "use-nvramrc?=true", "-prom-env", f"nvramrc={' '.join(words)}"]
    try:
        guest.start(ARCH, of(side).folder, archive, log,
                    [*([] if number % 2 else POISON), "DEVICE=eth", f"FRAMES={FRAMES}"], qemu, devices.watch(log))
    except devices.Silence:
        pass
    one = read(name, side, log.read_text(encoding="utf-8", errors="replace"))
    for disk in scenario.disks:
        if (out / disk).read_bytes()[half:] != pattern(half, half):
            one.problems.append(f"{disk}: what was written is not there")
            one.result = max(one.result, "wrong", key=RESULTS.index)
        (out / disk).unlink()
    return one


def steps(sides, boots):
    """How many steps measure() takes."""
    return len(sides) * (1 + len(boots))


def measure(progress, tip, sides, boots):
    """Build and boot; the outcomes."""
    found = []
    for side in sides:
        with progress.step(f"build the kernel for pseries, {side}"):
            build(tip, side)
        for name, count in boots.items():
            with progress.step(f"boot {name}, {side}: {SCENARIOS[name].about}"):
                found.append(add([boot(name, side, number) for number in range(count)]))
                ui.say(f"  {found[-1].result}")
    compare_costs(found)
    kept = paths.OUT / "report"
    kept.mkdir(parents=True, exist_ok=True)
    (kept / "ddw.json").write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n", encoding="utf-8")
    return found


def table(outcomes):
    """The lines to print: base beside series for each scenario, and what was wrong first."""
    ordered = sorted(outcomes, key=lambda one: list(SCENARIOS).index(one.scenario))
    return [*report.table(HEADER, [one.row() for one in ordered]),
            *(f"{one.scenario}, {one.side}: {one.problems[0]}" for one in ordered if one.problems),
            f"consoles: {', '.join(ui.short(of(side).logs) for side in SIDES)}"]


def judged(outcomes):
    """The series' outcomes as the Report of a lane."""
    ours = [one for one in outcomes if one.side == "series"]
    suite = report.Suite(USE, len(ours), True)
    for one in ours:
        case = report.Case(suite.name, one.scenario)
        for problem in one.problems:
            case.fail(problem)
        suite.cases.append(case)
    result = report.Report(f"{ARCH}-{USE}", ui.short(of("series").logs), [suite], ended=True)
    report.write(result, paths.OUT / "report")
    return result


def cmd_ddw():
    """Both sides, and one table."""
    progress = ui.Steps("ddw", 2 + steps(SIDES, FULL))
    with progress.step("look for packages"):
        packages.ensure(guest.packages([ARCH]))
    with progress.step(f"fetch Linux {paths.BASE} and compose the series"):
        tip = compose.prepare()
    found = measure(progress, tip, SIDES, FULL)
    ui.say()
    for line in table(found):
        ui.say(line)
    return report.finish([judged(found)])
