# SPDX-License-Identifier: GPL-2.0
"""make part PART=swiotlb: a git branch of one part, ready for `b4 send`.

OUT/part/<base>/<part> is a git work tree.  Its branch b4/<part> holds the part's commits on top of what it needs
(the branch `base`), and below the cut of each mail what was tested and measured.  The part's cover letter, with To:
and Cc: as the tree's get_maintainer.pl has them, is the branch's description, where b4 keeps it apart from the
commits: those that it has sent stay those that were made here, and can be made anew for the next version.  SIGNOFF=1
adds the sign-off of the one who calls it to each message; git rebase --signoff would put it below the cut.
"""
import os
import re
import shutil
import tempfile
from pathlib import Path

from harness import git, paths, ui
from harness.series import message
from harness.series.compose import make_commit, prepare
from harness.source import debian
from harness.ui import Failure, Steps, say, short

PACKAGES = ["b4", "patch", "perl"]
CLEAN = "refs/harness/clean"        # the branch as it was made
MADE = "refs/harness/made"          # the branch as it is made anew
COVER = "harness.cover"             # git's configuration: the cover letter as it was made
SIGNER = "harness.signoff"          # and the sign-off that the commits have


def part_dir(base, part):
    """Where the work tree of a part is."""
    return paths.OUT / "part" / base / part


def sign_off(wanted):
    """The sign-off of the one who runs git here, if wanted; it is a statement that only a person can make."""
    if wanted not in ("", "1"):
        raise Failure(f"SIGNOFF={wanted} is neither 1 nor empty", "SIGNOFF=1 signs off, without it nothing is signed")
    if not wanted:
        return None
    who = git.Repo(paths.TOP, git.user_env()).try_("var", "GIT_COMMITTER_IDENT")
    if who.returncode:
        raise Failure("git does not know who signs off", "git config --global user.name and user.email")
    return "Signed-off-by: " + re.sub(r" \d+ [-+]\d+\n*$", "", who.stdout.decode())


def signed(text, line):
    """A message with one more trailer."""
    lines = text.rstrip().split("\n")
    return text + ("" if len(lines) > 1 and re.match(r"[A-Z][\w-]+: ", lines[-1]) else "\n") + f"{line}\n" \
        if line else text


def check_renewable(repo, path, name):
    """A branch with somebody's work on it is not made again."""
    repo.check_idle()
    repo.check_committed("commit it and keep that tree under another name, or take it back")
    if repo.resolve(f"refs/heads/b4/{name}") not in (repo.resolve(CLEAN), repo.resolve(MADE)):
        raise Failure(f"{short(path)} has commits that `make part` did not make",
                      f"git -C {short(path)} branch mine && git -C {short(path)} reset --hard {CLEAN} keeps them as "
                      "branch mine; change the series itself with make edit")
    if repo.try_("symbolic-ref", "-q", "HEAD").stdout.decode().strip() != f"refs/heads/b4/{name}":
        raise Failure(f"{short(path)} is not on its branch", f"git -C {short(path)} checkout b4/{name}")


def setting(repo, key):
    """A repository's own value of a key of git's configuration, or an empty one."""
    return repo.try_("config", "--local", key).stdout.decode().rstrip("\n")


def renew_cover(repo, new, key):
    """Put a new cover letter in the place of the last one; what stands after that, such as b4's list of changes, stays.

    The number of the version, and what was sent of those before, b4 has in a key of its own, which nobody touches.
    """
    old = setting(repo, key)
    made = next((text for text in (new, setting(repo, COVER)) if text and old.startswith(text)), None)
    if made is None:
        say(f"  the cover letter in {short(repo.cwd)} was edited, and stays; git -C {short(repo.cwd)} config {COVER} "
            "shows the new one, b4 prep --edit-cover changes it")
    else:
        repo.raw("config", key, new + old[len(made):])
    repo.raw("config", COVER, new)


def renew(path, new, name):
    """Put the branch of a new work tree into the one that there is, whose other branches and files stay."""
    repo = git.own(path, GIT_DIR=path / ".git", GIT_WORK_TREE=path)
    branch = f"refs/heads/b4/{name}"
    repo.raw("fetch", "-q", new, f"+{branch}:{MADE}", "+refs/heads/base:refs/heads/base")
    names = set(repo.raw("ls-tree", "-r", "-z", "--name-only", MADE).split(b"\0"))
    lost = sorted(names & set(repo.raw("ls-files", "-z", "--others").split(b"\0")) - {b""})
    if lost:
        raise Failure(f"{short(path)} has files, not known to git, where the part has its own: {os.fsdecode(lost[0])}",
                      "move them away")
    repo.raw("reset", "-q", "--hard", MADE)
    made = git.own(new)
    if not setting(repo, f"branch.b4/{name}.b4-tracking"):      # its cover letter was in a commit, its base had a tag
        for key in (f"branch.b4/{name}.{key}" for key in ("b4-prep-cover-strategy", "b4-tracking", "description")):
            repo.raw("config", key, setting(made, key))
        repo.try_("update-ref", "-d", "refs/tags/base")
    renew_cover(repo, setting(made, COVER), f"branch.b4/{name}.description")
    repo.raw("update-ref", CLEAN, MADE)


def write_branch(repo, composed, name, signer=None):
    """The commits of what the part needs, as the branch base, and those of the part, as the branch b4/<part>.

    The branch base ends with an empty commit: b4 names, for a cover letter in the branch's description, the commit
    before it (b4 0.12) or itself as the one to apply the mails to, and both have the right files.
    """
    def write(commit, text, parent):
        return make_commit(repo, composed.series, commit.id, commit.tree, parent, text)

    def text(commit):
        return composed.series.messages[commit.id].text

    mine = [commit for commit in composed.commits if commit.part == name]
    parent, tree = composed.base_commit, composed.base.tree
    for commit in composed.commits:
        if commit.part != name:
            parent, tree = write(commit, text(commit), parent), commit.tree
    parent = make_commit(repo, composed.series, mine[0].id, tree, parent, f"Base of part {name}\n")
    repo.raw("update-ref", "refs/heads/base", parent)
    for commit in mine:
        notes = composed.series.messages[commit.id].notes
        parent = write(commit, message.joined(signed(text(commit), signer), notes), parent)
    repo.raw("update-ref", f"refs/heads/b4/{name}", parent)
    repo.raw("read-tree", "--reset", "-u", "HEAD")


def cover(composed, name):
    """The cover letter as b4 keeps it: subject, blank line, text."""
    text = (composed.series.dir / name / "cover.msg").read_text(encoding="utf-8").rstrip() + "\n"
    needs = composed.series.parts[name].needs
    if needs:
        titles = [composed.series.parts[need].title for need in needs]
        text += f"\nThis applies on top of the series for {', '.join(titles)}.\n"
    return f"{text}\n{composed.base_line()}\n"


def b4(path, env, *words):
    """Call b4 in the work tree; its output."""
    log = paths.OUT / "log" / "part.log"
    theirs = [name for name in os.environ if name.startswith("GIT_") and name not in env]
    ui.run(["env", *(f"--unset={name}" for name in theirs), "b4", *words], log, cwd=path, env=env,
           name=f"b4 {' '.join(words)}")
    return log.read_text(encoding="utf-8", errors="replace")


def enroll(composed, path, name):
    """Hand the branch over to b4: cover letter, To: and Cc:."""
    author, email = composed.series.author
    with tempfile.TemporaryDirectory() as tmp:
        text = Path(tmp) / "cover"
        text.write_text(cover(composed, name), encoding="utf-8")
        env = {**git.identity(author, email, message.git_date(composed.series.messages[composed.commits[-1].id].date)),
               "GIT_EDITOR": f"cp {text}", "EDITOR": f"cp {text}", "HOME": tmp, "GIT_CONFIG_NOSYSTEM": "1"}
        (Path(tmp) / ".gitconfig").write_text(
            f"[user]\n\tname = {author}\n\temail = {email}\n[core]\n\teditor = cp {text}\n[safe]\n\tdirectory = *\n"
            "[b4]\n\tprep-cover-strategy = branch-description\n", encoding="utf-8")
        b4(path, env, "prep", "--enroll", "base")
        b4(path, env, "prep", "--edit-cover")
        b4(path, env, "prep", "--set-prefixes", composed.base.name)
        b4(path, env, "prep", "--auto-to-cc")


def cmd_part():
    """Make or renew the branch of the part that PART= names."""
    name = os.environ.get("PART", "")
    if not name:
        raise Failure("which part?", "make part PART=swiotlb")
    signer = sign_off(os.environ.get("SIGNOFF", ""))
    steps = Steps("part", 3)
    with steps.step("look for packages"):
        debian.ensure(PACKAGES)
    with steps.step(f"compose part {name} on Linux {paths.BASE}"):
        composed = prepare(parts=[name])
        path = part_dir(composed.base.name, name)
        if path.exists() and not (path / ".git").is_dir():
            raise Failure(f"{short(path)} is not a work tree of `make part`", "move it away")
        if path.exists():
            old = git.own(path, GIT_DIR=path / ".git", GIT_WORK_TREE=path)
            git.borrow(path, composed.base.objects)
            check_renewable(old, path, name)
            signer = signer or setting(old, SIGNER)
        new = path.with_name(f".{name}.new")            # so that a half-made tree is not taken for one
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        repo = git.borrowing(new, composed.base.objects, f"b4/{name}")
        write_branch(repo, composed, name, signer)
    with steps.step("cover letter, To: and Cc:"):
        enroll(composed, new, name)
        repo.raw("config", COVER, setting(repo, f"branch.b4/{name}.description"))
        repo.raw("update-ref", CLEAN, "HEAD")
        if path.exists():
            renew(path, new, name)
            shutil.rmtree(new, ignore_errors=True)
        else:
            new.rename(path)
        if signer:
            git.own(path).raw("config", SIGNER, signer)
    mine = [commit for commit in composed.commits if commit.part == name]
    say(f"{short(path)}: branch b4/{name}, {len(mine)} commits after the branch base")
    say(f"  cd {short(path)} && b4 prep --show-info && b4 send --reflect"
        + ("" if signer else "; SIGNOFF=1 adds your sign-off"))
    if signer:
        say(f"  each has {signer}; git -C {short(path)} config --unset {SIGNER} ends that")
