"""Committed offsets are registers: reads and writes of each take effect one after the other.

Every value is written once, so the check is exact and fast (Gibbons and Korach, "Testing shared
memories", 1997): a write and the reads of its value are a cluster. From its first completion to its
last invocation the register holds that value throughout, if they come in this order (a forward zone),
and else holds it at one moment at least between the two (a backward zone). The history is
linearizable if no value is read before its write was invoked, no two forward zones overlap, and no
backward zone lies within a forward one.

A read that may be N milliseconds behind takes effect at most that long before it was invoked; a
linearizable one has N = 0. A write that nobody knows of counts if its value was read.
"""

import bisect

from history import FAIL, OK, operations

from . import result

MS = 1_000_000
NEVER = float("inf")
BEGINNING = float("-inf")


def check(events):
    registers = {}
    for operation in operations(events):
        if operation.op in ("write", "read"):
            registers.setdefault(operation.args["register"], []).append(operation)
    anomalies = {"read-of-nothing": [], "read-before-write": [], "stale-read": []}
    reads = writes = 0
    for register, history in sorted(registers.items()):
        clusters = _clusters(register, history, anomalies)
        anomalies["stale-read"] += [{"register": register, **found} for found in _conflicts(clusters)]
        reads += sum(o.op == "read" and o.kind == OK for o in history)
        writes += sum(o.op == "write" and o.kind == OK for o in history)
    return result(anomalies, registers=len(registers), writes=writes, reads=reads)


class _Cluster:
    """A value's write and reads."""

    def __init__(self, value, invoked, completed):
        self.value = value
        self.written = invoked
        self.first_completion = completed
        self.last_invocation = invoked
        self.last_read = None  # the one that is invoked last
        self.known = completed != NEVER  # or read: it happened

    def add(self, read, invoked):
        self.known = True
        self.first_completion = min(self.first_completion, read.completed)
        if invoked > self.last_invocation:
            self.last_invocation, self.last_read = invoked, read


def _clusters(register, history, anomalies):
    clusters = {None: _Cluster(None, BEGINNING, BEGINNING)}  # before the first write
    for write in history:
        if write.op == "write" and write.kind != FAIL:
            completed = write.completed if write.kind == OK else NEVER
            clusters[write.args["value"]] = _Cluster(write.args["value"], write.invoked, completed)
    for read in history:
        if read.op != "read" or read.kind != OK:
            continue
        value = read.result["value"]
        found = {"register": register, "value": value, "node": read.node}
        if value not in clusters:
            anomalies["read-of-nothing"].append(found)
        elif read.completed < clusters[value].written:
            anomalies["read-before-write"].append(found)
        else:
            clusters[value].add(read, read.invoked - read.args["max_lag_ms"] * MS)
    return [c for c in clusters.values() if c.known]


def _conflicts(clusters):
    """Pairs of values of which one was read though the other had replaced it."""
    forward = sorted((c for c in clusters if c.first_completion < c.last_invocation),
                     key=lambda c: c.first_completion)
    backward = [c for c in clusters if c.first_completion >= c.last_invocation]
    for earlier, later in zip(forward, forward[1:]):
        if earlier.last_invocation > later.first_completion:
            yield _conflict(earlier, later)
    ends = [c.first_completion for c in forward]
    for inner in backward:
        # The forward zones that begin before it: the last of them is the one that may hold it.
        at = _last_before(ends, inner.last_invocation)
        if at is not None and forward[at].last_invocation > inner.first_completion:
            yield _conflict(forward[at], inner)


def _last_before(starts, time):
    at = bisect.bisect_left(starts, time) - 1
    return at if at >= 0 else None


def _conflict(outer, inner):
    read = outer.last_read
    return {"read": outer.value, "though_written": inner.value, "node": read and read.node,
            "max_lag_ms": read and read.args["max_lag_ms"]}
