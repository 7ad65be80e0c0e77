"""The workload `offsets`: committed offsets as registers, written and read at any member.

A register is a group's offset on one queue; each value is written to it once. Writers and readers speak
to one member at a time; reads are linearizable or say how far behind they may be, so that followers
answer them by themselves.

`plant` makes readers claim more than they ask for: "stale-reads" has them ask for what may be an hour
old, as if a broker left out the barrier. The checker must find that.
"""

import threading
import time

import v2
from history import FAIL, INFO, INVOKE, OK
from queue_workload import Worker

VALUES = 400  # of a register, before the next one takes its place
MAX_LAGS_MS = (0, 0, 50, 300)  # of reads, at random
STALE = "max-lag-ms=3600000"


class OffsetWorkload:
    def __init__(self, cluster, recorder, topic, seed, writers=4, readers=4, rate=100.0, plant=None):
        self._cluster = cluster
        self._recorder = recorder
        self._topic = topic
        self._seed = seed
        self._rate = rate
        self._plant = plant
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._generation = {i: 0 for i in range(writers)}  # of each writer's register
        self._threads = [
            threading.Thread(target=self._write, args=(i, writers), name=f"writer-{i}")
            for i in range(writers)] + [
            threading.Thread(target=self._read, args=(i, readers), name=f"reader-{i}")
            for i in range(readers)]
        self.written = 0
        self.read = 0

    def start(self):
        with v2.Client(self._cluster.members[0].address) as client:
            for i in range(VALUES):  # offsets up to here may be committed
                client.send(self._topic, str(i).encode())
        for thread in self._threads:
            thread.start()

    def stop(self):
        """Ends all clients and waits until each has finished its last operation."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def progress(self):
        return f"{self.written} writes and {self.read} reads answered"

    def finish(self, log):
        """Reads every register at every member. True if all of them answered."""
        complete = True
        for member in self._cluster.members:
            log(f"reading all registers at {member.id}")
            with Worker(self._cluster, self._recorder, f"{self._seed}/final", member) as worker:
                for register in self._registers():
                    complete = self._read_one(worker, register, 0, timeout=10) == OK and complete
        return complete

    def _registers(self):
        with self._lock:
            return [f"register-{i}-{generation}" for i, last in self._generation.items()
                    for generation in range(last + 1)]

    def _record(self, worker, op, args, action):
        """Invokes, runs `action` and records how it ended. Returns how."""
        self._recorder.add(INVOKE, worker.process, op, node=worker.node, args=args)
        try:
            value = action()
        except v2.Refused as error:
            self._recorder.add(FAIL, worker.process, op, node=worker.node, error=str(error))
            return FAIL
        except v2.Unknown as error:
            self._recorder.add(INFO, worker.process, op, node=worker.node, error=str(error))
            worker.move()
            return INFO
        self._recorder.add(OK, worker.process, op, node=worker.node, result={"value": value})
        return OK

    # Two writers share a register each, so that writes are concurrent, too.
    def _write(self, index, writers):
        shared = index - index % 2
        with Worker(self._cluster, self._recorder, f"{self._seed}/writer-{index}") as worker:
            generation = 0
            while not self._stopped.is_set():
                with self._lock:
                    self._generation[shared] = max(self._generation[shared], generation)
                register = f"register-{shared}-{generation}"
                values = list(range(1 + index % 2, VALUES + 1, 2))
                worker.random.shuffle(values)
                for value in values:
                    if self._stopped.wait(worker.random.uniform(0.5, 1.5) * writers / self._rate):
                        return
                    kind = self._record(worker, "write", {"register": register, "value": value},
                                        lambda v=value: worker.client.update_offset(
                                            self._topic, 0, register, v))
                    self.written += kind == OK
                    if kind != OK and worker.random.random() < 0.5:
                        worker.move()
                generation += 1

    def _read(self, index, readers):
        with Worker(self._cluster, self._recorder, f"{self._seed}/reader-{index}") as worker:
            while not self._stopped.wait(worker.random.uniform(0.5, 1.5) * readers / self._rate):
                with self._lock:
                    shared = worker.random.choice([i for i in self._generation if i % 2 == 0])
                    register = f"register-{shared}-{self._generation[shared]}"
                kind = self._read_one(worker, register, worker.random.choice(MAX_LAGS_MS))
                self.read += kind == OK
                if kind != OK or worker.random.random() < 0.05:
                    worker.move()

    def _read_one(self, worker, register, max_lag_ms, timeout=2):
        level = "linearizable" if max_lag_ms == 0 else f"max-lag-ms={max_lag_ms}"
        if self._plant == "stale-reads":
            level = STALE
        return self._record(worker, "read", {"register": register, "max_lag_ms": max_lag_ms},
                            lambda: worker.client.get_offset(self._topic, 0, register, level,
                                                             timeout))
