"""Checkers: each looks at a whole history and says valid, invalid or unknown, and why."""

VALID, INVALID, UNKNOWN = "valid", "invalid", "unknown"

# How many examples of an anomaly a result carries; the count is always complete.
EXAMPLES = 20


def worst(verdicts):
    """invalid beats unknown beats valid."""
    verdicts = set(verdicts)
    return INVALID if INVALID in verdicts else UNKNOWN if UNKNOWN in verdicts else VALID


def examples(items):
    """The first few of many, and how many there are."""
    items = list(items)
    return {"count": len(items), "first": items[:EXAMPLES]}


def result(anomalies, **facts):
    """The result of a checker. `anomalies`: name -> list of what was found; any makes it invalid."""
    return {"verdict": INVALID if any(anomalies.values()) else VALID,
            "anomalies": {name: examples(found) for name, found in anomalies.items() if found},
            **facts}


from . import liveness, log_order, lost_breakout  # noqa: E402
from . import offset_register, pop_ack, total_queue  # noqa: E402

ALL = {
    "total-queue": total_queue.check,
    "lost-breakout": lost_breakout.check,
    "log-order": log_order.check,
    "pop-ack": pop_ack.check,
    "offset-register": offset_register.check,
    "liveness": liveness.check,
}


def check_all(events):
    """Runs every checker. Returns {"verdict": the worst, "checkers": {name: result}}."""
    results = {}
    for name, checker in ALL.items():
        try:
            results[name] = checker(events)
        except ValueError as error:  # a malformed history
            results[name] = {"verdict": UNKNOWN, "anomalies": {}, "why": [str(error)]}
    return {"verdict": worst(r["verdict"] for r in results.values()), "checkers": results}
