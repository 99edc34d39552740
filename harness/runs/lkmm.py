# SPDX-License-Identifier: GPL-2.0
"""The part of the Linux kernel memory model that the litmus tests of this repository need.

The definitions are those of tools/memory-model/linux-kernel.cat and lock.cat in the base, under the same names,
without plain accesses, read-modify-write operations other than spin_lock(), and SRCU.  Every access is marked,
hence [Marked], which is everything, is left out.  litmus.calibrate() holds this file against the litmus tests
that come with the base.
"""

from dataclasses import dataclass

# name: sort of the event, of the names in linux-kernel.def
READS = {"READ_ONCE": "once", "rcu_dereference": "once", "smp_load_acquire": "acquire"}
WRITES = {"WRITE_ONCE": "once", "rcu_assign_pointer": "release", "smp_store_release": "release"}
FENCES = {"smp_mb": "mb", "smp_rmb": "rmb", "smp_wmb": "wmb", "smp_mb__after_spinlock": "after-spinlock",
          "synchronize_rcu": "sync-rcu", "rcu_read_lock": "rcu-lock", "rcu_read_unlock": "rcu-unlock"}
LOCKS = ("spin_lock", "spin_unlock")


@dataclass(frozen=True)
class Event:
    """One access or fence. `kind` is R, W or F, `note` what sort of it; the initial writes have thread -1."""
    thread: int
    kind: str
    note: str
    loc: str = ""
    value: object = None


class Rel:
    """A relation on the events 0 .. n-1: for each event the set of those that it leads to, as the bits of a number."""
    __slots__ = ("rows",)

    def __init__(self, rows):
        self.rows = rows

    @classmethod
    def of(cls, size, pairs):
        """The relation of these pairs."""
        rows = [0] * size
        for a, b in pairs:
            rows[a] |= 1 << b
        return cls(rows)

    def pairs(self):
        """All pairs, in order."""
        return [(a, b) for a, row in enumerate(self.rows) for b in bits(row)]

    def __or__(self, other):
        return Rel([a | b for a, b in zip(self.rows, other.rows)])

    def __and__(self, other):
        return Rel([a & b for a, b in zip(self.rows, other.rows)])

    def __sub__(self, other):
        return Rel([a & ~b for a, b in zip(self.rows, other.rows)])

    def __matmul__(self, other):
        """The sequence that is `;` in cat."""
        rows = []
        for row in self.rows:
            found = 0
            for b in bits(row):
                found |= other.rows[b]
            rows.append(found)
        return Rel(rows)

    def inverse(self):
        """^-1"""
        return Rel.of(len(self.rows), [(b, a) for a, b in self.pairs()])

    def opt(self):
        """? : itself, or stay"""
        return Rel([row | 1 << a for a, row in enumerate(self.rows)])

    def plus(self):
        """^+"""
        rows = list(self.rows)
        for middle in range(len(rows)):
            for a, row in enumerate(rows):
                if row >> middle & 1:
                    rows[a] |= rows[middle]
        return Rel(rows)

    def star(self):
        """*"""
        return self.plus().opt()

    def irreflexive(self):
        """No event leads to itself."""
        return not any(row >> a & 1 for a, row in enumerate(self.rows))

    def acyclic(self):
        """Nor does it by way of others."""
        return self.plus().irreflexive()


def bits(number):
    """The positions of the ones."""
    while number:
        low = number & -number
        yield low.bit_length() - 1
        number ^= low


class Static:
    """What does not depend on who reads from whom: `events`, and as pairs of their indices the program order
    and the dependencies."""

    def __init__(self, events, po, addr, data, ctrl):
        size = len(events)
        self.size, self.po = size, Rel.of(size, po)
        self.addr, self.data, self.ctrl = (Rel.of(size, pairs) for pairs in (addr, data, ctrl))
        indices = range(size)
        self.int = Rel.of(size, [(a, b) for a in indices for b in indices if events[a].thread == events[b].thread])
        self.po_loc = Rel.of(size, [(a, b) for a, b in po if events[a].loc and events[a].loc == events[b].loc])

        def on(test):
            return Rel([1 << i if test(event) else 0 for i, event in enumerate(events)])

        def note(*names):
            return on(lambda event: event.note in names)

        self.m, self.r, self.w = (on(lambda event, kinds=kinds: event.kind in kinds) for kinds in ("RW", "R", "W"))
        self.acquire, self.release = note("acquire", "lock-read"), note("release", "unlock")
        self.lkr, self.lkw, self.ul = note("lock-read"), note("lock"), note("unlock")
        self.sync, po = note("sync-rcu"), self.po

        def fencerel(name):
            return po @ note(name) @ po

        self.acq_po = self.acquire @ po @ self.m
        self.po_rel = self.m @ po @ self.release
        self.rmb = self.r @ fencerel("rmb") @ self.r
        self.wmb = self.w @ fencerel("wmb") @ self.w
        self.mb = self.m @ fencerel("mb") @ self.m | \
            self.m @ po.opt() @ self.lkw @ fencerel("after-spinlock") @ self.m
        self.gp = po @ self.sync @ po.opt()
        self.rscs = Rel.of(size, sections(events))


def sections(events):
    """The outermost read-side critical sections of RCU: pairs of rcu_read_lock() and its rcu_read_unlock().
    The model has the inner ones, too; they order nothing that the outer ones do not."""
    found, depth, start = [], {}, {}
    for i, event in enumerate(events):
        level = depth.get(event.thread, 0)
        if event.note == "rcu-lock":
            depth[event.thread] = level + 1
            if not level:
                start[event.thread] = i
        elif event.note == "rcu-unlock":
            if not level:
                raise ValueError("rcu_read_unlock() without rcu_read_lock()")
            depth[event.thread] = level - 1
            if level == 1:
                found.append((start[event.thread], i))
    if any(depth.values()):
        raise ValueError("rcu_read_lock() without rcu_read_unlock()")
    return found


def allowed(s, rf, co):
    """Whether the model allows this execution: `rf` from writes to the reads that see them, `co` the order of the
    writes to each location, both with the operations on locks."""
    none = Rel([0] * s.size)
    fr = rf.inverse() @ co
    overwrite = co | fr
    if not (s.po_loc | rf | overwrite).acyclic():                                       # coherence
        return False
    # No `atomic`: the only read-modify-write is spin_lock(), whose halves litmus.orders() keeps together.
    rfe, rfi = rf - s.int, rf & s.int
    po_unlock_lock_po = s.po @ s.ul @ (s.po | rf) @ s.lkr @ s.po
    strong_fence = s.mb | s.gp
    fence = strong_fence | s.po_rel | s.acq_po | s.wmb | s.rmb

    dep = s.addr | s.data
    to_w = (dep | s.ctrl) @ s.w | (overwrite & s.int)
    to_r = s.addr | dep @ rfi
    ppo = to_r | to_w | fence | (po_unlock_lock_po & s.int)

    cumul_fence = rfe.opt() @ (strong_fence | s.po_rel) | s.wmb | po_unlock_lock_po
    prop = (overwrite - s.int).opt() @ cumul_fence.star() @ rfe.opt()
    identity = none.opt()
    hb = ppo | rfe | ((prop - identity) & s.int)
    if not hb.acyclic():                                                                # happens-before
        return False
    hbs = hb.star()
    pb = prop @ strong_fence @ hbs
    if not pb.acyclic():                                                                # propagation
        return False
    if not s.sync.pairs():
        return True

    link = s.po.opt() @ hbs @ pb.star() @ prop @ s.po
    gp, rscsi = s.sync, s.rscs.inverse()
    order = none
    while True:
        via = link @ order @ link
        larger = gp | gp @ link @ rscsi | rscsi @ link @ gp | gp @ via @ rscsi | rscsi @ via @ gp | \
            order @ link @ order
        if larger.rows == order.rows:
            break
        order = larger
    rb = prop @ (s.po @ order @ s.po.opt()) @ hbs @ pb.star()
    return rb.irreflexive()                                                             # rcu
