# SPDX-License-Identifier: GPL-2.0
"""`make verify`: patches/ and all that is generated is what series/ gives, and applies as it should."""

from harness import ui
from harness.runs import check, regressions, status
from harness.series import absorb, compose, mutants
from harness.series import verify as patches

CHECKS = (("README.md says what there is", status.check),
          *patches.CHECKS,
          ("every mutant applies", mutants.check),
          ("regressions.toml names commits", regressions.check),
          ("check-exceptions names commits", check.check_exceptions))


def verify(composed):
    """Every check, as (passed, failed)."""
    if not composed.recorded:
        ui.say(f"  not verified: patches/ is made on another release than {composed.release.kernel}")
        return 0, 0
    failed = 0
    for name, verified in CHECKS:
        try:
            verified(composed)
            ui.say(f"  {name}")
        except ui.Failure as failure:
            ui.say(f"  FAILED: {name}: {failure}")
            failed += 1
    return len(CHECKS) - failed, failed


def cmd_verify():
    """The exit status: on another release than the recorded one there is nothing to compare with."""
    steps = ui.Steps("verify", 2)
    with steps.step("fetch the base and compose the series"):
        composed = compose.prepare()
    with steps.step("verify the patches"):
        _, failed = verify(composed)
    return 1 if failed else 0


def cmd_series():
    """`make series`: compose and write patches/, and bring README.md's table up to date."""
    if status.write(compose.cmd_series()):
        ui.say("  written README.md")


def cmd_absorb():
    """`make absorb`, likewise."""
    if status.write(absorb.cmd_absorb()):
        ui.say("  written README.md")
