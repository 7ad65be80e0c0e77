"""What goes in must come out (Jepsen's total-queue).

Multisets: attempts = values of all sends, enqueues = values of acknowledged sends, dequeues = values
that consumers of the run received. Duplicates are counted, not condemned: delivery is at least once.
"""

from collections import Counter

from history import FAIL, OK, deliveries, operations

from . import result


def check(events):
    attempts, enqueues, refused = Counter(), Counter(), Counter()
    for send in operations(events, "send"):
        value = send.args["value"]
        attempts[value] += 1
        if send.kind == OK:
            enqueues[value] += 1
        elif send.kind == FAIL:
            refused[value] += 1
    dequeues = Counter(message["value"] for _, message in deliveries(events, "work"))

    lost = sorted((enqueues - dequeues).elements())
    unexpected = sorted(v for v in dequeues if v not in attempts)
    # Every attempt was refused, and yet it was delivered: the refusal was a lie (Kafka's G1a).
    aborted = sorted(v for v in dequeues if v in refused and refused[v] == attempts[v])
    duplicated = sum((dequeues - attempts).values()) - sum(dequeues[v] for v in unexpected)
    recovered = sum(((dequeues & attempts) - enqueues).values()) - len(aborted)
    return result({"lost": lost, "unexpected": unexpected, "aborted-read": aborted},
                  attempts=sum(attempts.values()), acknowledged=sum(enqueues.values()),
                  delivered=sum(dequeues.values()), duplicated=duplicated, recovered=recovered)
