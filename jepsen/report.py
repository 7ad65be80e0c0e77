"""What a run says at its end, for people."""

import bisect

from console import duration, paint, percentile, table
from history import FAIL, INFO, OK, operations

COLOURS = {"valid": "green", "invalid": "red", "unknown": "yellow"}


def outages(events):
    """For each strike of the nemesis the longest time without a successful send (or write of an
    offset), in seconds.

    Looked for between the strike and the next one, from the last success before it. Told apart by
    whether a majority was left: {"majority left": [...], "no majority left": [...]}.
    """
    done = sorted(s.completed for s in operations(events)
                  if s.op in ("send", "write") and s.kind == OK)
    nemesis = [e for e in events if e["op"] == "nemesis"]
    strikes = [e for e in nemesis if e["args"]["action"] in ("kill", "pause")]
    members = max((len(e["args"].get("members", ())) for e in nemesis), default=0)
    found = {"majority left": [], "no majority left": []}
    for i, strike in enumerate(strikes):
        begin = strike["time"]
        end = strikes[i + 1]["time"] if i + 1 < len(strikes) else float("inf")
        before = done[max(0, bisect.bisect_left(done, begin) - 1):bisect.bisect_left(done, begin)]
        during = before + done[bisect.bisect_left(done, begin):bisect.bisect_right(done, end)]
        gaps = [b - a for a, b in zip(during, during[1:])]
        if gaps:
            few = len(strike["args"]["members"]) * 2 < members
            found["majority left" if few else "no majority left"].append(max(gaps) / 1e9)
    return found


def latencies(events, op):
    return [(o.completed - o.invoked) / 1e6 for o in operations(events, op) if o.kind == OK]


def text(outcome, events, seed, kept):
    lines = []
    counts = outcome["checkers"]["liveness"].get("operations", {})
    rows = []
    for op in ("write", "read") if "write" in counts else ("send", "receive", "ack"):
        kinds = counts.get(op, {OK: 0, FAIL: 0, INFO: 0})
        millis = latencies(events, op) or [0]
        rows.append([op, sum(kinds.values()), kinds[OK], kinds[FAIL], kinds[INFO]] +
                    [f"{percentile(millis, p):.1f}" for p in (50, 99, 100)])
    lines.append(table(["OPERATION", "INVOKED", "OK", "FAILED", "UNKNOWN", "P50 ms", "P99 ms",
                        "MAX ms"], rows, right=range(1, 8)))
    lines.append("")

    strikes = outcome["checkers"]["liveness"].get("nemesis", {})
    told = ", ".join(f"{strikes[a]} x {a}" for a in ("kill", "pause", "restart", "resume")
                     if strikes.get(a))
    lines.append(f"faults: {told or 'none'}")
    for kind, gaps in outages(events).items():
        if gaps:
            lines.append(f"longest time without a successful change, {kind}: " + ", ".join(
                f"{name} {duration(percentile(gaps, p))}"
                for name, p in (("p50", 50), ("p99", 99), ("max", 100))))
    lines.append("")

    rows = []
    for name, result in outcome["checkers"].items():
        facts = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in result.items()
                          if isinstance(v, int) and not isinstance(v, bool))
        why = "; ".join(result.get("why", []))
        rows.append([name, result["verdict"], why or facts])
    lines.append(table(["CHECKER", "VERDICT", "FACTS"], rows, colours=COLOURS))
    for name, result in outcome["checkers"].items():
        for anomaly, found in result["anomalies"].items():
            lines.append(f"\n{name}: {found['count']} x {anomaly}, for example:")
            lines += [f"    {item}" for item in found["first"][:5]]
    lines.append("")
    lines.append(f"seed {seed}, " + (f"history in {kept}" if kept else
                                     "history deleted (--dir DIR keeps it)"))
    lines.append("verdict: " + paint(outcome["verdict"], COLOURS[outcome["verdict"]]))
    return "\n".join(lines)
