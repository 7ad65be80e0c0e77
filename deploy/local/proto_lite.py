"""Protobuf messages as dictionaries, read straight from a .proto file.

Enough for a file without imports, extensions and nested messages, which admin.proto is: scalars, enums
(by name), messages, repeated fields, `optional`, `oneof` and maps. The field numbers stay in one place,
the .proto file, and the local cluster script needs no package beyond Python's own.
"""

import dataclasses
import re
import struct

_VARINT = {"int32", "int64", "uint32", "uint64", "bool"}
_FIXED = {"fixed64": "<Q", "sfixed64": "<q", "double": "<d", "fixed32": "<I", "sfixed32": "<i",
          "float": "<f"}
_DEFAULTS = {"string": "", "bytes": b"", "bool": False, "double": 0.0, "float": 0.0}


@dataclasses.dataclass
class Field:
    name: str
    number: int
    type: str
    repeated: bool
    implicit: bool  # proto3's implicit presence: absent means the default
    map_value: str = ""


class Schema:
    """The messages, enums and services of one .proto file."""

    def __init__(self, path):
        text = re.sub(r"//[^\n]*|/\*.*?\*/", "", open(path, encoding="utf-8").read(), flags=re.S)
        self.package = re.search(r"\bpackage\s+([\w.]+)\s*;", text).group(1)
        self.enums = {name: {label: int(number) for label, number in
                             re.findall(r"(\w+)\s*=\s*(\d+)\s*;", body)}
                      for name, body in re.findall(r"\benum\s+(\w+)\s*\{(.*?)\}", text, re.S)}
        self.messages = {}
        for match in re.finditer(r"\bmessage\s+(\w+)\s*\{", text):
            self.messages[match.group(1)] = _fields(_block(text, match.end()))
        self.methods = {name: (service, request, answer)
                        for service, body in re.findall(r"\bservice\s+(\w+)\s*\{(.*?)\n\}", text, re.S)
                        for name, request, answer in re.findall(
                            r"\brpc\s+(\w+)\s*\(\s*(?:stream\s+)?(\w+)\s*\)\s*returns\s*\((?:\s*stream)?\s*(\w+)",
                            body)}

    def encode(self, message, values):
        fields = {f.name: f for f in self.messages[message]}
        unknown = set(values) - set(fields)
        if unknown:
            raise ValueError(f"{message} has no field {', '.join(sorted(unknown))}")
        out = bytearray()
        for name, value in values.items():
            field = fields[name]
            if field.map_value:
                raise ValueError(f"{message}.{name}: maps are only read")
            for item in value if field.repeated else [value]:
                out += self._encode_field(field, item)
        return bytes(out)

    def _encode_field(self, field, value):
        def key(wire_type):
            return _varint(field.number << 3 | wire_type)
        if field.type in self.messages:
            data = self.encode(field.type, value)
        elif field.type == "string":
            data = value.encode()
        elif field.type == "bytes":
            data = value
        elif field.type in _FIXED:
            packed = struct.pack(_FIXED[field.type], value)
            return key(1 if len(packed) == 8 else 5) + packed
        else:
            number = self.enums[field.type][value] if field.type in self.enums else int(value)
            return key(0) + _varint(number & (1 << 64) - 1)
        return key(2) + _varint(len(data)) + data

    def decode(self, message, data):
        fields = {f.number: f for f in self.messages[message]}
        out = {}
        for field in fields.values():
            if field.map_value:
                out[field.name] = {}
            elif field.repeated:
                out[field.name] = []
            elif field.implicit:
                out[field.name] = self._default(field.type)
        for number, wire_type, value in _wire(data):
            field = fields.get(number)
            if field is None:
                continue
            if field.map_value:
                key_value = {n: v for n, _, v in _wire(value)}
                out[field.name][bytes(key_value.get(1, b"")).decode()] = self._scalar(
                    field.map_value, key_value.get(2, b""))
            elif field.repeated and wire_type == 2 and field.type not in self.messages and (
                    field.type not in ("string", "bytes")):
                position = 0  # packed
                while position < len(value):
                    item, position = _read_varint(value, position)
                    out[field.name].append(self._scalar(field.type, item))
            elif field.repeated:
                out[field.name].append(self._scalar(field.type, value))
            else:
                out[field.name] = self._scalar(field.type, value)
        return out

    def _default(self, kind):
        if kind in self.messages:
            return None
        if kind in self.enums:
            return next(iter(self.enums[kind]))
        return _DEFAULTS.get(kind, 0)

    def _scalar(self, kind, value):
        if kind in self.messages:
            return self.decode(kind, value)
        if kind in self.enums:
            return next((n for n, v in self.enums[kind].items() if v == value), str(value))
        if kind == "string":
            return bytes(value).decode(errors="replace")
        if kind == "bool":
            return bool(value)
        if kind in _FIXED:
            return struct.unpack(_FIXED[kind], value)[0]
        if kind in ("int32", "int64") and value >= 1 << 63:
            return value - (1 << 64)
        return value


def _block(text, start):
    """The text up to the brace that closes the one before `start`."""
    depth = 1
    for i in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if not depth:
            return text[start:i]
    raise ValueError("unbalanced braces in a .proto file")


def _fields(body):
    oneof = "".join(re.findall(r"\boneof\s+\w+\s*\{(.*?)\}", body, re.S))
    fields = []
    for label, kind, name, number in re.findall(
            r"(repeated\s+|optional\s+)?(map\s*<\s*\w+\s*,\s*\w+\s*>|\w+)\s+(\w+)\s*=\s*(\d+)\s*;", body):
        value = re.match(r"map\s*<\s*\w+\s*,\s*(\w+)", kind)
        fields.append(Field(name, int(number), kind, label.strip() == "repeated",
                            not label.strip() and not re.search(rf"\b{name}\s*=", oneof),
                            value.group(1) if value else ""))
    return fields


def _varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data, position):
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7


def _wire(data):
    """(field number, wire type, value) of every field in `data`."""
    position = 0
    while position < len(data):
        tag, position = _read_varint(data, position)
        wire_type = tag & 7
        if wire_type == 0:
            value, position = _read_varint(data, position)
        elif wire_type == 2:
            length, position = _read_varint(data, position)
            value, position = data[position:position + length], position + length
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
            value, position = data[position:position + length], position + length
        else:
            raise ValueError(f"wire type {wire_type} is not used in proto3")
        yield tag >> 3, wire_type, value
