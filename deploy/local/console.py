"""What every script of the project prints with: colours only on a terminal, tables whose columns line
up, and the closing line `N passed, N failed` that test.sh adds up."""

import os
import sys
import time

_COLOURS = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "cyan": 36, "bold": 1, "dim": 2}


def paint(text, colour, stream=None):
    """`text` in a colour, if `stream` (stdout by default) is a terminal and NO_COLOR is not set."""
    stream = stream or sys.stdout
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return str(text)
    return f"\033[{_COLOURS[colour]}m{text}\033[0m"


def table(header, rows, right=(), indent="", colours=None):
    """A table as text. `right`: indexes of the columns to align right. `colours`: value -> colour."""
    cells = [[str(c) for c in row] for row in rows]
    widths = [max([len(str(h))] + [len(r[i]) for r in cells]) for i, h in enumerate(header)]

    def line(row, colour=None):
        parts = []
        for i, cell in enumerate(row):
            padded = cell.rjust(widths[i]) if i in right else cell.ljust(widths[i])
            name = colour or (colours or {}).get(cell)
            parts.append(paint(padded, name) if name else padded)
        return (indent + "  ".join(parts)).rstrip()

    return "\n".join([line([str(h) for h in header], "bold")] + [line(r) for r in cells])


def say(text="", stream=None):
    print(text, file=stream or sys.stdout, flush=True)


def duration(seconds):
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def percentile(values, percent):
    """Nearest-rank percentile of a non-empty list."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * percent // 100) - 1))]


class Failure(Exception):
    """A check of a test failed."""


def check(condition, message):
    if not condition:
        raise Failure(message)


def check_equal(actual, expected, what):
    if actual != expected:
        raise Failure(f"{what}: expected {expected!r}, found {actual!r}")


class Suite:
    """Runs named scenarios one after another and counts them.

    A scenario is a function without arguments. It passes when it returns, is skipped when it raises
    Skip, and fails on anything else. `finish()` prints the closing line and returns the exit code.
    """

    class Skip(Exception):
        pass

    def __init__(self, title, only=None):
        self._only = only
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        say(paint(title, "bold"))

    def run(self, name, scenario):
        if self._only and self._only not in name:
            return
        began = time.monotonic()
        try:
            note = scenario()
        except Suite.Skip as skip:
            self.skipped += 1
            say(f"  {paint('SKIP', 'yellow')}  {name}: {skip}")
            return
        except Exception as error:  # pylint: disable=broad-except
            self.failed += 1
            text = str(error) if isinstance(error, Failure) else f"{type(error).__name__}: {error}"
            self.failures.append((name, text))
            say(f"  {paint('FAIL', 'red')}  {name} ({duration(time.monotonic() - began)})")
            say("        " + text.replace("\n", "\n        "))
            if os.environ.get("RAFTMQ_TRACE") and not isinstance(error, Failure):
                import traceback
                traceback.print_exc()
            return
        self.passed += 1
        tail = f": {note}" if note else ""
        say(f"  {paint('PASS', 'green')}  {name} ({duration(time.monotonic() - began)}){tail}")

    def finish(self):
        line = f"{self.passed} passed, {self.failed} failed"
        if self.skipped:
            line += f", {self.skipped} skipped"
        say(paint(line, "red" if self.failed else "green"))
        return 1 if self.failed or not self.passed + self.skipped else 0


def wait_until(condition, timeout, what, interval=0.05):
    """Polls `condition` until it returns something true, and returns that.

    Raises TimeoutError that names `what` was awaited and, if the condition kept raising, why.
    """
    deadline = time.monotonic() + timeout
    last_error = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last_error = None
        except (OSError, RuntimeError, LookupError, ValueError) as error:
            last_error = error
        if time.monotonic() >= deadline:
            because = f": {last_error}" if last_error else ""
            raise TimeoutError(f"waited {duration(timeout)} for {what}{because}")
        time.sleep(interval)
