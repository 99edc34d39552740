# SPDX-License-Identifier: GPL-2.0
"""Lanes: which kernels to build, how to boot them, and what has to come out.

They are described in bases/<base>/lanes.toml, and built and booted by the base's own
tools/testing/kunit/kunit.py, so whatever passes here a maintainer can repeat without this harness.
"""

import contextlib
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from harness import paths, report, ui
from harness.guest import qemu
from harness.source import kbuild

WATCHDOG = 900          # seconds for a guest; it needs a few, so this only ends a hang


@dataclass
class Kernel:
    """A configuration to build; `fragments` are names in kunit/, or paths without .config."""
    name: str
    arch: str
    fragments: list


@dataclass
class Lane:
    """One boot of a kernel."""
    name: str
    kernel: Kernel
    suites: dict                        # name: number of cases
    boot: list = field(default_factory=list)
    qemu: list = field(default_factory=list)
    glob: str = ""
    may_skip: list = field(default_factory=list)
    timeout: int = WATCHDOG
    long: bool = False
    torture: int = 0                    # seconds; 0: a lane of KUnit suites
    outside: list = field(default_factory=list)
    parts: dict = field(default_factory=dict)           # name of a suite: part of the series that it tests

    def arguments(self):
        """QEMU's arguments, word by word."""
        return [word for text in self.qemu for word in text.split()]


def load():
    """The lanes of the base, by name, in the order of the file."""
    return read((paths.base_dir() / "lanes.toml").read_text(encoding="utf-8"))


def read(text):
    """The lanes in the text of a lanes.toml; anything not understood is an error."""
    try:
        data = tomllib.loads(text)
        parts = {suite: part for part, suites in data.pop("suites").items() for suite in suites}
        kernels = {name: Kernel(name, **values) for name, values in data.pop("kernel").items()}
        lanes = {}
        for name, values in data.pop("lane").items():
            kernel = kernels[values.pop("kernel")]
            lanes[name] = Lane(name, kernel, parts={suite: parts[suite] for suite in values["suites"]}, **values)
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ui.Failure(f"lanes.toml is wrong: {error}", "compare with the comment at its top") from error
    wrong = [lane.name for lane in lanes.values() if not lane.suites or min(lane.suites.values()) < 1]
    wrong += [kernel.name for kernel in kernels.values() if kernel.arch not in kbuild.ARCHES]
    if data or wrong:
        raise ui.Failure(f"lanes.toml is wrong: {', '.join([*data, *wrong])}",
                         "each lane needs suites with at least one case; only suites, kernel and lane tables exist; "
                         f"an architecture is one of {', '.join(kbuild.ARCHES)}")
    return lanes


def select(lanes, names):
    """The lanes to run: those that are not long, or "all", or a list of names."""
    if not names:
        return [lane for lane in lanes.values() if not lane.long]
    if names == "all":
        return list(lanes.values())
    chosen = names.replace(",", " ").split()
    unknown = [name for name in chosen if name not in lanes]
    if unknown:
        raise ui.Failure(f"there is no lane {unknown[0]}", f"use LANES=all or some of {' '.join(lanes)}")
    return [lanes[name] for name in chosen]


def fragment(name):
    """The file of a fragment, without .config."""
    return paths.base_dir() / "kunit" / name


def kunit(kernel, use, command, arguments, log, **options):
    tree, build_folder = paths.tree_dir(use), paths.build_dir(kernel.name, use)
    cmd = ["python3", tree / "tools/testing/kunit/kunit.py", command, f"--build_dir={build_folder}",
           f"--arch={kernel.arch}", f"--qemu_config={qemu.kunit_config(kernel.arch)}",
           f"--cross_compile={kbuild.prefix(kernel.arch)}"]
    cmd += [f"--kunitconfig={fragment(name)}.config" for name in kernel.fragments]
    cmd += [f"--make_options={variable}" for variable in kbuild.variables(kernel.arch, tree, build_folder)]
    return ui.run([*cmd, *arguments], log, cwd=tree, env=kbuild.environment(), **options)


def build(kernel, use="", name=None):
    """Configure and build a kernel from the work tree; only what has changed, if it was built before."""
    folder, name = paths.build_dir(kernel.name, use), name or kernel.name
    folder.mkdir(parents=True, exist_ok=True)
    kunit(kernel, use, "build", [f"--jobs={kbuild.jobs()}"], paths.log_dir(use) / f"{name}.build.log",
          status=kbuild.Objects(folder), name=f"build of {name}")


DEFINED = re.compile(r"^\s*(?:menu)?config\s+(\w+)", re.M)
OPTION = re.compile(r"(?:# )?CONFIG_(\w+)")


def kconfig(tree):
    """The text of all Kconfig files of a tree."""
    paths_there = sorted(Path(folder, name) for folder, _, names in os.walk(tree) for name in names
                         if name.startswith("Kconfig"))
    return "".join(path.read_text(encoding="utf-8") for path in paths_there)


def defined(text):
    """The options that the text of Kconfig files defines."""
    return set(DEFINED.findall(text))


def fragment_of(name, options):
    """The text of a fragment, with those options only."""
    lines = fragment(f"{name}.config").read_text(encoding="utf-8").splitlines(True)
    named = [OPTION.match(line) for line in lines]
    return "".join(line for line, option in zip(lines, named) if not option or option[1] in options)


def known_to(tree, kernel, use):
    """The kernel with those options only that the tree has: earlier commits lack what later ones bring."""
    options = defined(kconfig(tree))
    path = paths.out(use) / "kunit" / f"{kernel.name}.config"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(fragment_of(name, options) for name in kernel.fragments), encoding="utf-8")
    return Kernel(kernel.name, kernel.arch, [str(path.with_suffix(""))])


class Enough(Exception):
    """A guest need not go on."""


def stop_if(enough):
    if enough:
        raise Enough


def boot(lane, use="", glob="", name=None, timeout=None, enough=None):
    """Boot a lane's kernel and return the Report, not yet judged. `glob` limits the suites, or is suite.case.
    `enough` gets the console so far, about twice a second, and says whether the rest of it is not needed."""
    name, timeout, glob = name or lane.name, timeout or lane.timeout, glob or lane.glob
    log = paths.log_dir(use) / f"{name}.console.log"
    arguments = ["--raw_output=all", f"--timeout={timeout}"]
    arguments += [f"--kernel_args={word}" for word in lane.boot]
    arguments += [f"--qemu_args={word}" for word in lane.qemu]
    with contextlib.suppress(Enough):
        kunit(lane.kernel, use, "exec", [*arguments, *([glob] if glob else [])], log, check=False, name=f"boot of {name}",
              status=lambda: f"{log.stat().st_size // 1024} KB of console" if log.exists() else "",
              watch=enough and (lambda: stop_if(enough(log.read_text(encoding="utf-8", errors="replace")))))
    text = log.read_text(encoding="utf-8", errors="replace")
    result = report.parse(text, name, ui.short(log))
    if f"timed out after {timeout} seconds" in text:
        result.hung = True
        last = [line for line in text.splitlines() if line.strip()                      # without those of kunit.py
                and not line.startswith(("stty:", "Command ")) and "] Elapsed time:" not in line][-5:]
        message = f"the guest hung, and was ended after {timeout} s; its last lines:"
        result.problems.append("\n    ".join([message, *last]))
    return result


def judge(lane, booted, suites=None, case=""):
    """Hold a boot against what the lane has to give, or against the suites or the one case that was chosen, and
    keep the report."""
    booted.problems = [line for line in booted.problems if not any(text in line for text in lane.outside)]
    result = report.judge(booted, lane.suites if suites is None else suites, lane.may_skip)
    if case and [ran.full for ran in result.cases()] != [case]:
        result.problems.append(f"not just {case} ran, but {' '.join(ran.full for ran in result.cases()) or 'nothing'}")
    report.write(result)
    return result
