"""The official client, with what the scenarios have in common. The cluster is in $RAFTMQ_CLUSTER_DIR."""

import asyncio
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "deploy" / "local"))
import environment  # noqa: E402

environment.enter_venv(pathlib.Path(__file__).with_name("requirements.txt"))
_HOME = os.environ["HOME"]
LOGS = os.environ["HOME"] = tempfile.mkdtemp(prefix="raftmq-interop-python-")  # the client logs below it

from console import check, wait_until  # noqa: E402
from local_cluster import DOWN, Cluster  # noqa: E402
from rocketmq import (ClientConfiguration, ConsumeResult, Credentials, FilterExpression,  # noqa: E402
                      Message, MessageListener, Producer, PushConsumer, SimpleConsumer)
from rocketmq.v5.client.connection import RpcClient  # noqa: E402

CLUSTER = Cluster.load(os.environ["RAFTMQ_CLUSTER_DIR"])
_mine = threading.local()  # .running: the clients that this thread's scenario started


def unique(name):
    return f"{name}-{uuid.uuid4().hex[:8]}"


def new_topic(name, type="NORMAL"):
    topic = unique(name)
    CLUSTER.create_topic(topic, type)
    return topic


def new_group(**fields):
    """A consumer group that gives a message that failed out again after half a second."""
    group = unique("group")
    CLUSTER.create_group(group, retry_policy={"customized": {"next_ms": [500]}}, **fields)
    return group


def configuration(endpoints=None):
    return ClientConfiguration(endpoints or CLUSTER.access_points(), Credentials("", ""))


def started(client):
    # When its QueryRoute is answered at once, the client opens its Telemetry stream in this thread and
    # asks asyncio for the thread's event loop; only main threads have one (docs/clients.md).
    asyncio.set_event_loop(RpcClient.get_channel_io_loop())
    client.startup()
    _running().append(client)
    return client


def _running():
    if not hasattr(_mine, "running"):
        _mine.running = []
    return _mine.running


def stop_clients():
    """Those that this thread started."""
    def stop(client):
        try:
            if client.is_running:
                client.shutdown()
        except Exception:  # pylint: disable=broad-except
            pass  # a scenario's verdict doesn't hang on it
    threads = [threading.Thread(target=stop, args=(c,), daemon=True) for c in _running()]
    _running().clear()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)


def producer(topic, endpoints=None, **options):
    return started(Producer(configuration(endpoints), (topic,), **options))


def simple_consumer(topic, group=None, endpoints=None, wanted=None):
    return started(SimpleConsumer(configuration(endpoints), group or unique("group"),
                                  {topic: wanted or FilterExpression()}, await_duration=3))


class Listener(MessageListener):
    """Counts deliveries by body; fails the first delivery of the bodies in `fail_once`, and all of
    those in `fail_always`."""

    def __init__(self, fail_once=(), fail_always=()):
        self._lock = threading.Lock()
        self._fail_once = set(fail_once)
        self._fail_always = set(fail_always)
        self.attempts = {}
        self.deliveries = []  # bodies, in the order in which they came

    def consume(self, message):
        body = message.body.decode()
        with self._lock:
            attempts = self.attempts.setdefault(body, [])
            attempts.append(message.delivery_attempt)
            self.deliveries.append(body)
            failed = body in self._fail_always or (body in self._fail_once and len(attempts) == 1)
        return ConsumeResult.FAILURE if failed else ConsumeResult.SUCCESS


def push_consumer(topic, listener, endpoints=None, group=None, wanted=None):
    return started(PushConsumer(configuration(endpoints), group or unique("group"), listener,
                                {topic: wanted or FilterExpression()}))


def message(topic, body, **fields):
    made = Message()
    made.topic = topic
    made.body = body if isinstance(body, bytes) else body.encode()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


class Sent:
    def __init__(self):
        self.bodies, self.failures, self.longest = [], [], 0.0


def send_many(sender, topic, count, prefix="m", at=lambda i: None):
    """Sends one after another; what fails after the client's own retries is sent again."""
    sent = Sent()
    for i in range(count):
        at(i)
        body = f"{prefix}-{i}"
        began = time.monotonic()

        def attempt():
            try:
                return sender.send(message(topic, body))
            except Exception as error:  # pylint: disable=broad-except
                sent.failures.append(str(error))
                return None
        wait_until(attempt, 30, f"{body} to be sent; {sent.failures[-1:]}")
        sent.longest = max(sent.longest, time.monotonic() - began)
        sent.bodies.append(body)
    return sent


class Received:
    def __init__(self):
        self.counts, self.messages, self.failures = {}, [], []


def receive_until(consumer, done, timeout, invisible=10, ack=True):
    got = Received()
    deadline = time.monotonic() + timeout
    while not done(got.counts) and time.monotonic() < deadline:
        try:
            batch = consumer.receive(32, invisible) or []
        except Exception as error:  # pylint: disable=broad-except
            got.failures.append(str(error))
            continue
        for one in batch:
            body = one.body.decode()
            got.counts[body] = got.counts.get(body, 0) + 1
            got.messages.append(one)
            if ack:
                try:
                    consumer.ack(one)
                except Exception as error:  # pylint: disable=broad-except
                    got.failures.append(f"ack: {error}")
    return got


def check_complete(bodies, counts):
    lost = [b for b in bodies if b not in counts]
    check(not lost, f"{len(lost)} of {len(bodies)} acknowledged messages are missing: {lost[:10]}")
    foreign = sorted(set(counts) - set(bodies))
    check(not foreign, f"messages that nobody sent: {foreign[:10]}")


def dead_letters(group, count):
    """Received from the dead-letter queue, which is made with its first message."""
    consumers = []

    def start():
        try:
            consumers.append(simple_consumer(f"%DLQ%{group}"))
        except Exception:  # pylint: disable=broad-except
            return False
        return True
    wait_until(start, 30, "a dead-letter queue")
    return receive_until(consumers[0], lambda counts: len(counts) == count, 20).messages


def hold_until_killed(kind, topic, group, count):
    """Kills a consumer in a process of its own (consume.py) once it holds `count` messages. Returns
    their bodies."""
    held = []
    process = subprocess.Popen(
        [sys.executable, str(pathlib.Path(__file__).with_name("consume.py")), kind, topic, group],
        stdout=subprocess.PIPE, text=True,
        env={**os.environ, "HOME": _HOME, "TMPDIR": LOGS})
    reader = threading.Thread(target=lambda: held.extend(line.strip() for line in process.stdout))

    def enough():
        check(process.poll() is None, f"consume.py ended with exit code {process.returncode}")
        return len(held) >= count
    try:
        reader.start()
        wait_until(enough, 40, f"a consumer in another process to hold {count} messages")
    finally:
        process.kill()
        process.wait()
        reader.join()
    return held


def heal():
    for member in CLUSTER.members:
        if CLUSTER.member_status(member)["role"] == DOWN:
            CLUSTER.restart(member)
