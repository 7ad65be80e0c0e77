"""Scenarios of lite topics: tiny topics under one of type LITE, to which consumers subscribe by name."""

from clients import (CLUSTER, Listener, check_complete, configuration, message, new_group, new_topic,
                     producer, receive_until, send_many, started)
from tap import alone, scenario

from console import check, check_equal, wait_until
from rocketmq import LitePushConsumer, LiteSimpleConsumer
from rocketmq.v5.exception import LiteSubscriptionQuotaExceededException


class ToLiteTopics:
    """Sends each message to the lite topic that its body begins with: "chat-a/1" to "chat-a"."""

    def __init__(self, topic):
        self._sender = producer(topic)

    def send(self, one):
        one.lite_topic = one.body.decode().split("/")[0]
        return self._sender.send(one)


def send_all(sender, topic, bodies):
    for body in bodies:
        sender.send(message(topic, body))


def subscribe(consumer, lite_topics):
    """The client allows itself no lite topic until its first Settings came, for which it does not
    wait when it starts: an application tries again."""
    for name in lite_topics:
        def subscribed(name=name):
            try:
                consumer.subscribe_lite(name)
            except LiteSubscriptionQuotaExceededException:
                return False
            return True
        wait_until(subscribed, 10, f"a subscription to {name}")
    return consumer


def lite_push_consumer(topic, group, listener, lite_topics):
    return subscribe(started(LitePushConsumer(configuration(), group, topic, listener)), lite_topics)


def lite_simple_consumer(topic, group, lite_topics):
    return subscribe(started(LiteSimpleConsumer(topic, configuration(), group, await_duration=3)),
                     lite_topics)


def numbered(lite_topic, count):
    return [f"{lite_topic}/{i}" for i in range(count)]


@scenario
def a_lite_push_consumer_gets_what_it_subscribed_to_and_a_failed_message_again():
    topic = new_topic("lite", "LITE")
    sender = ToLiteTopics(topic)
    listener = Listener(fail_once=["chat-a/1"])
    consumer = lite_push_consumer(topic, new_group(), listener, ["chat-a", "chat-b"])
    for name in ("chat-a", "chat-b", "chat-c"):
        send_all(sender, topic, numbered(name, 3))
    mine = numbered("chat-a", 3) + numbered("chat-b", 3)
    wait_until(lambda: len(listener.attempts) == len(mine), 30, "its messages")
    wait_until(lambda: len(listener.attempts["chat-a/1"]) == 2, 30, "the failed one again")
    check_complete(mine, listener.attempts)
    consumer.subscribe_lite("chat-c")
    wait_until(lambda: len(listener.attempts) == 9, 30, "those of the third lite topic")
    consumer.unsubscribe_lite("chat-a")
    send_all(sender, topic, ["chat-a/late", "chat-b/late"])
    wait_until(lambda: "chat-b/late" in listener.attempts, 30, "what it is still subscribed to")
    check("chat-a/late" not in listener.attempts, "it got what it is not subscribed to any more")


@scenario
def lite_simple_consumers_of_one_group_get_their_own_lite_topics_in_order():
    topic, group = new_topic("lite", "LITE"), new_group()
    sender = ToLiteTopics(topic)
    names = ("chat-a", "chat-b", "chat-c")
    first = lite_simple_consumer(topic, group, names[:2])
    second = lite_simple_consumer(topic, group, names[2:])
    for name in names:
        send_all(sender, topic, numbered(name, 5))
    for consumer, own in ((first, names[:2]), (second, names[2:])):
        got = receive_until(consumer, lambda counts: len(counts) == 5 * len(own), 30)
        check_equal(got.failures, [], "failures of receives and acks")
        for name in own:
            check_equal([m.body.decode() for m in got.messages if m.lite_topic == name],
                        numbered(name, 5), f"messages of {name}")
        check_equal(len(got.messages), 5 * len(own), "messages")


@scenario
def what_no_lite_topic_may_be_is_refused():
    topic, other = new_topic("lite", "LITE"), new_topic("no-lite")
    for to, fields, code in ((topic, {"lite_topic": "a b"}, "40020"), (topic, {}, ""),
                             (other, {"lite_topic": "a"}, "")):
        refused = None
        try:
            producer(to).send(message(to, "x", **fields))
        except Exception as error:  # pylint: disable=broad-except
            refused = str(error)
        check(refused is not None and code in refused, f"{to} {fields}: {refused}")


@alone
def the_leader_is_killed_while_lite_consumers_work():
    topic = new_topic("lite-kill", "LITE")
    listener = Listener()
    names = [f"chat-{i}" for i in range(4)]
    lite_push_consumer(topic, new_group(), listener, names)
    simple = lite_simple_consumer(topic, new_group(), names)
    sender, bodies = ToLiteTopics(topic), []
    for i, name in enumerate(names):
        def kill(n, last=i):
            if last == 1 and n == 20:
                CLUSTER.kill(CLUSTER.wait_leader())
        bodies += send_many(sender, topic, 50, prefix=f"{name}/m", at=kill).bodies
    wait_until(lambda: len(listener.attempts) >= len(bodies), 60, "all to be pushed")
    check_complete(bodies, listener.attempts)
    got = receive_until(simple, lambda counts: len(counts) == len(bodies), 60)
    check_complete(bodies, got.counts)
