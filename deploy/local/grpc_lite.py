"""One gRPC call over a fresh plaintext connection, with Python's standard library only.

For short administrative calls of the local cluster script (is this member up, who leads), not for
traffic: no TLS, no compression, no multiplexing. HTTP/2 framing is RFC 9113, header compression
RFC 7541, gRPC over HTTP/2 as published by the gRPC project. We announce a header table of size 0, so
that the answer refers to nothing but the static table, whose entries don't interest us.
"""

import socket
import struct
import time
import urllib.parse

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = (
    0, 1, 3, 4, 6, 7, 8, 9)
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_WINDOW = 1 << 30

_CODES = ("OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS "
          "PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED "
          "INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED").split()


class RpcError(RuntimeError):
    """The call failed; `code` is gRPC's name of the status."""

    def __init__(self, code, message, trailers=None):
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message
        self.trailers = trailers or {}


def call(address, path, request, timeout):
    """Calls `path` (/package.Service/Method) at `address` (host:port) with one encoded message.

    Returns the encoded answers, a list: one for a unary method. Raises RpcError.
    """
    deadline = time.monotonic() + timeout
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=timeout) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(_opening(address, path, request, timeout))
            return _read_answers(connection, deadline)
    except socket.timeout:
        raise RpcError("DEADLINE_EXCEEDED", f"{address} did not answer in {timeout:g} s") from None
    except OSError as error:
        raise RpcError("UNAVAILABLE", f"{address}: {error.strerror or error}") from None


def _frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _opening(address, path, request, timeout):
    headers = b"".join(_literal(name, value) for name, value in (
        (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", address),
        ("te", "trailers"), ("content-type", "application/grpc"),
        ("grpc-timeout", f"{max(1, int(timeout * 1000))}m")))
    settings = struct.pack(">HIHIHI", 1, 0, 2, 0, 4, _WINDOW)
    body = struct.pack(">BI", 0, len(request)) + request
    if len(body) > 16384:
        raise ValueError("requests above 16 KiB are not supported")
    return (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, settings) +
            _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _WINDOW)) +
            _frame(_HEADERS, _END_HEADERS, 1, headers) + _frame(_DATA, _END_STREAM, 1, body))


def _literal(name, value):
    """A header as a literal without indexing."""
    def text(string):
        data = string.encode()
        return _integer(len(data), 7) + data
    return b"\0" + text(name) + text(value)


def _integer(value, bits):
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([value])
    out, value = bytearray([limit]), value - limit
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class _Reader:
    def __init__(self, connection, deadline):
        self._connection = connection
        self._deadline = deadline

    def exactly(self, size):
        data = bytearray()
        while len(data) < size:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise socket.timeout()
            self._connection.settimeout(left)
            piece = self._connection.recv(size - len(data))
            if not piece:
                raise RpcError("UNAVAILABLE", "the connection was closed before the answer")
            data += piece
        return bytes(data)

    def frame(self):
        header = self.exactly(9)
        kind, flags, stream = struct.unpack(">BBI", header[3:])
        return kind, flags, stream & 0x7FFFFFFF, self.exactly(int.from_bytes(header[:3], "big"))


def _read_answers(connection, deadline):
    reader = _Reader(connection, deadline)
    body, headers, block, ends = bytearray(), {}, None, False
    while True:
        kind, flags, stream, payload = reader.frame()
        if kind == _SETTINGS and not flags & _ACK:
            connection.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            connection.sendall(_frame(_PING, _ACK, 0, payload))
        elif kind == _GOAWAY:
            raise RpcError("UNAVAILABLE", "the server is going away")
        elif stream == 1 and kind == _RST_STREAM:
            raise RpcError("UNAVAILABLE", "the server reset the call")
        elif stream == 1 and kind == _DATA:
            if flags & _PADDED:
                payload = payload[1:len(payload) - payload[0]]
            body += payload
            if flags & _END_STREAM:
                return _finish(headers, body)
        elif stream == 1 and kind in (_HEADERS, _CONTINUATION):
            if kind == _HEADERS:
                if flags & _PADDED:
                    payload = payload[1:len(payload) - payload[0]]
                if flags & _PRIORITY:
                    payload = payload[5:]
                block, ends = b"", bool(flags & _END_STREAM)
            block += payload
            if flags & _END_HEADERS:
                headers.update(_headers(block))
                if ends:
                    return _finish(headers, body)


def _finish(headers, body):
    status = headers.get("grpc-status")
    if status != "0":
        number = int(status) if status and status.isdigit() else 2
        raise RpcError(_CODES[number] if number < len(_CODES) else str(number),
                       urllib.parse.unquote(headers.get("grpc-message", "")), headers)
    answers, position = [], 0
    while position < len(body):
        compressed, size = struct.unpack_from(">BI", body, position)
        if compressed:
            raise RpcError("INTERNAL", "a compressed answer was not asked for")
        answers.append(bytes(body[position + 5:position + 5 + size]))
        position += 5 + size
    return answers


def _headers(block):
    """Name -> value of the literal headers with literal names; indexed ones are skipped."""
    out, position = {}, 0

    def integer(bits):
        nonlocal position
        limit = (1 << bits) - 1
        value = block[position] & limit
        position += 1
        if value == limit:
            shift = 0
            while True:
                byte = block[position]
                position += 1
                value += (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
        return value

    def text():
        nonlocal position
        huffman = block[position] & 0x80
        length = integer(7)
        data = block[position:position + length]
        position += length
        return None if huffman else data.decode(errors="replace")

    while position < len(block):
        first = block[position]
        if first & 0x80:  # indexed
            integer(7)
            continue
        if first & 0xE0 == 0x20:  # table size update
            integer(5)
            continue
        index = integer(6 if first & 0x40 else 4)
        name = text() if index == 0 else None
        value = text()
        if name is not None and value is not None:
            out[name] = value
    return out
