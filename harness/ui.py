# SPDX-License-Identifier: GPL-2.0
"""What the user sees: numbered steps with their times, a sign of life while a command runs, and
failures that say what happened, what to do and where the log is."""

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

HEARTBEAT = 30          # seconds between two signs of life when stdout is a file or a pipe
TICK = 0.5              # seconds between two updates in place on a terminal


class Failure(Exception):
    """Something the user has to know about: what, one line what to do, the log."""

    def __init__(self, what, hint=None, log=None):
        super().__init__(what)
        self.what, self.hint, self.log = what, hint, log

    def __str__(self):
        lines = [self.what]
        if self.hint:
            lines.append(f"  to do: {self.hint}")
        if self.log:
            lines.append(f"  log:   {short(self.log)}")
        return "\n".join(lines)


def short(path):
    """The path as seen from the current directory, where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


def clock(seconds):
    """Elapsed time as 01:23, or 1:02:03 from an hour on."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"


def say(line=""):
    """Print one line at once, also into a pipe."""
    if sys.stdout.isatty():
        print("\r\033[K", end="")
    print(line, flush=True)


class Pulse:
    """Shows that a command is still at work: in place on a terminal, a line now and then elsewhere.

    `status`, if given, returns a few words on how far the command is.
    """

    def __init__(self, name, status=None):
        self.name, self.status = name, status
        self.terminal = sys.stdout.isatty()
        self.every = TICK if self.terminal else HEARTBEAT
        self.start = time.monotonic()
        self.next = self.start + self.every

    def beat(self):
        """Call often; prints only when it is time to."""
        now = time.monotonic()
        if now < self.next:
            return
        self.next = now + self.every
        how_far = self.status() if self.status else ""
        line = f"  {clock(now - self.start)} {self.name}" + (f": {how_far}" if how_far else "")
        if self.terminal:
            print(f"\r\033[K{line[:100]}", end="", flush=True)
        else:
            print(f"{line} ...", flush=True)

    def done(self):
        """Clear the line in place."""
        if self.terminal:
            print("\r\033[K", end="", flush=True)


@contextlib.contextmanager
def alone(folder):
    """Commands take turns that share the work trees and builds in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".gitignore").exists():            # OUT= may be within a repository
        (folder / ".gitignore").write_text("*\n", encoding="ascii")
    with open(folder / ".lock", "w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(f"something else is at work in {short(folder)}",
                          "wait until it is done, or give another OUT=") from None
        yield


class Steps:
    """`with Steps("test", 9).step("compose"):` prints `[1 of 9 | 00:00] compose` and the time taken."""

    def __init__(self, title, total):
        self.title, self.total, self.count = title, total, 0
        self.start = time.monotonic()

    @contextlib.contextmanager
    def step(self, name):
        """One step; its end is printed only if it succeeds, a Failure is __main__'s to print."""
        self.count += 1
        start = time.monotonic()
        say(f"[{self.count} of {self.total} | {clock(start - self.start)}] {name}")
        yield
        say(f"  done in {clock(time.monotonic() - start)}")


ERROR = re.compile(r"(?:^|\W)(?i:error): |undefined reference to|multiple definition of"   # compilers, git, modpost
                   r"|^E: |^Missing: CONFIG_|^Traceback ")                                  # apt, kunit.py, Python
MAKE = re.compile(r"^make(?:\[\d+\])?: \*\*\* ")


def first_error(text):
    """The line that says what went wrong first; make's own complaints count only if nothing else does.
    What is put before it on the way is cut: the path of the work tree, kunit.py's prefix."""
    complaint = None                # of make itself
    for line in text.splitlines():
        line = re.sub(r"(\.\./)+tree/[^/]+/", "", line.removeprefix("ERROR:root:"))
        if MAKE.search(line):
            complaint = complaint or line.strip()
        elif ERROR.search(line):
            return line.strip()
    return complaint


def last_lines(text, count=10):
    """The end of a log, for failures that have no line of their own."""
    return "\n".join(text.rstrip().splitlines()[-count:])


def stop(process):
    """End a command and everything it started."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sig)
        try:
            process.wait(5)
            return
        except subprocess.TimeoutExpired:
            continue


def run(cmd, log, cwd=None, env=None, check=True, status=None, watch=None, name=None):
    """Run a command with all its output in the file `log`, and return its exit status.

    `env` is added to the environment. `status` gives the pulse its words. `watch` is called about
    twice a second and may raise to end the command. With `check` a failing command is a Failure that
    shows the first error of the log.
    """
    cmd = [str(word) for word in cmd]
    name = name or os.path.basename(cmd[0])
    log = Path(log)
    log.parent.mkdir(parents=True, exist_ok=True)
    pulse = Pulse(name, status)
    with open(log, "w", encoding="utf-8") as out:
        try:
            process = subprocess.Popen(cmd, cwd=cwd, env={**os.environ, **(env or {})}, stdout=out,
                                       stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                       start_new_session=True)
        except OSError as error:
            raise Failure(f"cannot run {cmd[0]}: {error.strerror}", "install it and try again") from error
        try:
            while process.poll() is None:
                try:
                    process.wait(TICK)
                except subprocess.TimeoutExpired:
                    pulse.beat()
                    if watch:
                        watch()
        finally:
            if process.poll() is None:
                stop(process)
            pulse.done()
    if check and process.returncode:
        text = log.read_text(encoding="utf-8", errors="replace")
        reason = first_error(text) or last_lines(text, 1) or f"exit status {process.returncode}"
        raise Failure(f"{name} failed: {reason}", "read the log around that line", log)
    return process.returncode
