# SPDX-License-Identifier: GPL-2.0
"""`make litmus`: the litmus tests that the series brings, run by herd7 and tied to the code that they model.

herd7 reads the kernel memory model from tools/memory-model of the tree itself.  Debian has herd7 in newer releases
only, so its package is unpacked in CACHE, not installed, and runs with the C library of that release.

Each test is a case of two suites:
    herd7   What `exists` describes comes out as the comment `Result:` says.  If that is Never, it comes out as soon
            as any one barrier is dropped (smp_load_acquire() and the like lose their ordering, a lock is dropped
            wherever it is taken, rcu_read_lock() counts where there is a grace period).
    litmus  The functions that it models make the same calls that matter for ordering, in the same order; see
            ordering.py.
"""
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from harness import paths, report, ui
from harness.guest import userspace
from harness.runs import ordering
from harness.runs.ordering import CALL, FENCES, LOCKS, READS, WRITES
from harness.series import compose
from harness.source import base, debian

MODEL = "tools/memory-model"
FOLDER = f"{MODEL}/litmus-tests"
LANE = "litmus"
# What is left of a call that loses its ordering.  The first two take x where the others take *x.
WEAKER = {"smp_load_acquire(": "READ_ONCE(*", "smp_store_release(": "WRITE_ONCE(*",
          "rcu_assign_pointer(": "WRITE_ONCE("}
NOTHING = "barrier()"       # orders no marked access; unlike no statement at all it can stand alone in a block


def load():
    """The tests of this repository, {name: text}."""
    tests = {path.stem: path.read_text(encoding="utf-8") for path in sorted((paths.TOP / FOLDER).glob("*.litmus"))}
    for name, text in tests.items():
        if not text.startswith(f"C {name}\n"):
            raise ui.Failure(f"{FOLDER}/{name}.litmus has another name inside", f"begin it with `C {name}`")
    return tests


# -- herd7 -------------------------------------------------------------------------------------------------------------


def herd():
    """The command that runs herd7, which is fetched if it was not yet."""
    top = paths.CACHE / "herd7"
    with base.locked(paths.CACHE / "herd7.lock"):
        if not top.exists():
            with tempfile.TemporaryDirectory(dir=paths.CACHE) as folder:
                fetch(Path(folder)).rename(top)
    loader = next(top.glob("lib/ld-linux*"))
    return [loader, "--library-path", top / "lib", top / "bin/herd7", "-set-libdir", top / "share/herd"]


def fetch(folder):
    """Download herd7 and its libraries; a folder with what it needs of them."""
    usr, kept = userspace.unpack("herdtools7", folder, debian.NEWER)[1] / "usr", folder / "kept"
    for name in ("bin", "share"):
        (kept / name).mkdir(parents=True)
    shutil.move(usr / "bin/herd7", kept / "bin")
    shutil.move(usr / "share/herdtools7/herd", kept / "share")
    shutil.move(next(usr.glob("lib/*-linux-gnu*")), kept / "lib")
    return kept


def outcome(command, model, text, log):
    """Never, Sometimes or Always, and the flags that herd7 raises; `model` is the folder of the memory model."""
    log.parent.mkdir(parents=True, exist_ok=True)
    test = log.with_suffix(".litmus")
    test.write_text(text, encoding="utf-8")
    ui.run([*command, "-conf", "linux-kernel.cfg", test], log, cwd=model, name="herd7", check=False)
    output = log.read_text(encoding="utf-8", errors="replace")
    observed = re.search(r"^Observation \S+ (Never|Sometimes|Always) ", output, re.M)
    if not observed:
        raise ui.Failure(f"herd7 cannot run it: {(output.strip().splitlines() or ['no output'])[0]}", log=log)
    return observed[1], re.findall(r"^Flag (.*)$", output, re.M)


# -- barriers ----------------------------------------------------------------------------------------------------------


def strip_comments(text):
    """Without (* *), /* */ and // comments; lines stay lines.  (*x is no comment."""
    return re.sub(r"\(\*\s.*?\*\)|/\*.*?\*/|//[^\n]*", lambda comment: "\n" * comment[0].count("\n") or " ", text,
                  flags=re.S)


def calls(lines):
    """The calls of the threads: (thread, line number, name, arguments)."""
    thread, made = "", []
    for number, line in enumerate(lines):
        start = re.match(r"(P\d+)\(|(exists|locations|filter)\b", line)
        if start:
            thread, line = start[1] or "", ""
        if thread:
            made += [(thread, number, name, re.search(rf"\b{name}\s*\(([^()]*)", line)[1])
                     for name in CALL.findall(line) if name != "if"]
    return made


def barriers(text):
    """The barriers of a test: [(what it is called, {line number: (what is dropped, what is there instead)})]."""
    made = calls(strip_comments(text).splitlines())
    unknown = {name for _, _, name, _ in made} - {*READS, *WRITES, *FENCES, *LOCKS}
    if unknown:
        raise ui.Failure(f"{min(unknown)}() would not be dropped", "teach it to ordering.py and litmus.py")
    waits = any(name == "synchronize_rcu" for _, _, name, _ in made)
    single, grouped = [], {}
    for thread, number, name, arguments in made:
        whole = (f"{name}({arguments})", NOTHING)
        if name in LOCKS:
            grouped.setdefault(f"spin_lock({arguments})", {})[number] = whole
        elif name.startswith("rcu_read_") and waits:
            grouped.setdefault(f"{thread} rcu_read_lock()", {})[number] = whole
        elif f"{name}(" in WEAKER:
            single.append((f"{thread} {name}()", {number: (f"{name}(", WEAKER[f"{name}("])}))
        elif name in FENCES and not name.startswith("rcu_read_"):
            single.append((f"{thread} {name}()", {number: whole}))
    return single + list(grouped.items())


def changed(text, changes):
    """The test with some of its calls replaced."""
    lines = strip_comments(text).splitlines()
    for number, (old, new) in changes.items():
        lines[number] = lines[number].replace(old, new)
    return "\n".join(lines) + "\n"


# -- verdicts ----------------------------------------------------------------------------------------------------------


def judge(case, text, run):
    """Judge a test's case of suite herd7; `run` gives the outcome of a text, and its log a name."""
    expected = re.search(r"^ \* Result: (\w+)$", text, re.M)
    expected = expected[1] if expected else "nothing"
    name, known = case.name, []
    result, flags = run(text, name)
    if result != expected:
        case.fail(f"{result}, but it says Result: {expected}")
    for flag in flags:
        case.fail(f"herd7 says {flag}")
    if result == "Never":
        known = barriers(text)
    for number, (label, changes) in enumerate(known):
        if run(changed(text, changes), f"{name}.{number}")[0] == "Never":
            case.fail(f"{label} is not needed")
        if label.endswith(" smp_mb()"):
            for weaker in ("smp_wmb()", "smp_rmb()"):
                lighter = {line: (old, weaker) for line, (old, _) in changes.items()}
                if run(changed(text, lighter), f"{name}.{number}.{weaker[:7]}")[0] == "Never":
                    case.proofs.append(f"{name}: {weaker} would do for {label}")
    if known and case.status == "passed":
        case.proofs.append(f"{name}: {result}, and possible without any one of its {len(known)} barriers")


def tie(case, text, tree):
    """Judge a test's case of suite litmus."""
    for why in ordering.untied(case.name, text, tree):
        case.fail(why)


def attempt(suite, name, judged, *arguments):
    """A new case, which a function judges; a Failure of it is the case's failure."""
    suite.cases.append(report.Case(suite.name, name))
    try:
        judged(suite.cases[-1], *arguments)
    except ui.Failure as failure:
        suite.cases[-1].fail(failure.what)


def ties(tests, tree):
    """The suite litmus, with the code of a work tree."""
    suite = report.Suite("litmus", len(tests), True)
    for name, text in tests.items():
        attempt(suite, name, tie, text, tree)
    return suite


def run(tree):
    """The Report of all tests, with the memory model and the code of a work tree."""
    tests, logs, suite = load(), paths.log_dir() / LANE, report.Suite("herd7", None, True)
    result = report.Report(LANE, ui.short(logs), [suite, ties(tests, tree)], ended=True)
    try:
        command, why = herd(), ""
    except (ui.Failure, OSError) as failure:
        command, why = None, str(failure).splitlines()[0]

    def execute(text, log):
        return outcome(command, tree / MODEL, text, logs / f"{log}.log")
    for name, text in tests.items():
        if command:
            attempt(suite, name, judge, text, execute)
        else:
            suite.cases.append(report.Case("herd7", name, "skipped", f"there is no herd7: {why}"))
    if not tests:
        result.problems.append(f"there is no test in {FOLDER}")
    return result


def extract(repo, commit, folder):
    """Write the memory model of a commit, and the files that the tests name, below a folder."""
    named = {path for name, text in load().items() for _, path, _, _ in ordering.declared(name, text)}
    there = repo.lines("ls-tree", "-r", "--name-only", commit, f"{MODEL}/", *sorted(named))
    archive = repo.raw("archive", "--format=tar", commit, *there)
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)


def cmd_litmus():
    steps = ui.Steps("litmus", 2)
    with steps.step("compose the series"):
        composed = compose.prepare()
    with steps.step("run the litmus tests"), tempfile.TemporaryDirectory() as folder:
        extract(composed.base.repo, composed.tip, folder)
        result = run(Path(folder))
    report.write(result)
    for proof in (proof for case in result.cases() for proof in case.proofs):
        ui.say(proof)
    return report.finish([result])
