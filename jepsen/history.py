"""The history of a run: what every client asked and what it was told, in one total order.

An event is a dictionary, one JSON line in `history.jsonl`:

  seq      position in the history
  time     nanoseconds on the harness's monotonic clock
  kind     invoke | ok | fail | info
           ok = it happened, fail = it certainly did not happen, info = nobody knows
  process  a logical client; after `info` it is retired and its worker goes on under a new number
  op       send | receive | ack | write | read | nemesis
  args     what was asked, in the invoke event
  result   what came back, in the completion
  node     the member that was asked
  error    text of a fail or info

A process has at most one operation at a time. An operation without a completion counts as info.
"""

import dataclasses
import json
import threading
import time
from typing import Any, Optional

INVOKE, OK, FAIL, INFO = "invoke", "ok", "fail", "info"


class Recorder:
    """Collects events from many threads; `path` (optional) gets every line as it happens."""

    def __init__(self, path=None):
        self._lock = threading.Lock()
        self._file = open(path, "w") if path else None
        self._next_process = 0
        self.events = []

    def new_process(self):
        with self._lock:
            self._next_process += 1
            return self._next_process - 1

    def add(self, kind, process, op, **fields):
        with self._lock:
            event = {"seq": len(self.events), "time": time.monotonic_ns(), "kind": kind,
                     "process": process, "op": op, **fields}
            self.events.append(event)
            if self._file:
                self._file.write(json.dumps(event, separators=(",", ":")) + "\n")
        return event

    def close(self):
        with self._lock:
            if self._file:
                self._file.close()
                self._file = None


def load(path):
    with open(path) as lines:
        return [json.loads(line) for line in lines]


@dataclasses.dataclass
class Operation:
    """An invocation joined with its completion."""
    process: Any
    op: str
    args: dict
    invoked: int
    kind: str = INFO  # ok, fail or info
    completed: Optional[int] = None  # None: never
    result: Optional[dict] = None
    error: Optional[str] = None
    node: Optional[str] = None


def operations(events, op=None):
    """All operations (of one kind, if `op` is given) in the order of their invocation.

    Raises ValueError if the history is malformed: that is a fault of the harness, and no verdict
    may rest on it.
    """
    found, open_by_process = [], {}
    for event in events:
        if event["op"] == "nemesis":
            continue
        process = event["process"]
        if event["kind"] == INVOKE:
            if process in open_by_process:
                raise ValueError(f"event {event['seq']}: process {process} invokes {event['op']} "
                                 f"while its {open_by_process[process].op} is open")
            operation = Operation(process, event["op"], event.get("args") or {}, event["time"],
                                  node=event.get("node"))
            open_by_process[process] = operation
            found.append(operation)
            continue
        operation = open_by_process.pop(process, None)
        if operation is None or operation.op != event["op"]:
            raise ValueError(f"event {event['seq']}: process {process} completes {event['op']} "
                             f"without having invoked it")
        operation.kind = event["kind"]
        operation.completed = event["time"]
        operation.result = event.get("result")
        operation.error = event.get("error")
        if event["kind"] == INFO:
            open_by_process[process] = _Retired()
    return [o for o in found if op in (None, o.op)]


class _Retired:
    op = "retired process"


def deliveries(events, role=None):
    """Every message that any receive returned, as (operation, message) pairs in receive order.

    `role` selects receives by args["role"]: "work" for the consumers of the run and its final drain,
    "verify" for the clients that read all of it once more through one member.
    """
    for operation in operations(events, "receive"):
        if role is not None and operation.args.get("role", "work") != role:
            continue
        for message in (operation.result or {}).get("messages", ()):
            yield operation, message
