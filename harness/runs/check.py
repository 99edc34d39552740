# SPDX-License-Identifier: GPL-2.0
"""`make check`: every patch by itself, in order, and the repository's own scripts.

off, on, module   the kernel builds with the part's options off, built in and as modules
W=1, sparse       the directories that the series touches give no warning that the base does not give,
                  with every slab allocator and zone that the lanes know
checkpatch        the base's own, --strict; what it may say is in series/check-exceptions
kernel-doc        new files give no warning

A patch that touches arch/NAME/ is built for that architecture, any other one for that of the first lane.
PATCHES='16-* 2?-*' checks these only.
"""

import fnmatch
import os
import re
import shutil
import subprocess
from collections import Counter

from harness import paths, ui
from harness.report import report
from harness.runs import lanes
from harness.source import debian, kbuild

USE = "check"
MODES = ("off", "on", "module")
COLUMNS = (*MODES, "W=1", "sparse", "checkpatch", "kernel-doc")
PACKAGES = ["patch", "pyflakes3", "shellcheck", "sparse"]
WARNING = re.compile(r"^(?:\.\./)*(?:tree/[^/]+/)?(\S+?):\d+(?::\d+)?: (?:(?:warning|error): )(.*)$")
CHECKPATCH = re.compile(r"^\S+?:(\d+): (?:ERROR|WARNING|CHECK):([A-Z_]+): (.*)$")


def warnings(log, tree):
    """What compilers and sparse say in a log, without line numbers, which every patch moves: pairs of
    the kind and the text, and how often each occurs."""
    found = Counter()
    for line in log.replace(f"{tree}/", "").splitlines():
        match = WARNING.match(line)
        if match:
            kind = "W=1" if "[-W" in match[2] else "sparse"
            found[kind, f"{match[1]}: {re.sub(r'[0-9]+', 'N', match[2])}"] += 1
    return found


class Exceptions:
    """series/check-exceptions: lines `TYPE patch reason`, the patch's id with wildcards."""

    def __init__(self, text):
        self.rules, self.used = [], set()
        for line in text.splitlines():
            words = line.split("#")[0].split(None, 2)
            if words and len(words) < 3:
                raise ui.Failure(f"series/check-exceptions: no reason given: {line}",
                                 "write TYPE, the patch's id (or *), and a reason")
            if words:
                self.rules.append(tuple(words))

    def allow(self, kind, patch):
        """Whether that complaint may stay."""
        for rule in self.rules:
            if rule[0] == kind and fnmatch.fnmatch(patch, rule[1]):
                self.used.add(rule)
                return True
        return False

    def stale(self):
        """Rules that nothing needs any more."""
        return [" ".join(rule[:2]) for rule in self.rules if rule not in self.used]


def touched(data):
    """The files that a patch changes or adds."""
    return re.findall(r"^\+\+\+ b/(\S+)", data.decode(errors="replace"), re.M)


class Check:
    """The state of one `make check`: the tree, and the table as it grows."""

    def __init__(self, tip, exceptions):
        self.tip, self.exceptions = tip, exceptions
        self.tree, self.logs = lanes.tree_dir(USE), lanes.log_dir(USE)
        found = list(dict.fromkeys(lane.kernel.name for lane in lanes.load(paths.BASE).values() if not lane.long))
        kernels = {lane.kernel.name: lane.kernel for lane in lanes.load(paths.BASE).values()}
        self.kernels = [kernels[name] for name in found]
        self.arches = {kernel.arch for kernel in self.kernels}
        self.known = {}                 # kernel name: warnings of the base
        self.failures, self.table = [], []
        chosen = os.environ.get("PATCHES", "*").split()
        self.commits = [commit for commit in tip.commits
                        if any(fnmatch.fnmatchcase(commit.id, one) for one in chosen)]
        if not self.commits:
            raise ui.Failure(f"no patch is called {' or '.join(chosen)}", "series/order has their names")
        self.touched = [path for path in tip.touched() if path.endswith(".c") and not path.startswith("tools/")]

    def arch(self, touched):
        """The architecture for which files can be built."""
        named = {path.split("/")[1] for path in touched if path.startswith("arch/")} & self.arches
        return min(named) if named else self.kernels[0].arch

    def of_arch(self, arch):
        """Its kernels, the first one for all builds."""
        return [kernel for kernel in self.kernels if kernel.arch == arch]

    def checkout(self, commit):
        """Move the work tree."""
        self.tip.checkout(commit, self.tree)

    def fail(self, what, log=None):
        """Note a failure, and go on."""
        text = f"{what}\n    log: {ui.short(log)}" if log else what
        self.failures.append(text)
        ui.say(f"  FAILED: {text}")
        return "FAILED"

    def configure(self, kernel, build, mode):
        """Write .config; returns the part's options, and those that this state of the tree does not have."""
        folder = paths.TOP / "bases" / paths.BASE
        common = [name for name in kernel.fragments if not name.startswith("part-")]
        parts = [name for name in kernel.fragments if name.startswith("part-")]
        text = "".join((folder / "kunit" / f"{name}.config").read_text(encoding="utf-8") for name in common)
        bench = folder / "bench" / f"{kernel.arch}.config"
        text += bench.read_text(encoding="utf-8") if bench.exists() else ""
        options = [line.replace("=m", "=y") for name in parts
                   for line in (folder / "kunit" / f"{name}.config").read_text(encoding="utf-8").splitlines()
                   if line.startswith("CONFIG_")]
        build.mkdir(parents=True, exist_ok=True)

        def absent(chosen):
            (build / ".config").write_text(text + "\n".join(chosen) + "\n", encoding="utf-8")
            kbuild.make(self.tree, build, kernel.arch, ["olddefconfig"], self.logs / f"{build.name}.config.log")
            lines = (build / ".config").read_text(encoding="utf-8").splitlines()
            return [line for line in chosen if line not in lines]

        if mode == "module":
            text += "CONFIG_MODULES=y\n"
            modular = [line.replace("=y", "=m") for line in options]
            # what cannot be a module is built in
            bools = absent(modular)
            options = [line.replace("=m", "=y") if line in bools else line for line in modular]
        return options, absent(options if mode != "off" else [])

    def build(self, patch, mode, kernel, last):
        """Build the kernel in one mode."""
        build = lanes.out(USE) / "build" / paths.BASE / f"{mode}-{kernel.arch}"
        log = self.logs / f"{patch}.{mode}.log"
        try:
            options, absent = self.configure(kernel, build, mode)
            if mode != "off" and absent and last:
                return self.fail(f"{patch}: {mode}: {absent[0]} is not to be had at the end of the series")
            tests = [line for line in options if "_TEST=" in line and line not in absent
                     and (mode != "module" or line.endswith("=m"))]
            if mode != "off" and not tests:
                return "-"
            kbuild.make(self.tree, build, kernel.arch, ["vmlinux", "modules"][:1 + (mode == "module")], log,
                        name=f"build of {patch}, {mode}")
        except ui.Failure as failure:
            return self.fail(f"{patch}: {failure.what}", failure.log)
        return "ok"

    def compile(self, patch, arch):
        """Compile the touched directories for all kernels with W=1 and sparse: kinds of new warnings."""
        bad = set()
        folders = sorted({path.rsplit("/", 1)[0] + "/" for path in self.touched if self.arch([path]) == arch})
        for kernel in self.of_arch(arch):
            build = lanes.out(USE) / "build" / paths.BASE / f"W1-{kernel.name}"
            log = self.logs / f"{patch}.{kernel.name}.W1.log"
            if patch == "base":
                shutil.rmtree(build, ignore_errors=True)
            self.configure(kernel, build, "on")
            status = kbuild.make(self.tree, build, kernel.arch, ["W=1", "C=1", "--keep-going", *folders], log,
                                 check=False, name=f"W=1 of {kernel.name}")
            text = log.read_text(encoding="utf-8", errors="replace")
            found = warnings(text, self.tree)
            if patch == "base":
                if status:
                    raise ui.Failure(f"the base does not compile for {kernel.name}: {ui.first_error(text)}",
                                     "read the log", log)
                self.known[kernel.name] = found
                continue
            if status:
                self.fail(f"{patch}: {kernel.name}: {ui.first_error(text)}", log)
                bad |= {"W=1", "sparse"}
            for (kind, line), count in found.items():
                if count > self.known[kernel.name][kind, line]:
                    self.fail(f"{patch}: {kernel.name}: {kind}: {line}", log)
                    bad.add(kind)
        return bad

    def checkpatch(self, patch, data):
        """The base's checkpatch on the patch as a user gets it."""
        file, log = self.logs / f"{patch}.patch", self.logs / f"{patch}.checkpatch.log"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        ui.run(["perl", "scripts/checkpatch.pl", "--strict", "--terse", "--show-types", "--no-summary",
                "--color=never", file], log, cwd=self.tree, check=False)
        result = "ok"
        text = log.read_text(encoding="utf-8", errors="replace")
        found = [CHECKPATCH.match(line.replace(f"{file}:", "patch:", 1)) for line in text.splitlines()]
        for line, match in zip(text.splitlines(), found):
            if match is None and line.strip():
                result = self.fail(f"{patch}: checkpatch: {line}", log)
            elif match and not self.exceptions.allow(match[2], patch):
                result = self.fail(f"{patch}: checkpatch: {match[2]}: {match[3]} (line {match[1]} of the patch)", log)
        return result

    def kernel_doc(self, patch, files):
        """No warning for the new files of a patch."""
        sources = [name for name in files if name.endswith((".c", ".h"))]
        if not sources:
            return "-"
        log = self.logs / f"{patch}.kernel-doc.log"
        status = ui.run(["perl", "scripts/kernel-doc", "-none", *sources], log, cwd=self.tree, check=False)
        text = log.read_text(encoding="utf-8", errors="replace").strip()
        if status or text:
            return self.fail(f"{patch}: kernel-doc: {text.splitlines()[0] if text else status}", log)
        return "ok"

    def tools(self, patch, paths_touched):
        """A touched program below tools/ builds by its own Makefile."""
        for path in paths_touched:
            folder, _, name = path.rpartition("/")
            if path.startswith("tools/") and name.endswith(".c") and (self.tree / folder / "Makefile").exists():
                try:
                    ui.run(["make", "-C", folder, name[:-2]], self.logs / f"{patch}.tools.log", cwd=self.tree,
                           env=kbuild.environment(), name=f"build of {path}")
                except ui.Failure as failure:
                    self.fail(f"{patch}: {failure.what}", failure.log)

    def patch(self, commit, data, last):
        """All checks of one patch, as a line of the table."""
        arch = self.arch(touched(data))
        self.checkout(commit.commit)
        row = {mode: self.build(commit.id, mode, self.of_arch(arch)[0], last) for mode in MODES}
        bad = self.compile(commit.id, arch)
        row.update({kind: "FAILED" if kind in bad else "ok" for kind in ("W=1", "sparse")})
        row["checkpatch"] = self.checkpatch(commit.id, data)
        row["kernel-doc"] = self.kernel_doc(commit.id, self.tip.series.messages[commit.id].files)
        self.tools(commit.id, touched(data))
        self.table.append((commit.id, *(row[column] for column in COLUMNS)))

    def scripts(self):
        """The repository's own shell and Python."""
        log = self.logs / "scripts.log"
        shell = [name for name in repository_files() if is_shell(paths.TOP / name)]
        python = [name for name in repository_files() if name.endswith(".py") and "/qemu/" not in name]
        for tool, names in (("shellcheck", shell), ("pyflakes3", python)):
            if names and ui.run([tool, *names], log, cwd=paths.TOP, check=False):
                first = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                self.fail(f"{tool}: {first[0] if first else 'failed'}", log)


def repository_files():
    """Files that git knows or would add."""
    done = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=paths.TOP,
                          stdout=subprocess.PIPE, check=True)
    return sorted(name for name in done.stdout.decode().split("\0") if name and (paths.TOP / name).is_file()
                  and not name.startswith("out/"))


def is_shell(path):
    """Whether a file is a shell script, by its name or its first line."""
    with open(path, "rb") as file:
        first = file.readline(80)
    return path.suffix == ".sh" or re.match(rb"#! ?/bin/(ba|da)?sh\b", first) is not None


def cmd_check():
    """Everything that a reviewer's robot would say, before it does."""
    from harness.series import series
    with open(paths.TOP / "series/check-exceptions", encoding="utf-8") as file:
        exceptions = Exceptions(file.read())
    tip = series.prepare(paths.BASE)
    check = Check(tip, exceptions)
    patches = [data for name, data in sorted(tip.patches().items()) if name.endswith(".patch")
               and not name.startswith("0000")]
    arches = [check.arch(touched(data)) for data in patches]
    last = dict(zip(arches, tip.commits, strict=True))
    needed = sorted({arch for arch, commit in zip(arches, tip.commits) if commit in check.commits})
    steps = ui.Steps("check", 4 + len(check.commits))
    with steps.step("look for packages"):
        debian.ensure([*kbuild.packages(needed), *PACKAGES])
    with steps.step("shell and Python of this repository"):
        check.scripts()
    with steps.step("what the base itself says to W=1 and sparse"):
        check.checkout(tip.base_commit)
        for arch in needed:
            check.compile("base", arch)
    for commit, data in zip(tip.commits, patches, strict=True):
        if commit in check.commits:
            with steps.step(commit.id):
                check.patch(commit, data, commit in last.values())
    with steps.step("exceptions that nothing needs"):
        for rule in exceptions.stale() if len(check.commits) == len(tip.commits) else []:
            check.fail(f"series/check-exceptions: nothing needs `{rule}` any more")
    ui.say()
    for line in report.table(("patch", *COLUMNS), check.table):
        ui.say(line)
    for text in check.failures:
        ui.say(f"FAILED: {text}")
    ui.say(f"logs: {ui.short(check.logs)}")
    ui.say(f"{len(check.commits)} patches checked, {len(check.failures)} complaints")
    return 1 if check.failures else 0
