# SPDX-License-Identifier: GPL-2.0
"""Ties the threads of litmus tests to the functions that they model: the calls that matter for ordering have to be
the same, in the same order.

How a thread says what it models:
    // kernel/x.c:function()            on a line of its own: what follows stands for this function
    smp_mb();                           stands for itself
    WRITE_ONCE(*x, 1);  // set_bit()    stands for what is named
    WRITE_ONCE(*x, 1);  // the driver   stands for nothing in this function
    // spin_lock(): not needed          on a line of its own: is in the function and not in the test
"""

import re

from harness import ui

# What a thread may call.
READS = ("READ_ONCE", "rcu_dereference", "smp_load_acquire")
WRITES = ("WRITE_ONCE", "rcu_assign_pointer", "smp_store_release")
FENCES = ("smp_mb", "smp_rmb", "smp_wmb", "smp_mb__after_spinlock", "synchronize_rcu", "rcu_read_lock",
          "rcu_read_unlock")
LOCKS = ("spin_lock", "spin_unlock")
# What matters for ordering in C.
ORDERING = re.compile("|".join((
    r"(?:READ|WRITE)_ONCE", r"smp_(?:[rw]?mb|store|load|cond|acquire)\w*", r"(?:dma_|virt_)?[rw]?mb", r"barrier",
    r"rcu_\w+", r"\w+_rcu(?:_\w+)?", r"synchronize_\w+",
    r"(?:raw_)?(?:spin|read|write|mutex|hlist_bl|bit_spin)_(?:try|un)?lock(?:_\w+)?",
    r"(?:try_)?cmpxchg\w*", r"xchg\w*", r"atomic\w*", r"_*(?:test_and_)?(?:set|clear|change|test)_bit\w*")))
CALL = re.compile(r"\b([A-Za-z_]\w*)\s*\(")
NAMED = re.compile(r"\b([A-Za-z_]\w*)\(\)")
SECTION = re.compile(r"([\w./+-]+\.[ch]):(\w+)\(\)$")


def declared(name, text):
    """What the threads stand for: [(thread, file, function, names of calls)]."""
    models, known = [], [*READS, *WRITES, *FENCES, *LOCKS]
    text = re.sub(r"\(\*\s.*?\*\)", "", text, flags=re.S)
    for thread, body in re.findall(r"^(P\d+)\([^{]*\{\n(.*?)^\}", text, re.M | re.S):
        section = None
        for line in map(str.strip, body.splitlines()):
            code, slashes, comment = (part.strip() for part in line.partition("//"))
            where = SECTION.match(comment) if not code else None
            calls = [call for call in CALL.findall(code) if call in known]
            fence = bool(calls) and calls[0] in FENCES
            if where:
                section = (thread, where[1], where[2], [])
                models.append(section)
            elif len(calls) > 1:
                raise ui.Failure(f"litmus test {name}: two calls in one line: {line}", "give each its line")
            elif section and fence and slashes and not NAMED.search(comment):
                raise ui.Failure(f"litmus test {name}: `{line}` stands for nothing", "name the call that it models")
            elif section:
                section[3].extend(NAMED.findall(comment) if slashes else calls)
            elif fence and not comment:
                raise ui.Failure(f"litmus test {name}: `{line}` is in no function",
                                 "name the function before it, or say in a comment whose it is")
    return models


def bodies(text, function):
    """The bodies of all definitions of a function in C source, without comments, strings and preprocessor lines."""
    text = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', " ", text, flags=re.S)
    text = re.sub(r"^[ \t]*#(?:.*\\\n)*.*$", "", text, flags=re.M)
    # A definition begins a line, and its brace ends it on the same line or begins a later one.
    definition = rf"^(?:\S[^\n]*)?\b{function}\s*\([^;{{}}]*\{{(?:([^\n]*)\}}$|(.*?)^\}})"
    return [match[1] or match[2] or "" for match in re.finditer(definition, text, re.M | re.S)]


def untied(name, text, top):
    """What differs between the threads of a test, of which this is the text, and the code below `top` that they
    stand for."""
    models = declared(name, text)
    differences = [] if models else ["names no function that it models"]
    for thread, path, function, names in models:
        who = f"{thread} models {function}() of {path}"
        try:
            source = (top / path).read_text(encoding="utf-8")
        except OSError as error:
            differences.append(f"{who}: {error.strerror}")
            continue
        there = [[call for call in CALL.findall(body) if ORDERING.fullmatch(call) or call in names]
                 for body in bodies(source, function)]
        # A stub for a kernel without the feature has nothing to order.
        there = [calls for calls in there if calls] or there[:1]
        if len(there) != 1:
            differences.append(f"{who}: {len(there)} definitions")
        elif there[0] != names:
            differences.append(f"{who} as {' '.join(names)}, but it has {' '.join(there[0]) or 'none of that'}")
    return differences
