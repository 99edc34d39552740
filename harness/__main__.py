# SPDX-License-Identifier: GPL-2.0
"""`python3 -m harness COMMAND`: what the Makefile calls."""

import contextlib
import fcntl
import importlib
import os
import shutil
import signal
import sys

from harness import paths, ui


def clean():
    """Remove what was built. The cache with the base's source and compiler results stays."""
    for name in ("bench", "build", "check", "ddw", "devices", "guest", "log", "mutants", "regressions", "report",
                 "tree"):
        shutil.rmtree(paths.OUT / name, ignore_errors=True)


def am(run):
    """`make am TREE=path`."""
    tree = os.environ.get("TREE")
    if not tree:
        raise ui.Failure("which tree?", "make am TREE=path/to/linux")
    return run(tree)


@contextlib.contextmanager
def alone(command):
    """Commands that build take turns: they share work trees and processors."""
    if command not in ("run", "test", "check", "mutants", "regressions", "bench", "devices", "ddw", "torture"):
        yield
        return
    paths.OUT.mkdir(parents=True, exist_ok=True)
    with open(paths.OUT / ".lock", "w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ui.Failure(f"something else is being built in {ui.short(paths.OUT)}",
                             "wait until it is done, or give another OUT=") from None
        yield


# command: module, function
COMMANDS = {
    "run": ("runs.commands", "cmd_run"),
    "test": ("runs.commands", "cmd_test"),
    "series": ("runs.commands", "cmd_series"),
    "verify": ("series.series", "cmd_verify"),
    "am": ("series.am", "cmd_am"),
    "edit": ("series.edit", "cmd_edit"),
    "absorb": ("series.edit", "cmd_absorb"),
    "bench": ("runs.bench", "cmd_bench"),
    "devices": ("runs.devices", "cmd_devices"),
    "ddw": ("runs.ddw", "cmd_ddw"),
    "torture": ("runs.torture", "cmd_torture"),
    "check": ("runs.check", "cmd_check"),
    "mutants": ("runs.mutants", "cmd_mutants"),
    "litmus": ("runs.litmus", "cmd_litmus"),
    "regressions": ("runs.regressions", "cmd_regressions"),
}


def main(words):
    """Run one command; its result is the exit status unless it is None or a pair of counts."""
    if len(words) != 1 or words[0] not in [*COMMANDS, "clean"]:
        print(f"usage: python3 -m harness {'|'.join([*COMMANDS, 'clean'])}", file=sys.stderr)
        return 2
    if words[0] == "clean":
        return clean()
    # A plain exit on these signals lets ui.run() end the commands that it has started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    module, function = COMMANDS[words[0]]
    try:
        command = getattr(importlib.import_module(f"harness.{module}"), function)
        with alone(words[0]):
            result = am(command) if words[0] == "am" else command()
    except ui.Failure as failure:
        ui.say()
        print(failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    if isinstance(result, tuple):
        return 1 if result[1] else 0
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
