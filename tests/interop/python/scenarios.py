#!/usr/bin/env python3
"""The official RocketMQ 5 client for Python against the cluster in $RAFTMQ_CLUSTER_DIR. Prints TAP."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "deploy" / "local"))
import environment  # noqa: E402

environment.enter_venv(pathlib.Path(__file__).with_name("requirements.txt"))
os.environ["HOME"] = tempfile.mkdtemp(prefix="raftmq-interop-python-")  # the client logs below it

from console import check, check_equal, wait_until  # noqa: E402
from local_cluster import DOWN, Cluster  # noqa: E402
from rocketmq import (ClientConfiguration, ConsumeResult, Credentials, FilterExpression,  # noqa: E402
                      Message, MessageListener, Producer, PushConsumer, SimpleConsumer,
                      TransactionChecker, TransactionResolution)

CLUSTER = Cluster.load(os.environ["RAFTMQ_CLUSTER_DIR"])
SCENARIOS = []
_running = []


def scenario(function):
    SCENARIOS.append((function.__name__.replace("_", " "), function))
    return function


def unique(name):
    return f"{name}-{uuid.uuid4().hex[:8]}"


def new_topic(name, type="NORMAL"):
    topic = unique(name)
    CLUSTER.create_topic(topic, type)
    return topic


def configuration(endpoints=None):
    return ClientConfiguration(endpoints or CLUSTER.access_points(), Credentials("", ""))


def started(client):
    client.startup()
    _running.append(client)
    return client


def producer(topic, endpoints=None, **options):
    return started(Producer(configuration(endpoints), (topic,), **options))


def simple_consumer(topic, group=None, endpoints=None, await_seconds=3):
    return started(SimpleConsumer(configuration(endpoints), group or unique("group"),
                                  {topic: FilterExpression()}, await_duration=await_seconds))


class Listener(MessageListener):
    """Counts deliveries by body; fails the first delivery of the bodies in `fail_once`, and all of
    those in `fail_always`."""

    def __init__(self, fail_once=(), fail_always=()):
        self._lock = threading.Lock()
        self._fail_once = set(fail_once)
        self._fail_always = set(fail_always)
        self.attempts = {}

    def consume(self, message):
        body = message.body.decode()
        with self._lock:
            attempts = self.attempts.setdefault(body, [])
            attempts.append(message.delivery_attempt)
            failed = body in self._fail_always or (body in self._fail_once and len(attempts) == 1)
        return ConsumeResult.FAILURE if failed else ConsumeResult.SUCCESS


def push_consumer(topic, listener, endpoints=None, group=None):
    return started(PushConsumer(configuration(endpoints), group or unique("group"), listener,
                                {topic: FilterExpression()}))


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


@scenario
def a_producer_and_a_simple_consumer_start_and_stop():
    topic = new_topic("start")
    for client in (producer(topic), simple_consumer(topic)):
        check(client.is_running, f"{client} runs")
        client.shutdown()
        check(not client.is_running, f"{client} stopped")


@scenario
def a_message_arrives_with_all_that_was_sent_with_it():
    topic = new_topic("fields")
    sent = message(topic, "päyload \U0001F680", tag="blue", keys="key-1")
    sent.add_property("colour", "blue")
    receipt = producer(topic).send(sent)
    got = receive_until(simple_consumer(topic), lambda counts: len(counts) == 1, 20)
    check_equal(len(got.messages), 1, "messages")
    one = got.messages[0]
    check_equal(one.message_id, receipt.message_id, "message id")
    check_equal(one.body, "päyload \U0001F680".encode(), "body")
    check_equal((one.topic, one.tag, list(one.keys)), (topic, "blue", ["key-1"]), "topic, tag, keys")
    check_equal(one.properties.get("colour"), "blue", "property")
    check_equal(one.delivery_attempt, 1, "delivery attempt")
    check(not one.corrupted, "the digest fits")


@scenario
def an_acked_message_never_comes_again_and_an_unacked_one_does():
    topic = new_topic("ack")
    sent = send_many(producer(topic), topic, 20)
    consumer = simple_consumer(topic)
    first = receive_until(consumer, lambda counts: len(counts) == 20, 20, ack=False)
    check_complete(sent.bodies, first.counts)
    kept = first.messages[7]
    for one in first.messages:
        if one is not kept:
            consumer.ack(one)
    again = receive_until(consumer, lambda counts: counts, 25)
    check_equal(list(again.counts), [kept.body.decode()], "what came again")
    check_equal(again.messages[0].delivery_attempt, 2, "delivery attempt")
    check_equal(receive_until(consumer, lambda counts: counts, 5).counts, {}, "later messages")


@scenario
def a_push_consumer_gets_every_message_and_a_failed_one_again():
    topic = new_topic("push")
    listener = Listener(fail_once=["m-3"])
    push_consumer(topic, listener)
    sent = send_many(producer(topic), topic, 40)
    wait_until(lambda: len(listener.attempts) == 40 and len(listener.attempts["m-3"]) == 2, 40,
               "40 messages and one retry")
    check_complete(sent.bodies, listener.attempts)
    check_equal(listener.attempts["m-3"], [1, 2], "attempts of the failed one")


def new_group(**fields):
    group = unique("group")
    CLUSTER.create_group(group, retry_policy={"customized": {"next_ms": [500]}}, **fields)
    return group


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


@scenario
def a_message_that_always_fails_is_dead_lettered_after_its_last_attempt():
    topic, group = new_topic("dlq"), new_group(retry_max_times=2)
    listener = Listener(fail_always=["m-1"])
    push_consumer(topic, listener, group=group)
    sent = send_many(producer(topic), topic, 5)
    dead = dead_letters(group, 1)
    check_equal([m.body.decode() for m in dead], ["m-1"], "dead letters")
    check_equal(dead[0].delivery_attempt, 1, "attempt at the dead letter")
    check_equal(listener.attempts["m-1"], [1, 2, 3], "attempts of the failed one")
    check_complete(sent.bodies, listener.attempts)


@scenario
def an_orderly_consumer_dead_letters_a_message_and_goes_on_with_the_next():
    topic, group = new_topic("dlq-fifo", "FIFO"), new_group(retry_max_times=2, orderly=True)
    listener = Listener(fail_always=["m-1"])
    push_consumer(topic, listener, group=group)
    sender = producer(topic)
    for i in range(4):
        sender.send(message(topic, f"m-{i}", message_group="x"))
    wait_until(lambda: "m-3" in listener.attempts, 40, f"the last message; {listener.attempts}")
    check_equal([m.body.decode() for m in dead_letters(group, 1)], ["m-1"], "dead letters")
    check_equal(list(listener.attempts), [f"m-{i}" for i in range(4)], "order")
    check_equal(len(listener.attempts["m-1"]), 3, "attempts of the failed one")


@scenario
def messages_of_one_group_arrive_in_order():
    topic = new_topic("fifo", "FIFO")
    sender = producer(topic)
    for i in range(15):
        for group in "xy":
            sender.send(message(topic, f"{group}-{i}", message_group=group))
    got = receive_until(simple_consumer(topic), lambda counts: len(counts) == 30, 40)
    for group in "xy":
        check_equal([m.body.decode() for m in got.messages if m.message_group == group],
                    [f"{group}-{i}" for i in range(15)], f"order in group {group}")


@scenario
def messages_of_a_higher_priority_come_first():
    topic = new_topic("priority", "PRIORITY")
    sender = producer(topic)
    for i in range(12):
        sender.send(message(topic, f"m-{i}", priority=i % 4))
    got = receive_until(simple_consumer(topic), lambda counts: len(counts) == 12, 30)
    expected = [f"m-{i}" for priority in (3, 2, 1, 0) for i in range(12) if i % 4 == priority]
    check_equal([m.body.decode() for m in got.messages], expected, "order")
    check_equal(got.messages[0].priority, 3, "priority of the first")


@scenario
def a_delayed_message_comes_when_it_is_due():
    topic = new_topic("delay", "DELAY")
    consumer = simple_consumer(topic)
    due = int(time.time()) + 4
    producer(topic).send(message(topic, "later", delivery_timestamp=due))
    got = receive_until(consumer, lambda counts: counts, 20)
    late = time.time() - due
    check_equal(len(got.messages), 1, "messages")
    check(-0.05 <= late < 3, f"delivered {late:.2f} s after it was due")


@scenario
def a_delayed_message_that_is_recalled_never_comes():
    topic = new_topic("recall", "DELAY")
    sender, consumer = producer(topic), simple_consumer(topic)
    due = int(time.time()) + 4
    recalled = sender.send(message(topic, "no", delivery_timestamp=due))
    sender.send(message(topic, "yes", delivery_timestamp=due))
    check_equal(sender.recall_message(topic, recalled.recall_handle), recalled.message_id, "its id")
    check_equal(receive_until(consumer, lambda counts: len(counts) > 1, 9).counts, {"yes": 1}, "seen")
    try:
        sender.recall_message(topic, recalled.recall_handle)
    except Exception as error:  # pylint: disable=broad-except
        check(re.search("recalled already", str(error)), f"the error says why: {error}")
    else:
        raise AssertionError("it was recalled twice")


class AsTheBodySays(TransactionChecker):
    def __init__(self):
        super().__init__()
        self.asked = []

    def check(self, message):  # pylint: disable=redefined-outer-name
        body = message.body.decode()
        self.asked.append(body)
        return TransactionResolution.COMMIT if body == "yes" else TransactionResolution.ROLLBACK


@scenario
def an_orphaned_transaction_is_ended_as_its_producer_says_when_it_is_asked():
    topic = new_topic("orphan", "TRANSACTION")
    checker = AsTheBodySays()
    sender = producer(topic, checker=checker)
    consumer = simple_consumer(topic)
    for body in ("yes", "no"):
        sender.send(message(topic, body), sender.begin_transaction())
    check_equal(receive_until(consumer, lambda counts: counts, 20).counts, {"yes": 1}, "seen")
    check_equal(receive_until(consumer, lambda counts: counts, 3).counts, {}, "later")
    check_equal(sorted(checker.asked), ["no", "yes"], "asked about")


class RollBack(TransactionChecker):
    def check(self, message):  # pylint: disable=redefined-outer-name
        return TransactionResolution.ROLLBACK


@scenario
def a_transaction_is_seen_after_its_commit_and_never_after_its_rollback():
    topic = new_topic("transaction", "TRANSACTION")
    sender = producer(topic, checker=RollBack())
    consumer = simple_consumer(topic)
    dropped, kept = sender.begin_transaction(), sender.begin_transaction()
    sender.send(message(topic, "no"), dropped)
    sender.send(message(topic, "yes"), kept)
    check_equal(receive_until(consumer, lambda counts: counts, 2).counts, {}, "before the commit")
    dropped.rollback()
    kept.commit()
    check_equal(receive_until(consumer, lambda counts: counts, 15).counts, {"yes": 1}, "after it")
    check_equal(receive_until(consumer, lambda counts: counts, 4).counts, {}, "later")


@scenario
def sends_to_an_unknown_topic_and_of_the_wrong_type_are_refused():
    for topic, fields, expected in (
            (unique("nowhere"), {}, "(?i)topic|route|not.?found"),
            (new_topic("type"), {"message_group": "x"}, "(?i)type")):
        sender = producer(topic)
        try:
            sender.send(message(topic, "m", **fields))
        except Exception as error:  # pylint: disable=broad-except
            check(re.search(expected, str(error)), f"the error says why: {error}")
        else:
            raise AssertionError(f"a send to {topic} was taken")


@scenario
def a_body_above_4_MiB_is_refused_and_one_of_4_MiB_is_taken():
    topic = new_topic("size")
    sender = producer(topic)
    try:
        sender.send(message(topic, b"x" * (4 * 1024 * 1024 + 1)))
    except Exception as error:  # pylint: disable=broad-except
        check(re.search("(?i)size|large|body", str(error)), f"the error says why: {error}")
    else:
        raise AssertionError("4 MiB + 1 was taken")
    check(sender.send(message(topic, b"x" * (4 * 1024 * 1024))).message_id, "4 MiB is taken")


@scenario
def the_leader_is_killed_while_a_client_sends():
    topic = new_topic("kill-send")
    sent = send_many(producer(topic), topic, 300,
                     at=lambda i: CLUSTER.kill(CLUSTER.wait_leader()) if i == 80 else None)
    got = receive_until(simple_consumer(topic), lambda counts: len(counts) >= 300, 60)
    check_complete(sent.bodies, got.counts)
    check(sent.longest < 10, f"one send took {sent.longest:.1f} s")
    return f"{len(sent.failures)} sends failed, the longest took {sent.longest * 1000:.0f} ms"


@scenario
def the_leader_is_killed_while_a_client_consumes():
    topic = new_topic("kill-consume")
    consumer, sender, outcome = simple_consumer(topic), producer(topic), {}

    def send():
        outcome["sent"] = send_many(
            sender, topic, 400,
            at=lambda i: CLUSTER.kill(CLUSTER.wait_leader()) if i == 150 else None)
    thread = threading.Thread(target=send)
    thread.start()
    got = receive_until(consumer, lambda counts: len(counts) >= 400, 90)
    thread.join()
    check_complete(outcome["sent"].bodies, got.counts)
    return (f"{len(got.failures)} receives or acks failed, "
            f"{len(got.messages) - len(got.counts)} redelivered")


@scenario
def the_leader_is_killed_while_a_push_consumer_works():
    topic = new_topic("kill-push")
    listener = Listener()
    push_consumer(topic, listener)

    def kill(i):
        if i == 100:
            wait_until(lambda: listener.attempts, 30, "a first message")
            CLUSTER.kill(CLUSTER.wait_leader())
    sent = send_many(producer(topic), topic, 300, at=kill)
    wait_until(lambda: len(listener.attempts) >= 300, 90, "300 messages")
    check_complete(sent.bodies, listener.attempts)
    return f"{sum(map(len, listener.attempts.values())) - 300} redelivered"


@scenario
def every_member_is_restarted_while_a_client_sends():
    topic = new_topic("rolling")
    sender, done, rounds = producer(topic), threading.Event(), []

    def restart():
        for member in CLUSTER.members:
            CLUSTER.restart(member)
        done.set()
    thread = threading.Thread(target=restart)
    thread.start()
    while not done.is_set():
        rounds.append(send_many(sender, topic, 50, prefix=f"m-{len(rounds)}"))
    thread.join()
    bodies = [b for r in rounds for b in r.bodies]
    got = receive_until(simple_consumer(topic), lambda counts: len(counts) >= len(bodies), 90)
    check_complete(bodies, got.counts)
    return (f"{len(bodies)} sent, {sum(len(r.failures) for r in rounds)} sends failed, the longest "
            f"took {max(r.longest for r in rounds) * 1000:.0f} ms")


@scenario
def whoever_knows_one_group_sends_to_and_receives_from_all():
    folder = tempfile.mkdtemp(prefix="raftmq-interop-groups-")
    cluster = Cluster.start_new(f"{folder}/cluster", groups=2, members=2, namesrv=1)
    try:
        first, second = cluster.groups()
        topic = unique("shared")
        # It returns when the NameServers know the topic at both groups.
        subprocess.run([environment.binary("mqadmin"), "updateTopic", "-t", topic, "-n",
                        ";".join(cluster.namesrv_addresses())], check=True, capture_output=True)
        sent = send_many(producer(topic, cluster.access_points(first)), topic, 40)
        check_equal(sent.failures, [], "failures of sends")
        listener = Listener()
        push_consumer(topic, listener, cluster.access_points(second))
        got = receive_until(simple_consumer(topic, endpoints=cluster.access_points(second)),
                            lambda counts: len(counts) == 40, 60)
        check_complete(sent.bodies, got.counts)
        check_equal(got.failures, [], "failures of receives and acks")
        for group in (first, second):
            queues = cluster.admin(cluster.leader(group)).topic_status(topic)
            check(any(q["max_offset"] > 0 for q in queues), f"nothing was stored in {group}")
        wait_until(lambda: len(listener.attempts) == 40, 60, "all to be pushed")
    finally:
        stop_clients()
        cluster.remove()


def heal():
    for member in CLUSTER.members:
        if CLUSTER.member_status(member)["role"] == DOWN:
            CLUSTER.restart(member)


def stop_clients():
    def stop(client):
        try:
            if client.is_running:
                client.shutdown()
        except Exception:  # pylint: disable=broad-except
            pass  # a scenario's verdict doesn't hang on it
    threads = [threading.Thread(target=stop, args=(c,), daemon=True) for c in _running]
    _running.clear()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)


def main():
    only = re.compile(os.environ.get("RAFTMQ_ONLY", ""))
    chosen = [(name, run) for name, run in SCENARIOS if only.search(name)]
    print(f"TAP version 13\n1..{len(chosen)}", flush=True)
    failed = 0
    for number, (name, run) in enumerate(chosen, 1):
        try:
            heal()
            note = run()
            print(f"ok {number} - {name}", flush=True)
            if note:
                print(f"# {note}", flush=True)
        except BaseException as error:  # pylint: disable=broad-except
            failed += 1
            print(f"not ok {number} - {name}\n  ---", flush=True)
            print("\n".join("  " + line for line in
                            "".join(traceback.format_exception(error)).splitlines()[-12:]))
            print("  ...", flush=True)
            if isinstance(error, KeyboardInterrupt):
                break
        stop_clients()
    sys.stdout.flush()
    os._exit(1 if failed else 0)  # clients that could not stop have threads that never end


if __name__ == "__main__":
    main()
