# SPDX-License-Identifier: GPL-2.0
"""What this repository says of the series: parts, their commits, and the kernel files that they bring.

    series/parts.toml               the parts in order: what each needs, the list that it is sent to
    series/author                   Name <email>
    series/<part>/order             names of its commits, in order
    series/<part>/cover.msg         the part's cover letter: subject, blank line, text
    series/<part>/<name>.msg        a commit's message; see message.py
    series/<part>/<name>.patch      what the commit changes in new files of earlier commits.  The files in this
                                    repository have the change already
    series/<part>/<base>/<name>.patch   its hook on a base: edits to files of the base, and to new files where
                                    that base differs
    series/<part>/<base>/<name>.msg     its message where it reads differently on a base, without a header
    series/<part>/mutants/          breaks on purpose

A commit is known by its id, part/name.
"""
import contextlib
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from harness.series import maintainers, message
from harness.ui import Failure

# Directories of a kernel tree: a file below one of them, here, is a new kernel file.
KERNEL = ("Documentation LICENSES arch block certs crypto drivers fs include init io_uring ipc kernel "
          "lib mm net rust samples scripts security sound tools usr virt").split()
JUNK = re.compile(r"~$|\.(orig|rej|o|ko|cmd|swp|pyc)$|^\.#|^__pycache__$|^\.DS_Store$")
NAME = re.compile(r"(?!cover$)[a-z][a-z0-9]*(-[a-z0-9]+)*")
PARTS = "series/parts.toml"


@dataclass(frozen=True)
class Part:
    """A part of the series, as its maintainers get it."""
    name: str
    needs: tuple        # of parts, earlier ones
    list: str           # the mailing list
    title: str          # what it is about, in a few words
    ids: tuple          # of its commits, those that a base does not need included


class Series:
    """What series/, MAINTAINERS and the kernel files below `top` say; mistakes are told at once."""

    def __init__(self, top, base_name):
        self.top, self.base_name = Path(top), base_name
        self.dir = self.top / "series"
        self.author = self._author()
        self.parts = self._parts()
        self.all_ids = [i for part in self.parts.values() for i in part.ids]
        self.messages = {i: self._message(i) for i in self.all_ids}
        self.hooks = self._patches(self.hook_path)
        self.edits = self._patches(self.edit_path)
        self.ids = [i for i in self.all_ids if base_name not in self.messages[i].not_on]
        self._check_names()
        self._check_files()
        self._check_entries()

    def _read(self, name):
        try:
            return (self.top / name).read_bytes()
        except OSError as error:
            raise Failure(f"{name}: {error.strerror}") from error

    def _message(self, i):
        found = message.parse(f"series/{i}.msg", self._read(f"series/{i}.msg"))
        own = self.message_path(i)
        if (self.top / own).is_file():
            found.text, found.notes = message.split(self._read(own).decode())
            message.check(own, found, 0)
        return found

    def _parts(self):
        try:
            data = tomllib.loads(self._read(PARTS).decode())
        except tomllib.TOMLDecodeError as error:
            raise Failure(f"{PARTS}: {error}") from error
        found = {}
        for name, values in data.items():
            if not isinstance(values, dict) or sorted(values) != ["list", "needs", "title"] or not NAME.fullmatch(name):
                raise Failure(f"{PARTS}: [{name}] has to be a table with needs, list and title")
            later = [need for need in values["needs"] if need not in found]
            if later:
                raise Failure(f"{PARTS}: {name} needs {later[0]}, which is no part before it")
            found[name] = Part(name, tuple(values["needs"]), values["list"], values["title"], self._order(name))
        return found

    def _order(self, part):
        file, names = f"series/{part}/order", []
        for number, line in enumerate(self._read(file).decode().splitlines(), 1):
            if not NAME.fullmatch(line):
                raise Failure(f"{file}:{number}: `{line}` is not of the form some-name")
            if line in names:
                raise Failure(f"{file}:{number}: {line} is named twice")
            names.append(line)
        return tuple(f"{part}/{name}" for name in names)

    def _author(self):
        found = re.fullmatch(r"([^<>\n]+?) <([^<> ]+)>", self._read("series/author").decode().strip())
        if not found:
            raise Failure("series/author has to be one line: Name <email>")
        return found.groups()

    def hook_path(self, i):
        """Where the hook of a commit is."""
        part, name = i.split("/")
        return f"series/{part}/{self.base_name}/{name}.patch"

    def message_path(self, i):
        """Where a base has its own text of a commit's message, without a header."""
        return self.hook_path(i).removesuffix(".patch") + ".msg"

    @staticmethod
    def edit_path(i):
        """Where the changes of a commit to new files of earlier ones are."""
        return f"series/{i}.patch"

    def _patches(self, place):
        return {i: self._read(place(i)) for i in self.all_ids if (self.top / place(i)).is_file()}

    def closure(self, names):
        """The parts of these names and what they need, in order."""
        wanted = set()
        for name in reversed(self.parts):
            if name in names or name in wanted:
                wanted |= {name, *self.parts[name].needs}
        return [part for name, part in self.parts.items() if name in wanted]

    # -- checks ----------------------------------------------------------------------------

    def _check_names(self):
        for path in [*self.dir.glob("*/*.msg"), *self.dir.glob("*/*.patch"), *self.dir.glob("*/[0-9]*/*")]:
            words = path.relative_to(self.dir).parts
            if f"{words[0]}/{path.stem}" not in self.all_ids and words[1] != "cover.msg":
                raise Failure(f"{path.relative_to(self.top)}: series/{words[0]}/order does not name {path.stem}")
        for i, found in self.messages.items():
            if found.files and found.not_on:
                raise Failure(f"series/{i}.msg: brings files, and is not on {', '.join(found.not_on)}",
                              "bring them with another commit")
        subjects = [self.messages[i].subject for i in self.ids]
        for subject in subjects:
            if subjects.count(subject) > 1:
                raise Failure(f"two commits have the subject `{subject}`")

    def _check_files(self):
        self.owner = {}
        for i in self.all_ids:
            for name in self.messages[i].files:
                if name in self.owner:
                    raise Failure(f"{name} is named by series/{self.owner[name]}.msg and by series/{i}.msg")
                if name.split("/")[0] not in KERNEL:
                    raise Failure(f"series/{i}.msg names {name}, which is in no kernel directory")
                self.owner[name] = i
        for name in self.kernel_files():
            if name not in self.owner:
                raise Failure(f"{name}: no commit brings this file",
                              "name it in the Files: line of one series/*/*.msg, or remove it")

    def kernel_files(self):
        """All new kernel files in the repository."""
        for folder in KERNEL:
            for where, folders, files in os.walk(self.top / folder):
                folders[:] = sorted(name for name in folders if not JUNK.search(name))
                for name in sorted(files):
                    if not JUNK.search(name):
                        yield Path(where, name).relative_to(self.top).as_posix()

    def _check_entries(self):
        path = self.top / "MAINTAINERS"
        self.entries = path.read_bytes() if path.is_file() else b""
        owner = {}
        for i in self.all_ids:
            for title in self.messages[i].titles:
                if title in owner:
                    raise Failure(f"series/{owner[title]}.msg and series/{i}.msg both insert `{title}`")
                owner[title] = i
                if maintainers.entry(self.entries, title) is None:
                    raise Failure(f"series/{i}.msg inserts `{title}`, which MAINTAINERS does not have")
        for title in maintainers.titles(self.entries):
            if title not in owner:
                raise Failure(f"MAINTAINERS: no commit inserts the entry `{title}`",
                              "name it in a Maintainers: line of one series/*/*.msg, or remove it")


def differing(top, wanted):
    """Those of {path: bytes, (bytes, executable) or None} that the files below `top` are not."""
    changes = {}
    for name, data in wanted.items():
        path = Path(top) / name
        there = path.read_bytes() if path.is_file() else None
        if isinstance(data, tuple) and there is not None:
            there = there, os.access(path, os.X_OK)
        if there != data:
            changes[name] = data
    return changes


def write_files(top, changes):
    """Write {path: bytes, (bytes, executable) or None to remove}, each file in one step."""
    for name, data in changes.items():
        path = Path(top) / name
        if data is None:
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):          # until a folder is not empty
                for parent in Path(name).parents[:-1]:
                    (Path(top) / parent).rmdir()
            continue
        data, executable = data if isinstance(data, tuple) else (data, False)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".new-{path.name}")
        new.write_bytes(data)
        if executable:
            mode = new.stat().st_mode
            new.chmod(mode | (mode & 0o444) >> 2)       # for those who may read it
        new.replace(path)
