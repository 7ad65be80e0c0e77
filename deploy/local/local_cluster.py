"""A cluster of real processes on this machine: formatted, started, killed, paused and restarted.

Used by the `cluster` command beside it and by the tests. All it knows is in `<dir>/cluster.json`, so
any process may load a cluster by its folder. Nothing here needs more than the standard library.
"""

import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import environment  # noqa: E402
from admin_client import AdminClient, RpcError  # noqa: E402
from console import wait_until  # noqa: E402

HOST = "127.0.0.1"
SEGMENT_BYTES = 64 << 20
LEADER, FOLLOWER, CANDIDATE = "LEADER", "FOLLOWER", "CANDIDATE"
DOWN, PAUSED, STARTING = "DOWN", "PAUSED", "STARTING"


class ClusterError(RuntimeError):
    """Something the user can act on; the text says what."""


def _process_start(pid):
    """When the kernel started `pid` (clock ticks since boot), or None: tells a reused pid apart."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _process_stopped(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
    except OSError:
        return False


DEFAULT_BASE_PORT = 8081
# Offsets from the base port, ten per group: clients, peers; then the NameServers.
PEER_PORTS, NAMESRV_PORTS = 200, 400


def ports_free(base, groups=1, members=3, namesrv=0):
    return all(_port_free(base + block + 10 * g + i) for block in (0, PEER_PORTS)
               for g in range(groups) for i in range(members)) and all(
        _port_free(base + NAMESRV_PORTS + i) for i in range(namesrv))


_reserved = {}  # base port -> a socket whose name keeps other processes off while this one lives


def _reserve(base):
    """Whether the block of ports at `base` is now this process's alone, among those that call this.

    The abstract socket's name is the lock: gone with its holder, and of the network namespace that
    the ports are of.
    """
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        lock.bind(f"\0raftmq-ports-{base}")
    except OSError:
        lock.close()
        return False
    _reserved[base] = lock
    return True


def free_base_port(groups=1, members=3, namesrv=0):
    """A base port whose ports are all free, below the range the kernel hands out, and that no other
    process is given while this one lives."""
    try:
        top = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        top = 32768
    slots = max(1, (top - 11000) // 700)
    bases = [11000 + (os.getpid() + attempt) % slots * 700 for attempt in range(slots)]
    for base in bases:
        if base not in _reserved and ports_free(base, groups, members, namesrv) and _reserve(base):
            if ports_free(base, groups, members, namesrv):  # still, now that it is ours
                return base
    for base in _reserved:  # of a cluster of this process that is gone
        if ports_free(base, groups, members, namesrv):
            return base
    raise ClusterError("no block of free ports found between 11000 and the ephemeral range")


def _port_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            return True
        except OSError:
            return False


class Process:
    """One started program: its folder, command and (when running) pid, kept in cluster.json."""

    def __init__(self, record, folder):
        self.record = record
        self.folder = folder

    @property
    def name(self):
        return self.record["name"]

    @property
    def log_file(self):
        return self.folder / "log" / "output.log"

    def pid(self):
        """The pid if the process lives, else None."""
        pid, started = self.record.get("pid"), self.record.get("pid_start")
        return pid if pid and _process_start(pid) == started else None

    def paused(self):
        return self.pid() is not None and _process_stopped(self.record["pid"])

    def spawn(self):
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log_file, "ab") as log:
            child = subprocess.Popen(self.record["command"], stdin=subprocess.DEVNULL, stdout=log,
                                     stderr=log, cwd=self.folder, start_new_session=True)
        self.record["pid"] = child.pid
        self.record["pid_start"] = _process_start(child.pid)
        _children[child.pid] = child

    def signal(self, number):
        pid = self.pid()
        if pid is None:
            raise ClusterError(f"{self.name} is not running")
        os.kill(pid, number)

    def wait_gone(self, timeout):
        def gone():
            child = _children.get(self.record.get("pid"))
            if child is not None:
                # Reaps it, if it is ours: a zombie whose other threads still end holds its files.
                return child.poll() is not None
            return self.pid() is None
        wait_until(gone, timeout, f"{self.name} to end", interval=0.01)

    def exit_code(self):
        """Of a process that this very process started and that has ended, else None."""
        child = _children.get(self.record.get("pid"))
        return child.poll() if child is not None else None

    def log_tail(self, lines=15):
        try:
            return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return "(no log)"


_children = {}  # pid -> Popen of what this very process started, so that it can be reaped


def exit_code(process):
    """Of a process that this very process started and that has ended (minus the signal that killed
    it); None otherwise."""
    child = _children.get(process.record.get("pid"))
    return child.poll() if child else None


class Member(Process):
    @property
    def group(self):
        return self.record["group"]

    @property
    def id(self):
        return self.record["id"]

    @property
    def address(self):
        return self.record["address"]

    @property
    def store(self):
        return self.folder / "store"


class Cluster:
    """`Cluster.start_new` makes and starts one, `Cluster.load` finds one that was started before."""

    def __init__(self, folder, data):
        self.folder = pathlib.Path(folder)
        self.data = data
        self.members = [Member(r, self.folder / r["name"]) for r in data["members"]]
        self.namesrvs = [Process(r, self.folder / r["name"]) for r in data["namesrvs"]]

    # --- making and finding -------------------------------------------------------------------

    @staticmethod
    def default_folder():
        return pathlib.Path(os.environ.get("RAFTMQ_CLUSTER_DIR") or
                            environment.cache_dir() / "cluster")

    @classmethod
    def load(cls, folder=None):
        folder = pathlib.Path(folder or cls.default_folder()).resolve()
        try:
            return cls(folder, json.loads((folder / "cluster.json").read_text()))
        except FileNotFoundError:
            raise ClusterError(f"no cluster in {folder}; make one with "
                               f"'deploy/local/cluster start --dir {folder}'") from None

    @classmethod
    def define(cls, folder, groups=1, members=3, namesrv=None, base_port=None, settings=None,
               segment_bytes=SEGMENT_BYTES):
        """Folders and configuration of a new cluster; nothing is started yet."""
        folder = pathlib.Path(folder or cls.default_folder()).resolve()
        if (folder / "cluster.json").exists():
            raise ClusterError(f"{folder} already holds a cluster")
        if not (1 <= groups <= 10 and 1 <= members <= 10):
            raise ClusterError("1 to 10 groups of 1 to 10 members are possible")
        if namesrv is None:
            namesrv = 2 if environment.binary("mqnamesrv", required=False) else 0
        base = base_port or free_base_port(groups, members, namesrv)
        if not ports_free(base, groups, members, namesrv):
            raise ClusterError(f"some of the ports {base}... are in use; choose others with "
                               f"--base-port, or --base-port 0 for any free ones")
        data = {"base_port": base, "segment_bytes": segment_bytes, "namesrvs": [], "members": []}
        namesrv_addresses = [f"{HOST}:{base + NAMESRV_PORTS + i}" for i in range(namesrv)]
        for i, address in enumerate(namesrv_addresses):
            name = f"namesrv-{i}"
            data["namesrvs"].append({"name": name, "address": address, "command": [
                environment.binary("mqnamesrv"), f"--listenAddress={HOST}",
                f"--listenPort={address.rpartition(':')[2]}"]})
        for g in range(groups):
            group = f"broker-{chr(ord('a') + g)}"
            peers = ";".join(f"n{i}-{HOST}:{base + PEER_PORTS + 10 * g + i}" for i in range(members))
            for i in range(members):
                data["members"].append(cls._define_member(
                    folder, group, f"n{i}", base + 10 * g + i, peers, namesrv_addresses, settings))
        cluster = cls(folder, data)
        cluster._save()
        return cluster

    @staticmethod
    def _define_member(folder, group, member, port, peers, namesrvs, settings):
        name = f"{group}-{member}"
        home = folder / name
        home.mkdir(parents=True, exist_ok=True)
        config = {
            "brokerClusterName": "local",
            "brokerName": group,
            "dLegerGroup": group,
            "dLegerSelfId": member,
            "dLegerPeers": peers,
            "storePathRootDir": home / "store",
            "listenAddress": HOST,
            "listenPort": port,
            "brokerIP1": HOST,
        }
        if namesrvs:
            config["namesrvAddr"] = ";".join(namesrvs)
        config.update(settings or {})
        (home / "broker.conf").write_text("".join(f"{k}={v}\n" for k, v in config.items()))
        return {"name": name, "group": group, "id": member, "address": f"{HOST}:{port}",
                "command": [environment.binary("mqbroker"), "-c", str(home / "broker.conf")]}

    @classmethod
    def start_new(cls, folder=None, progress=lambda text: None, timeout=60, **definition):
        """Defines, formats, starts and bootstraps a cluster and waits until every group serves."""
        cluster = cls.define(folder, **definition)
        try:
            cluster.bring_up(progress, timeout)
        except BaseException:
            cluster.stop()
            raise
        return cluster

    def bring_up(self, progress=lambda text: None, timeout=60):
        """Does what of formatting, starting and bootstrapping is still to be done, and waits."""
        self.format()
        self.start_all(progress)
        if not self.data.get("bootstrapped"):
            for group in self.groups():
                progress(f"bootstrapping {group}")
                self.bootstrap(group)
            self.data["bootstrapped"] = True
            self._save()
        self.wait_serving(timeout, progress)

    def format(self):
        """Gives every member that has no identity yet one."""
        for member in self.members:
            if (member.store / "identity").exists():
                continue
            done = subprocess.run([member.record["command"][0], "format", "-c",
                                   str(member.folder / "broker.conf"),
                                   f"--segmentBytes={self.data.get('segment_bytes', SEGMENT_BYTES)}"],
                                  capture_output=True, text=True)
            if done.returncode:
                raise ClusterError(f"formatting {member.name} failed: {done.stderr.strip()}")

    def _save(self):
        target = self.folder / "cluster.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(".json.tmp")
        temporary.write_text(json.dumps(self.data, indent=1) + "\n")
        temporary.replace(target)

    # --- processes ----------------------------------------------------------------------------

    def start_all(self, progress=lambda text: None):
        for process in self.namesrvs + self.members:
            if process.pid() is None:
                progress(f"starting {process.name}")
                process.spawn()
        self._save()

    def stop(self, timeout=15):
        """SIGTERM to all, SIGKILL to what is left after `timeout`."""
        alive = [p for p in self.members + self.namesrvs if p.pid()]
        for process in alive:
            process.signal(signal.SIGCONT)
            process.signal(signal.SIGTERM)
        deadline = time.monotonic() + timeout
        for process in alive:
            try:
                process.wait_gone(max(0.1, deadline - time.monotonic()))
            except TimeoutError:
                process.signal(signal.SIGKILL)
                process.wait_gone(5)

    def remove(self):
        self.stop(timeout=5)
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self, member):
        member.signal(signal.SIGKILL)
        member.wait_gone(5)

    def pause(self, member):
        member.signal(signal.SIGSTOP)

    def resume(self, member):
        member.signal(signal.SIGCONT)

    def start_member(self, member):
        """Starts the process, a member's or a NameServer's, and returns at once."""
        if member.pid() is None:
            member.spawn()
            self._save()

    def restart(self, member, timeout=30):
        """Ends the process if it runs (SIGTERM, then SIGKILL), starts it, waits until it serves."""
        if member.pid() is not None:
            if member.paused():
                member.signal(signal.SIGCONT)
            member.signal(signal.SIGTERM)
            try:
                member.wait_gone(10)
            except TimeoutError:
                self.kill(member)
        self.start_member(member)
        self.wait_member(member, timeout)

    # --- asking -------------------------------------------------------------------------------

    def groups(self):
        return list(dict.fromkeys(m.group for m in self.members))

    def of_group(self, group):
        return [m for m in self.members if m.group == group]

    def addresses(self, group=None):
        return [m.address for m in self.members if group in (None, m.group)]

    def namesrv_addresses(self):
        return [n.record["address"] for n in self.namesrvs]

    def access_points(self, group=None):
        """All addresses as official clients take them: `host:port;host:port`."""
        return ";".join(self.addresses(group))

    def find(self, text):
        """`n0`, `broker-b:n1`, `broker-b-n1`, `leader` or `broker-b:leader`."""
        group, _, name = text.rpartition(":")
        group = group or self.groups()[0]
        if group not in self.groups():
            raise ClusterError(f"no group {group!r}; there are: {', '.join(self.groups())}")
        if name == "leader":
            leader = self.leader(group)
            if leader is None:
                raise ClusterError(f"{group} has no leader now")
            return leader
        for member in self.members:
            if member.name == text or (member.group == group and member.id == name):
                return member
        raise ClusterError(f"no member {text!r}; there are: "
                           f"{', '.join(f'{m.group}:{m.id}' for m in self.members)} and 'leader'")

    def admin(self, member, timeout=3.0):
        return AdminClient(member.address, timeout)

    def member_status(self, member, timeout=1.0):
        """One row of `status`: what the process does and what the member says of itself."""
        row = {"group": member.group, "id": member.id, "name": member.name,
               "address": member.address, "pid": member.pid(), "role": DOWN, "serving": False,
               "term": None, "applied": None, "commit": None, "leader_id": None, "failure": ""}
        if row["pid"] is None:
            return row
        if member.paused():
            return {**row, "role": PAUSED}
        try:
            answer = self.admin(member).member_status(timeout)
        except RpcError as error:
            return {**row, "role": STARTING, "failure": str(error)}
        return {**row, "role": answer["role"], "term": answer["term"],
                "serving": answer["serving"], "applied": answer["applied_index"],
                "commit": answer["commit_index"], "leader_id": answer["leader_id"],
                "failure": answer["failure"], "member_id": answer["identity"]["member_id"]}

    def status(self):
        """What `cluster status --json` prints."""
        rows = [self.member_status(m) for m in self.members]
        return {
            "dir": str(self.folder),
            "access_point": self._access_point(rows),
            "access_points": self.access_points(),
            "groups": {g: {"members": [r for r in rows if r["group"] == g],
                           "leader": next((r["id"] for r in rows if r["group"] == g
                                           and r["role"] == LEADER and r["serving"]), None)}
                       for g in self.groups()},
            "namesrvs": [{"name": n.name, "address": n.record["address"], "pid": n.pid()}
                         for n in self.namesrvs],
        }

    def _access_point(self, rows):
        """One address for a client that takes only one: a member that answers, if there is any."""
        for row in rows:
            if row["role"] in (LEADER, FOLLOWER):
                return row["address"]
        return self.members[0].address

    def leader(self, group=None):
        """The member that leads `group` (the first by default) and serves, or None."""
        rows = [(m, self.member_status(m)) for m in self.of_group(group or self.groups()[0])]
        leaders = [(row["term"], m) for m, row in rows if row["role"] == LEADER and row["serving"]]
        return max(leaders, key=lambda pair: pair[0])[1] if leaders else None

    # --- steering -----------------------------------------------------------------------------

    def bootstrap(self, group, timeout=30):
        """Collects every member's incarnation and gives all of them the same first entry.

        As `mqadmin bootstrap` does: all are looked at before any is written to, and then written to
        at the same time.
        """
        members, specs, known = self.of_group(group), [], {}
        for member in members:
            def status(member=member):
                if member.pid() is None:
                    raise ClusterError(f"{member.name} ended:\n{member.log_tail()}")
                return self.admin(member).member_status()
            answer = _wait(status, timeout, f"{member.name} to answer", member)
            identity = answer["identity"]
            specs.append({"id": identity["member_id"], "name": identity["member_name"],
                          "peer_address": identity["peer_address"],
                          "incarnation": identity["incarnation"]})
            if answer["role"] != "NOT_BOOTSTRAPPED":
                known[member.name] = {(m["id"], m["incarnation"]) for m in answer["members"]}
        asked = {(s["id"], s["incarnation"]) for s in specs}
        for name, of_its_group in known.items():
            if of_its_group != asked:
                raise ClusterError(f"{name} was bootstrapped before, with other members; none was "
                                   f"written to. Delete {self.folder} to begin anew")

        def write(member):
            try:
                self.admin(member).bootstrap(group, specs)
            except RpcError as error:
                return (f"{member.name}: {error}\n--- last lines of {member.log_file}\n"
                        f"{member.log_tail()}")
        with concurrent.futures.ThreadPoolExecutor(len(members)) as pool:
            failures = [failure for failure in pool.map(write, members) if failure]
        if failures:
            raise ClusterError("\n".join(failures))

    def transfer(self, member):
        """Makes `member` the leader of its group."""
        target = self.admin(member).member_status()["identity"]["member_id"]
        self.admin(member).transfer_leadership(target)
        wait_until(lambda: self.member_status(member)["serving"], 10, f"{member.name} to lead")

    def create_topic(self, name, type="NORMAL", queues=None, timeout=20):
        """In every group; through any member that answers."""
        for group in self.groups():
            self._any_member(group, timeout, f"topic {name} to be created",
                             lambda admin: admin.update_topic(name, type, queues))

    def create_group(self, name, timeout=20, **fields):
        for group in self.groups():
            self._any_member(group, timeout, f"group {name} to be created",
                             lambda admin: admin.update_group(name, **fields))

    def _any_member(self, group, timeout, what, action):
        def attempt():
            errors = []
            for member in self.of_group(group):
                if member.pid() is None or member.paused():
                    continue
                try:
                    action(self.admin(member))
                    return True
                except RpcError as error:
                    if error.code in ("INVALID_ARGUMENT", "UNIMPLEMENTED", "ALREADY_EXISTS",
                                      "FAILED_PRECONDITION"):
                        raise ClusterError(f"{member.name}: {error}") from None
                    errors.append(f"{member.name}: {error}")
            raise LookupError("; ".join(errors) or "no member runs")
        try:
            wait_until(attempt, timeout, what)
        except TimeoutError as error:
            raise ClusterError(str(error)) from None

    # --- waiting ------------------------------------------------------------------------------

    def wait_serving(self, timeout=60, progress=lambda text: None):
        """Until every group has a leader that serves and all its members know it."""
        for group in self.groups():
            progress(f"waiting for {group} to elect a leader")
            self.wait_leader(group, timeout)
            for member in self.of_group(group):
                if member.pid() is not None and not member.paused():
                    progress(f"waiting for {member.name} to serve")
                    self.wait_member(member, timeout)

    def wait_leader(self, group=None, timeout=30):
        group = group or self.groups()[0]
        return _wait(lambda: self.leader(group), timeout, f"{group} to have a leader that serves",
                     *self.of_group(group))

    def wait_member(self, member, timeout=30):
        """Until `member` leads or follows and has applied what was committed when it joined."""
        joined_at = None  # the leader's commit then; under load the member is never quite at its newest

        def serves():
            nonlocal joined_at
            if member.pid() is None:
                raise ClusterError(f"{member.name} ended:\n{member.log_tail()}")
            row = self.member_status(member)
            if row["failure"] and row["role"] != STARTING:
                raise ClusterError(f"{member.name} stopped: {row['failure']}")
            if row["role"] == LEADER:
                return row["serving"]
            if row["role"] != FOLLOWER or not row["leader_id"]:
                return False
            if joined_at is None:
                leader = self.leader(member.group)
                joined_at = self.member_status(leader)["commit"] if leader else None
            return joined_at is not None and row["applied"] >= joined_at > 0
        _wait(serves, timeout, f"{member.name} to serve", member)

    def wait_caught_up(self, group=None, timeout=60):
        """Until all running members of the group have applied the same index."""
        members = [m for m in self.of_group(group or self.groups()[0])
                   if m.pid() is not None and not m.paused()]

        def equal():
            rows = [self.member_status(m) for m in members]
            applied = {row["applied"] for row in rows}
            return len(applied) == 1 and None not in applied and all(
                row["commit"] == row["applied"] for row in rows)
        _wait(equal, timeout, "all members to have applied the same index", *members)


def _wait(condition, timeout, what, *members):
    """wait_until for members: a stopped one ends the wait at once, RPC errors go on waiting."""
    def attempt():
        try:
            return condition()
        except ClusterError as error:
            raise _Final(error) from None
    try:
        return wait_until(attempt, timeout, what)
    except _Final as final:
        raise final.args[0] from None
    except TimeoutError as error:
        logs = "".join(f"\n--- last lines of {m.log_file}\n{m.log_tail(5)}" for m in members)
        raise ClusterError(f"{error}{logs}") from None


class _Final(BaseException):
    """Carries a ClusterError through wait_until, which goes on after ordinary errors."""
