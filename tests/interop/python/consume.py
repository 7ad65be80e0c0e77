#!/usr/bin/env python3
"""A consumer that never finishes a message, to be killed: `consume.py push|simple TOPIC GROUP` prints
the body of each message that it holds."""

import sys
import threading

import clients
from rocketmq import MessageListener


_printing = threading.Lock()


def hold(message):
    with _printing:
        print(message.body.decode(), flush=True)


class Holding(MessageListener):
    def consume(self, message):
        hold(message)
        threading.Event().wait()


def main():
    kind, topic, group = sys.argv[1:]
    if kind == "push":
        clients.push_consumer(topic, Holding(), group=group)
        threading.Event().wait()
    consumer = clients.simple_consumer(topic, group)
    while True:
        for message in consumer.receive(32, 10) or []:
            hold(message)


if __name__ == "__main__":
    main()
