"""Runs scenarios and prints TAP: first those that leave the cluster alone, several at a time, then one
by one those that kill or restart its members."""

import concurrent.futures
import os
import re
import threading
import traceback

AT_A_TIME = 6  # they mostly wait

_scenarios = []  # (name, function, whether it needs the cluster for itself)


def scenario(function):
    """Its name is the scenario's. What it returns, if anything, is a note for the report."""
    _scenarios.append((function.__name__.replace("_", " "), function, False))
    return function


def alone(function):
    """Like `scenario`, for one that kills or restarts members."""
    _scenarios.append((function.__name__.replace("_", " "), function, True))
    return function


class _Report:
    def __init__(self, planned):
        self._lock = threading.Lock()
        self._number = 0
        self.failed = 0
        print(f"TAP version 13\n1..{planned}", flush=True)

    def add(self, name, error, note):
        with self._lock:
            self._number += 1
            if error is None:
                print(f"ok {self._number} - {name}" + (f"\n# {note}" if note else ""), flush=True)
                return
            self.failed += 1
            lines = "".join(traceback.format_exception(error)).splitlines()[-12:]
            if error.__context__:  # the client's own cleaning up may have failed after it
                lines.append(f"the first error: {error.__context__!r}")
            print("\n".join([f"not ok {self._number} - {name}", "  ---", *("  " + l for l in lines),
                             "  ..."]), flush=True)


def run_all(heal, stop_clients):
    """Runs the scenarios whose name matches $RAFTMQ_ONLY: `heal` before each that is alone,
    `stop_clients` in its thread after each. Returns how many failed."""
    only = re.compile(os.environ.get("RAFTMQ_ONLY", ""))
    chosen = [s for s in _scenarios if only.search(s[0])]
    report = _Report(len(chosen))

    def run(name, function, is_alone):
        error = note = None
        try:
            if is_alone:
                heal()
            note = function()
        except Exception as caught:  # pylint: disable=broad-except
            error = caught
        report.add(name, error, note)
        stop_clients()

    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        for one in chosen:
            if not one[2]:
                pool.submit(run, *one)
    for one in chosen:
        if one[2]:
            run(*one)
    return report.failed
