#!/usr/bin/env python3
"""Rejects what the project's design forbids, by reading the tracked files.

Each rule says what to do instead. `lint.py --explain` lists the rules. Prints one line per finding
and ends with "N passed, N failed", counting rules.
"""

import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CPP = (".h", ".cc")

# The layers, lowest first; a folder may include itself and what its row names.
MAY_INCLUDE = {
    "base": set(),
    "raft": {"base"},
    "dledger": {"base", "raft"},
    "store": {"base", "dledger"},
    "broker": {"base", "dledger", "store", "proto"},
    "namesrv": {"base", "proto"},
    "client": {"base", "proto"},
}
# Formats that a layer above its neighbour may read: parsers only, no state. The offline log
# viewer of mqadmin and the wiring of the broker need them. A whole path on the left is that file.
INCLUDE_EXCEPTIONS = {
    ("broker/mqbroker_main.cc", "namesrv/namesrv_service.h"),  # --standalone is both
    ("client", "dledger/frame.h"),
    ("client", "dledger/log_files.h"),
    ("client", "store/entry_tag.h"),
    ("client", "store/message_record.h"),
    ("client", "store/message_properties.h"),
    ("client", "store/commands.h"),
    ("store", "raft/types.h"),
}


def tracked() -> list[str]:
    out = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [f for f in out.stdout.splitlines() if (ROOT / f).is_file()]


FILES = tracked()
TEXT = {f: (ROOT / f).read_text(errors="replace") for f in FILES if f.endswith(CPP)}


def code_lines(name: str):
    """(number, line without comments and string contents) of a C++ file."""
    in_block = False
    for number, line in enumerate(TEXT[name].splitlines(), 1):
        line = re.sub(r'"(\\.|[^"\\])*"', '""', line) if not line.startswith("#include") else line
        if in_block:
            if "*/" not in line:
                continue
            line, in_block = line.split("*/", 1)[1], False
        line = re.sub(r"/\*.*?\*/", "", line)
        if "/*" in line:
            line, in_block = line.split("/*", 1)[0], True
        yield number, line.split("//", 1)[0]


def banned(pattern: str, instead: str, allowed):
    regex = re.compile(pattern)

    def rule():
        for name in TEXT:
            if allowed(name):
                continue
            for number, line in code_lines(name):
                if regex.search(line):
                    yield f"{name}:{number}: {line.strip()[:80]}  -> {instead}"

    return rule


def in_base(name: str) -> bool:
    return name.startswith("base/")


def layering():
    for name in TEXT:
        top = name.split("/", 1)[0]
        if top not in MAY_INCLUDE:
            continue
        for number, line in code_lines(name):
            match = re.match(r'#include "([a-z_]+)/(.+)"', line)
            if not match:
                continue
            folder = match.group(1)
            path = f"{folder}/{match.group(2)}"
            if folder == top or folder in MAY_INCLUDE[top] or folder not in MAY_INCLUDE:
                continue
            if not {(top, path), (name, path)} & INCLUDE_EXCEPTIONS and not name.endswith("_test.cc"):
                yield f"{name}:{number}: {top}/ may not use {folder}/  -> see README.md, folder table"


def grpc_headers():
    heavy = re.compile(r'#include [<"](grpcpp/|grpc/|rocksdb/|.*\.grpc\.pb\.h|.*/grpc_[a-z_]+\.h)')
    for name in TEXT:
        # A fixture that test sources share is no header of the product.
        if (not name.endswith(".h") or pathlib.Path(name).name.startswith("grpc_")
                or "/testing/" in name):
            continue
        for number, line in code_lines(name):
            if heavy.match(line):
                yield (f"{name}:{number}: {line.strip()}  -> include it in the .cc, or name the header "
                       "grpc_*.h and include it from sources only")


def readmes():
    folders = {str(pathlib.Path(f).parent) for f in FILES if f.endswith(CPP + (".proto", ".py"))}
    tops = {f.split("/", 1)[0] for f in folders if f != "."}
    for folder in sorted(tops):
        if f"{folder}/README.md" not in FILES:
            yield f"{folder}/: no README.md  -> say what it holds, what it may use, where to start"


def lengths():
    # A longer file needs a line "Longer than usual: <reason>" near its top.
    for name in TEXT:
        limit = 300 if name.endswith(".h") else 1200 if name.endswith("_test.cc") else 800
        lines = TEXT[name].splitlines()
        if len(lines) > limit and not any("Longer than usual:" in l for l in lines[:30]):
            yield f"{name}: {len(lines)} lines, {limit} at most  -> split by idea"


def names():
    regex = re.compile(r"\b(class|struct)\s+(\w*(Manager|Helper|Util|Utils))\b")
    for name in TEXT:
        for number, line in code_lines(name):
            if match := regex.search(line):
                yield f"{name}:{number}: {match.group(2)}  -> name the thing held"


def unfinished():
    regex = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    for name in FILES:
        if name.endswith(CPP + (".py", ".sh", ".bzl", ".proto")) and "tools/lint/" not in name:
            for number, line in enumerate((ROOT / name).read_text(errors="replace").splitlines(), 1):
                if regex.search(line):
                    yield f"{name}:{number}: {line.strip()[:80]}  -> do it, or file it"


RULES = {
    "no raw clocks outside base/": banned(
        r"(system_clock|steady_clock|high_resolution_clock)::now|\bgettimeofday\(|\bclock_gettime\("
        r"|\babsl::Now\(|[^\w.>:]time\((nullptr|NULL|0|&)",
        "take a Clock*", in_base),
    "no sleeping": banned(
        r"sleep_for|sleep_until|\busleep\(|\bnanosleep\(|absl::SleepFor|[^\w:]sleep\(",
        "wait on a condition or a fake clock", lambda n: False),
    "no raw threads outside base/": banned(
        r"\bstd::(jthread|async)\b|\bstd::thread\s*[({]|\bstd::thread\s+\w+\s*[({]|pthread_create\(",
        "StartThread (base/thread.h)", in_base),
    "no raw chance outside base/": banned(
        r"std::random_device|std::mt19937|[^\w.:>]s?rand\(|absl::BitGen",
        "take a Random (base/random.h)", in_base),
    "no raw files outside base/": banned(
        r"std::[io]?fstream\b|[^\w.:>]fopen\(|::open\(|std::filesystem::(rename|remove|create)",
        "take a FileSystem*",
        lambda n: in_base(n) or n.endswith("_test.cc") or n.endswith("_main.cc")),
    "layers include downwards only": layering,
    "gRPC and RocksDB stay out of shared headers": grpc_headers,
    "every folder has a README": readmes,
    "files are one idea long": lengths,
    "names say what is held": names,
    "nothing is left for later in code": unfinished,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--explain", action="store_true", help="list the rules and exit")
    if parser.parse_args().explain:
        print("\n".join(RULES))
        return 0
    failed = 0
    for title, rule in RULES.items():
        findings = list(rule())
        failed += bool(findings)
        for finding in findings:
            print(f"{title}: {finding}")
    print(f"{len(RULES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
