"""What grpcurl does: asks a server for its services and their descriptions, and calls one without having
any of its .proto files. Needs the packages of requirements.txt."""

import pathlib

import grpc_lite
import proto_lite
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_SCHEMA = proto_lite.Schema(pathlib.Path(__file__).with_name("reflection.proto"))
_PATH = f"/{_SCHEMA.package}.ServerReflection/ServerReflectionInfo"


class Reflection:
    """Of the server at `address` (host:port). Sends no client headers."""

    def __init__(self, address, timeout=5):
        self._address = address
        self._timeout = timeout
        self._pool = descriptor_pool.DescriptorPool()
        self._files = set()

    def _ask(self, **request):
        answers = grpc_lite.call(self._address, _PATH,
                                 _SCHEMA.encode("ServerReflectionRequest", request), self._timeout)
        answer = _SCHEMA.decode("ServerReflectionResponse", answers[0])
        if answer["error_response"]:
            raise LookupError(answer["error_response"]["error_message"])
        return answer

    def services(self):
        listed = self._ask(list_services="*")["list_services_response"]
        return sorted(s["name"] for s in listed["service"])

    def describe(self, service):
        """The descriptor of a service, with all that it refers to. LookupError if there is none."""
        answer = self._ask(file_containing_symbol=service)["file_descriptor_response"]
        files = {}
        for data in answer["file_descriptor_proto"]:
            file = descriptor_pb2.FileDescriptorProto.FromString(bytes(data))
            files[file.name] = file
        for file in list(files.values()):
            self._add(file, files)
        return self._pool.FindServiceByName(service)

    def _add(self, file, files):
        """A file after those that it imports."""
        if file.name in self._files:
            return
        self._files.add(file.name)
        for name in file.dependency:
            if name in files:
                self._add(files[name], files)
            else:
                self._pool.Add(descriptor_pb2.FileDescriptorProto.FromString(
                    _well_known(name)))
        self._pool.Add(file)

    def call(self, service, method, **fields):
        """One unary call, with messages built from the description."""
        described = self.describe(service).methods_by_name[method]
        request = message_factory.GetMessageClass(described.input_type)(**fields)
        answers = grpc_lite.call(self._address, f"/{service}/{method}",
                                 request.SerializeToString(), self._timeout)
        return message_factory.GetMessageClass(described.output_type).FromString(answers[0])


def _well_known(name):
    """Descriptors that a server needn't send: google/protobuf/*.proto."""
    from google.protobuf import duration_pb2, timestamp_pb2
    known = {m.DESCRIPTOR.name: m.DESCRIPTOR.serialized_pb for m in (duration_pb2, timestamp_pb2)}
    if name not in known:
        raise LookupError(f"the server refers to {name} and does not send it")
    return known[name]
