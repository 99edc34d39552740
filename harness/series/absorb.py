# SPDX-License-Identifier: GPL-2.0
"""make absorb: the branch of `make edit` becomes files, hooks, messages, entries of MAINTAINERS and order again.

It composes the outcome in a copy and compares it with the branch, commit by commit, before it writes anything; then
it writes patches/ as well.
"""
import os
import re
import shutil
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

from harness import git, paths
from harness.series import diffs, maintainers, message
from harness.series.compose import compose, prepare
from harness.series.edit import BASE, BRANCH, COMPOSED, check_clean, edit_dir, mark, moved_on, opened, recorded_only
from harness.series.series import JUNK, KERNEL, NAME, Series, write_files
from harness.ui import Failure, say, short

ID = re.compile(r"Id: (\S+)\n?")


class Taken:
    """One commit of the branch, taken apart."""

    def __init__(self, repo, commit):
        self.commit = commit
        head, _, text = repo.raw("cat-file", "commit", commit).partition(b"\n\n")
        author = re.search(rb"^author (.*) <(.*)> (\d+) ([+-]\d{4})$", head, re.M)
        self.author = author[1].decode(errors="replace"), author[2].decode(errors="replace")
        zone = author[4].decode()
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:])) * (-1 if zone[0] == "-" else 1)
        self.date = datetime.fromtimestamp(int(author[3]), timezone(offset)).isoformat()
        self.text, notes = message.split(text.decode(errors="replace"))
        self.said = ID.match(notes)         # the id that it says it has
        self.notes = (notes[self.said.end():] if self.said else notes).lstrip("\n")
        self.tree = repo.resolve(f"{commit}^{{tree}}")
        self.parent = repo.resolve(f"{commit}^")
        self.id, self.hook, self.edit, self.files, self.titles = None, b"", b"", {}, []

    @property
    def subject(self):
        """The first line."""
        return self.text.split("\n", 1)[0]

    def __str__(self):
        return f"commit {self.commit[:10]} (`{self.subject}`)"


# -- which commit is which -------------------------------------------------------------------


def give_ids(series, taken):
    """Find the id of every commit: what it says, by its subject, or a new one made from the subject."""
    known = {}
    for commit in taken:
        if commit.said:
            i = commit.said[1]
            part, _, name = i.partition("/")
            if part not in series.parts or not NAME.fullmatch(name):
                raise Failure(f"{commit} says `Id: {i}`, which is no part/name",
                              f"parts are {' '.join(series.parts)}; a name has lower-case words with dashes")
            if i in known:
                raise Failure(f"{commit} and {known[i]} both say `Id: {i}`",
                              "git rebase -i base: reword one of them, with another id or none")
            commit.id, known[i] = i, commit
    part = next((commit.id.split("/")[0] for commit in taken if commit.id), next(iter(series.parts)))
    for commit in taken:
        if commit.id is None:
            commit.id = next((i for i in series.ids if i not in known and series.messages[i].subject == commit.subject),
                             None) or new_id(part, commit.subject, {*known, *series.all_ids})
            known[commit.id] = commit
        part = commit.id.split("/")[0]
    order = [list(series.parts).index(commit.id.split("/")[0]) for commit in taken]
    for position in range(1, len(order)):
        if order[position] < order[position - 1]:
            raise Failure(f"{taken[position]} of part {taken[position].id.split('/')[0]} comes after one of part "
                          f"{taken[position - 1].id.split('/')[0]}",
                          "the parts follow each other as in series/parts.toml; git rebase -i base")


def new_id(part, subject, taken):
    """An id made from a subject."""
    words = re.findall(r"[a-z0-9]+", subject.rpartition(": ")[2].lower())
    while words and words[0][0].isdigit():
        words.pop(0)
    name = "-".join(words)[:32].rstrip("-") or "commit"
    number = 2
    while f"{part}/{name}" in taken:
        name, number = f"{re.sub('-[0-9]+$', '', name)}-{number}", number + 1
    return f"{part}/{name}"


# -- what a commit changes -------------------------------------------------------------------


def take_apart(repo, index, base_commit, taken, differences):
    """Sort what every commit changes into new files, changes to them, MAINTAINERS entries and hook.

    `index` is the repository with another index.  `differences` are the parts of hooks that concern new files, {id: [FileDiff]}: how this base differs from what the
    repository keeps.  They stay as they are, and are taken out of the files.
    """
    in_base = set(repo.raw("ls-tree", "-r", "-z", "--name-only", base_commit).split(b"\0"))
    pure = Pure(index, differences)
    owner, entry_owner = {}, {}
    for commit in taken:
        pure.next(commit)
        hook = {}
        fields = repo.raw("diff-tree", "-r", "-z", "--no-renames", "--raw", "--full-index", commit.parent,
                          commit.commit).split(b"\0")
        for head, raw in zip(fields[0::2], fields[1::2]):
            _, mode, _, blob, status = head.decode().split()
            path, entry = os.fsdecode(raw), None if status == "D" else (mode, blob)
            if path == "MAINTAINERS" and raw in in_base and status == "M":
                blob = take_entries(repo, commit, entry_owner)
                if blob:
                    hook[path] = mode, blob
            elif raw in in_base:
                hook[path] = entry
            else:
                pure.change(commit, path, entry)
                if path not in owner:
                    check_place(commit, path, mode)
                    owner[path] = commit
        commit.edit = pure.edit(commit, [path for path, first in owner.items() if first is commit])
        if hook:
            repo.raw("read-tree", commit.parent)
            repo.stage(hook)
            commit.hook = repo.raw("diff-tree", *git.DIFF, f"{commit.parent}^{{tree}}", repo.out("write-tree"))
        commit.hook += b"".join(part.text for part in differences.get(commit.id, ()))
        commit.files = {path: None for path, first in owner.items() if first is commit}
        if not (commit.hook or commit.files or commit.titles or commit.edit):
            raise Failure(f"{commit} changes nothing", "drop it")
    for commit in taken:
        commit.files = {path: pure.content(path) for path in commit.files}
    return {title: text for title, (_, text) in entry_owner.items()}


def check_place(commit, path, mode):
    """A new file is a plain one, where a kernel has files."""
    if mode not in ("100644", "100755"):
        raise Failure(f"{commit} adds {path}, which is not a plain file", "take it out")
    if path.split("/")[0] not in KERNEL or "/" not in path or any(map(JUNK.search, path.split("/"))):
        raise Failure(f"{commit} adds {path}, which is not at a place for a kernel file",
                      "move it, or take it out of the commit")


class Pure:
    """The new files of the series as the repository keeps them, commit by commit, in an index of their own."""

    def __init__(self, repo, differences):
        self.repo, self.differences = repo, differences
        self.active = []                    # differences of this base so far
        self.tree = self.before = repo.out("mktree", stdin=b"")

    def next(self, commit):
        """Go on to a commit."""
        self.before = self.tree
        self.repo.raw("read-tree", self.tree)
        self.active += self.differences.get(commit.id, ())

    def change(self, commit, path, entry):
        """The commit leaves `entry`, (mode, blob) or None, at a path."""
        self.repo.stage({path: entry})
        for part in reversed([part for part in self.active if part.path == path and entry]):
            if self.repo.apply(part.text, "-R").returncode:
                raise Failure(f"{commit} changes {path} where this base differs from the file in the repository",
                              f"change the hook of {commit.id} by hand, or edit on another base")

    def edit(self, commit, brought):
        """The commit's changes to files that earlier ones bring, as a diff."""
        self.tree = self.repo.out("write-tree")
        changed = [name for name in self.repo.raw("diff-tree", "-r", "-z", "--name-only", self.before,
                                                  self.tree).split(b"\0") if name and os.fsdecode(name) not in brought]
        return self.repo.raw("diff-tree", *git.DIFF, self.before, self.tree, "--", *map(os.fsdecode, changed)) \
            if changed else b""

    def content(self, path):
        """(bytes, executable) in the end, None if it is gone."""
        line = self.repo.out("ls-tree", self.tree, "--", path)
        return (self.repo.blob(line.split()[2]), line.startswith("100755")) if line else None


def take_entries(repo, commit, owner):
    """Note the MAINTAINERS entries that a commit inserts; the blob without them, if that is a change."""
    before, after = (repo.blob(f"{c}:MAINTAINERS") for c in (commit.parent, commit.commit))
    for title, (first, text) in owner.items():
        if maintainers.entry(after, title) != text:
            raise Failure(f"{commit} changes the MAINTAINERS entry `{title}`, which {first} inserts: an entry is "
                          "kept once, so it comes complete with one commit",
                          "git rebase -i base: move the change into the commit that inserts it")
    known = set(maintainers.titles(before))
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


def new_head(old, commit):
    """Header lines of a .msg: those of `old`, changed only where the commit says otherwise."""
    lines = old.head.splitlines() if old else []
    kept, files, titles, date = [], set(commit.files), set(commit.titles), False
    for line in lines:
        key, _, value = line.partition(": ")
        value = value.strip()
        if key == "Files" and value:
            names = value.split()
            stay = [name for name in names if name in commit.files]
            files -= set(stay)
            if stay:
                kept.append(line if stay == names else "Files: " + " ".join(stay))
        elif key == "Maintainers":
            if value in commit.titles:
                titles.discard(value)
                kept.append(line)
        elif key == "Date":
            date = True
            was, now = datetime.fromisoformat(value), datetime.fromisoformat(commit.date)
            same = (was, was.utcoffset()) == (now, now.utcoffset())
            kept.append(line if same else f"Date: {commit.date}")
        else:
            kept.append(line)
    at = max((n for n, line in enumerate(kept, 1) if line.startswith("Files:")), default=0)
    kept[at:at] = [f"Files: {name}" for name in sorted(files)]
    at = max((n for n, line in enumerate(kept, 1) if line.startswith(("Files:", "Maintainers:"))), default=0)
    kept[at:at] = [f"Maintainers: {title}" for title in sorted(titles)]
    if not date:
        kept.append(f"Date: {commit.date}")
    return "\n".join(kept)


def new_order(text, names):
    """A part's order for `names`; a comment goes with the name below it, those on top stay there."""
    chunks, top, comments = {}, None, []
    for line in text.splitlines():
        name = line.split("#")[0].strip()
        if not name:
            comments.append(line)
            continue
        if top is None:
            top, comments = comments, []
        chunks[name] = [*comments, line]
        comments = []
    if list(chunks) == names:
        return text
    out = list(top or [])
    for name in names:
        out += chunks.get(name, [name])
    return "\n".join(out + comments) + "\n"


def with_absent(series, part, names):
    """`names` with the commits of the part that this base does not need, each after the one that it followed."""
    out, before = list(names), None
    for i in series.parts[part].ids:
        name = i.split("/")[1]
        if i not in series.ids and name not in out:
            out.insert(out.index(before) + 1 if before in out else 0, name)
        before = name if name in out else before
    return out


def new_entries(text, entries):
    """The repository's MAINTAINERS with exactly `entries`, others untouched."""
    for title in maintainers.titles(text):
        if title not in entries:
            text = maintainers.remove(text, title)
    for title, block in entries.items():
        old = maintainers.entry(text, title)
        if old is None:
            text = maintainers.insert(text if text else b"", block)
            text = text if text.endswith(b"\n") else text + b"\n"
        elif old != block:
            text = text.replace(old, block, 1)
    return text


def changes_of(series, taken, entries):
    """{path: content or None} that makes the repository say what the branch says."""
    wanted = {}
    for commit in taken:
        old = series.messages.get(commit.id)
        text = message.joined(commit.text, commit.notes)
        own = series.override_path(commit.id)
        if (series.top / own).is_file():
            wanted[own] = text.encode()
            text = message.parse(f"series/{commit.id}.msg", (series.dir / f"{commit.id}.msg").read_bytes())
            text = message.joined(text.text, text.notes)
        data = f"{new_head(old, commit)}\n\n{text}".encode()
        message.parse(str(commit), data)
        wanted[f"series/{commit.id}.msg"] = data
        wanted[series.hook_path(commit.id)] = commit.hook or None
        wanted[f"series/{commit.id}.patch"] = commit.edit or None
        wanted.update(commit.files)
    kept = {commit.id for commit in taken}
    for i in series.ids:
        part, name = i.split("/")
        if i not in kept:
            for path in (series.dir / part).glob(f"**/{name}.*"):
                if path.parent.name != "mutants" and path.suffix in (".msg", ".patch"):
                    wanted[path.relative_to(series.top).as_posix()] = None
        for file in series.messages[i].files:
            wanted.setdefault(file, None)
    for part in series.parts:
        names = with_absent(series, part, [commit.id.split("/")[1] for commit in taken
                                           if commit.id.startswith(f"{part}/")])
        wanted[f"series/{part}/order"] = new_order((series.dir / part / "order").read_text(encoding="utf-8"),
                                                   names).encode()
    wanted["MAINTAINERS"] = new_entries(series.entries, entries) or None
    changes = {}
    for name, data in wanted.items():
        path = series.top / name
        there = path.read_bytes() if path.is_file() else None
        if isinstance(data, tuple) and there is not None:
            there = (there, os.access(path, os.X_OK))
        if there != data:
            changes[name] = data
    return changes


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
        if (commit.id, commit.tree) != (made.id, made.tree):
            raise Failure(f"{commit} cannot be written as files and a hook: composing gives another tree",
                          "split the commit, or move its change to another one")
    return outcome


def read_branch(repo, path, composed):
    """The commits of the branch, if they can be absorbed."""
    base, tip = repo.resolve(BASE), repo.resolve(BRANCH)
    if base != composed.base_commit:
        raise Failure(f"{short(path)} stands on another release than bases/{composed.base.name}/base.toml",
                      f"move {short(path)} away, make edit, and git cherry-pick from there")
    if repo.try_("merge-base", "--is-ancestor", base, tip).returncode or base == tip:
        raise Failure("the branch series has no commits on top of the tag base", "git rebase -i base, or make edit")
    merge = repo.lines("rev-list", "--merges", f"{base}..{tip}")
    if merge:
        raise Failure(f"the branch series has a merge, {merge[0][:10]}", "git rebase base makes it a line")
    taken = [Taken(repo, commit) for commit in repo.lines("rev-list", "--reverse", f"{base}..{tip}")]
    for commit in taken:
        if re.match(r"(fixup|squash|amend)! ", commit.subject):
            raise Failure(f"{commit} waits for its squash", "git rebase -i --autosquash base")
        if commit.author != composed.series.author:
            say(f"{commit} is by {commit.author[0]}; the series is sent as {composed.series.author[0]} "
                "(series/author)")
    return taken


def cmd_absorb():
    """Write the branch of `make edit` back into the files, all of it or nothing, and compose."""
    composed = prepare()
    recorded_only(composed, "absorb")
    path = edit_dir(composed.base.name)
    if not path.exists():
        raise Failure(f"there is no {short(path)} to absorb", "make edit")
    repo = opened(path)
    check_clean(repo, path)
    taken, series = read_branch(repo, path, composed), composed.series
    give_ids(series, taken)
    differences = {i: [part for part in diffs.parse(series.hooks[i]) if part.path in series.owner]
                   for i in series.ids if i in series.hooks}
    with tempfile.TemporaryDirectory() as tmp:
        objects = (path / ".git" / "objects").resolve()
        reader = composed.base.repo.with_env(GIT_INDEX_FILE=f"{tmp}/index",
                                             GIT_ALTERNATE_OBJECT_DIRECTORIES=f'"{objects}"')
        index = reader.with_env(GIT_INDEX_FILE=f"{tmp}/new-files")
        entries = take_apart(reader, index, composed.base_commit, taken, differences)
    changes = changes_of(series, taken, entries)
    if changes and repo.resolve(COMPOSED) != composed.tip:
        raise Failure("the files of the series have changed since `make edit`; absorbing would undo that",
                      moved_on(repo, path))
    rehearse(composed, taken, changes)
    write_files(paths.TOP, changes)
    outcome = prepare()
    changes.update(outcome.write())
    mark(repo, outcome)
    for name, data in changes.items():
        say(f"  {'removed' if data is None else 'written'} {name}")
    say("nothing to absorb: the files say what the branch says" if not changes else "absorbed; next: make test")
