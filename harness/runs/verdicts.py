# SPDX-License-Identifier: GPL-2.0
"""`make verdicts`: break each verdict of the harness on purpose, and see that its unit tests notice.

harness/tests/breaks.toml has the breaks: a text that a file has exactly once, and what is put in its place. Each is
made in a copy of the repository, where the tests that import the file run, and then, if none of them fails, all.

BREAKS='finish*' chooses by name.
"""

import ast
import os
import queue
import re
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness import paths, ui
from harness.runs.check import repository_files
from harness.runs.choice import VARIABLES, matching
from harness.source import kbuild

TESTS = "harness/tests"
TABLE = f"{TESTS}/breaks.toml"
TIMEOUT = 600           # seconds, after which the tests hang, which is noticed too


@dataclass(frozen=True)
class Break:
    """An entry of the table."""
    name: str
    file: str
    old: str
    new: str

    def text(self, top):
        text = (top / self.file).read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ui.Failure(f"{TABLE}: {self.name}: its old text is {text.count(self.old)} times in {self.file}",
                             "adapt the entry to the file as it is now")
        return text.replace(self.old, self.new)


def load(top):
    """The breaks; each can be made, and leaves Python that can be read."""
    try:
        entries = [Break(**entry) for entry in tomllib.loads((top / TABLE).read_text(encoding="utf-8"))["break"]]
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ui.Failure(f"{TABLE} is wrong: {error}", "compare with the comment at its top") from error
    for entry in entries:
        text = entry.text(top)
        try:
            ast.parse(text if entry.file.endswith(".py") else "")
        except SyntaxError as error:
            raise ui.Failure(f"{TABLE}: {entry.name} leaves no Python: {error}", "any test notices that") from error
    return entries


def concerned(file, top):
    """The test modules that import a module, or its package, or speak of another file."""
    path = Path(file)
    words = [path.stem, *([path.parent.name] if path.parent.name in ("guest", "report") else [])]
    speaks = re.compile(rf"^(?:from|import) harness\b.*\b(?:{'|'.join(words)})\b" if path.suffix == ".py"
                        else re.escape(file), re.M)
    return [f"{TESTS}/{test.stem}".replace("/", ".") for test in sorted((top / TESTS).glob("test_*.py"))
            if speaks.search(test.read_text(encoding="utf-8"))]


def passes(top, tests):
    """Whether tests pass in a copy of the repository: these modules, or all if there are none."""
    arguments = ["-f", *tests] if tests else ["discover", "-f", "-s", TESTS, "-t", "."]
    environment = {name: value for name, value in os.environ.items() if name not in ("OUT", "BASE", *VARIABLES)}
    try:
        done = subprocess.run([sys.executable, "-B", "-m", "unittest", *arguments], cwd=top, env=environment,
                              check=False, timeout=TIMEOUT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and re.search(rb"^Ran [1-9]", done.stdout, re.M) is not None


def survives(entry, top):
    """Whether all tests pass with the break in the copy; it is taken out again."""
    path = top / entry.file
    whole = path.read_bytes()
    path.write_text(entry.text(top), encoding="utf-8")
    try:
        first = concerned(entry.file, top)
        return (not first or passes(top, first)) and passes(top, [])
    finally:
        path.write_bytes(whole)


def copy(top, folder):
    shutil.rmtree(folder, ignore_errors=True)
    for name in repository_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(top / name, folder / name)
    return folder


def hunt(entries, copies):
    """Yield (break, whether it survived), as they are known; each copy serves one at a time."""
    free = queue.SimpleQueue()
    for folder in copies:
        free.put(folder)

    def one(entry):
        folder = free.get()
        try:
            return entry, survives(entry, folder)
        finally:
            free.put(folder)
    with ThreadPoolExecutor(len(copies)) as pool:
        yield from pool.map(one, entries)


def finish(results):
    """Print who survived; the exit status."""
    survivors = [f"SURVIVED: {entry.name} ({entry.file})" for entry, survived in results if survived]
    for line in [*survivors, f"{len(results) - len(survivors)} breaks noticed, {len(survivors)} survived"]:
        ui.say(line)
    return 1 if survivors or not results else 0


def cmd_verdicts():
    """The exit status: survivors fail, and so do tests that fail on the whole harness."""
    entries = load(paths.TOP)
    names = matching("BREAKS", [entry.name.replace(" ", "-") for entry in entries], "break")
    entries = [entry for entry in entries if entry.name.replace(" ", "-") in names]
    steps = ui.Steps("verdicts", 2)
    with steps.step("run the tests of the harness as it is"):
        copies = [copy(paths.TOP, paths.OUT / "verdicts" / str(number)) for number in range(kbuild.jobs())]
        if not passes(copies[0], []):
            raise ui.Failure("the harness's own tests fail before anything is broken",
                             f"python3 -B -m unittest discover -s {TESTS} -t .")
    results = []
    with steps.step(f"break {len(entries)} verdicts"):
        for entry, survived in hunt(entries, copies):
            results.append((entry, survived))
            ui.say(f"  {len(results)} of {len(entries)}: {'SURVIVED' if survived else 'noticed'}: {entry.name}")
    shutil.rmtree(paths.OUT / "verdicts", ignore_errors=True)
    return finish(results)
