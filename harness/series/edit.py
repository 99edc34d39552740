# SPDX-License-Identifier: GPL-2.0
"""make edit, make absorb: work on the series with plain git.

`edit` makes a git work tree of the base with one commit per id on the branch `series`.
There the contributor amends, reorders, adds and drops commits.  `absorb` takes the commits
apart again: new files, hooks, messages, entries of MAINTAINERS, order.  It composes the
outcome in a copy and compares it with the branch, commit by commit, before it writes
anything.

Which id a commit has is kept in git notes, which rebase and --amend carry along
(notes.rewriteRef); failing that, the subject tells.
"""
import os
import re
import shutil
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

from harness import git, paths
from harness.series import maintainers
from harness.series.am import BUSY
from harness.series.series import JUNK, KERNEL, Series, parse_message, prepare, write_files
from harness.ui import Failure, say, short

BRANCH = "refs/heads/series"
CLEAN = "refs/harness/clean"            # the branch when it was last written or absorbed
COMPOSED = "refs/harness/composed"      # what the real files composed to at that time
BASE = "refs/tags/base"
NOTES = "refs/notes/series"
NOTE_WRITER = git.identity("Harness", "harness@localhost", "1000000000 +0000")
SETTINGS = {"notes.rewriteRef": NOTES, "notes.rewrite.amend": "true", "notes.rewrite.rebase": "true",
            "notes.rewriteMode": "concatenate", "core.autocrlf": "false", "gc.auto": "0",
            "diff.kernel.xfuncname": git.CONFIG["diff.kernel.xfuncname"]}


def _edit_dir(name):
    return paths.OUT / "edit" / name


def _open(path):
    return git.own(path, GIT_DIR=path / ".git", GIT_WORK_TREE=path)


def _show_new_files(repo):
    """Let `git status` and `git add` see new files in spite of Debian's .gitignore.

    Its last lines hide the whole tree.  The work tree's copy loses them, and git is told not
    to look at that copy, so that no commit gets the change.
    """
    text = repo.blob(f"{BRANCH}:.gitignore") or b""
    if not re.search(rb"^/\*$", text, re.M) or repo.blob(f"{BASE}:.gitignore") != text:
        return
    plain = re.sub(rb"^(/\*|!/debian/)\n", b"", text, flags=re.M)
    path = Path(repo.cwd) / ".gitignore"
    if path.read_bytes() in (text, plain):
        path.write_bytes(plain)
        repo.raw("update-index", "--skip-worktree", ".gitignore")


def _check_clean(repo, path):
    """The work tree is on its branch, finished and committed; new files count."""
    for name, what in BUSY.items():
        if (path / ".git" / name).exists():
            raise Failure(f"{short(path)} is in the middle of {what}", "finish or abort it first")
    head = repo.try_("symbolic-ref", "-q", "HEAD").stdout.decode().strip()
    if head != BRANCH:
        raise Failure(f"{short(path)} is not on its branch", f"git -C {short(path)} checkout series")
    _show_new_files(repo)
    dirty = repo.lines("status", "--porcelain", "--untracked-files=all")
    if dirty:
        more = f" and {len(dirty) - 4} more" if len(dirty) > 4 else ""
        raise Failure(f"{short(path)} has changes that are in no commit: "
                      + ", ".join(line[3:] for line in dirty[:4]) + more,
                      "commit them there (git commit --amend, git rebase -i base), or remove them")


def _mark(repo, composed, ids):
    """Remember the branch as it is now: {commit: id}, what is absorbed, what the files compose to."""
    writer = repo.with_env(**NOTE_WRITER)
    for commit, i in ids.items():
        writer.raw("notes", f"--ref={NOTES}", "add", "-f", "-m", i, commit)
    repo.raw("update-ref", COMPOSED, composed.tip)
    repo.raw("update-ref", CLEAN, BRANCH)


def _recorded_only(composed, what):
    if not composed.recorded:
        raise Failure(f"make {what} works on the recorded release {composed.base.package} "
                      f"{composed.base.version}, not on Linux {composed.release.kernel}",
                      "hooks are kept for that release: unset KERNEL_SRC, or give that release")


def cmd_edit():
    """Make or renew OUT/edit/<base>; edits that are not absorbed are never lost."""
    composed = prepare()
    _recorded_only(composed, "edit")
    path = _edit_dir(composed.base.name)
    ids = {commit: i for i, commit, _ in composed.commits}
    if path.exists():
        if not (path / ".git").is_dir():
            raise Failure(f"{short(path)} is not a work tree of `make edit`", "move it away")
        repo = _open(path)
        _check_clean(repo, path)
        if repo.resolve(BRANCH) != repo.resolve(CLEAN):
            raise Failure(f"{short(path)} has edits that are not absorbed",
                          f"make absorb, or remove {short(path)} to drop them")
        repo.raw("tag", "-f", "base", composed.base_commit)
        repo.raw("reset", "-q", "--hard", composed.tip)
        _show_new_files(repo)
        _mark(repo, composed, ids)
    else:
        new = path.with_name(f".{path.name}.new")       # so that a half-made tree is not taken for one
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        repo = git.borrowing(new, composed.base.objects, "series")
        for key, value in SETTINGS.items():
            repo.raw("config", key, value)
        repo.raw("update-ref", BASE, composed.base_commit)
        repo.raw("update-ref", BRANCH, composed.tip)
        repo.raw("read-tree", "--reset", "-u", "HEAD")
        _show_new_files(repo)
        _mark(repo, composed, ids)
        new.rename(path)
    say(f"{short(path)}: branch series, {len(ids)} commits after the tag base")
    say(f"  cd {short(path)} && git rebase -i base        then here: make absorb && make series")


# -- absorb -----------------------------------------------------------------------------------


class Taken:
    """One commit of the branch, taken apart."""

    def __init__(self, repo, commit):
        self.commit = commit
        head, _, text = repo.raw("cat-file", "commit", commit).partition(b"\n\n")
        author = re.search(rb"^author (.*) <(.*)> (\d+) ([+-]\d{4})$", head, re.M)
        self.text = text.decode(errors="replace")
        self.author = author[1].decode(errors="replace"), author[2].decode(errors="replace")
        zone = author[4].decode()
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:])) * (-1 if zone[0] == "-" else 1)
        self.date = datetime.fromtimestamp(int(author[3]), timezone(offset)).isoformat()
        self.tree = repo.resolve(f"{commit}^{{tree}}")
        self.parent = repo.resolve(f"{commit}^")
        self.id, self.hook, self.files, self.titles = None, b"", {}, []

    @property
    def subject(self):
        return self.text.split("\n", 1)[0]

    def __str__(self):
        return f"commit {self.commit[:10]} (`{self.subject}`)"


def _take_apart(repo, base_commit, taken):
    """Sort what every commit changes into new files, MAINTAINERS entries and hook."""
    in_base = set(repo.raw("ls-tree", "-r", "-z", "--name-only", base_commit).split(b"\0"))
    owner, entry_owner = {}, {}
    for commit in taken:
        hook = []
        words = repo.raw("diff-tree", "-r", "-z", "--no-renames", "--raw", "--full-index", commit.parent,
                         commit.commit).split(b"\0")
        for head, raw in zip(words[0::2], words[1::2]):
            _, mode, _, blob, status = head.decode().split()
            path = os.fsdecode(raw)
            if path == "MAINTAINERS" and raw in in_base and status == "M":
                blob = _take_entries(repo, commit, entry_owner)
                if blob:
                    hook.append((mode, blob, path))
            elif raw in in_base:
                hook.append(("0" if status == "D" else mode, blob, path))
            elif path in owner:
                raise Failure(f"{commit} changes {path}, which {owner[path]} brings: a new file is kept once, "
                              "so it comes complete with one commit",
                              "git rebase -i base: move the change into the commit that brings the file")
            else:
                if mode not in ("100644", "100755"):
                    raise Failure(f"{commit} adds {path}, which is not a plain file", "take it out")
                if path.split("/")[0] not in KERNEL or "/" not in path or any(map(JUNK.search, path.split("/"))):
                    raise Failure(f"{commit} adds {path}, which is not at a place for a kernel file",
                                  "move it, or take it out of the commit")
                owner[path] = commit
                commit.files[path] = (repo.blob(blob), mode == "100755")
        if not hook and not commit.files and not commit.titles:
            raise Failure(f"{commit} changes nothing", "drop it")
        if hook:
            repo.raw("read-tree", commit.parent)
            repo.raw("update-index", "-z", "--index-info", stdin=b"".join(
                os.fsencode(f"{mode} {blob}\t{path}\0") for mode, blob, path in hook))
            commit.hook = repo.raw("diff-tree", *git.DIFF, f"{commit.parent}^{{tree}}", repo.out("write-tree"))
    return {title: text for title, (_, text) in entry_owner.items()}


def _take_entries(repo, commit, owner):
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


def _give_ids(notes, series, taken):
    """Find the id of every commit: by its note, by its subject, or a new one made from the subject."""
    free = list(series.ids)

    def give(test):
        for commit in taken:
            if commit.id is None:
                commit.id = next((i for i in free if test(commit, i)), None)
                if commit.id:
                    free.remove(commit.id)

    def same_subject(commit, i):
        return series.messages[i].subject == commit.subject
    give(lambda commit, i: i in notes[commit.commit] and same_subject(commit, i))
    give(lambda commit, i: i in notes[commit.commit][:1])
    give(same_subject)
    give(lambda commit, i: i in notes[commit.commit])
    number = max(int(i.split("-")[0]) for i in series.ids)
    for commit in taken:
        if commit.id is None:
            number += 1
            words = re.findall(r"[a-z0-9]+", commit.subject.rpartition(": ")[2].lower())
            commit.id = f"{number:02}-" + ("-".join(words)[:32].rstrip("-") or "commit")


def _new_head(old, commit):
    """Header lines of a .msg: those of `old`, changed only where the commit says otherwise."""
    lines = old.head.splitlines() if old else []
    kept, files, titles, date = [], set(commit.files), set(commit.titles), False
    for line in lines:
        key, _, value = line.partition(":")
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


def _new_order(text, ids):
    """series/order for `ids`; a comment goes with the id below it, those on top stay there."""
    chunks, top, comments = {}, None, []
    for line in text.splitlines():
        i = line.split("#")[0].strip()
        if not i:
            comments.append(line)
            continue
        if top is None:
            top, comments = comments, []
        chunks[i] = [*comments, line]
        comments = []
    if list(chunks) == ids:
        return text
    out = list(top or [])
    for i in ids:
        out += chunks.get(i, [i])
    return "\n".join(out + comments) + "\n"


def _new_entries(text, entries):
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


def _changes(series, taken, entries):
    """{path: content or None} that makes the repository say what the branch says."""
    wanted = {}
    for commit in taken:
        old = series.messages.get(commit.id)
        data = f"{_new_head(old, commit)}\n\n{commit.text}".encode()
        parse_message(str(commit), data)
        wanted[f"series/{commit.id}.msg"] = data
        wanted[f"series/{series.base_name}/{commit.id}.patch"] = commit.hook or None
        wanted.update(commit.files)
    kept = {commit.id for commit in taken}
    for i in series.ids:
        if i not in kept:
            wanted[f"series/{i}.msg"] = None
            wanted.update({p.relative_to(series.top).as_posix(): None for p in series.dir.glob(f"*/{i}.patch")})
        for name in series.messages[i].files:
            wanted.setdefault(name, None)
    wanted["series/order"] = _new_order((series.dir / "order").read_text(encoding="utf-8"),
                                        [commit.id for commit in taken]).encode()
    wanted["MAINTAINERS"] = _new_entries(series.entries, entries) or None
    changes = {}
    for name, data in wanted.items():
        path = series.top / name
        there = path.read_bytes() if path.is_file() else None
        if isinstance(data, tuple) and there is not None:
            there = (there, os.access(path, os.X_OK))
        if there != data:
            changes[name] = data
    return changes


def _rehearse(composed, taken, changes):
    """Compose the outcome in a copy; it has to be what the branch has, commit by commit."""
    series = composed.series
    with tempfile.TemporaryDirectory() as tmp:
        for name in ["series", *KERNEL]:
            if (series.top / name).is_dir():
                shutil.copytree(series.top / name, Path(tmp) / name, symlinks=True)
        if (series.top / "MAINTAINERS").is_file():
            shutil.copy(series.top / "MAINTAINERS", tmp)
        write_files(tmp, changes)
        outcome = Series(tmp, series.base_name).compose(composed.base, composed.release)
    for commit, made in zip(taken, outcome.commits, strict=True):
        if (commit.id, commit.tree) != (made.id, made.tree):
            raise Failure(f"{commit} cannot be written as files and a hook: composing gives another tree",
                          "split the commit, or move its change to another one")
    return outcome


def cmd_absorb():
    """Write the branch of `make edit` back into the real files; all of it or nothing."""
    composed = prepare()
    _recorded_only(composed, "absorb")
    path = _edit_dir(composed.base.name)
    if not (path / ".git").is_dir():
        raise Failure(f"there is no {short(path)} to absorb", "make edit")
    repo = _open(path)
    _check_clean(repo, path)
    base, tip = repo.resolve(BASE), repo.resolve(BRANCH)
    if base != composed.base_commit:
        raise Failure(f"{short(path)} stands on another release than series/{composed.base.name}/base.toml",
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
    notes = {c.commit: repo.try_("notes", f"--ref={NOTES}", "show", c.commit).stdout.decode().split()
             for c in taken}
    _give_ids(notes, composed.series, taken)

    with tempfile.TemporaryDirectory() as tmp:
        objects = (path / ".git" / "objects").resolve()
        reader = composed.base.repo.with_env(GIT_INDEX_FILE=f"{tmp}/index",
                                             GIT_ALTERNATE_OBJECT_DIRECTORIES=f'"{objects}"')
        entries = _take_apart(reader, base, taken)
    changes = _changes(composed.series, taken, entries)
    if changes and repo.resolve(COMPOSED) != composed.tip:
        raise Failure("the files of the series have changed since `make edit`; absorbing would undo that",
                      "git stash here, make absorb, git stash pop")
    outcome = _rehearse(composed, taken, changes)
    write_files(paths.TOP, changes)
    _mark(repo, outcome, {commit.commit: commit.id for commit in taken})
    for name, data in changes.items():
        say(f"  {'removed' if data is None else 'written'} {name}")
    say("nothing to absorb: the files say what the branch says" if not changes
        else "absorbed; next: make series")
