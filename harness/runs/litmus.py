# SPDX-License-Identifier: GPL-2.0
"""`make litmus`: the litmus tests of tools/memory-model/litmus-tests, run and tied to the code that they model.

herd7, for which they are written, is not in Debian.  lkmm.py has as much of the kernel's memory model as they use;
it is held against the litmus tests that come with the base, which say themselves what has to come out.

A test passes if
    what `exists` describes comes out as the comment `Result:` says,
    and does come out when any one of its barriers is dropped (smp_load_acquire() and the like lose their ordering,
        a lock is dropped wherever it is taken, rcu_read_lock() counts where there is a grace period),
    and the functions that it models have the same calls that matter for ordering, in the same order; see
        ordering.py.
"""

import itertools
import re
from dataclasses import dataclass, field, replace

from harness import paths, ui
from harness.report import report
from harness.runs import lkmm, ordering
from harness.runs.lkmm import FENCES, LOCKS, READS, WRITES, Event
from harness.source import base as bases

FOLDER = "tools/memory-model/litmus-tests"
LANE = "litmus"
ROUNDS = 10             # in which the values that locations can have must be complete

BY_POINTER = ("smp_load_acquire", "smp_store_release")      # these take x where the others take *x
WEAKER = {"smp_load_acquire": "READ_ONCE", "rcu_assign_pointer": "WRITE_ONCE", "smp_store_release": "WRITE_ONCE"}

TOKEN = re.compile(r"\s*(?:(\d+|[A-Za-z_]\w*)|(&&|\|\||[=!<>]=|/\\|\\/|[-+*/&|^~!<>=(){}\[\];:,]))")
OPERATORS = {"==": lambda a, b: a == b, "!=": lambda a, b: a != b, "&&": lambda a, b: bool(a) and bool(b),
             "||": lambda a, b: bool(a) or bool(b)}


class Unsupported(ui.Failure):
    """A construct that this reader does not know."""


@dataclass(eq=False)
class Statement:
    """`[to =] name(args);`, `if (args[0]) body else orelse`, or with the name "=" an assignment."""
    name: str
    args: list
    to: str = ""
    body: list = field(default_factory=list)
    orelse: list = field(default_factory=list)


@dataclass
class Test:
    """A litmus test: `init` {location: value}, `threads` lists of statements, `params` their parameters."""
    name: str
    text: str
    expected: str
    init: dict
    params: list
    threads: list
    condition: tuple


def strip_comments(text):
    """Without (* *), /* */ and // comments; lines stay lines.  (*x is no comment."""
    return re.sub(r"\(\*\s.*?\*\)|/\*.*?\*/|//[^\n]*", lambda found: "\n" * found[0].count("\n") or " ", text,
                  flags=re.S)


class Reader:
    """A recursive descent over the tokens of one test."""

    def __init__(self, text):
        self.name, self.words, end = text.split(None, 2)[1], [], 0
        text = strip_comments(text).split("\n", 1)[1].rstrip()
        while end < len(text):
            found = TOKEN.match(text, end)
            if not found:
                raise Unsupported(f"litmus test {self.name}: cannot read `{text[end:end + 20].strip()}`")
            self.words.append(found[1] or found[2])
            end = found.end()

    def next(self):
        """Take a word; at the end it is empty."""
        return self.words.pop(0) if self.words else ""

    def peek(self, *words):
        """Whether these words come next."""
        return self.words[:len(words)] == list(words)

    def take(self, word):
        """Take this word if it is next."""
        return self.peek(word) and bool(self.next())

    def need(self, word):
        """Take this word, which has to be next."""
        if not self.take(word):
            raise Unsupported(f"litmus test {self.name}: `{' '.join(self.words[:6])}` where `{word}` has to be")

    def init(self):
        """`{ int x = 1; int *y = &x; z=x; }`"""
        values = {}
        self.need("{")
        while not self.take("}"):
            words = []
            while not self.peek("=") and not self.peek(";"):
                words.append(self.next())
            value = 0
            if self.take("="):
                self.take("&")
                value = number(self.next())
            values[words[-1]] = value
            self.need(";")
        return values

    def thread(self):
        """`P0(int *x, spinlock_t *s) { ... }`"""
        params = []
        self.next()
        self.need("(")
        while not self.take(")"):
            word = self.next()
            if self.peek(",") or self.peek(")"):
                params.append(word)
                self.take(",")
        return params, self.block()

    def block(self):
        """Statements in braces, or one without."""
        if not self.take("{"):
            return self.statement()
        found = []
        while not self.take("}"):
            found += self.statement()
        return found

    def statement(self):
        """One statement; none for a declaration."""
        if self.take("if"):
            self.need("(")
            condition = self.expression()
            self.need(")")
            body = self.block()
            return [Statement("if", [condition], body=body, orelse=self.block() if self.take("else") else [])]
        word = self.next()
        if word == "int":
            while not self.take(";"):
                if self.peek("=") or not self.words:
                    raise Unsupported(f"litmus test {self.name}: a declaration with a value")
                self.next()
            return []
        made = Statement(word, [])
        if self.take("="):
            made.to = word
            called = len(self.words) > 1 and self.words[1] == "(" and self.words[0][0].isalpha()
            made.name = self.next() if called else "="
        if made.name == "=":
            made.args = [self.expression()]
        else:
            self.need("(")
            while not self.take(")"):
                made.args.append(self.expression())
                self.take(",")
        self.need(";")
        known = {**READS, "=": ""} if made.to else {**WRITES, **FENCES, **dict.fromkeys(LOCKS)}
        if made.name not in known:
            raise Unsupported(f"litmus test {self.name}: {made.name}() is not known")
        return [made]

    def expression(self):
        """Operators all bind alike: enough for `r0 == 1`; brackets are understood."""
        left = self.term()
        while self.words and self.words[0] in OPERATORS:
            left = (self.next(), left, self.term())
        return left

    def term(self):
        """A number, a name, *e, &e, !e or (e)."""
        if self.take("("):
            inner = self.expression()
            self.need(")")
            return inner
        for sign in "*!&":
            if self.take(sign):
                inner = self.term()
                return inner if sign == "&" else (sign, inner)
        word = self.next()
        if not re.fullmatch(r"\w+", word):
            raise Unsupported(f"litmus test {self.name}: `{word}` is no value")
        return ("value", number(word))

    def condition(self):
        """`1:r0=1 /\\ (x=2 \\/ 2:r1=y)`, with /\\ before \\/."""
        parts = [self.conjunction()]
        while self.take("\\/"):
            parts.append(self.conjunction())
        return ("or", parts)

    def conjunction(self):
        """The parts between two \\/."""
        parts = [self.atom()]
        while self.take("/\\"):
            parts.append(self.atom())
        return ("and", parts)

    def atom(self):
        """`1:r0=1`, `x=1`, or something in brackets."""
        if self.take("("):
            inner = self.condition()
            self.need(")")
            return inner
        if self.peek("~") or self.peek("not"):
            raise Unsupported(f"litmus test {self.name}: negation in the condition")
        name = self.next()
        if self.take(":"):
            name = (int(name), self.next())
        self.need("=")
        return ("is", name, number(self.next()))


def number(word):
    """A number, or the name of a location or register as it is."""
    return int(word) if word.isdigit() else word


def read(text):
    """A Test from the text of its file."""
    reader = Reader(text)
    result = re.search(r"^ \* Result: (Never|Sometimes)$", text, re.M)
    init, params, threads = reader.init(), [], []
    while re.fullmatch(r"P\d+", reader.words[0] if reader.words else ""):
        if reader.words[0] != f"P{len(threads)}":
            raise Unsupported(f"litmus test {reader.name}: {reader.words[0]} is out of order")
        names, body = reader.thread()
        params.append(names)
        threads.append(body)
    if reader.take("locations"):
        while reader.next() not in ("]", ""):
            pass
    reader.need("exists")
    condition = reader.condition()
    if reader.words or not threads:
        raise Unsupported(f"litmus test {reader.name}: {' '.join(reader.words[:6]) or 'no threads'}")
    return Test(reader.name, text, result[1] if result else "", init, params, threads, condition)


# -- executions --------------------------------------------------------------------------------------------------------


class Pending(Exception):
    """A thread has come to a read of this location, and nobody has said yet what it returns."""


class Stuck(Exception):
    """A thread uses something as a pointer that is none: it cannot happen with these values."""


@dataclass
class Trace:
    """One way through a thread: events, dependencies between them (as indices) and what is in its registers."""
    events: list = field(default_factory=list)
    addr: list = field(default_factory=list)
    data: list = field(default_factory=list)
    ctrl: list = field(default_factory=list)
    registers: dict = field(default_factory=dict)


class Walk:
    """Executes a thread. `answers` are the values that its reads return, one after the other."""

    def __init__(self, thread, params, statements, answers):
        self.thread, self.params, self.answers = thread, params, list(answers)
        self.trace, self.known = Trace(), {}        # register: value, the reads that it depends on
        self.block(statements, frozenset())
        self.trace.registers = {name: value for name, (value, _) in self.known.items()}

    def value(self, expression):
        """A value, and the reads that it depends on."""
        kind, *parts = expression
        if kind == "value":
            name = parts[0]
            if isinstance(name, int) or name in self.params:
                return name, frozenset()
            return self.known.get(name, (0, frozenset()))
        if kind == "*":
            raise Unsupported("a plain access: use READ_ONCE() and WRITE_ONCE()")
        (left, depends), *rest = [self.value(part) for part in parts]
        if kind == "!":
            return int(left == 0), depends
        right, more = rest[0]
        return int(OPERATORS[kind](left, right)), depends | more

    def location(self, statement):
        """What the first argument points to."""
        argument = statement.args[0]
        if statement.name not in BY_POINTER and statement.name not in LOCKS:
            if argument[0] != "*":
                raise Unsupported(f"{statement.name}() of something other than *pointer")
            argument = argument[1]
        name, depends = self.value(argument)
        if not isinstance(name, str):
            raise Stuck()
        return name, depends

    def event(self, ctrl, kind, note, loc="", value=None, addr=(), data=()):
        """Append an event with its dependencies."""
        index = len(self.trace.events)
        self.trace.events.append(Event(self.thread, kind, note, loc, value))
        for pairs, reads in ((self.trace.addr, addr), (self.trace.data, data), (self.trace.ctrl, ctrl)):
            pairs += [(read, index) for read in sorted(reads)]
        return index

    def block(self, statements, ctrl):
        """Statements under a condition that depends on the reads `ctrl`.  What follows an `if` does not depend on
        it, as in Documentation/control-dependencies.txt."""
        for statement in statements:
            if statement.name == "if":
                taken, depends = self.value(statement.args[0])
                self.block(statement.body if taken else statement.orelse, ctrl | depends)
            elif statement.name == "=":
                self.known[statement.to] = self.value(statement.args[0])
            elif statement.name in FENCES:
                self.event(ctrl, "F", FENCES[statement.name])
            elif statement.name == "spin_lock":
                loc = self.location(statement)[0]
                self.event(ctrl, "R", "lock-read", loc)
                self.event(ctrl, "W", "lock", loc)
            elif statement.name == "spin_unlock":
                self.event(ctrl, "W", "unlock", self.location(statement)[0])
            elif statement.name in WRITES:
                loc, addr = self.location(statement)
                value, data = self.value(statement.args[1])
                self.event(ctrl, "W", WRITES[statement.name], loc, value, addr, data)
            else:
                loc, addr = self.location(statement)
                if not self.answers:
                    raise Pending(loc)
                value = self.answers.pop(0)
                index = self.event(ctrl, "R", READS[statement.name], loc, value, addr)
                self.known[statement.to] = value, frozenset([index])


def traces(test, thread, values):
    """All ways through a thread when each location has one of these values."""
    found, todo = [], [()]
    while todo:
        answers = todo.pop()
        try:
            found.append(Walk(thread, test.params[thread], test.threads[thread], answers).trace)
        except Pending as read:
            todo += [(*answers, value) for value in values.get(read.args[0], [0])]
        except Stuck:
            continue
    return found


def ways(test):
    """The traces of each thread, with all the values that they write for one another."""
    values = {name: [value] for name, value in test.init.items()}
    for _ in range(ROUNDS):
        found = [traces(test, thread, values) for thread in range(len(test.threads))]
        more = False
        for event in (event for ways_ in found for trace in ways_ for event in trace.events):
            if event.kind == "W" and event.value is not None:
                mine = values.setdefault(event.loc, [test.init.get(event.loc, 0)])
                if event.value not in mine:
                    mine.append(event.value)
                    more = True
        if not more:
            return found
    raise Unsupported(f"litmus test {test.name}: its values do not come to an end")


def orders(events, loc):
    """All orders of the writes to a location that keep those of each thread in program order, as lists of indices
    with the initial write first.  Those of a lock, with the reads of spin_lock(), keep the critical sections apart."""
    mine = [i for i, event in enumerate(events) if event.loc == loc]
    lock = any(events[i].note == "unlock" for i in mine)
    units = [[i] for i in mine if events[i].kind == "W"]
    if any(events[i].note == "lock-read" for i in mine):
        units = [units[0]] + [mine[n:n + 3] for n in range(1, len(mine), 3)]
        if not lock or any([events[i].note for i in unit] != ["lock-read", "lock", "unlock"] for unit in units[1:]):
            raise Unsupported(f"critical sections of {loc} that are not closed, or nested")
    for order in itertools.permutations(units[1:]):
        threads = {}
        for unit in order:
            threads.setdefault(events[unit[0]].thread, []).append(unit)
        if all(later == sorted(later) for later in threads.values()):
            yield sum(order, units[0])


def holds(condition, registers, memory):
    """Whether the condition is true in a final state."""
    kind, *rest = condition
    if kind == "or":
        return any(holds(part, registers, memory) for part in rest[0])
    if kind == "and":
        return all(holds(part, registers, memory) for part in rest[0])
    name, wanted = rest
    return (registers[name[0]].get(name[1], 0) if isinstance(name, tuple) else memory.get(name, 0)) == wanted


def candidates(test):
    """Everything that could be if each read returned whatever it likes, as far as it ends in what `exists` describes:
    (static, rf, co)."""
    for combined in itertools.product(*ways(test)):
        registers = [trace.registers for trace in combined]
        used = dict.fromkeys(event.loc for trace in combined for event in trace.events if event.loc)
        events = [Event(-1, "W", "init", loc, test.init.get(loc, 0)) for loc in used]
        po, addr, data, ctrl = [], [], [], []
        for trace in combined:
            start = len(events)
            events += trace.events
            po += itertools.combinations(range(start, len(events)), 2)
            for pairs, ours in ((addr, trace.addr), (data, trace.data), (ctrl, trace.ctrl)):
                pairs += [(start + a, start + b) for a, b in ours]
        static = None
        for chosen in itertools.product(*(list(orders(events, loc)) for loc in used)):
            memory = {events[order[-1]].loc: events[order[-1]].value for order in chosen}
            if not holds(test.condition, registers, {**test.init, **memory}):
                continue
            static = static or lkmm.Static(events, po, addr, data, ctrl)
            co, locked = [], []
            for order in chosen:
                writes = [i for i in order if events[i].kind == "W"]
                co += itertools.combinations(writes, 2)
                locked += [(order[n - 1], i) for n, i in enumerate(order) if events[i].note == "lock-read"]
            reads = [i for i, event in enumerate(events) if event.kind == "R" and event.note != "lock-read"]
            sources = [[i for i, event in enumerate(events) if event.kind == "W" and event.loc == events[read].loc
                        and event.value == events[read].value] for read in reads]
            for seen in itertools.product(*sources):
                yield static, lkmm.Rel.of(static.size, [*zip(seen, reads), *locked]), lkmm.Rel.of(static.size, co)


def run(test):
    """What comes out, Never or Sometimes, and how many candidates were looked at."""
    count = 0
    try:
        for count, (static, rf, co) in enumerate(candidates(test), 1):
            if lkmm.allowed(static, rf, co):
                return "Sometimes", count
    except ValueError as error:
        raise Unsupported(f"litmus test {test.name}: {error}") from error
    return "Never", count


# -- barriers ----------------------------------------------------------------------------------------------------------


def statements(block):
    """All statements of a block, those under an `if` included."""
    for statement in block:
        yield statement
        yield from statements(statement.body)
        yield from statements(statement.orelse)


def changed(test, changes):
    """The test with some statements replaced, {statement: name}, or dropped where the name is empty."""
    def block(before):
        after = []
        for statement in before:
            name = changes.get(statement, statement.name)
            if not name:
                continue
            args = list(statement.args)
            if statement.name in BY_POINTER and name not in BY_POINTER:
                args[0] = ("*", args[0])
            after.append(replace(statement, name=name, args=args, body=block(statement.body),
                                 orelse=block(statement.orelse)))
        return after
    return replace(test, threads=[block(thread) for thread in test.threads])


def barriers(test):
    """The barriers of a test: [(what it is called, changes that drop it)]."""
    found, locks = [], {}
    everything = [(n, statement) for n, thread in enumerate(test.threads) for statement in statements(thread)]
    waits = any(statement.name == "synchronize_rcu" for _, statement in everything)
    for n, statement in everything:
        name = statement.name
        if name in LOCKS:
            locks.setdefault(statement.args[0], []).append(statement)
        elif name == "rcu_read_lock" and waits:
            found.append((f"P{n} rcu_read_lock()", {other: "" for m, other in everything
                                                    if m == n and other.name.startswith("rcu_read_")}))
        elif name in WEAKER or name in FENCES and not name.startswith("rcu_read_"):
            found.append((f"P{n} {name}()", {statement: WEAKER.get(name, "")}))
    found += [(f"spin_lock({lock[1]})", dict.fromkeys(group, "")) for lock, group in locks.items()]
    return found


def weaker(test):
    """For each smp_mb() those weaker barriers that would do in its place: [(what, weaker barrier)]."""
    return [(label, name) for label, changes in barriers(test) if label.endswith(" smp_mb()")
            for name in ("smp_wmb", "smp_rmb") if run(changed(test, dict.fromkeys(changes, name)))[0] == "Never"]


# -- commands ----------------------------------------------------------------------------------------------------------


def load():
    """The tests of this repository, by name."""
    found = {}
    for path in sorted((paths.TOP / FOLDER).glob("*.litmus")):
        test = read(path.read_text(encoding="utf-8"))
        if test.name != path.stem:
            raise ui.Failure(f"{ui.short(path)} calls itself {test.name}", "give both the same name")
        found[test.name] = test
    return found


def judge(test):
    """A row of the table, notes, and what is wrong with the test itself."""
    outcome, count = run(test)
    bad = [] if outcome == test.expected else [f"{outcome}, but it says Result: {test.expected or 'nothing'}"]
    known = barriers(test) if outcome == "Never" else []
    idle = [name for name, changes in known if run(changed(test, changes))[0] == "Never"]
    bad += [f"{name} is not needed" for name in idle]
    notes = [f"{name}() would do for {label}" for label, name in weaker(test)] if known else []
    return (test.name, len(test.threads), count, outcome, f"{len(known) - len(idle)} of {len(known)}"), notes, bad


def calibrate(repo, commit):
    """Run the litmus tests that come with the base: how many come out as they say, how many use what lkmm.py does
    not have, and which come out otherwise."""
    good, skipped, bad = 0, 0, []
    for name in repo.lines("ls-tree", "-r", "--name-only", commit, f"{FOLDER}/", "Documentation/litmus-tests/"):
        if not name.endswith(".litmus"):
            continue
        try:
            test = read(repo.blob(f"{commit}:{name}").decode())
            outcome = run(test)[0]
        except Unsupported:
            skipped += 1
            continue
        if outcome == test.expected:
            good += 1
        else:
            bad.append(f"{name}: {outcome}, but it says Result: {test.expected}")
    return good, skipped, bad


def check(repo, commit):
    """Run everything and print it: (passed, failed), where calibrate() counts as one."""
    good, skipped, wrong = calibrate(repo, commit)
    ui.say(f"  {good} litmus tests of the base come out as they say; {skipped} use what harness/lkmm.py does not have")
    wrong = [f"the base's {why}" for why in wrong] or ([] if good else ["no litmus test of the base was run"])
    rows, notes, failed = [], [], int(bool(wrong))
    for test in load().values():
        try:
            row, more, bad = judge(test)
            bad += ordering.untied(test.name, test.text, paths.TOP)
        except ui.Failure as failure:
            row, more, bad = (test.name, len(test.threads), "-", "-", "-"), [], [failure.what]
        rows.append(row)
        notes += [f"{test.name}: {note}" for note in more]
        wrong += [f"{test.name}: {why}" for why in bad]
        failed += bool(bad)
    if rows:
        for line in report.table(("test", "threads", "candidates", "result", "barriers needed"), rows):
            ui.say(f"  {line}")
    for line in [*(f"note: {note}" for note in notes), *(f"FAILED: {why}" for why in wrong)]:
        ui.say(f"  {line}")
    return 1 + len(rows) - failed, failed


def cmd_litmus():
    """make litmus."""
    base = bases.load(paths.BASE)
    steps = ui.Steps("litmus", 2)
    with steps.step(f"fetch Linux {paths.BASE}"):
        release = base.fetch()
    with steps.step("run the litmus tests"):
        passed, failed = check(base.repo, release.commit)
    ui.say(f"{passed} passed, {failed} failed")
    return passed, failed
