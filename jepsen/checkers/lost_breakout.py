"""Where in each producer's sequence acknowledged messages are missing, and on which member.

Values are `producer-counter`. A lost one is
  prefix   below the lowest counter that was read: the log started over;
  middle   between two that were read: a hole, the worst kind;
  postfix  above the highest that was read: a lost tail, or a reader that stopped early.
It is computed for the union of all reads and once for every member that was read through (the
receives with role "verify"): a message missing on one member is a split, even if a client got it
elsewhere.
"""

from history import OK, deliveries, operations

from . import result


def split(value):
    producer, _, counter = value.rpartition("-")
    return producer, int(counter)


def breakout(published, read):
    """{"prefix"|"middle"|"postfix": values} of what is in `published` but not in `read`."""
    bounds = {}
    for value in read:
        try:
            producer, counter = split(value)
        except ValueError:
            continue  # a foreign value; total-queue reports it
        low, high = bounds.get(producer, (counter, counter))
        bounds[producer] = (min(low, counter), max(high, counter))
    parts = {"prefix": [], "middle": [], "postfix": []}
    for value in sorted(published - read, key=split):
        producer, counter = split(value)
        low, high = bounds.get(producer, (None, None))
        part = ("postfix" if low is None or counter > high else
                "prefix" if counter < low else "middle")
        parts[part].append(value)
    return parts


def check(events):
    published = {s.args["value"] for s in operations(events, "send") if s.kind == OK}
    everything = {m["value"] for _, m in deliveries(events)}
    by_member = {}
    for operation, message in deliveries(events, "verify"):
        by_member.setdefault(operation.node, set()).add(message["value"])
    # A member whose reader never got a single message still counts, as one that lost everything.
    for operation in operations(events, "receive"):
        if operation.args.get("role") == "verify":
            by_member.setdefault(operation.node, set())

    anomalies = {f"lost-{part}": values for part, values in breakout(published, everything).items()}
    for member, read in sorted(by_member.items()):
        for part, values in breakout(published, read).items():
            anomalies[f"lost-{part}-on-{member}"] = values
    return result(anomalies, acknowledged=len(published), read=len(everything),
                  read_by_member={m: len(r) for m, r in sorted(by_member.items())})
