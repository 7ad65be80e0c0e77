"""RocketMQ's public protocol, spoken raw: one method per call, nothing retried, nothing hidden.

Needs grpcio: scripts call `environment.enter_venv()` before they import this. The stubs are generated
from proto/ when first needed, into the user's cache.
"""

import hashlib
import itertools
import os
import pathlib
import subprocess
import sys
import threading
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "deploy" / "local"))
import environment  # noqa: E402

import grpc  # noqa: E402  (from the environment)


def _generate_stubs():
    protos = sorted((environment.ROOT / "proto" / "apache" / "rocketmq" / "v2").glob("*.proto"))
    digest = hashlib.sha256(grpc.__version__.encode() + b"".join(p.read_bytes() for p in protos))
    folder = environment.cache_dir() / f"stubs-{digest.hexdigest()[:12]}"
    with environment.Lock(environment.cache_dir() / "stubs.lock"):
        if not (folder / "complete").exists():
            folder.mkdir(exist_ok=True)
            subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I",
                            str(environment.ROOT / "proto"), f"--python_out={folder}",
                            f"--grpc_python_out={folder}"] + [str(p) for p in protos], check=True)
            (folder / "complete").touch()
    sys.path.insert(0, str(folder))


_generate_stubs()
from apache.rocketmq.v2 import definition_pb2 as pb  # noqa: E402
from apache.rocketmq.v2 import service_pb2 as rpc  # noqa: E402
from apache.rocketmq.v2 import service_pb2_grpc as stubs  # noqa: E402

CODE_NAME = {value: name for name, value in pb.Code.items()}

# The server answers these before anything of the request could enter the log, so the operation
# certainly did not happen. Whatever isn't named here has an unknown outcome.
REFUSALS = frozenset(name for name in pb.Code.keys() if name.startswith("ILLEGAL_")) | {
    "BAD_REQUEST", "INVALID_TRANSACTION_ID", "INVALID_RECEIPT_HANDLE", "UNRECOGNIZED_CLIENT_TYPE",
    "MESSAGE_PROPERTY_CONFLICT_WITH_TYPE", "MESSAGE_CORRUPTED", "CLIENT_ID_REQUIRED",
    "INVALID_CLIENT_PROPERTIES", "UNAUTHORIZED", "FORBIDDEN", "NOT_FOUND", "MESSAGE_NOT_FOUND",
    "TOPIC_NOT_FOUND", "CONSUMER_GROUP_NOT_FOUND", "PAYLOAD_TOO_LARGE", "MESSAGE_BODY_TOO_LARGE",
    "MESSAGE_BODY_EMPTY", "MESSAGE_PROPERTIES_TOO_LARGE", "REQUEST_HEADER_FIELDS_TOO_LARGE",
    "TOO_MANY_REQUESTS", "NOT_IMPLEMENTED", "UNSUPPORTED"}

_OPTIONS = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
            ("grpc.initial_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 500)]


class Refused(Exception):
    """It certainly did not happen."""


class Unknown(Exception):
    """It may have happened."""


def _check(status, what):
    name = CODE_NAME.get(status.code, str(status.code))
    if name == "OK":
        return
    kind = Refused if name in REFUSALS else Unknown
    raise kind(f"{what}: {name}: {status.message}")


def _queue(topic, queue):
    return pb.MessageQueue(topic=pb.Resource(name=topic), id=queue)


class Client:
    """A client of the member at `address` (host:port), or of the first of several that answers
    (numeric host:port,host:port, as official clients use them). Thread-safe. Close it."""

    _counter = itertools.count()

    def __init__(self, address, language="PYTHON"):
        self.address = address
        self.client_id = f"raw@{os.getpid()}@{next(self._counter)}@{uuid.uuid4().hex[:8]}"
        self._metadata = (("x-mq-client-id", self.client_id), ("x-mq-language", language),
                          ("x-mq-client-version", "5.0.0"), ("x-mq-protocol", "v2"))
        self._channel = grpc.insecure_channel(f"ipv4:{address}" if "," in address else address,
                                              _OPTIONS)
        self._stub = stubs.MessagingServiceStub(self._channel)
        self._telemetry = None

    def close(self):
        if self._telemetry:
            self._telemetry.cancel()
        self._channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def _call(self, method, request, timeout, headers=()):
        try:
            return getattr(self._stub, method)(request, timeout=timeout,
                                               metadata=self._metadata + headers)
        except grpc.RpcError as error:
            raise Unknown(f"{method}: {error.code().name}: {error.details()}") from None

    def route(self, topic, timeout=3):
        answer = self._call("QueryRoute", rpc.QueryRouteRequest(
            topic=pb.Resource(name=topic), endpoints=self._endpoints()), timeout)
        _check(answer.status, f"route of {topic}")
        return answer.message_queues

    def _endpoints(self):
        endpoints = pb.Endpoints(scheme=pb.IPv4)
        for address in self.address.split(","):
            host, _, port = address.rpartition(":")
            endpoints.addresses.add(host=host, port=int(port))
        return endpoints

    def subscribe(self, topic, group, timeout=5, tags="*"):
        """Announces a simple consumer by its Telemetry settings; the stream stays open."""
        settings = pb.Settings(client_type=pb.SIMPLE_CONSUMER, access_point=self._endpoints())
        settings.subscription.group.name = group
        entry = settings.subscription.subscriptions.add()
        entry.topic.name = topic
        entry.expression.type, entry.expression.expression = pb.TAG, tags
        self._announce(settings, timeout)

    def publish(self, topic, timeout=5):
        """Announces a producer, likewise."""
        settings = pb.Settings(client_type=pb.PRODUCER, access_point=self._endpoints())
        settings.publishing.topics.add(name=topic)
        self._announce(settings, timeout)

    def _announce(self, settings, timeout):
        settings.user_agent.language = pb.PYTHON
        closed = threading.Event()

        def commands():
            yield rpc.TelemetryCommand(settings=settings)
            closed.wait()
        self._telemetry = self._stub.Telemetry(commands(), metadata=self._metadata)
        self._telemetry.add_callback(closed.set)
        answered = []
        reader = threading.Thread(target=self._read_settings, args=(answered,), daemon=True)
        reader.start()
        reader.join(timeout)
        if not answered:
            raise Unknown(f"settings were not answered in {timeout} s by {self.address}")

    def _read_settings(self, answered):
        try:
            for command in self._telemetry:
                if command.HasField("settings"):
                    answered.append(command)
                    return
        except grpc.RpcError:
            return

    def send(self, topic, body, message_id=None, group=None, tag=None, timeout=3):
        """The offset that was assigned. Raises Refused or Unknown."""
        message = pb.Message(topic=pb.Resource(name=topic), body=body)
        system = message.system_properties
        system.message_id = message_id or uuid.uuid4().hex.upper()
        system.body_encoding = pb.IDENTITY
        system.message_type = pb.FIFO if group else pb.NORMAL
        system.born_host = "localhost"
        system.born_timestamp.FromNanoseconds(time.time_ns())
        if group:
            system.message_group = group
        if tag:
            system.tag = tag
        answer = self._call("SendMessage", rpc.SendMessageRequest(messages=[message]), timeout)
        _check(answer.status, f"send to {topic}")
        if len(answer.entries) != 1:
            raise Unknown(f"send to {topic}: {len(answer.entries)} results for one message")
        _check(answer.entries[0].status, f"send to {topic}")
        return answer.entries[0].offset

    def send_half(self, topic, body, message_id=None, timeout=3):
        """The id of the transaction that it opens. Raises Refused or Unknown."""
        message = pb.Message(topic=pb.Resource(name=topic), body=body)
        system = message.system_properties
        system.message_id = message_id or uuid.uuid4().hex.upper()
        system.body_encoding = pb.IDENTITY
        system.message_type = pb.TRANSACTION
        system.born_host = "localhost"
        system.born_timestamp.FromNanoseconds(time.time_ns())
        system.orphaned_transaction_recovery_duration.FromSeconds(3600)  # nobody is asked before
        answer = self._call("SendMessage", rpc.SendMessageRequest(messages=[message]), timeout)
        _check(answer.status, f"send to {topic}")
        return answer.entries[0].transaction_id

    def receive(self, topic, group, batch=32, invisible=30.0, poll=5.0):
        """A list of messages, empty if none came within `poll` seconds."""
        request = rpc.ReceiveMessageRequest(
            group=pb.Resource(name=group), batch_size=batch, auto_renew=False,
            message_queue=pb.MessageQueue(topic=pb.Resource(name=topic), id=-1))
        request.filter_expression.type = pb.TAG
        request.filter_expression.expression = "*"
        request.invisible_duration.FromMilliseconds(int(invisible * 1000))
        request.long_polling_timeout.FromMilliseconds(int(poll * 1000))
        status, messages = None, []
        try:
            for part in self._stub.ReceiveMessage(request, timeout=poll + 3,
                                                  metadata=self._metadata):
                if part.HasField("status"):
                    status = part.status
                elif part.HasField("message"):
                    messages.append(part.message)
        except grpc.RpcError as error:
            problem = Unknown(f"receive: {error.code().name}: {error.details()}")
            problem.messages = messages  # what did arrive, did arrive
            raise problem from None
        if status is None:
            raise Unknown(f"receive from {topic}: the answer has no status")
        if status.code != pb.MESSAGE_NOT_FOUND:
            _check(status, f"receive from {topic}")
        return messages

    def ack(self, topic, group, message, timeout=3):
        request = rpc.AckMessageRequest(group=pb.Resource(name=group),
                                        topic=pb.Resource(name=topic))
        request.entries.add(message_id=message.system_properties.message_id,
                            receipt_handle=message.system_properties.receipt_handle)
        answer = self._call("AckMessage", request, timeout)
        _check(answer.status, "ack")
        for entry in answer.entries:
            _check(entry.status, "ack")

    def give_up(self, topic, group, message, timeout=3):
        """Forwards it to the group's dead-letter queue."""
        answer = self._call("ForwardMessageToDeadLetterQueue",
                            rpc.ForwardMessageToDeadLetterQueueRequest(
                                group=pb.Resource(name=group), topic=pb.Resource(name=topic),
                                message_id=message.system_properties.message_id,
                                receipt_handle=message.system_properties.receipt_handle), timeout)
        _check(answer.status, "forwarding to the dead-letter queue")

    def update_offset(self, topic, queue, group, offset, timeout=3):
        answer = self._call("UpdateOffset", rpc.UpdateOffsetRequest(
            group=pb.Resource(name=group), message_queue=_queue(topic, queue), offset=offset),
            timeout)
        _check(answer.status, f"update of the offset of {group}")

    def get_offset(self, topic, queue, group, read=None, timeout=3):
        """The group's committed offset, None if it has none. `read`: as x-raftmq-read has it."""
        answer = self._call("GetOffset", rpc.GetOffsetRequest(
            group=pb.Resource(name=group), message_queue=_queue(topic, queue)), timeout,
            (("x-raftmq-read", read),) if read else ())
        if answer.status.code in (pb.OFFSET_NOT_FOUND, pb.CONSUMER_GROUP_NOT_FOUND):
            return None
        _check(answer.status, f"offset of {group}")
        return answer.offset

    def heartbeat(self, group, timeout=3):
        answer = self._call("Heartbeat", rpc.HeartbeatRequest(
            group=pb.Resource(name=group), client_type=pb.SIMPLE_CONSUMER), timeout)
        _check(answer.status, "heartbeat")
