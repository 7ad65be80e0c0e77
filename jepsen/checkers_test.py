#!/usr/bin/env python3
"""Tests of the checkers on histories made by hand: each anomaly is found, a clean history passes."""

import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import checkers  # noqa: E402
from checkers import INVALID, UNKNOWN, VALID  # noqa: E402

SECOND = 1_000_000_000


def register(*operations):
    """Operations on one register: (op, value, invoked, completed), in seconds; a read may have a
    fifth: how many seconds it may be behind. Completed None: nobody knows."""
    events = []
    for process, (op, value, invoked, completed, *lag) in enumerate(operations):
        args = {"register": "r"}
        if op == "write":
            args["value"] = value
        else:
            args["max_lag_ms"] = 1000 * (lag[0] if lag else 0)
        events.append({"time": invoked, "kind": "invoke", "process": process, "op": op, "args": args,
                       "node": "n0"})
        if completed is not None:
            events.append({"time": completed, "kind": "ok", "process": process, "op": op,
                           "result": {"value": value} if op == "read" else {}})
    events.sort(key=lambda e: e["time"])
    return [{**e, "seq": i, "time": e["time"] * SECOND} for i, e in enumerate(events)]


def is_register(operations, value=None):
    """Whether some order of (op, value, invoked, completed) is one of a register: tries them all."""
    if not operations:
        return True
    for i, (op, wanted, invoked, _) in enumerate(operations):
        if any(end < invoked for _, _, _, end in operations):
            continue  # that one has to come before
        if op == "read" and wanted != value:
            continue
        if is_register(operations[:i] + operations[i + 1:], wanted):
            return True
    return False


class Script:
    """Writes a history step by step; every event is one second after the one before."""

    def __init__(self):
        self.events = []
        self.clock = 0

    def event(self, kind, process, op, **fields):
        self.clock += SECOND
        self.events.append({"seq": len(self.events), "time": self.clock, "kind": kind,
                            "process": process, "op": op, **fields})

    def send(self, value, kind="ok", offset=None, process=None):
        process = process if process is not None else f"send {value} {self.clock}"
        self.event("invoke", process, "send", args={"value": value})
        if kind:
            result = {"offset": offset} if offset is not None else {}
            self.event(kind, process, "send", result=result)

    def receive(self, *messages, group="g", role="work", node="n0", invisible_ms=30_000, attempt=1):
        """`messages`: (value, queue, offset)."""
        process = f"receive {self.clock}"
        self.event("invoke", process, "receive", node=node,
                   args={"group": group, "role": role, "invisible_ms": invisible_ms})
        self.event("ok", process, "receive", result={"messages": [
            {"value": v, "queue": q, "offset": o, "attempt": attempt} for v, q, o in messages]})

    def ack(self, value, queue, offset, kind="ok", group="g"):
        process = f"ack {self.clock}"
        self.event("invoke", process, "ack",
                   args={"group": group, "queue": queue, "offset": offset, "value": value})
        if kind:
            self.event(kind, process, "ack")

    def nemesis(self, *actions):
        for action in actions:
            self.event("info", "nemesis", "nemesis", args={"action": action})

    def wait(self, seconds):
        self.clock += seconds * SECOND


def clean():
    """A short run with a kill, an unknown send that was stored, one that wasn't, and a redelivery."""
    script = Script()
    script.nemesis("start")
    script.send("a-0", offset=0)
    script.send("a-1", offset=1)
    script.receive(("a-0", 0, 0), ("a-1", 0, 1))
    script.ack("a-0", 0, 0)
    script.nemesis("kill")
    script.send("a-2", kind="info")
    script.send("a-3", kind=None)
    script.send("a-4", kind="fail")
    script.wait(40)
    script.receive(("a-1", 0, 1), ("a-2", 1, 0), attempt=2)
    script.ack("a-1", 0, 1)
    script.ack("a-2", 1, 0)
    script.send("b-0", offset=1)
    script.receive(("b-0", 1, 1))
    script.ack("b-0", 1, 1)
    for node in ("n0", "n1", "n2"):
        script.receive(("a-0", 0, 0), ("a-1", 0, 1), ("a-2", 1, 0), ("b-0", 1, 1),
                       group=f"verify-{node}", role="verify", node=node)
    script.nemesis("final-reads-complete")
    return script


def check(script):
    return checkers.check_all(script.events)


class CleanHistory(unittest.TestCase):
    def test_passes_every_checker(self):
        outcome = check(clean())
        self.assertEqual({n: r["verdict"] for n, r in outcome["checkers"].items()},
                         {n: VALID for n in checkers.ALL})
        self.assertEqual(outcome["verdict"], VALID)

    def test_redeliveries_and_recovered_sends_are_counted_not_condemned(self):
        queue = check(clean())["checkers"]["total-queue"]
        self.assertEqual((queue["attempts"], queue["acknowledged"], queue["duplicated"],
                          queue["recovered"]), (6, 3, 1, 1))


class OffsetRegister(unittest.TestCase):
    def anomalies(self, *operations):
        return checkers.ALL["offset-register"](register(*operations))["anomalies"]

    def test_reads_and_writes_one_after_the_other_pass(self):
        self.assertEqual(self.anomalies(
            ("read", None, 0, 1), ("write", 7, 2, 3), ("read", 7, 4, 5), ("write", 3, 6, 7),
            ("read", 3, 8, 9)), {})

    def test_concurrent_ones_pass_in_any_order_that_there_is(self):
        self.assertEqual(self.anomalies(
            ("write", 1, 0, 10), ("write", 2, 0, 10), ("read", 2, 1, 3), ("read", 1, 4, 6),
            ("read", None, 0, 2)), {})

    def test_a_read_of_what_was_replaced_is_stale(self):
        found = self.anomalies(("write", 1, 0, 1), ("write", 2, 2, 3), ("read", 1, 4, 5))
        self.assertEqual(found["stale-read"]["first"], [{
            "register": "r", "read": 1, "though_written": 2, "node": "n0", "max_lag_ms": 0}])

    def test_a_read_of_nothing_after_a_write_is_stale(self):
        self.assertIn("stale-read", self.anomalies(("write", 1, 0, 1), ("read", None, 2, 3)))

    def test_reads_that_go_back_are_stale_whatever_became_of_the_write(self):
        self.assertIn("stale-read", self.anomalies(
            ("write", 1, 0, 1), ("write", 2, 2, None), ("read", 2, 4, 5), ("read", 1, 6, 7)))

    def test_two_values_that_take_turns_are_no_register(self):
        self.assertIn("stale-read", self.anomalies(
            ("write", 1, 0, 20), ("write", 2, 0, 20), ("read", 1, 1, 2), ("read", 2, 3, 4),
            ("read", 1, 5, 6), ("read", 2, 7, 8)))

    def test_a_write_that_nobody_knows_of_may_or_may_not_have_happened(self):
        self.assertEqual(self.anomalies(
            ("write", 1, 0, 1), ("write", 2, 2, None), ("read", 1, 4, 5)), {})
        self.assertEqual(self.anomalies(
            ("write", 1, 0, 1), ("write", 2, 2, None), ("read", 1, 4, 5), ("read", 2, 6, 7)), {})

    def test_a_read_may_be_as_far_behind_as_it_was_asked_to_and_no_further(self):
        history = [("write", 1, 0, 1), ("write", 2, 2, 10)]
        self.assertEqual(self.anomalies(*history, ("read", 1, 14, 15, 5)), {})
        self.assertIn("stale-read", self.anomalies(*history, ("read", 1, 14, 15, 3)))

    def test_it_agrees_with_a_search_of_all_orders(self):
        chance = random.Random(7)
        seen = set()
        for _ in range(3_000):
            operations = []
            for value in range(1, 4):
                begin = chance.randrange(12)
                operations.append(("write", value, begin, begin + chance.randrange(1, 8)))
            for _ in range(3):
                begin = chance.randrange(16)
                operations.append(("read", chance.choice([None, 1, 2, 3]), begin,
                                   begin + chance.randrange(1, 5), chance.choice([0, 0, 2])))
            expected = is_register([(op, value, begin - (lag[0] if lag else 0), end)
                                    for op, value, begin, end, *lag in operations])
            self.assertEqual(not self.anomalies(*operations), expected, operations)
            seen.add(expected)
        self.assertEqual(seen, {True, False})

    def test_values_that_nobody_wrote_or_not_yet_are_found(self):
        self.assertIn("read-of-nothing", self.anomalies(("read", 9, 0, 1)))
        self.assertIn("read-before-write", self.anomalies(("read", 9, 0, 1), ("write", 9, 2, 3)))


class Anomalies(unittest.TestCase):
    def found(self, script, checker, anomaly):
        outcome = check(script)
        self.assertEqual(outcome["verdict"], INVALID)
        self.assertIn(anomaly, outcome["checkers"][checker]["anomalies"])
        return outcome["checkers"][checker]["anomalies"][anomaly]

    def test_an_acknowledged_message_that_nobody_receives_is_lost(self):
        script = clean()
        script.send("c-0", offset=5)
        self.assertEqual(self.found(script, "total-queue", "lost")["first"], ["c-0"])

    def test_a_value_that_nobody_sent_is_unexpected(self):
        script = clean()
        script.receive(("z-9", 0, 9))
        self.assertEqual(self.found(script, "total-queue", "unexpected")["first"], ["z-9"])

    def test_a_refused_send_that_is_delivered_is_an_aborted_read(self):
        script = clean()
        script.receive(("a-4", 0, 9))
        self.assertEqual(self.found(script, "total-queue", "aborted-read")["first"], ["a-4"])

    def test_losses_are_told_apart_by_their_place_in_the_producers_sequence(self):
        script = clean()
        for counter in range(5):
            script.send(f"p-{counter}", offset=10 + counter)
        script.receive(("p-1", 0, 11), ("p-3", 0, 13))
        anomalies = check(script)["checkers"]["lost-breakout"]["anomalies"]
        self.assertEqual([anomalies[f"lost-{part}"]["first"]
                          for part in ("prefix", "middle", "postfix")],
                         [["p-0"], ["p-2"], ["p-4"]])

    def test_a_message_missing_on_one_member_is_found_though_others_have_it(self):
        script = clean()
        script.send("c-0", offset=2)
        script.receive(("c-0", 1, 2))
        for node in ("n0", "n2"):
            script.receive(("c-0", 1, 2), group=f"verify-{node}", role="verify", node=node)
        anomalies = check(script)["checkers"]["lost-breakout"]["anomalies"]
        self.assertEqual(list(anomalies), ["lost-postfix-on-n1"])

    def test_a_member_that_returns_nothing_has_lost_everything(self):
        script = clean()
        script.receive(group="verify-n3", role="verify", node="n3")
        self.assertEqual(self.found(script, "lost-breakout", "lost-postfix-on-n3")["count"], 3)

    def test_two_values_at_one_offset_are_inconsistent(self):
        script = clean()
        script.send("c-0", kind="info")
        script.receive(("c-0", 0, 1))
        self.found(script, "log-order", "inconsistent-offsets")

    def test_one_send_stored_at_two_offsets_is_a_duplicate(self):
        script = clean()
        script.send("c-0", offset=2)
        script.receive(("c-0", 0, 2), ("c-0", 0, 3))
        self.found(script, "log-order", "duplicate")

    def test_a_value_sent_twice_may_be_stored_twice(self):
        script = clean()
        script.send("c-0", kind="info")
        script.send("c-0", offset=3)
        script.receive(("c-0", 0, 2), ("c-0", 0, 3))
        for node in ("n0", "n1", "n2"):
            script.receive(("c-0", 0, 3), group=f"verify-{node}", role="verify", node=node)
        outcome = check(script)
        self.assertEqual(outcome["verdict"], VALID)
        self.assertEqual(outcome["checkers"]["log-order"]["resent_and_stored_twice"], 1)

    def test_a_message_found_elsewhere_than_acknowledged_is_misplaced(self):
        script = clean()
        script.send("c-0", offset=7)
        script.receive(("c-0", 0, 8))
        self.found(script, "log-order", "misplaced")

    def test_a_producers_second_message_before_its_first_is_a_reordering(self):
        script = clean()
        script.send("c-0", offset=9)
        script.send("c-1", offset=8)
        script.receive(("c-0", 0, 9), ("c-1", 0, 8))
        self.found(script, "log-order", "nonmonotonic-send")

    def test_a_delivery_after_an_acknowledged_ack_is_a_resurrection(self):
        script = clean()
        script.wait(60)
        script.receive(("a-0", 0, 0), attempt=2)
        self.assertEqual(self.found(script, "pop-ack", "resurrected")["count"], 1)

    def test_a_delivery_after_an_unknown_ack_is_none(self):
        script = clean()
        script.send("c-0", offset=2)
        script.receive(("c-0", 0, 2))
        script.ack("c-0", 0, 2, kind="info")
        script.wait(60)
        script.receive(("c-0", 0, 2), attempt=2)
        self.assertEqual(check(script)["checkers"]["pop-ack"]["verdict"], VALID)

    def test_an_ack_by_one_group_is_none_for_another(self):
        script = clean()
        script.receive(("a-0", 0, 0), group="late")
        self.assertEqual(check(script)["checkers"]["pop-ack"]["verdict"], VALID)

    def test_two_deliveries_within_one_lease_overlap(self):
        script = clean()
        script.send("c-0", offset=2)
        script.receive(("c-0", 0, 2))
        script.receive(("c-0", 0, 2), attempt=2)
        self.found(script, "pop-ack", "overlap")

    def test_a_later_delivery_with_a_lower_attempt_goes_backwards(self):
        script = clean()
        script.send("c-0", offset=2)
        script.receive(("c-0", 0, 2), attempt=3)
        script.wait(60)
        script.receive(("c-0", 0, 2), attempt=1)
        self.found(script, "pop-ack", "backwards")


class RunsThatProveNothing(unittest.TestCase):
    def unknown(self, script, reason):
        outcome = check(script)
        self.assertEqual(outcome["verdict"], UNKNOWN)
        self.assertIn(reason, outcome["checkers"]["liveness"]["why"])

    def test_without_one_successful_send(self):
        script = Script()
        script.send("a-0", kind="info")
        script.nemesis("start", "kill", "final-reads-complete")
        self.unknown(script, "no send ever succeeded")

    def test_without_one_successful_ack(self):
        script = clean()
        script.events = [e for e in script.events if e["op"] != "ack"]
        self.unknown(script, "no ack ever succeeded")

    def test_without_completed_final_reads(self):
        script = clean()
        script.events.pop()
        self.unknown(script, "the final reads were not completed")

    def test_with_a_nemesis_that_never_struck(self):
        script = clean()
        script.events = [e for e in script.events
                         if (e.get("args") or {}).get("action") != "kill"]
        self.unknown(script, "the nemesis never struck")

    def test_with_a_malformed_history(self):
        script = clean()
        script.event("ok", "nobody", "send")
        self.assertEqual(check(script)["verdict"], UNKNOWN)

    def test_an_anomaly_beats_an_incomplete_run(self):
        script = clean()
        script.events.pop()
        script.receive(("z-9", 0, 9))
        self.assertEqual(check(script)["verdict"], INVALID)


if __name__ == "__main__":
    program = unittest.main(exit=False, verbosity=1)
    run = program.result
    bad = len(run.failures) + len(run.errors)
    print(f"{run.testsRun - bad} passed, {bad} failed")
    sys.exit(1 if bad else 0)
