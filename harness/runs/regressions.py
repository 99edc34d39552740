# SPDX-License-Identifier: GPL-2.0
"""`make regressions`: each fix is needed, and its test shows it.

Of each fix that bases/<base>/regressions.toml names, the tree of its test's commit is built without the fix, and
booted: exactly the named cases fail, all others of their suites pass. With the fix, all pass.

FIX='v7s/range swiotlb/*' chooses.
"""

import tempfile
import tomllib
from dataclasses import dataclass, replace

from harness import git, paths, report, ui
from harness.runs import lanes, loop
from harness.runs.choice import matching
from harness.runs.mutants import crashed
from harness.source import kbuild

USE = "regressions"


@dataclass
class Fix:
    """An entry of regressions.toml."""
    commit: str         # part/name of the fix
    test: str           # of the commit that brings its test, or of the last one that the test needs
    lane: lanes.Lane
    cases: list         # suite.case
    crash: bool = False  # the guest ends in the first of the cases; what comes after it is not looked at

    @property
    def suites(self):
        return list(dict.fromkeys(case.split(".")[0] for case in self.cases))


def read(text, known):
    """The fixes in the text of a regressions.toml; anything not understood is an error."""
    try:
        fixes = [Fix(lane=known[entry.pop("lane")], **entry) for entry in tomllib.loads(text)["fix"]]
        for fix in fixes:
            if not fix.cases:
                raise ValueError(f"{fix.commit}: no cases")
            for suite in set(fix.suites) - set(fix.lane.suites):
                raise ValueError(f"{fix.commit}: {suite} is not in lane {fix.lane.name}")
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise ui.Failure(f"regressions.toml is wrong: {error}", "compare with the comment at its top") from error
    return fixes


def chosen(fixes):
    """All fixes, or those that FIX= names."""
    names = matching("FIX", list(dict.fromkeys(fix.commit for fix in fixes)), "fix")
    return [fix for fix in fixes if fix.commit in names]


def ordered(fixes, composed):
    """[(position of the test's commit, Fix)] in the order of the series, so that little is built again."""
    ids = [commit.id for commit in composed.commits]
    for fix in fixes:
        for name in (fix.commit, fix.test):
            if name not in ids:
                raise ui.Failure(f"regressions.toml names {name}, which is no commit of the series", "see series/")
        if ids.index(fix.commit) > ids.index(fix.test):
            raise ui.Failure(f"regressions.toml: {fix.test} comes before {fix.commit}, which it tests",
                             "put a fix before its test")
    return sorted(((ids.index(fix.test), fix) for fix in fixes), key=lambda pair: (pair[0], pair[1].lane.kernel.name))


def load():
    """The fixes of the base."""
    return read((paths.base_dir() / "regressions.toml").read_text(encoding="utf-8"), lanes.load())


def check(composed):
    """Every fix and test that regressions.toml names is a commit, each fix before its test."""
    ordered(load(), composed)


def without(composed, fix):
    """A commit with the tree of the fix's test and without the fix."""
    commits = {commit.id: commit for commit in composed.commits}
    repaired, test = commits[fix.commit], commits[fix.test]
    with tempfile.TemporaryDirectory() as tmp:
        who = git.identity("harness", "harness@localhost", "1000000000 +0000")
        repo = composed.base.repo.with_env(GIT_INDEX_FILE=f"{tmp}/index", **who)
        repo.raw("read-tree", test.commit)
        diff = repo.raw("diff-tree", *git.DIFF, composed.parent(repaired), repaired.commit)
        done = repo.try_("apply", "-R", "--cached", "--whitespace=nowarn", "-p1", stdin=diff)
        if done.returncode:
            words = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
            raise ui.Failure(f"{fix.commit} cannot be taken back at {fix.test}: {words[0]}",
                             "name an earlier commit as its test, or change what both touch in one of them")
        return repo.out("commit-tree", repo.out("write-tree"), "-p", test.commit, stdin=b"without a fix\n")


def surprise(fix, case, status):
    """What is wrong with how a case ends without the fix."""
    if status == "missing" and fix.crash:
        return
    if case in fix.cases:
        if status != "failed":
            yield f"{case} does not fail without the fix"
    elif status == "failed":
        yield f"{case} fails without the fix"
    elif status == "missing":
        yield f"{case} does not run without the fix"


def judged(fix, without_fix, with_fix):
    """Rows of the table, and what is wrong with them, for the reports without and with the fix: {suite: Report}."""
    rows, bad = [], []
    for suite in fix.suites:
        before, after = without_fix[suite], with_fix[suite]
        bad += [f"with the fix: {why}" for why in after.troubles()]
        if not fix.crash:
            bad += [f"without the fix: {why}" for why in before.troubles()]
        elif before.ended:
            bad.append(f"{suite}: the guest does not crash without the fix")
        bad += [f"there is no case {name}" for name in fix.cases
                if name.startswith(f"{suite}.") and not after.find(name)]
        for case in after.cases():
            was = before.find(case.full) or crashed(case.full, before, after)
            status = was.status if was else "missing"
            if case.full in fix.cases or status != case.status:
                rows.append((fix.commit, case.full, status, case.status))
            if case.status == "failed":
                bad.append(f"{case.full} fails with the fix")
            bad += surprise(fix, case.full, status)
    if fix.crash and not any(before.find(name) or crashed(name, before, with_fix[suite])
                             for suite, before in without_fix.items() for name in fix.cases):
        bad.append("the guest ended before any of the cases")
    return rows, [f"{fix.commit}: {why}" for why in bad]


def boot(composed, commit, fix, when):
    """Build a commit, and boot the fix's suites: {suite: Report}, judged by what ran, not by the lane's counts: a
    suite may get more cases later."""
    composed.checkout(commit, paths.tree_dir(USE))
    kernel = lanes.known_to(paths.tree_dir(USE), fix.lane.kernel, USE)
    name = f"{fix.commit.replace('/', '-')}.{fix.lane.name}.{when}"
    lanes.build(kernel, USE, name)
    found = {}
    for suite in fix.suites:
        booted = lanes.boot(replace(fix.lane, kernel=kernel), USE, suite, f"{name}.{suite}")
        ran = sum(case.suite == suite for case in booted.cases())
        found[suite] = report.judge(booted, {suite: ran}, fix.lane.may_skip)
    return found


def cmd_regressions():
    """Boot each fix's test without and with it; any surprise is a failure."""
    fixes = chosen(load())
    steps, composed = loop.begin("regressions", 2 * len(fixes),
                                 kbuild.packages(sorted({fix.lane.kernel.arch for fix in fixes})))
    rows, bad = [], []
    for position, fix in ordered(fixes, composed):
        try:
            with steps.step(f"{fix.commit}: without it, in {fix.lane.name}"):
                before = boot(composed, without(composed, fix), fix, "without")
            with steps.step(f"{fix.commit}: with it"):
                after = boot(composed, composed.commits[position].commit, fix, "with")
        except ui.Failure as failure:
            bad.append(str(failure))
            continue
        more, wrong = judged(fix, before, after)
        rows, bad = rows + more, bad + wrong
        for line in wrong:
            ui.say(f"  {line}")
    return report.show(("fix", "case", "without it", "with it"), rows, [f"FAILED: {line}" for line in bad],
                       f"{len(rows)} cases differ, {len(bad)} surprises; logs: {ui.short(paths.log_dir(USE))}")
