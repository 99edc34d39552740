# SPDX-License-Identifier: GPL-2.0
"""Lanes: which kernels to build, how to boot them, and what has to come out.

They are described in bases/<base>/lanes.toml, and built and booted by the base's own
tools/testing/kunit/kunit.py, so whatever passes here a maintainer can repeat without this harness.
"""

import os
import tomllib
from dataclasses import dataclass, field

from harness import paths, ui
from harness.guest import qemu
from harness.report import report
from harness.source import kbuild

WATCHDOG = 900          # seconds for a guest; it needs a few, so this only ends a hang


@dataclass
class Kernel:
    """A configuration to build."""
    name: str
    arch: str
    fragments: list


@dataclass
class Lane:
    """One boot of a kernel."""
    name: str
    kernel: Kernel
    suites: dict
    boot: list = field(default_factory=list)
    qemu: list = field(default_factory=list)
    glob: str = ""
    may_skip: list = field(default_factory=list)
    timeout: int = WATCHDOG
    long: bool = False
    torture: int = 0                    # seconds; 0: a lane of KUnit suites
    outside: list = field(default_factory=list)


def load(base):
    """The lanes of a base, by name, in the order of the file."""
    return read((paths.TOP / "bases" / base / "lanes.toml").read_text(encoding="utf-8"))


def read(text):
    """The lanes in the text of a lanes.toml; anything not understood is an error."""
    try:
        data = tomllib.loads(text)
        kernels = {name: Kernel(name, **values) for name, values in data.pop("kernel").items()}
        lanes = {}
        for name, values in data.pop("lane").items():
            kernel = kernels[values.pop("kernel")]
            lanes[name] = Lane(name, kernel, **values)
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ui.Failure(f"lanes.toml is wrong: {error}", "compare with the comment at its top") from error
    wrong = [lane.name for lane in lanes.values() if not lane.suites or min(lane.suites.values()) < 1]
    if data or wrong:
        raise ui.Failure(f"lanes.toml is wrong: {', '.join([*data, *wrong])}",
                         "each lane needs suites with at least one case; only kernel and lane tables exist")
    unknown = [kernel.arch for kernel in kernels.values() if kernel.arch not in kbuild.ARCHES]
    if unknown:
        raise ui.Failure(f"lanes.toml names an unknown architecture: {unknown[0]}",
                         f"use one of {', '.join(kbuild.ARCHES)}")
    return lanes


def select(lanes, wanted):
    """The lanes to run: those that are not long, or "all", or a list of names."""
    if not wanted:
        return [lane for lane in lanes.values() if not lane.long]
    if wanted == "all":
        return list(lanes.values())
    names = wanted.replace(",", " ").split()
    unknown = [name for name in names if name not in lanes]
    if unknown:
        raise ui.Failure(f"there is no lane {unknown[0]}", f"use LANES=all or some of {' '.join(lanes)}")
    return [lanes[name] for name in names]


def kunit(kernel, use, command, arguments, log, **options):
    """Call the tree's kunit.py."""
    tree, build = tree_dir(use), build_dir(kernel, use)
    series = paths.TOP / "bases" / paths.BASE
    cmd = ["python3", tree / "tools/testing/kunit/kunit.py", command, f"--build_dir={build}",
           f"--arch={kernel.arch}", f"--qemu_config={qemu.kunit_config(kernel.arch)}",
           f"--cross_compile={kbuild.prefix(kernel.arch)}"]
    cmd += [f"--kunitconfig={series / 'kunit' / fragment}.config" for fragment in kernel.fragments]
    cmd += [f"--make_options={variable}" for variable in kbuild.variables(kernel.arch, tree, build)]
    return ui.run([*cmd, *arguments], log, cwd=tree, env=kbuild.environment(), **options)


def out(use=""):
    """Where a use of lanes has its trees, builds and logs. All are laid out alike, so that compiler
    results in ccache, which know relative paths only, serve every use."""
    return paths.OUT / use if use else paths.OUT


def tree_dir(use=""):
    """The work tree."""
    return out(use) / "tree" / paths.BASE


def build_dir(kernel, use=""):
    """The objects of a kernel."""
    return out(use) / "build" / paths.BASE / kernel.name


def log_dir(use=""):
    """The logs."""
    return out(use) / "log" / paths.BASE


def build(kernel, use=""):
    """Configure and build a kernel from the work tree; only what has changed, if it was built before."""
    folder = build_dir(kernel, use)
    folder.mkdir(parents=True, exist_ok=True)
    kunit(kernel, use, "build", [f"--jobs={kbuild.jobs()}"],
          log_dir(use) / f"{kernel.name}.build.log", status=kbuild.Objects(folder),
          name=f"build of {kernel.name}")


def boot(lane, use="", glob="", name=None, timeout=None):
    """Boot a lane's kernel and return the Report, not yet judged. `glob` limits the suites."""
    log, timeout = log_dir(use) / f"{name or lane.name}.console.log", timeout or lane.timeout
    arguments = ["--raw_output=all", f"--timeout={timeout}"]
    arguments += [f"--kernel_args={word}" for word in lane.boot]
    arguments += [f"--qemu_args={word}" for word in lane.qemu]
    glob = glob or lane.glob
    kunit(lane.kernel, use, "exec", [*arguments, *([glob] if glob else [])],
          log, check=False, name=f"boot of {name or lane.name}",
          status=lambda: f"{log.stat().st_size // 1024} KB of console" if log.exists() else "")
    text = log.read_text(encoding="utf-8", errors="replace")
    result = report.parse(text, name or lane.name, ui.short(log))
    if f"timed out after {timeout} seconds" in text:
        result.hung = True
        result.problems.append(f"the guest hung, and was ended after {timeout} s; its last lines:\n"
                               + "\n".join(f"    {line}" for line in tail(text)))
    return result


def tail(text, count=5):
    """The last lines of the guest itself, without those of kunit.py."""
    lines = [line for line in text.splitlines()
             if line.strip() and not line.startswith(("stty:", "Command ")) and "] Elapsed time:" not in line]
    return lines[-count:]


def run(lane, use=""):
    """Boot a lane, hold it against what it has to give, and keep the report."""
    from harness.runs import torture
    booted = torture.boot(lane, use) if lane.torture else boot(lane, use)
    booted.problems = [line for line in booted.problems if not any(text in line for text in lane.outside)]
    result = report.judge(booted, lane.suites, lane.may_skip)
    report.write(result, paths.OUT / "report")
    return result


def named():
    """Whether LANES= gives names."""
    return os.environ.get("LANES", "") not in ("", "all")


def wanted():
    """What the user asked for with LANES=."""
    return select(load(paths.BASE), os.environ.get("LANES", ""))
