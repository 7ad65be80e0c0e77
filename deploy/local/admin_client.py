"""Calls of raftmq.v1.Admin, a member's administration service, as Python methods with dictionaries."""

import functools

import environment
import grpc_lite
import proto_lite
from grpc_lite import RpcError

__all__ = ["AdminClient", "RpcError"]


@functools.lru_cache(maxsize=None)
def _schema():
    return proto_lite.Schema(environment.ROOT / "proto" / "raftmq" / "v1" / "admin.proto")


class AdminClient:
    """Speaks to the member at `address` (host:port)."""

    def __init__(self, address, timeout=3.0):
        self.address = address
        self._timeout = timeout

    def stream(self, method, timeout=None, **fields):
        schema = _schema()
        service, request, answer = schema.methods[method]
        answers = grpc_lite.call(self.address, f"/{schema.package}.{service}/{method}",
                                 schema.encode(request, fields), timeout or self._timeout)
        return [schema.decode(answer, data) for data in answers]

    def call(self, method, timeout=None, **fields):
        answers = self.stream(method, timeout, **fields)
        if len(answers) != 1:
            raise RpcError("INTERNAL", f"{method} returned {len(answers)} messages instead of 1")
        return answers[0]

    def member_status(self, timeout=None):
        return self.call("GetMemberStatus", timeout)

    def bootstrap(self, group, members):
        return self.call("Bootstrap", 10, group=group, members=members)

    def transfer_leadership(self, target_id, timeout=15):
        return self.call("TransferLeadership", timeout, target_id=target_id)

    def update_topic(self, name, type="NORMAL", queues=None, timeout=10):
        fields = {"name": name, "type": type}
        if queues is not None:
            fields.update(read_queues=queues, write_queues=queues)
        return self.call("UpdateTopic", timeout, **fields)

    def update_group(self, name, timeout=10, **fields):
        return self.call("UpdateGroup", timeout, name=name, **fields)

    def topic_status(self, name, timeout=5):
        return self.call("TopicStatus", timeout, name=name)["queues"]

    def read_queue(self, topic, queue, offset, count, timeout=10):
        """Stored messages from this very member's log."""
        return self.call("MessageByOffset", timeout, topic=topic, queue=queue, offset=offset,
                         max_messages=count)["messages"]

    def dump_state(self, timeout=60):
        return "".join(piece["text"] for piece in self.stream("DumpState", timeout))
