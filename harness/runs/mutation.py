# SPDX-License-Identifier: GPL-2.0
"""`make mutation`: break every condition, comparison, operator, constant and statement of a part's files, one at a
time, and see that its suites notice; see series/mutation.py. series/<part>/mutation.toml says where, and which mutants
make no difference, and why.

All mutants are in one kernel, and each boot is one of them. What the first lane does not notice goes on to the next:
some mutants show only with KASAN, lockdep or another architecture. PART=swiotlb chooses the part, and
MUTATIONS='swiotlb_map:*' the mutants.
"""

import concurrent.futures
import os
import re
import time
import tomllib

from harness import paths, report, ui
from harness.runs import lanes, loop
from harness.runs.choice import matching
from harness.series import mutation
from harness.source import kbuild

USE = "mutation"
TIMEOUT = 120           # seconds; the suites take a few, and a mutant may well hang
QUIET = 30              # seconds without a line; no case is silent for half of it
# Two guests at once whose CPUs are threads of their own spend most of their time in waiting for each other. In one
# thread, QEMU goes on to the next CPU when one says that it waits; 32-bit Arm and POWER do not.
ONE_THREAD = {"arm64": ["-accel tcg,thread=single"], "x86_64": ["-accel tcg,thread=single"]}
TRIES = 12              # builds, each without the mutants that the compiler refused in the one before
SWITCHED = f"""
unsigned int {mutation.SWITCH};

static int __init mutation_setup(char *text)
{{
	return kstrtouint(text, 0, &{mutation.SWITCH});
}}
early_param("{mutation.SWITCH}", mutation_setup);
"""
FAILED = re.compile(r"^ *not ok |Internal error: Oops|Kernel panic - not syncing", re.M)
REFUSED = re.compile(r"^(?:\S*/)?((?:kernel|mm|drivers|include|arch)/\S+?):(\d+):\d+: error: ", re.M)


def plans(top):
    """{part: what its mutation.toml says}."""
    found = {path.parent.name: tomllib.loads(path.read_text(encoding="utf-8"))
             for path in sorted(top.glob("series/*/mutation.toml"))}
    for part, plan in found.items():
        wrong = set(plan) ^ {"lanes", "glob", "switch", "file", "equivalent"}
        wrong |= {key for group in plan.get("equivalent", ()) for key in set(group) ^ {"why", "mutants"}}
        if wrong:
            raise ui.Failure(f"series/{part}/mutation.toml: {sorted(wrong)[0]} is missing or unknown",
                             "compare with the comment at its top")
    return found


def plan_of(top):
    """The plan of the part that PART= names, or of the only one."""
    known = plans(top)
    part = os.environ.get("PART") or next(iter(known), "")
    if part not in known:
        raise ui.Failure(f"there is no series/{part}/mutation.toml", f"use PART={' or '.join(known)}")
    return known[part]


def instrument(tree, plan, originals, drop):
    """Write the files with their mutants into the work tree; {path: mutants}."""
    mutants, where = [], {}
    for file in plan["file"]:
        path = file["path"]
        originals.setdefault(path, (tree / path).read_text(encoding="utf-8"))
        text, where[path] = mutation.rewrite(originals[path], file.get("functions"), file.get("skip", ()), mutants, drop)
        lines = text.split("\n")
        last = max(index for index, line in enumerate(lines) if line.startswith("#include"))
        lines[last] += f"\nextern unsigned int {mutation.SWITCH};"
        for mutant in where[path]:
            mutant.line += mutant.line > last
        (tree / path).write_text("\n".join(lines) + (SWITCHED if path == plan["switch"] else ""), encoding="utf-8")
    return where


def possible(tree, plan):
    """The names of all mutants, of which the compiler may refuse some."""
    mutants = []
    for file in plan["file"]:
        mutation.rewrite((tree / file["path"]).read_text(encoding="utf-8"), file.get("functions"), file.get("skip", ()),
                         mutants, set())
    return [mutant.name for mutant in mutants]


def refused(log, where):
    """The names of the mutants in whose lines the compiler found errors."""
    lines = {(path, mutant.line): mutant.name for path, mutants in where.items() for mutant in mutants}
    return {lines[path, int(number)] for path, number in REFUSED.findall(log) if (path, int(number)) in lines}


def build(tree, kernels, plan):
    """Each kernel with all mutants that are C in all of them; those, and how many are not."""
    originals, drop = {}, set()
    for _ in range(TRIES):
        where = instrument(tree, plan, originals, drop)
        try:
            for kernel in kernels:
                lanes.build(kernel, USE)
            return [mutant for mutants in where.values() for mutant in mutants], len(drop)
        except ui.Failure as failure:
            text = failure.log.read_text(encoding="utf-8", errors="replace") if failure.log else ""
            found = refused(text, where) - drop
            if not found:
                raise
            drop |= found
    raise ui.Failure(f"the compiler refuses more mutants after {TRIES} builds", "read the last log", paths.log_dir(USE))


def noticed():
    """A function that gets the console again and again, and says whether a mutant is noticed already: a case has
    failed, the kernel has died, or nothing has come for a long time."""
    size, since = 0, time.monotonic()

    def seen(console):
        nonlocal size, since
        if len(console) != size:
            size, since = len(console), time.monotonic()
        return bool(FAILED.search(console)) or time.monotonic() - since > QUIET
    return seen


def passes(lane, plan, mutant):
    """Boot one mutant; whether no case of the lane noticed."""
    changed = lanes.Lane(**{**vars(lane), "boot": [*lane.boot, f"{mutation.SWITCH}={mutant.number}"],
                            "qemu": [*lane.qemu, *ONE_THREAD.get(lane.kernel.arch, [])]})
    result = lanes.boot(changed, USE, plan["glob"], f"mutant-{mutant.number}.{lane.name}", TIMEOUT, noticed())
    return not report.judge(result, suites_of(lane, plan), lane.may_skip).count("failed")


def survives(chosen, plan, mutant):
    """Whether a mutant passes in each of the lanes; they are booted up to the first that notices."""
    return all(passes(lane, plan, mutant) for lane in chosen)


def suites_of(lane, plan):
    """The suites of a lane that the plan's glob chooses."""
    prefix = plan["glob"].rstrip("*")
    return {suite: count for suite, count in lane.suites.items() if suite.startswith(prefix)}


def equivalent(plan):
    """The names of the mutants that make no difference."""
    return [name for group in plan["equivalent"] for name in group["mutants"]]


def unknown(plan, names):
    """Those in the list of equivalent mutants that no mutant has."""
    return sorted(set(equivalent(plan)) - set(names))


def lanes_of(plan):
    """The lanes of a plan."""
    known = lanes.load()
    wrong = [name for name in plan["lanes"] if name not in known]
    if wrong:
        raise ui.Failure(f"mutation.toml wants lane {wrong[0]}, which does not exist", "see lanes.toml")
    return [known[name] for name in plan["lanes"]]


def cmd_mutation():
    """One build of each kernel, one boot with no mutant, which has to pass, and then one mutant after the other."""
    plan = plan_of(paths.TOP)
    there = lanes_of(plan)
    kernels = list({lane.kernel.name: lane.kernel for lane in there}.values())
    steps, composed = loop.begin("mutation", 3, kbuild.packages([kernel.arch for kernel in kernels]), paths.tree_dir(USE))
    every = possible(paths.tree_dir(USE), plan)
    matching("MUTATIONS", every, "mutant")
    if unknown(plan, every):
        raise ui.Failure(f"there is no mutant `{unknown(plan, every)[0]}`",
                         "take it out of mutation.toml, or write it as it is now")
    try:
        with steps.step(f"build {', '.join(kernel.name for kernel in kernels)} with their mutants"):
            mutants, invalid = build(paths.tree_dir(USE), kernels, plan)
    finally:
        composed.checkout(composed.tip, paths.tree_dir(USE))
    same = set(equivalent(plan))
    names = set(matching("MUTATIONS", [mutant.name for mutant in mutants], "mutant")) - same
    chosen = [mutant for mutant in mutants if mutant.name in names]
    with steps.step("boot without a mutant"):
        for lane in there:
            if not passes(lane, plan, mutation.Mutant(0, "", "")):
                raise ui.Failure(f"lane {lane.name} fails before anything is broken", f"LANES={lane.name} make test",
                                 paths.log_dir(USE) / f"mutant-0.{lane.name}.console.log")
    survived = []
    with steps.step(f"boot {len(chosen)} mutants; {invalid} more are no C, {len(same)} make no difference"):
        with concurrent.futures.ThreadPoolExecutor(kbuild.jobs()) as pool:
            ways = {pool.submit(survives, there, plan, mutant): mutant for mutant in chosen}
            for count, done in enumerate(concurrent.futures.as_completed(ways), 1):
                if done.result():
                    survived.append(ways[done])
                    ui.say(f"  survived, {count} of {len(chosen)}: {ways[done].name}")
                elif not count % 50:
                    ui.say(f"  {count} of {len(chosen)}")
    for mutant in sorted(survived, key=lambda one: one.number):
        ui.say(f"survived: {mutant.number} {mutant.name}")
    ui.say(f"{len(chosen) - len(survived)} killed, {len(survived)} survived, {invalid} no C, {len(same)} without a difference")
    return bool(survived)
