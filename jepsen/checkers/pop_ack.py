"""Receive leases and acks.

resurrected  a message was delivered to a group by a receive that was invoked after an ack of it by
             that group had been answered OK: the acknowledged ack was lost.
overlap      a message was delivered to a group while an earlier delivery's lease could not yet have
             ended. The lease is granted after the receive was invoked, so it lasts at least until
             that moment plus its duration; a second delivery that *completed* before that broke it.
backwards    the delivery attempt of a later delivery isn't higher than that of an earlier one.
"""

from history import OK, deliveries, operations

from . import result

# Members' clocks and the harness's may run at slightly different rates.
TOLERANCE_NS = 500_000_000


def check(events):
    acked = {}  # (group, queue, offset) -> completion time of the first ack answered OK
    acks = operations(events, "ack")
    for ack in acks:
        if ack.kind == OK:
            key = (ack.args["group"], ack.args["queue"], ack.args["offset"])
            acked[key] = min(acked.get(key, ack.completed), ack.completed)

    resurrected, overlap, backwards = [], [], []
    seen = {}  # (group, queue, offset) -> [(operation, message)]
    redelivered = 0
    for operation, message in deliveries(events):
        key = (operation.args["group"], message["queue"], message["offset"])
        if key in acked and operation.invoked > acked[key]:
            resurrected.append({"group": key[0], "queue": key[1], "offset": key[2],
                                "value": message["value"],
                                "late_ms": (operation.invoked - acked[key]) // 1_000_000})
        for earlier, before in seen.get(key, ()):
            redelivered += 1
            first, second = sorted(((earlier, before), (operation, message)),
                                   key=lambda pair: pair[0].invoked)
            lease_ends = first[0].invoked + first[0].args["invisible_ms"] * 1_000_000
            if second[0].completed < lease_ends - TOLERANCE_NS:
                overlap.append({"group": key[0], "queue": key[1], "offset": key[2],
                                "value": message["value"],
                                "early_ms": (lease_ends - second[0].completed) // 1_000_000})
            elif (first[0].completed < second[0].invoked
                  and second[1].get("attempt", 2) <= first[1].get("attempt", 1)):
                backwards.append({"group": key[0], "queue": key[1], "offset": key[2],
                                  "attempts": [first[1]["attempt"], second[1]["attempt"]]})
        seen.setdefault(key, []).append((operation, message))
    return result({"resurrected": resurrected, "overlap": overlap, "backwards": backwards},
                  acknowledged_acks=len(acked), redelivered=redelivered)
