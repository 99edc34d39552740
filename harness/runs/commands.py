# SPDX-License-Identifier: GPL-2.0
"""`make run` and `make test`."""

import unittest

from harness import paths, ui
from harness.guest import guest
from harness.report import report
from harness.runs import ddw, devices, lanes, litmus, status
from harness.source import debian, kbuild


def prepare():
    """Compose the series; the import is here because composing needs git, which `debian` brings."""
    from harness.series import series
    return series.prepare(paths.BASE)


def cmd_run():
    """One lane, the devices and the windows of pseries, from nothing: the quickest way to see the series at work."""
    lane = next(iter(lanes.load(paths.BASE).values()))
    steps = ui.Steps("run", 5 + devices.steps(devices.SIDES) + ddw.steps(ddw.SIDES, ddw.QUICK))
    with steps.step("look for packages"):
        debian.ensure(dict.fromkeys([*kbuild.packages([lane.kernel.arch]),
                                       *guest.packages([devices.ARCH, ddw.ARCH])]))
    with steps.step(f"fetch Linux {paths.BASE} and compose the series"):
        tip = prepare()
    with steps.step("put the series into a work tree"):
        tip.checkout(tip.tip, lanes.tree_dir())
    with steps.step(f"build {lane.kernel.name}"):
        lanes.build(lane.kernel)
    with steps.step(f"boot {lane.name} with 8 GB of memory"):
        result = lanes.run(lane)
    found = devices.measure(steps, tip, devices.SIDES, devices.FULL)
    windows = ddw.measure(steps, tip, ddw.SIDES, ddw.QUICK)
    proofs = [proof for case in result.cases() for proof in case.proofs]
    if proofs:
        ui.say()
        for proof in proofs:
            ui.say(f"  {proof}")
    ui.say()
    for line in [*devices.table(found), "", *ddw.table(windows)]:
        ui.say(line)
    return finish([result, devices.judged(found), ddw.judged(windows)])


def cmd_test():
    """Everything that has to pass before a commit: the harness's tests, the series, the lanes."""
    chosen = lanes.wanted()
    kernels = {lane.kernel.name: lane.kernel for lane in chosen}
    sides = [] if lanes.named() else ["series"]         # a reduced run, and none for lanes that were chosen by name
    steps = ui.Steps("test", 6 + len(kernels) + len(chosen)
                     + (devices.steps(sides) + ddw.steps(sides, ddw.QUICK) if sides else 0))
    with steps.step("look for packages"):
        debian.ensure(dict.fromkeys([*kbuild.packages(sorted({kernel.arch for kernel in kernels.values()})),
                                       *guest.packages(sorted({lane.kernel.arch for lane in chosen if lane.torture})),
                                       *(guest.packages([devices.ARCH, ddw.ARCH]) if sides else [])]))
    with steps.step("test the harness"):
        passed, failed = own_tests()
    results = []
    try:
        with steps.step(f"fetch Linux {paths.BASE} and compose the series"):
            tip = prepare()
        with steps.step("verify the patches"):
            good, bad = verify(tip)
            passed, failed = passed + good, failed + bad
        with steps.step("put the series into a work tree"):
            tip.checkout(tip.tip, lanes.tree_dir())
        with steps.step("run the litmus tests"):
            results.append(litmus.run(lanes.tree_dir()))
    except ui.Failure as failure:
        ui.say(str(failure))
        return finish(results, passed, failed + 1)
    for kernel in kernels.values():
        mine = [lane for lane in chosen if lane.kernel is kernel]
        try:
            with steps.step(f"build {kernel.name}"):
                lanes.build(kernel)
        except ui.Failure as failure:
            ui.say(str(failure))
            steps.count += len(mine)
            results += [report.Report(lane.name, ui.short(failure.log) if failure.log else "",
                                      problems=[failure.what]) for lane in mine]
            continue
        for lane in mine:
            with steps.step(f"boot {lane.name}"):
                results.append(lanes.run(lane))
    for part, amount in ((devices, devices.SHORT), (ddw, ddw.QUICK)) if sides else ():
        try:
            results.append(part.judged(part.measure(steps, tip, sides, amount)))
        except ui.Failure as failure:
            ui.say(str(failure))
            results.append(report.Report(part.USE, ui.short(failure.log) if failure.log else "",
                                         problems=[failure.what]))
    return finish(results, passed, failed)


def own_tests():
    """Run the harness's unit tests; the log is shown only if one fails."""
    suite = unittest.defaultTestLoader.discover(str(paths.TOP / "harness/tests"), top_level_dir=str(paths.TOP))
    log = paths.OUT / "log/harness-tests.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8") as out:
        result = unittest.TextTestRunner(out).run(suite)
    failed = len(result.failures) + len(result.errors)
    for case, trace in result.failures + result.errors:
        ui.say(f"  FAILED: {case}: {trace.strip().splitlines()[-1]}")
    if failed:
        ui.say(f"  log: {ui.short(log)}")
    return result.testsRun - failed - len(result.skipped), failed


def cmd_series():
    """Compose, and bring the tables of README.md up to date."""
    from harness.series import series
    path, text, wanted = status.current(series.cmd_series())
    if text != wanted:
        path.write_text(wanted, encoding="utf-8")
        ui.say("  written README.md")


def check_status(series):
    """The tables of README.md are those that `make series` would write."""
    _, text, wanted = status.current(series)
    if text != wanted:
        raise ui.Failure("README.md's status is out of date", "make series")


def verify(tip):
    """Hold patches/ against the composed series, as (passed, failed); see series.cmd_verify()."""
    if not tip.recorded:
        ui.say(f"  not verified: patches/ is made on another release than {tip.release.kernel}")
        return 0, 0
    failed = 0
    checks = (("README.md says what there is", lambda: check_status(tip.series)),
              ("composing again gives the committed bytes", tip.check_generated),
              ("the pre-images are in the base", tip.check_preimages),
              ("git am gives the recorded trees", tip.check_am),
              ("patch --fuzz=0 gives the same files", tip.check_patch))
    for name, check in checks:
        try:
            check()
            ui.say(f"  {name}")
        except ui.Failure as failure:
            ui.say(f"  FAILED: {name}: {failure}")
            failed += 1
    return len(checks) - failed, failed


def finish(results, passed=0, failed=0):
    """Print the table and the closing line; the exit status is that of the closing line."""
    ui.say()
    for line in report.summary(results):
        ui.say(line)
    ui.say(f"logs: {ui.short(lanes.log_dir())}, reports: {ui.short(paths.OUT / 'report')}")
    passed += sum(result.count("passed") for result in results)
    failed += sum(result.count("failed") for result in results)
    skipped = sum(result.count("skipped") for result in results)
    ui.say(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0
