# SPDX-License-Identifier: GPL-2.0
"""`make ddw`: DMA windows of a pseries guest in QEMU, on the base and on the series.

Each scenario of bases/BASE/ddw/scenarios.toml is a boot, in which ddw.c takes steps with real devices, or with
ddw_probe.ko, which calls the DMA API of a PCI function.
"""

import array
import re
import sys
from dataclasses import dataclass, field, replace

from harness import paths
from harness.guest import image, kernel
from harness.runs import sides
from harness.runs.choice import matching

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
HALF = 2 << 20         # bytes of a disk that are there, and that the guest writes
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

    def __post_init__(self):
        for line in filter(None, self.steps.splitlines()):
            if not STEP.fullmatch(line):
                raise ValueError(f"step of {self.name}: {line}")

    def cases(self):
        """[(case, line for ddw.c, {value: number that it has to have})] of all steps."""
        cases = []
        for bridge in range(self.repeat):
            for line in filter(None, self.steps.splitlines()):
                step, _, wanted = line.partition(" -> ")
                name = f"{len(cases) + 1}-{step.replace(' ', '-')}" + (f"-on-bridge-{bridge}" if bridge else "")
                address = re.sub(r"\b[AB]\b", lambda letter: f"{bridge:04}:00:{'0AB'.index(letter[0]):02}.0", step)
                wanted = wanted.split()
                cases.append((name, f"probe {address}" if step[0] in "AB" else address,
                              dict(zip(wanted[::2], map(int, wanted[1::2])))))
        return [*cases, ("tables", "tables", {}), ("validate", "validate", {})]

    def arguments(self, settings, folder):
        """QEMU's arguments: disks in a folder, host bridges with their functions, the firmware's commands."""
        words = []
        for name in self.disks:
            words += ["-drive", f"if=none,id={name},format=raw,cache=unsafe,file={folder}/{name}"]
        bridges = self.bridges * self.repeat
        for bridge, functions in enumerate(bridges):
            words += ["-device", f"spapr-pci-host-bridge,index={bridge},id=p{bridge}"] if bridge else []
            for slot, function in enumerate(functions, 1):
                function = settings["function"].get(function, function)
                words += ["-device", f"{function},bus={f'p{bridge}.0' if bridge else 'pci.0'},addr={slot}"]
        words += [word for text in self.qemu for word in text.split()]
        if self.entry:
            firmware = settings["firmware"].format(entry=self.entry).split()
            firmware += [f"{settings['first_bridge'] + bridge:x} one-entry" for bridge in range(len(bridges))]
            words += ["-prom-env", "use-nvramrc?=true", "-prom-env", f"nvramrc={' '.join(firmware)}"]
        return words


def entries_left(values):
    """How many entries of default windows are in use, from the values of the case "tables". A default window's number
    ends in 00; one entry of it is reserved. A table that is claimed by a larger window holds no mapping."""
    return sum(number - 1 for name, (number, _) in values.items() if name.endswith("00.weight")
               and not values.get(f"{name.removesuffix('weight')}claimed", (0, ""))[0])


def read(scenario, settings, side, console, silent=False):
    """The Outcome of a boot, from its console."""
    cases = scenario.cases()
    suites = {"ddw": len(cases), **({"devices": 2} if scenario.frames else {})}
    come, booted = sides.outcome(scenario.name, side, console, suites, silent)
    sides.measured(come, console, booted, VALUES, LOG)
    for name, _, wanted in cases:
        case = booted.find(f"ddw.{name}")
        for value, number in wanted.items() if case and case.status == "passed" else ():
            given = case.values.get(value, ("unknown", ""))[0]
            if given != number:
                come.problem(f"{name}: {value} {given}, not {number}")
    tables = booted.find("ddw.tables")
    if tables:
        come.figures["TCEs left"] = entries_left(tables.values)
    for operation in ("map", "unmap"):
        costs = [case.values[f"{operation}_ns"][0] for case in booted.cases() if f"{operation}_ns" in case.values]
        come.figures |= zip((f"{operation} by table", f"{operation} directly"), costs)
    sides.hold(come, console, settings, scenario.rules)
    return come


def pattern(start, size):
    """What ddw.c reads from a disk, and writes to it."""
    words = array.array("Q", (at * 0x9e3779b97f4a7c15 & (1 << 64) - 1 for at in range(start, start + size, 8)))
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes()


class Windows(sides.Run):
    def build(self, composed, side):
        tree = self.build_kernel(composed, side, "modules")
        kernel.modules(tree, self.kernel(side), self.arch, PROBE, self.logs(side) / "ddw_probe.log")

    def boot(self, scenario, side, number):
        """Boot a scenario; the Outcome. What the guest wrote to its disks is compared here."""
        folder = paths.out(self.name)
        steps = folder / "steps"
        steps.write_text("".join(f"{name} {line}\n" for name, line, _ in scenario.cases()), encoding="ascii")
        archive = image.archive(self.arch, folder, [self.kernel(side) / PROBE.name / "ddw_probe.ko"],
                                ["ddw", *(["devices"] if scenario.frames else [])], [("etc/ddw.steps", steps)])
        for disk in scenario.disks:
            (folder / disk).write_bytes(pattern(0, HALF) + bytes(HALF))
        parameters = [*([] if number % 2 else [self.settings["poison"]]), "DEVICE=eth", f"FRAMES={scenario.frames}"]
        come = read(scenario, self.settings, side,
                    *self.boot_guest(side, f"{scenario.name}{f'-{number}' if number else ''}", archive, parameters,
                                     scenario.arguments(self.settings, folder)))
        for disk in scenario.disks:
            if (folder / disk).read_bytes()[HALF:] != pattern(HALF, HALF):
                come.problem(f"{disk}: what was written is not there")
            (folder / disk).unlink()
        return come


def run(which=sides.SIDES, short=False):
    """The Run of all scenarios, or of those that SCENARIO= names; `short` leaves some out, and boots each once."""
    settings, rows = sides.load(paths.base_dir() / "ddw/scenarios.toml", "scenario", Scenario)
    chosen = {name: rows[name] for name in matching("SCENARIO", list(rows), "scenario")}
    if short and len(chosen) == len(rows):
        chosen = {name: replace(scenario, boots=1) for name, scenario in rows.items() if scenario.short}
    return Windows("ddw", "powerpc", which, chosen, settings)


def cmd_ddw():
    return run().command()
