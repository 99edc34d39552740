# SPDX-License-Identifier: GPL-2.0
"""`make check`: every patch by itself, in order, and the repository's own scripts.

on                the kernel links with the part's options built in
off, module       the folders that the patch touches compile without the part's options, and with them as modules;
                  at the last patch of a part the kernel and its modules link, and so does the part alone
W=1, sparse       none of these folders gives a warning that the base does not give, with every kernel of the part
checkpatch        the base's own, --strict; what it may say is in series/check-exceptions
kernel-doc        sources that the series adds give no warning
docutils          .rst files give no warning that they did not give before; roles and directives of Sphinx are let pass

A patch that touches arch/NAME/ is built for that architecture, any other one for that of the first lane.
PATCHES='swiotlb/* v7s/range' checks these only.
"""

import fnmatch
import re
import subprocess
from collections import Counter
from dataclasses import dataclass

from harness import paths, report, ui
from harness.runs import compile as builds
from harness.runs import lanes
from harness.runs.choice import matching
from harness.series import compose
from harness.source import debian, kbuild

COLUMNS = (*builds.COLUMNS, "checkpatch", "kernel-doc", "docutils")
PACKAGES = ["patch", "pyflakes3", "python3-docutils", "shellcheck", "sparse"]
CHECKPATCH = re.compile(r"^\S+?:(\d+): (?:ERROR|WARNING|CHECK):([A-Z_]+): (.*)$")
DOCUTILS = re.compile(r"^<stdin>:\d+: \(\w+/\d\) (.*)$", re.M)
SPHINX = re.compile(r"Unknown (?:interpreted text role|directive type)|No (?:role|directive) entry|directive disabled")


class Exceptions:
    """series/check-exceptions: lines `TYPE patch reason`, the patch's part/name with wildcards."""

    def __init__(self, text):
        self.rules, self.used = [], set()
        for line in text.splitlines():
            rule = line.split("#")[0].split(None, 2)
            if rule and len(rule) < 3:
                raise ui.Failure(f"series/check-exceptions: no reason given: {line}",
                                 "write TYPE, the patch's part/name (or *), and a reason")
            if rule:
                self.rules.append(tuple(rule))

    def allow(self, kind, patch):
        """Whether that complaint may stay."""
        for rule in self.rules:
            if rule[0] == kind and fnmatch.fnmatch(patch, rule[1]):
                self.used.add(rule)
                return True
        return False

    def check(self, ids):
        """Each rule is for some commit."""
        for kind, pattern, _ in self.rules:
            if not fnmatch.filter(ids, pattern):
                raise ui.Failure(f"series/check-exceptions: {kind} {pattern}: there is no such patch",
                                 "take the line out, or name the patch as it is called now")

    def stale(self):
        """Rules that nothing needs any more."""
        return [" ".join(rule[:2]) for rule in self.rules if rule not in self.used]


@dataclass
class Plan:
    """What is to be done for one patch."""
    commit: object
    data: bytes
    arch: str
    others: list        # files of the whole part
    variants: list
    last: bool          # of its part

    def folders(self, tree):
        """Those to compile; the last patch of a part stands for all of it."""
        return builds.folders(self.others if self.last else touched(self.data), self.others, self.arch, tree)


def load_exceptions():
    """Those of the series."""
    return Exceptions((paths.TOP / "series/check-exceptions").read_text(encoding="utf-8"))


def check_exceptions(composed):
    """Each of them is for a commit that there is."""
    load_exceptions().check([commit.id for commit in composed.commits])


def touched(data):
    """The files that a patch changes or adds."""
    return re.findall(r"^\+\+\+ b/(\S+)", data.decode(errors="replace"), re.M)


def plans(mails, kernels):
    """The Plans of the patches that PATCHES= names."""
    ids = matching("PATCHES", [commit.id for commit, _ in mails], "patch")
    files, last = {}, {}
    for commit, data in mails:
        files.setdefault(commit.part, []).extend(touched(data))
        last[commit.part] = commit.id
    for commit, data in mails:
        if commit.id in ids:
            ends = commit.id == last[commit.part]
            arch = builds.arch_of(files[commit.part] if ends else touched(data), kernels)
            yield Plan(commit, data, arch, files[commit.part], builds.variants(commit.part, arch, kernels), ends)


class Check:
    """The state of one `make check`: the tree, what the base says, and what was wrong."""

    def __init__(self, composed, exceptions):
        self.composed, self.exceptions = composed, exceptions
        self.tree, self.logs = paths.tree_dir(builds.USE), paths.log_dir(builds.USE)
        self.known, self.failures, self.table = {}, [], []

    def fail(self, what, log=None):
        text = f"{what}\n    log: {ui.short(log)}" if log else what
        self.failures.append(text)
        ui.say(f"  FAILED: {text}")
        return "FAILED"

    def base(self, todo):
        """Compile what the patches touch, as the base has it."""
        self.composed.checkout(self.composed.base_commit, self.tree)
        self.known = builds.base([(variant, plan.folders(self.tree)) for plan in todo for variant in plan.variants
                                  if plan.folders(self.tree)], self.tree)

    def link(self, patch, variant, complete):
        """Link; the column that failed, if it did."""
        try:
            builds.link(patch, variant, self.tree, complete)
        except ui.Failure as failure:
            self.fail(f"{patch}: {failure.what}", failure.log)
            return {variant.mode}
        return set()

    def build(self, plan):
        """{column: word} of all that is compiled and linked; a patch that touches nothing of a kernel is not built."""
        patch, targets, bad = plan.commit.id, plan.folders(self.tree), set()
        if not targets:
            return dict.fromkeys(builds.COLUMNS, "-")
        for variant in plan.variants:
            for column, what, log in builds.compare(patch, variant, self.tree, targets, self.known[variant.name]):
                self.fail(f"{patch}: {variant.name}: {what}", log)
                bad.add(column)
        for mode in builds.MODES if plan.last else ("on",):
            variant = next(variant for variant in plan.variants if variant.mode == mode)
            bad |= self.link(patch, variant, plan.last)
        return {column: "FAILED" if column in bad else "ok" for column in builds.COLUMNS}

    def alone(self, plan):
        """Link the part with what it needs and nothing else, unless that is what the series has at its end."""
        composed = compose.prepare(parts=[plan.commit.part])
        if composed.commits[-1].tree != plan.commit.tree:
            composed.checkout(composed.tip, self.tree)
            self.link(f"{plan.commit.part} alone", plan.variants[0], False)

    def tool(self, name, words, folder=None):
        """(Exit status of a tool in the tree or another folder, what it says, its log, which has this name)."""
        log = self.logs / f"{name}.log"
        status = ui.run(words, log, cwd=folder or self.tree, env=kbuild.environment(), check=False)
        return status, log.read_text(encoding="utf-8", errors="replace").strip(), log

    def checkpatch(self, patch, data):
        """The base's checkpatch on the patch as a user gets it."""
        file = self.logs / f"{builds.file_name(patch)}.patch"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        _, text, log = self.tool(f"{file.stem}.checkpatch", ["perl", "scripts/checkpatch.pl", "--strict", "--terse",
                                                             "--show-types", "--no-summary", "--color=never", file])
        result = "ok"
        for line in text.splitlines():
            match = CHECKPATCH.match(line.replace(f"{file}:", "patch:", 1))
            if match is None and line.strip():
                result = self.fail(f"{patch}: checkpatch: {line}", log)
            elif match and not self.exceptions.allow(match[2], patch):
                result = self.fail(f"{patch}: checkpatch: {match[2]}: {match[3]} (line {match[1]} of the patch)", log)
        return result

    def kernel_doc(self, patch, files):
        """No warning for those sources that the base does not have."""
        sources = [name for name in files if name.endswith((".c", ".h")) and (self.tree / name).exists()
                   and self.composed.base.repo.resolve(f"{self.composed.base_commit}:{name}") is None]
        if not sources:
            return "-"
        status, text, log = self.tool(f"{builds.file_name(patch)}.kernel-doc",
                                      ["perl", "scripts/kernel-doc", "-none", *sources])
        if status or text:
            return self.fail(f"{patch}: kernel-doc: {text.splitlines()[0] if text else status}", log)
        return "ok"

    def docutils(self, patch, files, parent):
        """.rst files say no more than before the patch."""
        names = [name for name in files if name.endswith(".rst") and (self.tree / name).exists()]
        result = "ok" if names else "-"
        for name in names:
            before = self.composed.base.repo.blob(f"{parent}:{name}")
            for line in (malformed((self.tree / name).read_bytes()) - malformed(before or b"")).elements():
                result = self.fail(f"{patch}: docutils: {name}: {line}")
        return result

    def tools(self, patch, files):
        """A touched program below tools/ builds by its own Makefile; `make ddw` builds the module that it boots."""
        for path in files:
            folder, _, name = path.rpartition("/")
            makefile = self.tree / folder / "Makefile"
            if path.startswith("tools/") and name.endswith(".c") and makefile.exists() \
                    and f"obj-m := {name[:-2]}.o" not in makefile.read_text(encoding="utf-8").splitlines():
                status, text, log = self.tool(f"{builds.file_name(patch)}.tools", ["make", "-C", folder, name[:-2]])
                if status:
                    self.fail(f"{patch}: {path} does not build: {ui.first_error(text)}", log)

    def patch(self, plan):
        """All checks of one patch, as a line of the table."""
        patch, files = plan.commit.id, touched(plan.data)
        self.composed.checkout(plan.commit.commit, self.tree)
        row = self.build(plan)
        row["checkpatch"] = self.checkpatch(patch, plan.data)
        row["kernel-doc"] = self.kernel_doc(patch, files)
        row["docutils"] = self.docutils(patch, files, self.composed.parent(plan.commit))
        self.tools(patch, files)
        self.table.append((patch, *(row[column] for column in COLUMNS)))

    def scripts(self):
        """The repository's own shell and Python."""
        names = repository_files()
        for tool, scripts in (("shellcheck", [name for name in names if is_shell(paths.TOP / name)]),
                              ("pyflakes3", [name for name in names if name.endswith(".py")])):
            status, text, log = self.tool(tool, [tool, *scripts], paths.TOP)
            if status:
                self.fail(f"{tool}: {text.splitlines()[0] if text else 'failed'}", log)

    def finish(self):
        return report.show(
            ("patch", *COLUMNS), self.table, [f"FAILED: {text}" for text in self.failures],
            f"{len(self.table)} patches checked, {len(self.failures)} complaints; logs: {ui.short(self.logs)}")


def malformed(text):
    """What docutils says of a document, without line numbers, and how often."""
    done = subprocess.run(["rst2pseudoxml", "--report=2", "--halt=5", "--no-file-insertion"], input=text,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    said = done.stderr.decode(errors="replace")
    counted = Counter(line for line in DOCUTILS.findall(said) if not SPHINX.search(line))
    if done.returncode and not counted:
        counted[ui.last_lines(said, 1) or f"exit status {done.returncode}"] += 1
    return counted


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
    exceptions = load_exceptions()
    kernels = {lane.kernel.name: lane.kernel for lane in lanes.load().values() if not lane.long}
    composed = compose.prepare()
    todo = list(plans(composed.mails(), list(kernels.values())))
    check = Check(composed, exceptions)
    steps = ui.Steps("check", 4 + len(todo) + sum(plan.last for plan in todo))
    with steps.step("look for packages"):
        debian.ensure([*kbuild.packages(sorted({plan.arch for plan in todo})), *PACKAGES])
    with steps.step("shell and Python of this repository"):
        check.scripts()
    with steps.step("what the base itself says to W=1 and sparse"):
        check.base(todo)
    for plan in todo:
        with steps.step(plan.commit.id):
            check.patch(plan)
        if plan.last:
            with steps.step(f"part {plan.commit.part} alone"):
                check.alone(plan)
    with steps.step("exceptions that nothing needs"):
        for rule in exceptions.stale() if len(todo) == len(composed.commits) else []:
            check.fail(f"series/check-exceptions: nothing needs `{rule}` any more")
    return check.finish()
