# SPDX-License-Identifier: GPL-2.0
"""Calling git so that it does the same on every machine.

Two kinds of calls exist.  `fixed_env()` is for the harness's own repositories: no
configuration, attribute or identity of the user gets in, so the same series gives the
same bytes everywhere.  `user_env()` is for somebody's own tree: their identity and
settings count there, only variables that would point git elsewhere are removed.
"""
import os
import subprocess

from harness.ui import Failure

# Set for every call on the harness's own repositories.  git reads the attribute file in
# the home directory even when the configuration in it is switched off, hence
# attributesFile; the hunk headers of C files come from an expression of our own because
# git's built-in one differs between versions of git.
CONFIG = {
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
    "core.hooksPath": os.devnull,
    "core.autocrlf": "false",
    "core.quotePath": "false",
    "core.fsmonitor": "false",
    "core.compression": "1",
    "checkout.workers": "2",
    "diff.kernel.xfuncname": "!^[A-Za-z_][A-Za-z_0-9]*:\n^([A-Za-z_].*)$",
    "gc.auto": "0",
    "commit.gpgSign": "false",
    "safe.directory": "*",
    "advice.detachedHead": "false",
}
# For info/attributes, which outranks every .gitattributes: no byte of a file is changed.
ATTRIBUTES = "* -text -ident -filter -working-tree-encoding\n*.c diff=kernel\n*.h diff=kernel\n"

# Every option that decides a byte of a diff, so that a hook and a patch have one form; STAT
# are those that count for a diffstat too (the others make git show the diff itself).
STAT = ["--no-renames", "--diff-algorithm=myers", "--indent-heuristic", "--no-color", "--no-ext-diff",
        "--no-textconv", "-O" + os.devnull]
DIFF = ["-p", "--binary", "--full-index", "--unified=3", "--inter-hunk-context=0", "--src-prefix=a/",
        "--dst-prefix=b/", *STAT]


def user_env(**extra):
    """The caller's environment without variables that redirect git to another place."""
    env = {k: v for k, v in os.environ.items()
           if k not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX",
                        "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
                        "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_INTERNAL_SUPER_PREFIX",
                        "GIT_LITERAL_PATHSPECS", "GIT_EXTERNAL_DIFF", "GIT_DIFF_OPTS")}
    env.update(LC_ALL="C", GIT_TERMINAL_PROMPT="0", GIT_EDITOR="true", GIT_PAGER="cat")
    env.update({k: str(v) for k, v in extra.items()})
    return env


def fixed_env(**extra):
    """An environment in which nothing of the user's git set-up has a say."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    env.update(LC_ALL="C", TZ="UTC", GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL=os.devnull,
               GIT_ATTR_NOSYSTEM="1", GIT_TERMINAL_PROMPT="0", GIT_EDITOR="true",
               GIT_CONFIG_COUNT=str(len(CONFIG)))
    for i, (key, value) in enumerate(CONFIG.items()):
        env[f"GIT_CONFIG_KEY_{i}"] = key
        env[f"GIT_CONFIG_VALUE_{i}"] = value
    env.update({k: str(v) for k, v in extra.items()})
    return env


def identity(name, email, date):
    """Environment of a commit whose id depends on nothing but its content."""
    return {f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", name), ("EMAIL", email), ("DATE", date))}


def call(args, cwd, env, stdin=None):
    """Run git and return the finished process with bytes in stdout and stderr."""
    return subprocess.run(["git", *map(str, args)], cwd=cwd, env=env, input=stdin,
                          stdin=None if stdin is not None else subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class Repo:
    """A git repository; `env` decides whose rules hold in it."""

    def __init__(self, cwd, env):
        self.cwd, self.env = str(cwd), env

    def with_env(self, **extra):
        return Repo(self.cwd, {**self.env, **{k: str(v) for k, v in extra.items()}})

    def try_(self, *args, stdin=None):
        return call(args, self.cwd, self.env, stdin)

    def raw(self, *args, stdin=None):
        """Output of git in bytes; a failure of git is a Failure with git's own words."""
        done = self.try_(*args, stdin=stdin)
        if done.returncode:
            words = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
            raise Failure(f"git {args[0]} failed in {self.cwd}: {'; '.join(words[:4])}")
        return done.stdout

    def out(self, *args, stdin=None):
        return self.raw(*args, stdin=stdin).decode(errors="surrogateescape").rstrip("\n")

    def lines(self, *args, stdin=None):
        return self.out(*args, stdin=stdin).splitlines()

    def resolve(self, name):
        """The object id of `name`, or None when it names nothing."""
        done = self.try_("rev-parse", "--verify", "--quiet", "--end-of-options", name)
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def blob(self, name):
        """The bytes of a blob (`commit:path`, `:path`, an id), or None when there is none."""
        done = self.try_("cat-file", "blob", name)
        return done.stdout if done.returncode == 0 else None


def borrowing(path, objects, branch):
    """Make a repository with a work tree at `path` that reads the objects of another one."""
    own(path).raw("init", "-q", "-b", branch, "--template=")
    repo = own(path, GIT_DIR=path / ".git", GIT_WORK_TREE=path)
    for name, text in {"objects/info/alternates": f"{objects}\n", "info/attributes": ATTRIBUTES}.items():
        file = path / ".git" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return repo


def own(cwd, **extra):
    """A repository of the harness itself."""
    return Repo(cwd, fixed_env(**extra))
