"""Clients that send without pause while a test does its worst, and what must then be stored.

Needs grpcio (see v2.py).
"""

import contextlib
import threading
import time

import v2
from console import check, wait_until


class Sender(threading.Thread):
    """A client with all members as its address. Values are `<name>-<counter>`, each sent once."""

    def __init__(self, name, addresses, topic):
        super().__init__(name=name, daemon=True)
        self._client = v2.Client(addresses)
        self._topic = topic
        self._stop_asked = threading.Event()
        self._turn = threading.Lock()  # held while one value is under way
        self.sent = []  # (time of success, value)
        self.failures = []  # (time, text)

    def run(self):
        counter = 0
        while not self._stop_asked.is_set():
            value = f"{self.name}-{counter}"
            counter += 1
            with self._turn:
                self._send(value)
            self._stop_asked.wait(0.002)

    def _send(self, value):
        try:
            self._client.send(self._topic, value.encode())
            self.sent.append((time.monotonic(), value))
        except (v2.Refused, v2.Unknown) as error:
            self.failures.append((time.monotonic(), str(error)))

    def pause(self):
        self._turn.acquire()

    def resume(self):
        self._turn.release()

    def stop(self):
        self._stop_asked.set()
        self.join(10)
        self._client.close()

    def gap(self, begin, end):
        """The longest time between two successes, the first of them before `end`, the last after
        `begin`; None if none followed."""
        times = [t for t, _ in self.sent]
        gaps = [b - a for a, b in zip(times, times[1:]) if b >= begin and a <= end]
        return max(gaps, default=None)

    def sent_since(self, moment):
        return bool(self.sent) and self.sent[-1][0] > moment


class Load:
    """Several senders on one topic of a cluster's first group. A context: stops at its end."""

    def __init__(self, cluster, topic, clients=4):
        self.topic = topic
        self.senders = [Sender(f"c{i}", _rotated(cluster.addresses(), i), topic)
                        for i in range(clients)]

    def __enter__(self):
        for sender in self.senders:
            sender.start()
        self.wait(lambda s: len(s.sent) > 50, "to send", timeout=30)
        return self

    def __exit__(self, *unused):
        for sender in self.senders:
            sender.stop()

    @contextlib.contextmanager
    def paused(self):
        """Within it nothing is under way and nothing is sent."""
        for sender in self.senders:
            sender.pause()
        try:
            yield
        finally:
            for sender in self.senders:
                sender.resume()

    def wait(self, condition, what, timeout=60):
        wait_until(lambda: all(condition(s) for s in self.senders), timeout, f"all clients {what}")

    def wait_successes(self, after, what, timeout=60):
        """Until every client had a success after `after` on the monotonic clock."""
        self.wait(lambda s: s.sent_since(after), what, timeout)

    def acknowledged(self):
        return {value for s in self.senders for _, value in s.sent}

    def failures(self):
        return sum(len(s.failures) for s in self.senders)

    def attempted(self):
        return {f"{s.name}-{i}" for s in self.senders
                for i in range(len(s.sent) + len(s.failures) + 1)}


def _rotated(addresses, by):
    by %= len(addresses)
    return ",".join(addresses[by:] + addresses[:by])


def stored(cluster, member, topic):
    """(queue, offset) -> body of everything this very member holds of a topic."""
    found = {}
    admin = cluster.admin(member, timeout=10)
    for queue in admin.topic_status(topic):
        offset = queue["min_offset"]
        while offset < queue["max_offset"]:
            page = admin.read_queue(topic, queue["queue"], offset, 500)
            check(page, f"{member.id}: queue {queue['queue']} ends at {offset}, not at "
                  f"{queue['max_offset']}")
            for m in page:
                found[(m["queue"], m["offset"])] = m["body"].decode()
            offset = page[-1]["offset"] + 1
    return found


def check_every_member_has_everything(cluster, *loads):
    """Waits until all have caught up; then each has what was acknowledged, once, at the same
    offsets, and nothing foreign."""
    cluster.wait_serving()
    cluster.wait_caught_up()
    for topic in dict.fromkeys(load.topic for load in loads):
        acknowledged = set().union(*(ld.acknowledged() for ld in loads if ld.topic == topic))
        attempted = set().union(*(ld.attempted() for ld in loads if ld.topic == topic))
        check(acknowledged, f"nothing was acknowledged on {topic}")
        places = {}
        for member in cluster.members:
            values = stored(cluster, member, topic)
            lost = sorted(acknowledged - set(values.values()))
            check(not lost, f"{member.id} lacks {len(lost)} of {len(acknowledged)} acknowledged "
                  f"messages, such as {lost[:5]}")
            foreign = sorted(set(values.values()) - attempted)
            check(not foreign, f"{member.id} has messages nobody sent, such as {foreign[:5]}")
            twice = len(values) - len(set(values.values()))
            check(not twice, f"{member.id} has {twice} messages twice, each sent once")
            places[member.id] = values
        check(len({tuple(sorted(p.items())) for p in places.values()}) == 1,
              "members have different messages at the same offsets")
    total = sum(len(load.acknowledged()) for load in loads)
    return f"{total} acknowledged messages on each of {len(cluster.members)} members"
