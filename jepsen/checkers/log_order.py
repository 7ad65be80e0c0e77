"""Queues are logs: one value per offset, one offset per value, in the order of the sends.

Uses every delivery, also those of failed receives: what a receive returned was really returned.
"""

from history import OK, deliveries, operations

from . import result


def check(events):
    sends = operations(events, "send")
    values_at, places_of = {}, {}  # (queue, offset) -> values; value -> {(queue, offset)}
    for _, message in deliveries(events):
        place = (message["queue"], message["offset"])
        values_at.setdefault(place, set()).add(message["value"])
        places_of.setdefault(message["value"], set()).add(place)

    inconsistent = [{"queue": q, "offset": o, "values": sorted(values)}
                    for (q, o), values in sorted(values_at.items()) if len(values) > 1]

    attempts = {}
    for send in sends:
        attempts[send.args["value"]] = attempts.get(send.args["value"], 0) + 1
    # A value that was sent once may be stored once. Sent again after an unknown outcome, it may
    # stand at several offsets.
    duplicates, resent = [], 0
    for value, places in sorted(places_of.items()):
        if len(places) > 1:
            if attempts.get(value, 0) <= 1:
                duplicates.append({"value": value, "places": sorted(places)})
            else:
                resent += 1

    misplaced, reordered = _check_sends(sends, places_of)
    return result({"inconsistent-offsets": inconsistent, "duplicate": duplicates,
                   "misplaced": misplaced, "nonmonotonic-send": reordered},
                  offsets=len(values_at), resent_and_stored_twice=resent,
                  queues=len({queue for queue, _ in values_at}))


def _check_sends(sends, places_of):
    """Acknowledged sends against the places where their values were found."""
    misplaced, reordered = [], []
    last = {}  # (producer, queue) -> (offset, value) of its latest acknowledged send
    for send in sends:
        value = send.args["value"]
        places = places_of.get(value)
        if send.kind != OK or not places:
            continue
        told = send.result.get("offset") if send.result else None
        if told is not None and told not in {offset for _, offset in places}:
            misplaced.append({"value": value, "acknowledged_offset": told,
                              "found": sorted(places)})
        if len(places) != 1:
            continue
        queue, offset = next(iter(places))
        producer = (value.rpartition("-")[0], queue)
        before = last.get(producer)
        if before and offset <= before[0]:
            reordered.append({"queue": queue, "first": before[1], "first_offset": before[0],
                              "second": value, "second_offset": offset})
        last[producer] = (offset, value)
    return misplaced, reordered
