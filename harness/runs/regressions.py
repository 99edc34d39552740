# SPDX-License-Identifier: GPL-2.0
"""`make regressions`: the bugs of the base that a suite shows, before the series mends them and after.

The suite runs twice: on the series up to the commit that brings it, and on the whole series.  The cases that
bases/<base>/regressions.toml names have to fail before, all others have to pass, and all have to pass after.
"""

import re
import tomllib
from dataclasses import replace

from harness import paths, ui
from harness.report import report
from harness.runs import lanes
from harness.source import debian, kbuild

USE = "regressions"


def load(base, known):
    """[(suite, lane, commit before, cases)] of a base's regressions.toml."""
    path = paths.TOP / "bases" / base / "regressions.toml"
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["suite"]
        return [(entry["name"], known[entry["lane"]], entry["before"], entry["cases"]) for entry in entries]
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise ui.Failure(f"{ui.short(path)} is wrong: {error}", "compare with the comment at its top") from error


def judged(suite, before, after, expected):
    """Rows of the table, and what is wrong with them, for two reports of a suite."""
    rows, bad = [], []
    for case in after.cases():
        was = before.find(case.full)
        was = was.status if was else "missing"
        named = case.name in expected
        if named or was == "failed":
            rows.append((case.full, was, case.status))
        if named != (was == "failed"):
            bad.append(f"{case.full} {'does not fail' if named else 'fails'} without the series")
        if case.status == "failed":
            bad.append(f"{case.full} fails with the series")
    missing = set(expected) - {case.name for case in after.cases()}
    bad += [f"{suite} has no case {name}" for name in sorted(missing)]
    return rows, bad


DEFINED = re.compile(r"^\s*(?:menu)?config\s+(\w+)", re.M)
OPTION = re.compile(r"(?:# )?CONFIG_(\w+)")


def without_unknown(text, defined):
    """A fragment without the lines for options that a tree does not define."""
    def keep(line):
        option = OPTION.match(line)
        return not option or option.group(1) in defined
    return "".join(line for line in text.splitlines(True) if keep(line))


def known_to(tree, kernel):
    """The kernel with those options only that the tree has: earlier commits lack what later ones bring."""
    defined = {name for path in tree.rglob("Kconfig*") for name in DEFINED.findall(path.read_text(encoding="utf-8"))}
    source = paths.TOP / "bases" / paths.BASE / "kunit"
    text = "".join((source / f"{name}.config").read_text(encoding="utf-8") for name in kernel.fragments)
    path = lanes.out(USE) / "kunit" / kernel.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{kernel.name}.config").write_text(without_unknown(text, defined), encoding="utf-8")
    return lanes.Kernel(kernel.name, kernel.arch, [str(path)])


def cmd_regressions():
    """Run each suite before and after; any surprise is a failure."""
    from harness.series import series
    entries = load(paths.BASE, lanes.load(paths.BASE))
    steps = ui.Steps("regressions", 2 + 4 * len(entries))
    with steps.step("look for packages"):
        debian.ensure(kbuild.packages(sorted({lane.kernel.arch for _, lane, _, _ in entries})))
    with steps.step("compose the series"):
        tip = series.prepare(paths.BASE)
    commits = {commit.id: commit.commit for commit in tip.commits}
    results = {}
    # all of what is before first, so that each tree is built once
    for when in ("before", "after"):
        for suite, lane, before, _ in sorted(entries, key=lambda entry: entry[2]):
            if before not in commits:
                raise ui.Failure(f"regressions.toml names {before}, which is no commit of the series", "see series/order")
            tip.checkout(commits[before] if when == "before" else tip.tip, lanes.tree_dir(USE))
            with steps.step(f"build {lane.kernel.name}, {when}"):
                kernel = known_to(lanes.tree_dir(USE), lane.kernel)
                lanes.build(kernel, USE)
            with steps.step(f"boot {lane.name}, {when}"):
                booted = lanes.boot(replace(lane, kernel=kernel), USE, suite, f"{lane.name}.{when}")
                results[suite, lane.name, when] = report.judge(booted, {suite: lane.suites[suite]}, lane.may_skip)
    bad = []
    for suite, lane, _, expected in entries:
        rows, wrong = judged(suite, results[suite, lane.name, "before"], results[suite, lane.name, "after"], expected)
        ui.say(f"\n{lane.name}")
        for line in report.table(("case", "without the series", "with it"), rows):
            ui.say(line)
        bad += [f"{lane.name}: {why}" for why in wrong]
    for line in bad:
        ui.say(line)
    ui.say(f"logs: {ui.short(lanes.log_dir(USE))}")
    return 1 if bad else 0
