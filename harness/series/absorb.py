# SPDX-License-Identifier: GPL-2.0
"""make absorb: the branch of `make edit` becomes files, hooks, messages, entries of MAINTAINERS and order again.

It composes the outcome in a copy and compares it with the branch, commit by commit, before it writes anything; then
it writes patches/ as well.
"""
import os
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from harness import git, paths
from harness.series import diffs, maintainers, message
from harness.series.compose import compose, prepare, told
from harness.series.edit import (BASE, BRANCH, CLEAN, check_clean, edit_dir, mark, moved_on, opened, recorded_only,
                                 recorded_state)
from harness.series.series import JUNK, KERNEL, NAME, Series, differing, write_files
from harness.ui import Failure, say, short

ID = re.compile(r"Id: (\S+)\n?")
LEFT = re.compile(r"^(---$|Id: )", re.M)        # of a second message, after a squash
PLACE = re.compile(r"[A-Za-z0-9._+,@=/-]+")     # what a kernel file may be called


@dataclass
class Taken:
    """One commit of the branch, taken apart."""
    commit: str
    tree: str
    parent: str
    author: str
    date: str
    text: str
    notes: str
    id: str             # what it says; give_ids() finds the others
    hook: bytes = b""
    edit: bytes = b""
    files: dict = field(default_factory=dict)       # that it brings: {path: (bytes, executable)} in the end
    titles: list = field(default_factory=list)      # of the MAINTAINERS entries that it inserts

    @property
    def subject(self):
        """The first line."""
        return self.text.split("\n", 1)[0]

    @property
    def part(self):
        """The part that it belongs to."""
        return self.id.split("/")[0]

    def __str__(self):
        return f"commit {self.commit[:10]} (`{self.subject}`)"


def read_branch(repo, path, composed):
    """The commits of the branch, if they can be absorbed."""
    base, tip = repo.resolve(BASE), repo.resolve(BRANCH)
    if base != composed.base_commit:
        raise Failure(f"{short(path)} stands on another release than bases/{composed.base.name}/base.toml",
                      f"move {short(path)} away, make edit, and git cherry-pick from there")
    if repo.try_("merge-base", "--is-ancestor", base, tip).returncode or base == tip:
        raise Failure("the branch series has no commits on top of the tag base",
                      f"git -C {short(path)} reset --hard {CLEAN} takes back what is not absorbed")
    merge = repo.lines("rev-list", "--merges", f"{base}..{tip}")
    if merge:
        raise Failure(f"the branch series has a merge, {merge[0][:10]}", "git rebase base makes it a line")
    taken = []
    log = repo.raw("log", "--reverse", "-z", "--format=%H%x1f%T%x1f%P%x1f%an <%ae>%x1f%aI%x1f%B", f"{base}..{tip}")
    for record in log.rstrip(b"\0").split(b"\0"):
        try:
            *ids, author, date, text = record.decode().split("\x1f", 5)
        except UnicodeDecodeError as error:
            raise Failure(f"the message of commit {record[:10].decode()} is not UTF-8", "git rebase -i base: reword it") \
                from error
        text, notes = message.split(text)
        said = ID.match(notes)
        commit = Taken(*ids, author, datetime.fromisoformat(date).isoformat(), text,
                       notes[said.end() if said else 0:].lstrip("\n"), said[1] if said else None)
        if LEFT.search(commit.notes):
            raise Failure(f"{commit} has what is left of two messages below its cut",
                          "git rebase -i base: reword it, with one text, one line `---` and one `Id:` right below")
        if re.match(r"(fixup|squash|amend)! ", commit.subject):
            raise Failure(f"{commit} waits for its squash", "git rebase -i --autosquash base")
        if author != "{} <{}>".format(*composed.series.author):
            say(f"{commit} is by {author}; the series is sent as {composed.series.author[0]} (series/author)")
        taken.append(commit)
    return taken


# -- which commit is which -------------------------------------------------------------------


def give_ids(series, taken):
    """Find the id of every commit: what it says, by its subject, or a new one made from the subject."""
    known, parts = {}, list(series.parts)
    for commit in taken:
        if commit.id:
            if commit.part not in parts or not NAME.fullmatch(commit.id.partition("/")[2]):
                raise Failure(f"{commit} says `Id: {commit.id}`, which is no part/name",
                              f"parts are {' '.join(parts)}; a name has lower-case words with dashes, and is not cover")
            if commit.id in known:
                raise Failure(f"{commit} and {known[commit.id]} both say `Id: {commit.id}`",
                              "git rebase -i base: reword one of them, with another id or none")
            known[commit.id] = commit
    part = next((commit.part for commit in taken if commit.id), parts[0])
    for commit in taken:
        if not commit.id:
            commit.id = next((i for i in series.ids if i not in known and series.messages[i].subject == commit.subject),
                             None) or new_id(part, commit.subject, {*known, *series.all_ids, f"{part}/cover"})
            known[commit.id] = commit
        part = commit.part
    for before, commit in zip(taken, taken[1:]):
        if parts.index(commit.part) < parts.index(before.part):
            raise Failure(f"{commit} of part {commit.part} comes after one of part {before.part}",
                          "the parts follow each other as in series/parts.toml; git rebase -i base")


def new_id(part, subject, taken):
    """An id made from a subject."""
    words = "-".join(re.findall(r"[a-z0-9]+", subject.rpartition(": ")[2].lower()))
    name = re.sub(r"^([0-9][a-z0-9]*-?)+", "", words)[:32].rstrip("-") or "commit"
    number = 2
    while f"{part}/{name}" in taken:
        name, number = f"{re.sub('-[0-9]+$', '', name)}-{number}", number + 1
    return f"{part}/{name}"


# -- what a commit changes -------------------------------------------------------------------


def take_apart(repo, index, series, base_commit, taken, differences):
    """Sort what every commit changes into new files, changes to them, MAINTAINERS entries and hook; {title: entry}.

    `index` is the repository with another index, in which the new files grow commit by commit as the repository keeps
    them.  `differences` are the parts of hooks that concern new files, {id: [FileDiff]}: how this base differs from
    what the repository keeps.  They stay as they are, and are taken out of the files.
    """
    in_base = set(repo.raw("ls-tree", "-r", "-z", "--name-only", base_commit).split(b"\0"))
    owner, entries, active, tree = {}, {}, [], index.out("mktree")
    for commit in taken:
        active += differences.get(commit.id, ())
        index.raw("read-tree", tree)
        hook = {}
        fields = repo.raw("diff-tree", "-r", "-z", "--no-renames", commit.parent, commit.commit).split(b"\0")
        for head, raw in zip(fields[0::2], fields[1::2]):
            _, mode, _, blob, status = head.decode().split()
            path, entry = os.fsdecode(raw), None if status == "D" else (mode, blob)
            if status == "A" and (raw in in_base or path in owner):
                raise Failure(f"{commit} brings {path} again, which an earlier commit deletes",
                              "keep the file, or squash the two commits")
            if path == "MAINTAINERS" and raw in in_base and status == "M":
                blob = take_entries(repo, commit, entries)
                if blob:
                    hook[path] = mode, blob
            elif raw in in_base:
                hook[path] = entry
            else:
                take_file(index, commit, path, entry, [part for part in active if part.path == path])
                check_text(commit, path, entry and repo.blob(entry[1]))
                if path not in owner:
                    check_place(commit, path, mode)
                    owner[path] = commit
        before, tree = tree, index.out("write-tree")
        commit.edit = git.kept(index.raw("diff-tree", *git.DIFF, "--diff-filter=a", before, tree))
        check_needs(series, owner, commit)
        if hook:
            commit.hook = git.kept(repo.raw("diff-tree", *git.DIFF, commit.parent, *repo.trees(commit.parent, [hook])))
        commit.hook += b"".join(part.text for part in differences.get(commit.id, ()))
        if not (commit.hook or commit.edit or commit.titles or commit in owner.values()):
            raise Failure(f"{commit} changes nothing", "drop it")
    for path, commit in owner.items():
        line = index.out("ls-tree", tree, "--", path)
        commit.files[path] = (index.blob(line.split()[2]), line.startswith("100755")) if line else None
    return {title: text for title, (_, text) in entries.items()}


def check_needs(series, owner, commit):
    """A commit changes new files of its own part, and of those that its part needs."""
    for part in diffs.parse(commit.edit):
        theirs = owner[part.path].part
        if theirs not in [found.name for found in series.closure([commit.part])]:
            raise Failure(f"{commit} of part {commit.part} changes {part.path} of part {theirs}, which it does not need",
                          f"say `Id: {theirs}/NAME` below the cut of its message, and move it before the parts that follow")


def check_text(commit, path, data):
    """What a mail cannot carry is no part of a patch."""
    if data and (b"\0" in data or b"\r" in data):
        raise Failure(f"{commit} has {path} with " + ("bytes that are no text" if b"\0" in data else "CR at line ends"),
                      "git rebase -i base: write it as plain text")


def check_place(commit, path, mode):
    """A new file is a plain one, where a kernel has files."""
    if mode not in ("100644", "100755"):
        raise Failure(f"{commit} adds {path}, which is not a plain file", "take it out")
    if path.split("/")[0] not in KERNEL or "/" not in path or any(map(JUNK.search, path.split("/"))) \
            or not PLACE.fullmatch(path):
        raise Failure(f"{commit} adds {path}, which is not at a place for a kernel file",
                      "move it, or take it out of the commit")


def take_file(index, commit, path, entry, differences):
    """The commit leaves `entry` at the path of a new file; take out how this base differs."""
    index.stage({path: entry})
    for part in reversed(differences if entry else []):
        if index.apply(part.text, "-R").returncode:
            raise Failure(f"{commit} changes {path} where this base differs from the file in the repository",
                          f"change the hook of {commit.id} by hand, or edit on another base")


def take_entries(repo, commit, owner):
    """Note the MAINTAINERS entries that a commit inserts; the blob without them, if that is a change."""
    before, after = (repo.blob(f"{c}:MAINTAINERS") for c in (commit.parent, commit.commit))
    for title, (first, text) in owner.items():
        if maintainers.entry(after, title) != text:
            raise Failure(f"{commit} changes the MAINTAINERS entry `{title}`, which {first} inserts: an entry is "
                          "kept once, so it comes complete with one commit",
                          "git rebase -i base: move the change into the commit that inserts it")
    known = maintainers.titles(before)
    commit.titles = [title for title in maintainers.titles(after) if title not in known]
    rest = after
    for title in commit.titles:
        owner[title] = (commit, maintainers.entry(after, title))
        rest = maintainers.remove(rest, title)
    again = rest
    for title in commit.titles:
        again = maintainers.insert(again, owner[title][1])
    if again != after:
        raise Failure(f"{commit} inserts {', '.join(f'`{t}`' for t in commit.titles)} into MAINTAINERS, but not at "
                      "the alphabetical place with one blank line around",
                      "move it to where scripts/parse-maintainers.pl would put it")
    return repo.out("hash-object", "-w", "--stdin", stdin=rest) if rest != before else None


# -- what the repository has to say then -----------------------------------------------------


def header(old, commit):
    """The header of a .msg: what the commit brings, in the order of the old header, and what that says of bases."""
    lines = []
    for key, there, names in (("Files", old.files if old else [], commit.files),
                              ("Maintainers", old.titles if old else [], commit.titles)):
        names = [name for name in there if name in names] + sorted(set(names) - set(there))
        lines += [f"{key}: {name}" for name in names]
    lines += [f"Not-on: {base} {reason}" for base, reason in (old.not_on.items() if old else ())]
    return "\n".join([*lines, f"Date: {commit.date}"])


def with_absent(series, part, names):
    """`names` with the commits of the part that this base does not need, each after the one that it followed."""
    out, before = list(names), None
    for i in series.parts[part].ids:
        name = i.split("/")[1]
        if i not in series.ids and name not in out:
            out.insert(out.index(before) + 1 if before in out else 0, name)
        before = name if name in out else before
    return out


def changes_of(series, taken, entries):
    """{path: content or None} that makes the repository say what the branch says."""
    wanted = dict.fromkeys(series.owner)
    for i in series.ids:
        part, name = i.split("/")
        for path in [*(series.dir / part).glob(f"{name}.*"), *(series.dir / part).glob(f"[0-9]*/{name}.*")]:
            wanted[path.relative_to(series.top).as_posix()] = None
    for commit in taken:
        head, text = header(series.messages.get(commit.id), commit), message.joined(commit.text, commit.notes)
        message.parse(str(commit), f"{head}\n\n{text}".encode())
        if (series.top / series.message_path(commit.id)).is_file():
            wanted[series.message_path(commit.id)] = text.encode()
            text = (series.dir / f"{commit.id}.msg").read_text(encoding="utf-8").partition("\n\n")[2]
        wanted |= {f"series/{commit.id}.msg": f"{head}\n\n{text}".encode(), series.hook_path(commit.id): commit.hook or None,
                   series.edit_path(commit.id): commit.edit or None, **commit.files}
    for part in series.parts:
        names = with_absent(series, part, [commit.id.split("/")[1] for commit in taken if commit.part == part])
        wanted[f"series/{part}/order"] = "".join(f"{name}\n" for name in names).encode()
    for i in set(series.all_ids) - set(series.ids):
        entries |= {title: maintainers.entry(series.entries, title) for title in series.messages[i].titles}
    text = b""
    for block in entries.values():
        text = maintainers.insert(text, block)
    wanted["MAINTAINERS"] = text or None
    return differing(series.top, wanted)


def rehearse(composed, taken, changes):
    """Compose the outcome in a copy; it has to be what the branch has, commit by commit."""
    series = composed.series
    with tempfile.TemporaryDirectory() as tmp:
        for name in ["series", *KERNEL]:
            if (series.top / name).is_dir():
                shutil.copytree(series.top / name, Path(tmp) / name, symlinks=True)
        if (series.top / "MAINTAINERS").is_file():
            shutil.copy(series.top / "MAINTAINERS", tmp)
        write_files(tmp, changes)
        outcome = compose(Series(tmp, series.base_name), composed.base, composed.release)
    for commit, made in zip(taken, outcome.commits, strict=True):
        said = outcome.series.messages[made.id]
        if (commit.id, commit.tree, commit.text, commit.notes) != (made.id, made.tree, said.text, said.notes):
            raise Failure(f"{commit} cannot be written as files and a hook: composing gives another one",
                          "split the commit, or move its change to another one")


def cmd_absorb():
    """Write the branch of `make edit` back into the files, all of it or nothing, and compose."""
    composed = prepare()
    recorded_only(composed, "absorb")
    path = edit_dir(composed.base.name)
    if not path.exists():
        raise Failure(f"there is no {short(path)} to absorb", "make edit")
    repo = opened(path, composed.base.objects)
    check_clean(repo, path)
    taken, series = read_branch(repo, path, composed), composed.series
    give_ids(series, taken)
    differences = {i: [part for part in diffs.parse(hook) if part.path in series.owner]
                   for i, hook in series.hooks.items() if i in series.ids}
    with tempfile.TemporaryDirectory() as tmp:
        objects = (path / ".git" / "objects").resolve()
        reader = composed.base.repo.with_env(GIT_INDEX_FILE=f"{tmp}/index",
                                             GIT_ALTERNATE_OBJECT_DIRECTORIES=f'"{objects}"')
        index = reader.with_env(GIT_INDEX_FILE=f"{tmp}/new-files")
        entries = take_apart(reader, index, series, composed.base_commit, taken, differences)
    changes = changes_of(series, taken, entries)
    if changes and recorded_state(repo)[1] != composed.digest:
        if repo.resolve(BRANCH) == repo.resolve(CLEAN):
            raise Failure(f"there is nothing to absorb: {short(path)} has no edits, and is older than the files",
                          "make edit brings it up to date")
        raise Failure("the files of the series have changed since `make edit`; absorbing would undo that",
                      moved_on(repo, path))
    rehearse(composed, taken, changes)
    write_files(paths.TOP, changes)
    told(changes)
    outcome = prepare()
    generated = outcome.write()
    mark(repo, outcome)
    say("absorbed; next: make test" if changes or generated
        else "nothing to absorb: the files say what the branch says")
    return outcome
