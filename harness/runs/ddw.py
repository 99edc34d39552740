# SPDX-License-Identifier: GPL-2.0
"""`make ddw`: DMA windows of a pseries guest in QEMU, on the base and on the series.

Each scenario of bases/BASE/ddw/scenarios.toml is a boot, in which ddw.c takes steps with real devices, or with
ddw_probe.ko, which calls the DMA API of a PCI function.
"""

import array
import re
import shutil
import sys
from dataclasses import dataclass, field

from harness import paths
from harness.guest import guest
from harness.runs import lanes, sides
from harness.source import kbuild

PROBE = paths.TOP / "tools/testing/selftests/powerpc/ddw"
VALUES = {"buffers reached": "ddw.reached", "buffers lost": "ddw.lost", "tries": "ddw.tries",
          "replaced": "ddw.replaced", "mapped in vain": "ddw.mapped_replaced", "refused": "ddw.failed_replaced",
          "frame bytes": "devices.compared", "lost frames": "devices.lost", "corrupt frames": "devices.corrupt"}
LOG = {
    "windows": [re.compile(r"ibm,create-pe-dma-window\(.*returned 0 ")],
    "failed hypercalls": [re.compile(r"plpar_tce_\w+ failed")],
    "unmaps in the wrong window": [re.compile(r"iommu_free: invalid entry")],
    "windows not cleared": [re.compile(r"failed to clear tces in window")],
    "uses after free": [re.compile(r".*(?:6b6b6b6b|(?:Poison|Object padding|Redzone) overwritten)")],
}
STEP = re.compile(r"(?:(?:un)?bind [AB]|[AB] \w+(?: [\w ]+)?|disk \w+ \d+)(?: ->(?: \w+ -?\d+)+)?")


@dataclass
class Scenario:
    """A row of scenarios.toml; see the comment at its top."""
    name: str
    rules: dict
    about: str
    bridges: list
    steps: str
    boots: int = 1
    short: bool = False
    repeat: int = 1
    qemu: list = field(default_factory=list)
    disks: list = field(default_factory=list)
    frames: int = 0
    entry: int = 0
    settings: dict = field(default_factory=dict)        # of the file

    def __post_init__(self):
        self.bridges = self.bridges * self.repeat
        wrong = [line for line in self.steps.splitlines() if line and not STEP.fullmatch(line)]
        if wrong:
            raise ValueError(f"step of {self.name}: {wrong[0]}")

    def cases(self):
        """[(case, line for ddw.c, {value: number that it has to have})] of all steps."""
        cases = []
        for bridge in range(self.repeat):
            for line in self.steps.split("\n"):
                step, _, wanted = line.partition(" -> ")
                words, wanted = step.split(), wanted.split()
                if words:
                    name = "-".join([str(len(cases) + 1), *(f"{word}{bridge or ''}" if word in ("A", "B") else word
                                                            for word in words)])
                    verb = ["probe"] if words[0] in ("A", "B") else []
                    words = [f"{bridge:04}:00:{'0AB'.index(word):02}.0" if word in ("A", "B") else word
                             for word in words]
                    cases.append((name, " ".join([*verb, *words]), dict(zip(wanted[::2], map(int, wanted[1::2])))))
        return [*cases, ("tables", "tables", {}), ("validate", "validate", {})]

    def arguments(self, folder):
        """QEMU's arguments: disks in the folder, host bridges with their functions, the firmware's commands."""
        words = []
        for name in self.disks:
            words += ["-drive", f"if=none,id={name},format=raw,cache=unsafe,file={folder}/{name}"]
        for bridge, functions in enumerate(self.bridges):
            words += ["-device", f"spapr-pci-host-bridge,index={bridge},id=p{bridge}"] if bridge else []
            for slot, function in enumerate(functions, 1):
                function = self.settings["function"].get(function, function)
                words += ["-device", f"{function},bus={f'p{bridge}.0' if bridge else 'pci.0'},addr={slot}"]
        words += [word for text in self.qemu for word in text.split()]
        if self.entry:
            firmware = self.settings["firmware"].format(entry=self.entry).split()
            firmware += [f"{self.settings['first_bridge'] + bridge:x} one-entry" for bridge in range(len(self.bridges))]
            words += ["-prom-env", "use-nvramrc?=true", "-prom-env", f"nvramrc={' '.join(firmware)}"]
        return words


def scenarios(short):
    """{name: Scenario} of the base."""
    settings, rows = sides.load(paths.TOP / "bases" / paths.BASE / "ddw/scenarios.toml", "scenario", Scenario)
    for scenario in rows.values():
        scenario.settings, scenario.boots = settings, 1 if short else scenario.boots
    return {name: scenario for name, scenario in rows.items() if scenario.short or not short}


def entries_left(values):
    """How many entries of default windows are in use, from the values of the case "tables". A default window's number
    ends in 00; one entry of it is reserved. A table that is claimed by a larger window holds no mapping."""
    return sum(number - 1 for name, (number, _) in values.items() if name.endswith("00.weight")
               and not values.get(f"{name.removesuffix('weight')}claimed", (0, ""))[0])


def read(scenario, side, console, silent=False):
    """The Outcome of a boot, from its console."""
    cases = scenario.cases()
    suites = {"ddw": len(cases), **({"devices": 2} if scenario.frames else {})}
    come, booted = sides.outcome(scenario.name, side, console, suites, silent)
    sides.measured(come, console, booted, VALUES, LOG)
    for name, _, wanted in cases:
        case = booted.find(f"ddw.{name}")
        for value, number in wanted.items() if case and case.status == "passed" else ():
            if case.values.get(value, ("unknown",))[0] != number:
                come.problem(f"{name}: {value} {case.values.get(value, ('unknown',))[0]}, not {number}")
    tables = booted.find("ddw.tables")
    if tables:
        come.figures["TCEs left"] = entries_left(tables.values)
    for operation in ("map", "unmap"):
        costs = [case.values[f"{operation}_ns"][0] for case in booted.cases() if f"{operation}_ns" in case.values]
        come.figures |= zip((f"{operation} by table", f"{operation} directly"), costs)
    sides.hold(come, console, scenario.settings, scenario.rules)
    return come


def pattern(start, size):
    """What ddw.c reads from a disk, and writes to it."""
    words = array.array("Q", (at * 0x9e3779b97f4a7c15 & (1 << 64) - 1 for at in range(start, start + size, 8)))
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes()


def build(composed, side):
    """Build one side's kernel, and the probe for it."""
    tree, work = side.build(composed, "modules"), side.folder / "ddw_probe"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(PROBE, work)
    kbuild.make(tree, side.folder, side.arch, [f"M={work}", "modules"], side.logs / "ddw_probe.log",
                name=f"build of ddw_probe for {side.name}")


def initramfs(scenario, side):
    """The user space of a scenario; its path."""
    folder, names = lanes.out(side.run), ["ddw", *(["devices"] if scenario.frames else [])]
    init, *programs = (guest.program(side.arch, name, folder, folder / f"log/{name}.log") for name in ["init", *names])
    steps = folder / "steps"
    steps.write_text("".join(f"{name} {line}\n" for name, line, _ in scenario.cases()), encoding="ascii")
    path = folder / "initramfs"
    path.write_bytes(guest.initramfs(init, [side.folder / "ddw_probe/ddw_probe.ko"], programs, [("etc/ddw.steps", steps)]))
    return path


def boot(scenario, side, number):
    """Boot a scenario; the Outcome. What the guest wrote to disks is compared here."""
    folder, half = lanes.out(side.run), 2 << 20
    archive = initramfs(scenario, side)
    for disk in scenario.disks:
        (folder / disk).write_bytes(pattern(0, half) + bytes(half))
    parameters = [*([] if number % 2 else [scenario.settings["poison"]]), "DEVICE=eth", f"FRAMES={scenario.frames}"]
    come = read(scenario, side.name, *side.boot(f"{scenario.name}{f'-{number}' if number else ''}", archive, parameters,
                                                scenario.arguments(folder)))
    for disk in scenario.disks:
        if (folder / disk).read_bytes()[half:] != pattern(half, half):
            come.problem(f"{disk}: what was written is not there")
        (folder / disk).unlink()
    return come


RUN = sides.Run("ddw", "powerpc", "SCENARIO", scenarios, build, boot)
cmd_ddw = RUN.command
