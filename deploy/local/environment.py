"""Where things are, and the Python environment of the tools that need a gRPC library.

The scripts themselves need nothing but Python's standard library. One that needs gRPC calls
`enter_venv()` first: it makes (once) a virtual environment with pinned packages under the user's cache
folder and restarts the script in it.
"""

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
GRPC_REQUIREMENTS = ROOT / "tests" / "lib" / "requirements.txt"


def cache_dir():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = pathlib.Path(base) / "raftmq"
    path.mkdir(parents=True, exist_ok=True)
    return path


class Lock:
    """One process at a time, across processes; released when the holder ends."""

    def __init__(self, path):
        self._path = path

    def __enter__(self):
        self._file = open(self._path, "w")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return self

    def __exit__(self, *unused):
        self._file.close()


def _python():
    """A Python that can make an environment and download into it (some builds lack the ssl module)."""
    probe = "import ssl, venv, ensurepip, sys; sys.exit(sys.version_info < (3, 9))"
    for candidate in (sys.executable, shutil.which("python3"), "/usr/bin/python3"):
        if candidate and subprocess.run([candidate, "-c", probe], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL).returncode == 0:
            return candidate
    raise SystemExit("no Python >= 3.9 with the modules ssl, venv and ensurepip found; "
                     "on Debian: apt-get install python3 python3-venv")


def ensure_venv(requirements):
    """The Python of an environment with exactly `requirements` installed; made if it is missing."""
    requirements = pathlib.Path(requirements)
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    path = cache_dir() / f"venv-{digest}"
    python = path / "bin" / "python"
    with Lock(cache_dir() / "venv.lock"):
        if not (path / "complete").exists():
            print(f"installing {requirements.relative_to(ROOT)} into {path} (once) ...",
                  file=sys.stderr, flush=True)
            shutil.rmtree(path, ignore_errors=True)
            subprocess.run([_python(), "-m", "venv", str(path)], check=True)
            done = subprocess.run([str(python), "-m", "pip", "install", "--quiet",
                                   "--disable-pip-version-check", "-r", str(requirements)])
            if done.returncode:
                raise SystemExit(f"pip could not install {requirements}: see above")
            (path / "complete").touch()
    return str(python)


def enter_venv(requirements=GRPC_REQUIREMENTS):
    """Goes on in the environment: returns if the script already runs there, else replaces the process."""
    python = ensure_venv(requirements)
    if os.path.realpath(sys.prefix) == os.path.realpath(os.path.dirname(os.path.dirname(python))):
        return
    os.execv(python, [python] + sys.argv)


# Where Bazel puts the programs.
_BUILT = {"mqbroker": "broker/mqbroker", "mqadmin": "client/mqadmin/mqadmin",
          "mqbench": "client/mqbench/mqbench", "mqnamesrv": "namesrv/mqnamesrv",
          "mqlogbench": "tests/bench/mqlogbench"}


def binary(name, required=True):
    """Path of a built program: in the folder $RAFTMQ_BIN if it is set, else in bazel-bin."""
    folder = os.environ.get("RAFTMQ_BIN")
    place = pathlib.Path(folder) / name if folder else ROOT / "bazel-bin" / _BUILT[name]
    if place.is_file() and os.access(place, os.X_OK):
        return str(place)
    if not required:
        return None
    target = "//" + ":".join(_BUILT[name].rsplit("/", 1))
    raise SystemExit(f"error: {name} is not at {place}; build it with 'bazel build -c opt {target}' "
                     f"or set RAFTMQ_BIN to the folder that holds it")
