#!/usr/bin/env python3
"""Checks lock annotations with clang's thread-safety analysis.

Parses every source that does not include gRPC (its headers cost seconds each and hold no locks of
ours) with -Werror=thread-safety; generates no code. Ends with "N passed, N failed", counting files.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("base/", "raft/", "dledger/", "store/", "broker/", "namesrv/", "client/")
FLAGS = ["clang++", "-std=c++20", "-fsyntax-only", "-w", "-Wthread-safety", "-Werror=thread-safety",
         "-msse4.2", "-DASIO_STANDALONE", f"-I{ROOT}"]
HEAVY = re.compile(r'#include [<"](grpcpp/|grpc/|.*\.grpc\.pb\.h|.*grpc_)')


def analyse(name: str, generated: str) -> tuple[str, str]:
    done = subprocess.run(FLAGS + ["-isystem", generated, str(ROOT / name)], capture_output=True,
                          text=True)
    return name, done.stderr if done.returncode else ""


def main() -> int:
    listed = subprocess.run(["git", "ls-files", "*.cc"], cwd=ROOT, capture_output=True, text=True,
                            check=True).stdout.splitlines()
    # Only files with locks, directly or through a header of theirs, can have findings; a file that
    # names no mutex is skipped to save time.
    chosen = []
    for name in listed:
        if not name.startswith(FOLDERS) or name.endswith("_test.cc"):
            continue
        text = (ROOT / name).read_text(errors="replace")
        header = ROOT / (name[:-3] + ".h")
        header_text = header.read_text(errors="replace") if header.exists() else ""
        if "Mutex" in text + header_text and not HEAVY.search(text + header_text):
            chosen.append(name)
    failed = 0
    with tempfile.TemporaryDirectory() as generated:
        protos = [str(p.relative_to(ROOT / "proto")) for p in (ROOT / "proto").rglob("*.proto")]
        subprocess.run(["protoc", "-I.", f"--cpp_out={generated}", *protos], cwd=ROOT / "proto",
                       check=True)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for name, errors in pool.map(lambda n: analyse(n, generated), chosen):
                if errors:
                    failed += 1
                    print(f"{name}:\n{errors}")
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
