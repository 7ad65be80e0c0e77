"""The workload `queue`: producers send unique values, consumers of one group receive and ack them.

Every client speaks to one member at a time, any member, and moves to another after a failure. Nothing
is retried: a value is sent once, so whatever appears twice was made twice by the brokers.
"""

import random
import threading
import time

import v2
from history import FAIL, INFO, INVOKE, OK

GROUP = "work"
POLL_SECONDS = 5.0


class QueueWorkload:
    def __init__(self, cluster, recorder, topic, seed, producers=4, consumers=4, rate=100.0,
                 invisible=10.0):
        self._cluster = cluster
        self._recorder = recorder
        self._topic = topic
        self._seed = seed
        self._rate = rate
        self._invisible = invisible
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._produce, args=(i, producers), name=f"producer-{i}")
            for i in range(producers)] + [
            threading.Thread(target=self._consume, args=(i,), name=f"consumer-{i}")
            for i in range(consumers)]
        self._lock = threading.Lock()
        self.acknowledged = set()
        self.received = set()
        self.acked = set()  # (queue, offset)
        self.errors = []

    def start(self):
        for thread in self._threads:
            thread.start()

    def stop(self):
        """Ends all clients and waits until each has finished its last operation."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    # --- one operation, recorded ---------------------------------------------------------------

    def _record(self, worker, op, args, action, result=lambda value: None):
        """Invokes, runs `action` and records how it ended. Returns (kind, value)."""
        self._recorder.add(INVOKE, worker.process, op, node=worker.node, args=args)
        try:
            value = action()
        except v2.Refused as error:
            self._recorder.add(FAIL, worker.process, op, node=worker.node, error=str(error))
            return FAIL, None
        except v2.Unknown as error:
            partial = getattr(error, "messages", None)
            self._recorder.add(INFO, worker.process, op, node=worker.node, error=str(error),
                               result=result(partial) if partial else None)
            if partial:
                self._note_received(partial)
            worker.move()
            return INFO, None
        self._recorder.add(OK, worker.process, op, node=worker.node, result=result(value))
        return OK, value

    def _produce(self, index, producers):
        with Worker(self._cluster, self._recorder, f"{self._seed}/producer-{index}") as worker:
            counter = 0
            pause = producers / self._rate
            while not self._stopped.is_set():
                value = f"p{index}-{counter}"
                counter += 1
                kind, _ = self._record(
                    worker, "send", {"value": value},
                    lambda value=value: worker.client.send(self._topic, value.encode(),
                                                           message_id=f"ID-{value}"),
                    lambda offset: {"offset": offset})
                if kind == OK:
                    with self._lock:
                        self.acknowledged.add(value)
                elif kind == FAIL and worker.random.random() < 0.5:
                    worker.move()
                self._stopped.wait(worker.random.uniform(0.5, 1.5) * pause)

    def _consume(self, index):
        with Worker(self._cluster, self._recorder, f"{self._seed}/consumer-{index}") as worker:
            while not self._stopped.is_set():
                kind, messages = self.receive(worker, GROUP, "work")
                for message in messages or ():
                    # Now and then a consumer forgets one, so that leases run out under faults too.
                    if worker.random.random() < 0.97:
                        self.ack(worker, GROUP, message)
                if kind != OK:
                    worker.move()
                    self._stopped.wait(0.1)

    def receive(self, worker, group, role, poll=POLL_SECONDS):
        args = {"group": group, "role": role, "invisible_ms": int(self._invisible * 1000)}
        kind, messages = self._record(
            worker, "receive", args,
            lambda: worker.client.receive(self._topic, group, invisible=self._invisible, poll=poll),
            lambda messages: {"messages": [_describe(m) for m in messages]})
        if messages and role == "work":
            self._note_received(messages)
        return kind, messages

    def _note_received(self, messages):
        with self._lock:
            self.received.update(m.body.decode(errors="replace") for m in messages)

    def ack(self, worker, group, message):
        system = message.system_properties
        kind, _ = self._record(
            worker, "ack", {"group": group, "queue": system.queue_id, "offset": system.queue_offset,
                            "value": message.body.decode(errors="replace")},
            lambda: worker.client.ack(self._topic, group, message))
        return kind

    # --- the end -------------------------------------------------------------------------------

    def progress(self):
        return f"{len(self.acknowledged)} sends acknowledged, {len(self.received)} received"

    def finish(self, log):
        """Drains the queue, then reads every member's own log. True if all came to the end."""
        log("draining with a fresh client")
        complete = self.drain(120)
        self._cluster.wait_caught_up()
        for member in self._cluster.members:
            log(f"reading {member.id}'s own log")
            complete = self.read_member(member, 120) and complete
        return complete

    def drain(self, timeout):
        """Receives and acks with a fresh client until nothing is left. True if it came to the end.

        The end: every acknowledged value was seen, and then for longer than a lease lasts no message
        came. The second part alone also counts, or a lost message would hide behind `unknown`.
        """
        deadline = time.monotonic() + timeout
        quiet_since = None
        with Worker(self._cluster, self._recorder, f"{self._seed}/drain") as worker:
            while time.monotonic() < deadline:
                kind, messages = self.receive(worker, GROUP, "work", poll=2.0)
                if kind == OK and not messages:
                    quiet_since = quiet_since or time.monotonic()
                    if time.monotonic() - quiet_since > self._invisible + 5:
                        return True
                    continue
                quiet_since = None
                for message in messages or ():
                    self.ack(worker, GROUP, message)
                if kind != OK:
                    worker.move()
                    self._stopped.wait(0.1)
                    time.sleep(0.1)
        return False

    def read_member(self, member, timeout):
        """Reads every queue from one member's own log. True if it came to the end."""
        recorder, process = self._recorder, self._recorder.new_process()
        args = {"group": f"log of {member.id}", "role": "verify", "invisible_ms": 0}
        admin = self._cluster.admin(member, timeout=10)
        deadline = time.monotonic() + timeout
        for status in admin.topic_status(self._topic):
            offset = status["min_offset"]
            while offset < status["max_offset"]:
                if time.monotonic() > deadline:
                    return False
                recorder.add(INVOKE, process, "receive", node=member.id, args=args)
                stored = admin.read_queue(self._topic, status["queue"], offset, 500)
                recorder.add(OK, process, "receive", node=member.id, result={"messages": [
                    {"value": m["body"].decode(errors="replace"), "queue": m["queue"],
                     "offset": m["offset"], "attempt": 1} for m in stored]})
                if not stored:
                    return True  # what is missing, the checkers report
                offset = stored[-1]["offset"] + 1
        if not any(s["max_offset"] for s in admin.topic_status(self._topic)):
            recorder.add(INVOKE, process, "receive", node=member.id, args=args)
            recorder.add(OK, process, "receive", node=member.id, result={"messages": []})
        return True


def _describe(message):
    system = message.system_properties
    return {"value": message.body.decode(errors="replace"), "queue": system.queue_id,
            "offset": system.queue_offset, "attempt": system.delivery_attempt}


class Worker:
    """A client that speaks to one member and moves to another one when told."""

    def __init__(self, cluster, recorder, seed, member=None):
        self._cluster = cluster
        self._recorder = recorder
        self.random = random.Random(seed)
        self.client = None
        self.node = None
        self.process = None
        self._speak_to(member) if member else self.move()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.client.close()

    def move(self):
        """To another member, as a new process."""
        others = [m for m in self._cluster.members if m.id != self.node]
        self._speak_to(self.random.choice(others or self._cluster.members))

    def _speak_to(self, member):
        if self.client:
            self.client.close()
        self.node = member.id
        self.client = v2.Client(member.address)
        self.process = self._recorder.new_process()
