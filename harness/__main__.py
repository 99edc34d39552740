# SPDX-License-Identifier: GPL-2.0
"""`python3 -m harness COMMAND`: what the Makefile calls."""

import contextlib
import os
import shutil
import signal
import sys
import tempfile

from harness import paths, ui
from harness.runs import (bench, check, ddw, devices, kunit, litmus, mutants, mutation, regressions, run, shell, test,
                          verdicts, verify)
from harness.runs.choice import VARIABLES
from harness.series import am, edit, part

# What is made below OUT and can be made again; a contributor's work trees (edit, part) are not.
MADE = ("bench", "build", "check", "ddw", "devices", "guest", "kunit", "log", "mutants", "mutation", "regressions",
        "report", "shell", "tree", "verdicts")


def clean():
    """Remove what was built. The cache with the base's source and compiler results stays, and so does an edit."""
    for path in (paths.OUT / name for name in MADE):
        try:
            if path.exists():
                shutil.rmtree(path)
        except OSError as error:
            raise ui.Failure(f"cannot remove {ui.short(path)}: {error.strerror}", "see who owns it") from error


# command: function, and the folder in which it has to be alone
BUILDS, EDITS = paths.OUT, paths.OUT / "edit"
COMMANDS = {
    "run": (run.cmd_run, BUILDS),
    "test": (test.cmd_test, BUILDS),
    "shell": (shell.cmd_shell, None),          # it takes its turn while it builds, not while somebody types
    "series": (verify.cmd_series, EDITS),
    "verify": (verify.cmd_verify, None),
    "am": (am.cmd_am, None),
    "edit": (edit.cmd_edit, EDITS),
    "absorb": (verify.cmd_absorb, EDITS),
    "part": (part.cmd_part, EDITS),
    "bench": (bench.cmd_bench, BUILDS),
    "devices": (devices.cmd_devices, BUILDS),
    "ddw": (ddw.cmd_ddw, BUILDS),
    "torture": (kunit.cmd_torture, BUILDS),
    "check": (check.cmd_check, BUILDS),
    "mutants": (mutants.cmd_mutants, BUILDS),
    "mutation": (mutation.cmd_mutation, BUILDS),
    "litmus": (litmus.cmd_litmus, None),
    "regressions": (regressions.cmd_regressions, BUILDS),
    "verdicts": (verdicts.cmd_verdicts, None),
    "clean": (clean, BUILDS),
}


# What a command may be told with variables
TAKES = {
    "test": ("LANES", "PART", "SUITE", "CASE", "DURATION"), "torture": ("LANES", "DURATION"), "shell": ("LANE",),
    "am": ("TREE", "PART"), "part": ("PART", "SIGNOFF"), "check": ("PATCHES",), "mutants": ("MUTANTS",),
    "mutation": ("PART", "MUTATIONS"), "regressions": ("FIX",), "devices": ("DEVICE",), "ddw": ("SCENARIO",),
    "verdicts": ("BREAKS",),
}


def check_variables(command):
    """A command is not told what it would ignore."""
    takes = TAKES.get(command, ())
    for name in VARIABLES:
        if os.environ.get(name) and name not in takes:
            does = "; ".join(f"make {other} does" for other, names in TAKES.items() if name in names)
            raise ui.Failure(f"make {command} takes no {name}=", f"leave it out ({does})")


def check_folders():
    """OUT= and CACHE= can be written to."""
    for name, folder in (("OUT", paths.OUT), ("CACHE", paths.CACHE)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise ui.Failure(f"cannot write to {name}={folder}: {error.strerror}", f"give another {name}=") from error


def check_base():
    """BASE= names one that there is."""
    known = sorted(path.parent.name for path in (paths.TOP / "bases").glob("*/base.toml"))
    if paths.BASE not in known:
        raise ui.Failure(f"there is no base {paths.BASE}", f"use BASE={' or '.join(known)}")


def main(arguments):
    """Run one command; its result is the exit status."""
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        print(f"usage: python3 -m harness {'|'.join(COMMANDS)}", file=sys.stderr)
        return 2
    # A plain exit on these signals lets ui.run() end the commands that it has started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda caught, _: sys.exit(f"ended by {signal.Signals(caught).name}"))
    function, folder = COMMANDS[arguments[0]]
    try:
        check_base()
        check_variables(arguments[0])
        check_folders()
        with ui.alone(folder) if folder else contextlib.nullcontext():
            return function()
    except ui.Failure as failure:
        ui.say()
        print(failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
