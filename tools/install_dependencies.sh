#!/usr/bin/env bash
# Installs the Debian 12 packages that RaftMQ builds and tests with. Does nothing, quickly, when all
# are there. Needs root or sudo only when something is missing.
set -euo pipefail

packages=(
  bazel-bootstrap bazel-platforms bazel-skylib bazel-rules-java bazel-rules-proto
  g++ git python3 python3-venv
  libgrpc++-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev
  librocksdb-dev libgoogle-glog-dev libgflags-dev libabsl-dev
  libgtest-dev libgmock-dev libbenchmark-dev libclang-rt-14-dev libfuzzer-14-dev
  prometheus-cpp-dev nlohmann-json3-dev libcpp-httplib-dev
  libssl-dev liblz4-dev libzstd-dev zlib1g-dev libasio-dev libisal-dev libcli11-dev libjemalloc-dev
  clang clang-format iproute2 xfsprogs e2fsprogs
)

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
command -v node >/dev/null || missing+=(nodejs npm)

if [ ${#missing[@]} -eq 0 ]; then
  echo "dependencies: all ${#packages[@]} packages are installed"
  exit 0
fi

sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "error: ${#missing[@]} packages are missing and neither root nor sudo is at hand." >&2
    echo "Install them as root: apt-get install ${missing[*]}" >&2
    exit 1
  }
  sudo=(sudo)
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "dependencies: installing ${#missing[@]} packages (about half a minute): ${missing[*]}"
if ! { "${sudo[@]}" apt-get update &&
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "error: apt-get failed; its last lines are above" >&2
  exit 1
fi
echo "dependencies: installed"
