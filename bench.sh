#!/usr/bin/env bash
# Measures RaftMQ against its targets on this machine, as ratios within one run.
#
#   ./bench.sh            all of it, some five minutes; run it on an idle machine
#   ./bench.sh --quick    each measurement for a second: shows that it runs, not how fast it is
#   ./bench.sh --json     one JSON object instead of tables
#   ./bench.sh --only unary,batch,log,idle,failover,queues
#
# Exit code 0: all was measured and, unless --quick, every target holds. 1: a target does not hold.
# 2: something could not be measured, and the output says what.
set -uo pipefail
cd "$(dirname "$0")"

if [ "${1:-}" = --help ]; then
  sed -n '2,10s/^# \{0,1\}//p' "$0"
  exit 0
fi
if [ -z "${RAFTMQ_BIN:-}" ]; then
  tools/install_dependencies.sh >&2 || exit 2
  echo "building" >&2
  bazel build -c opt --noshow_progress --ui_event_filters=-info,-debug //broker:mqbroker \
    //namesrv:mqnamesrv //client/mqbench //tests/bench:mqlogbench \
    2> >(grep -vE 'sun.misc|^WARNING|^$' >&2) || exit 2
fi
exec tests/bench/run "$@"
