#!/usr/bin/env python3
"""The official RocketMQ 5 client for Python against the cluster in $RAFTMQ_CLUSTER_DIR. Prints TAP."""

import os
import re
import shutil
import subprocess
import tempfile
import threading
import time

import lite  # noqa: F401  its scenarios
import tap
from tap import alone, scenario

from clients import (CLUSTER, LOGS, Listener, check_complete, dead_letters, heal, hold_until_killed, message,
                     new_group, new_topic, producer, push_consumer, receive_until, send_many,
                     simple_consumer, stop_clients, unique)
import environment
from console import check, check_equal, wait_until
from local_cluster import Cluster
from rocketmq import FilterExpression, TransactionChecker, TransactionResolution
from rocketmq.grpc_protocol import FilterType


def taken_over(kind, other):
    """What a killed consumer held comes again, to `other(topic, group, bodies)`, which returns the
    delivery attempts by body; what nobody held comes at once."""
    topic, group = new_topic("takeover"), unique("group")
    sender = producer(topic)
    held = send_many(sender, topic, 10).bodies
    check_equal(sorted(hold_until_killed(kind, topic, group, 10)), sorted(held), "what it held")
    began = time.monotonic()
    late = send_many(sender, topic, 5, prefix="late").bodies
    attempts = other(topic, group, held + late)
    check_equal({b: attempts.get(b) for b in held}, dict.fromkeys(held, [2]), "attempts of the held")
    check_equal({b: attempts.get(b) for b in late}, dict.fromkeys(late, [1]), "attempts of the others")
    return f"after {time.monotonic() - began:.0f} s"


def send_in_order(topic, count, at=lambda i: None):
    """Bodies of one message group; what fails after the client's own retries is sent again."""
    sender, bodies = producer(topic), [f"m-{i}" for i in range(count)]
    for i, body in enumerate(bodies):
        at(i)
        wait_until(lambda: _succeeds(  # called at once
            lambda: sender.send(message(topic, body, message_group="x"))), 30, f"{body} to be sent")
    return bodies


@scenario
def messages_of_a_killed_push_consumer_are_taken_over():
    def other(topic, group, bodies):
        listener = Listener()
        push_consumer(topic, listener, group=group)
        wait_until(lambda: len(listener.attempts) == len(bodies), 90,
                   f"{len(bodies)} messages")
        return listener.attempts
    return taken_over("push", other)


@scenario
def messages_of_a_killed_simple_consumer_are_taken_over():
    def other(topic, group, bodies):
        got = receive_until(simple_consumer(topic, group),
                            lambda counts: len(counts) == len(bodies), 40)
        attempts = {}
        for one in got.messages:
            attempts.setdefault(one.body.decode(), []).append(one.delivery_attempt)
        return attempts
    return taken_over("simple", other)


@scenario
def messages_of_a_killed_orderly_consumer_are_taken_over_in_order():
    topic, group = new_topic("takeover-fifo", "FIFO"), new_group(orderly=True)
    bodies = send_in_order(topic, 6)
    check_equal(hold_until_killed("push", topic, group, 1), bodies[:1], "what it held")
    began = time.monotonic()
    listener = Listener()
    push_consumer(topic, listener, group=group)
    wait_until(lambda: len(listener.attempts) == len(bodies), 90, "all messages")
    check_equal(list(listener.attempts), bodies, "order")
    check_equal(listener.attempts[bodies[0]], [2], "attempts of the held one")
    return f"after {time.monotonic() - began:.0f} s"


@scenario
def clients_start_and_stop():
    topic = new_topic("start")
    for client in (producer(topic), simple_consumer(topic), push_consumer(topic, Listener())):
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
def sends_in_flight_together_are_answered_once_each():
    topic = new_topic("async")
    sender = producer(topic)
    answers = [sender.send_async(message(topic, f"m-{i}")) for i in range(50)]
    ids = {answer.result(timeout=20).message_id for answer in answers}
    check_equal(len(ids), 50, "message ids")
    got = receive_until(simple_consumer(topic), lambda counts: len(counts) == 50, 30)
    check_equal(got.counts, {f"m-{i}": 1 for i in range(50)}, "what arrived")


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
def a_changed_invisibility_keeps_a_message_away_or_brings_it_back():
    topic = new_topic("invisible")
    send_many(producer(topic), topic, 1)
    consumer = simple_consumer(topic)
    first = receive_until(consumer, lambda counts: counts, 20, ack=False).messages[0]
    for _ in range(2):  # the second time it goes on from where the first time would have ended
        consumer.change_invisible_duration(first, 12)
        check_equal(receive_until(consumer, lambda counts: counts, 8).counts, {}, "before its time")
    consumer.change_invisible_duration(first, 1)
    again = receive_until(consumer, lambda counts: counts, 15)
    check_equal(again.counts, {"m-0": 1}, "after its time")
    check_equal(again.messages[0].delivery_attempt, 2, "delivery attempt")


def check_filtered(topic, wanted, expected):
    """Only these bodies reach a simple and a push consumer with this filter."""
    listener = Listener()
    push_consumer(topic, listener, wanted=wanted)
    consumer = simple_consumer(topic, wanted=wanted)
    got = receive_until(consumer, lambda counts: len(counts) == len(expected), 30)
    check_equal(sorted(got.counts), sorted(expected), "what a simple consumer got")
    wait_until(lambda: len(listener.attempts) >= len(expected), 30, "all to be pushed")
    check_equal(receive_until(consumer, lambda counts: counts, 4).counts, {}, "later")
    check_equal(sorted(listener.attempts), sorted(expected), "what a push consumer got")


@scenario
def only_messages_with_a_wanted_tag_arrive():
    topic = new_topic("tags")
    sender = producer(topic)
    for i in range(20):
        sender.send(message(topic, f"m-{i}", tag=["red", "green", "blue", "grey"][i % 4]))
    check_filtered(topic, FilterExpression("red || blue"), [f"m-{i}" for i in range(0, 20, 2)])


@scenario
def only_messages_that_an_SQL_expression_wants_arrive():
    topic = new_topic("sql")
    sender = producer(topic)
    for i in range(20):
        sent = message(topic, f"m-{i}", tag="even" if i % 2 == 0 else "odd")
        sent.add_property("price", str(i))
        sender.send(sent)
    wanted = FilterExpression("(price BETWEEN 15 AND 17 OR price = 3) AND TAGS = 'odd'",
                              FilterType.SQL)
    check_filtered(topic, wanted, ["m-3", "m-15", "m-17"])


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
    check_equal(listener.deliveries, ["m-0", "m-1", "m-1", "m-1", "m-2", "m-3"], "deliveries")


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
    due = int(time.time()) + 6
    recalled = sender.send(message(topic, "no", delivery_timestamp=due))
    sender.send(message(topic, "yes", delivery_timestamp=due))
    check_equal(sender.recall_message(topic, recalled.recall_handle), recalled.message_id, "its id")
    check_equal(receive_until(consumer, lambda counts: len(counts) > 1, 11).counts, {"yes": 1}, "seen")
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


def check_refused(sender, sent, expected):
    try:
        sender.send(sent)
    except Exception as error:  # pylint: disable=broad-except
        check(re.search(expected, str(error)), f"the error says why: {error}")
    else:
        raise AssertionError(f"a send to {sent.topic} was taken")


@scenario
def an_unknown_topic_is_refused():
    topic = unique("nowhere")
    check_refused(producer(topic), message(topic, "m"), "(?i)topic|route|not.?found")


@scenario
def a_message_of_the_wrong_type_is_refused():
    topic = new_topic("type")
    check_refused(producer(topic), message(topic, "m", message_group="x"), "(?i)type")


@scenario
def a_body_above_4_MiB_is_refused_and_one_of_4_MiB_is_taken():
    topic = new_topic("size")
    sender = producer(topic)
    check_refused(sender, message(topic, b"x" * (4 * 1024 * 1024 + 1)), "(?i)size|large|body")
    check(sender.send(message(topic, b"x" * (4 * 1024 * 1024))).message_id, "4 MiB is taken")


@alone
def the_leader_is_killed_while_a_client_sends():
    topic = new_topic("kill-send")
    sent = send_many(producer(topic), topic, 300,
                     at=lambda i: CLUSTER.kill(CLUSTER.wait_leader()) if i == 80 else None)
    got = receive_until(simple_consumer(topic), lambda counts: len(counts) >= 300, 60)
    check_complete(sent.bodies, got.counts)
    check(sent.longest < 10, f"one send took {sent.longest:.1f} s")
    return f"{len(sent.failures)} sends failed, the longest took {sent.longest * 1000:.0f} ms"


@alone
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


@alone
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


@alone
def the_leader_is_killed_while_an_orderly_consumer_works():
    topic, group = new_topic("kill-fifo", "FIFO"), new_group(orderly=True)
    listener = Listener()
    push_consumer(topic, listener, group=group)

    def kill(i):
        if i == 50:
            wait_until(lambda: listener.attempts, 30, "a first message")
            CLUSTER.kill(CLUSTER.wait_leader())
    bodies = send_in_order(topic, 150, kill)
    wait_until(lambda: len(listener.attempts) >= 150, 90, "150 messages")
    check_equal(list(listener.attempts), bodies, "order")
    return f"{sum(map(len, listener.attempts.values())) - 150} redelivered"


@alone
def open_transactions_and_delayed_messages_survive_a_killed_leader():
    transactions, delays = new_topic("kill-half", "TRANSACTION"), new_topic("kill-delay", "DELAY")
    sender, timer = producer(transactions, checker=RollBack()), producer(delays)
    ended, later = simple_consumer(transactions), simple_consumer(delays)
    dropped, kept = sender.begin_transaction(), sender.begin_transaction()
    sender.send(message(transactions, "no"), dropped)
    sender.send(message(transactions, "yes"), kept)
    due = int(time.time()) + 6
    recalled = timer.send(message(delays, "recalled", delivery_timestamp=due))
    timer.send(message(delays, "later", delivery_timestamp=due))
    CLUSTER.kill(CLUSTER.wait_leader())
    wait_until(lambda: _succeeds(kept.commit), 20, "the commit")
    wait_until(lambda: _succeeds(dropped.rollback), 20, "the rollback")
    wait_until(lambda: _succeeds(lambda: timer.recall_message(delays, recalled.recall_handle)), 20,
               "the recall")
    check_equal(receive_until(ended, lambda counts: counts, 20).counts, {"yes": 1}, "committed")
    check_equal(receive_until(later, lambda counts: counts, 20).counts, {"later": 1}, "delayed")
    check(time.time() >= due - 0.05, "it came early")
    for consumer in (ended, later):
        check_equal(receive_until(consumer, lambda counts: counts, 3).counts, {}, "afterwards")


def _succeeds(call):
    try:
        call()
    except Exception:  # pylint: disable=broad-except
        return False
    return True


@alone
def every_member_is_restarted_while_a_client_sends_and_consumes():
    topic = new_topic("rolling")
    sender, consumer, rounds, got, restarted = producer(topic), simple_consumer(topic), [], [], []
    all_sent = threading.Event()

    def restart():
        for member in CLUSTER.members:
            CLUSTER.restart(member)
            restarted.append(member)

    def bodies():
        return [b for r in rounds for b in r.bodies]
    restarting = threading.Thread(target=restart)
    consuming = threading.Thread(target=lambda: got.append(receive_until(
        consumer, lambda counts: all_sent.is_set() and len(counts) >= len(bodies()), 120)))
    restarting.start()
    consuming.start()
    while restarting.is_alive():
        rounds.append(send_many(sender, topic, 50, prefix=f"m-{len(rounds)}"))
    all_sent.set()
    consuming.join()
    check_equal(restarted, CLUSTER.members, "restarted members")
    check_complete(bodies(), got[0].counts)
    return (f"{len(bodies())} sent, {sum(len(r.failures) for r in rounds)} sends failed, the longest "
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


if __name__ == "__main__":
    failed = tap.run_all(heal, stop_clients)
    shutil.rmtree(LOGS, ignore_errors=True)
    os._exit(1 if failed else 0)  # clients that could not stop have threads that never end
