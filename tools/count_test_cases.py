#!/usr/bin/env python3
"""Counts the test cases that a Bazel test run executed, from its logs.

usage: count_test_cases.py BAZEL_TESTLOGS BAZEL_OUTPUT

BAZEL_OUTPUT is what `bazel test` printed: the targets it lists are those that count. A target that
failed without writing a report (it crashed, or did not build) counts as one failure. Prints
"N passed, N failed".
"""

import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

RESULT = re.compile(
    r"(//\S+)\s+(?:\(cached\) )?(PASSED|FAILED TO BUILD|FAILED|TIMEOUT|FLAKY|NO STATUS|INCOMPLETE)"
)


def cases(report: pathlib.Path) -> tuple[int, int]:
    """(passed, failed) of one test.xml."""
    try:
        root = ElementTree.parse(report).getroot()
    except (OSError, ElementTree.ParseError):
        return 0, 1
    passed = failed = 0
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is None:
            passed += 1
    return passed, failed


def reports(target_logs: pathlib.Path) -> list[pathlib.Path]:
    """The reports of one target: one, or one for each shard."""
    return sorted(target_logs.glob("shard_*_of_*/test.xml")) or [target_logs / "test.xml"]


def main() -> int:
    logs, output = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    text = re.sub(r"\x1b\[[0-9;]*m", "", output.read_text(errors="replace"))
    passed = failed = 0
    for target, result in sorted(set(RESULT.findall(text))):
        good, bad = 0, 0
        if result not in ("FAILED TO BUILD", "NO STATUS"):
            for report in reports(logs / target[2:].replace(":", "/")):
                report_good, report_bad = cases(report)
                good, bad = good + report_good, bad + report_bad
        if result not in ("PASSED", "FLAKY") and bad == 0:
            bad = 1
        if bad:
            print(f"{target}: {result}, {bad} failed")
        passed, failed = passed + good, failed + bad
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
