"""Whether the run says anything at all.

A cluster that answers nothing loses nothing. So a run is `unknown` in which a kind of operation never
once succeeded, no fault was injected though one was asked for, or the final reads were not completed.
"""

from history import FAIL, INFO, OK, operations

from . import UNKNOWN, VALID


def check(events):
    counts = {}
    for operation in operations(events):
        kinds = counts.setdefault(operation.op, {OK: 0, FAIL: 0, INFO: 0})
        kinds[operation.kind] += 1
    # Of the workload that this is a history of.
    needed = ("write", "read") if "write" in counts else ("send", "receive", "ack")
    why = [f"no {op} ever succeeded" for op in needed if not counts.get(op, {}).get(OK)]
    nemesis = [e for e in events if e["op"] == "nemesis"]
    by_action = {}
    for event in nemesis:
        action = (event.get("args") or {}).get("action")
        by_action[action] = by_action.get(action, 0) + 1
    if by_action.get("start") and not any(by_action.get(a) for a in ("kill", "pause")):
        why.append("the nemesis never struck")
    if not by_action.get("final-reads-complete"):
        why.append("the final reads were not completed")
    return {"verdict": UNKNOWN if why else VALID, "anomalies": {}, "why": why,
            "operations": counts, "nemesis": by_action}
