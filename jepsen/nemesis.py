"""Injects faults into a running cluster, one after another, until it is told to stop.

kill   SIGKILL to the leader, a random member, a majority or all, restarted after a random delay, now
       and then killed once more while they recover
pause  SIGSTOP of the same targets for longer than an election takes, then SIGCONT
"""

import random
import threading
import time

from local_cluster import ClusterError, RpcError

# (target, how often out of 10)
TARGETS = [("leader", 5), ("one", 3), ("majority", 1), ("all", 1)]


class Nemesis:
    def __init__(self, cluster, recorder, faults, seed, interval=10.0, log=lambda text: None):
        self._cluster = cluster
        self._recorder = recorder
        self._faults = faults
        self._random = random.Random(f"{seed}/nemesis")
        self._interval = interval
        self._log = log
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nemesis")
        self.error = None

    def start(self):
        self._note("start", [])
        self._thread.start()

    def stop(self):
        """Ends the faults and heals everything: all members run and follow a leader."""
        self._stop.set()
        self._thread.join()
        self._heal()
        if self.error:
            raise self.error

    def _note(self, action, members):
        names = [m.id for m in members]
        self._recorder.add("info", "nemesis", "nemesis", args={"action": action, "members": names})
        self._log(f"nemesis: {action} {' '.join(names)}".rstrip())

    def _run(self):
        try:
            while not self._stop.wait(self._random.uniform(0.5, 1.5) * self._interval):
                targets = self._choose()
                if self._random.choice(self._faults) == "kill":
                    self._kill(targets)
                else:
                    self._pause(targets)
        except (ClusterError, OSError, RpcError, TimeoutError) as error:
            self.error = error

    def _choose(self):
        names, weights = zip(*TARGETS)
        kind = self._random.choices(names, weights)[0]
        members = [m for m in self._cluster.members if m.pid()]
        if kind == "leader":
            leader = self._cluster.leader()
            return [leader] if leader else [self._random.choice(members)]
        count = {"one": 1, "majority": len(members) // 2 + 1, "all": len(members)}[kind]
        return self._random.sample(members, count)

    def _kill(self, targets):
        self._note("kill", targets)
        for member in targets:
            self._cluster.kill(member)
        self._stop.wait(self._random.uniform(0, 5))
        self._note("restart", targets)
        for member in targets:
            self._cluster.start_member(member)
        if self._random.random() < 0.2:
            victim = self._random.choice(targets)
            self._stop.wait(self._random.uniform(0.05, 1))
            self._note("kill", [victim])
            self._cluster.kill(victim)
            self._note("restart", [victim])
            self._cluster.start_member(victim)

    def _pause(self, targets):
        self._note("pause", targets)
        for member in targets:
            self._cluster.pause(member)
        self._stop.wait(self._random.uniform(1, 5))
        self._note("resume", targets)
        for member in targets:
            self._cluster.resume(member)

    def _heal(self):
        for member in self._cluster.members:
            if member.paused():
                self._cluster.resume(member)
            self._cluster.start_member(member)
        began = time.monotonic()
        self._cluster.wait_serving(120)
        self._note("healed", self._cluster.members)
        self._log(f"nemesis: all members serve after {time.monotonic() - began:.1f} s")
