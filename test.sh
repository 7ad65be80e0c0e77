#!/usr/bin/env bash
# Runs every test: installs what is missing, builds, unit tests, lint, thread-safety analysis, and
# the tests that start real processes. Ends with "N passed, N failed"; exit code 0 only if none failed.
#
#   ./test.sh             all
#   ./test.sh unit        only what Bazel runs
#   ./test.sh lint        only lint and thread-safety analysis
#   ./test.sh system      only the tests that start real processes
#   ./test.sh long        the campaigns: every language, 100,000 lines, three hosts, fault injection
set -uo pipefail
cd "$(dirname "$0")"

case "${1:-all}" in
  all | unit | lint | system | long) what=${1:-all} ;;
  *)
    sed -n '2,10s/^# \{0,1\}//p' "$0"
    [ "${1:-}" = --help ] && exit 0 || exit 2
    ;;
esac

tools/install_dependencies.sh || exit 1

passed=0
failed=0
skipped=0
started=$SECONDS
bazel_flags=(-c opt --noshow_progress --ui_event_filters=-info,-debug)

step() { printf '\n== %s  (%ds)\n' "$1" "$((SECONDS - started))"; }

# Adds a script's closing line "N passed, N failed[, N skipped]" to the totals.
count() { # name, exit code, log
  local line
  line=$(grep -E '^([a-z]+: )?[0-9]+ passed, [0-9]+ failed' "$3" | tail -n 1)
  if [[ $line =~ ([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)? ]]; then
    passed=$((passed + BASH_REMATCH[1]))
    failed=$((failed + BASH_REMATCH[2]))
    skipped=$((skipped + ${BASH_REMATCH[4]:-0}))
    if [ "$2" -ne 0 ] && [ "${BASH_REMATCH[2]}" -eq 0 ]; then failed=$((failed + 1)); fi
  else
    echo "$1: ended with exit code $2 and no count; counted as one failure"
    failed=$((failed + 1))
  fi
}

run_script() { # title, command...
  local title=$1 log
  shift
  step "$title"
  log=$(mktemp)
  "$@" 2>&1 | tee "$log"
  count "$title" "${PIPESTATUS[0]}" "$log"
  rm -f "$log"
}

if [ "$what" = all ] || [ "$what" = unit ]; then
  step "build and unit tests (bazel)"
  log=$(mktemp)
  bazel test "${bazel_flags[@]}" --test_output=errors --keep_going //... 2>&1 | tee "$log" |
    grep -vE 'sun.misc|WARNING: (An illegal|Please|Use|All|Illegal)'
  code=${PIPESTATUS[0]}
  tools/count_test_cases.py bazel-testlogs "$log" >"$log.count"
  cat "$log.count"
  count "bazel" "$code" "$log.count"
  rm -f "$log" "$log.count"
fi

if [ "$what" = all ] || [ "$what" = lint ]; then
  run_script "lint" tools/lint/lint.py
  run_script "thread-safety analysis (clang)" tools/lint/thread_safety.py
fi

if [ "$what" = all ] || [ "$what" = system ] || [ "$what" = long ]; then
  step "build the programs"
  bazel build "${bazel_flags[@]}" //broker:mqbroker //client/... //namesrv:mqnamesrv 2>&1 |
    grep -vE 'sun.misc|^WARNING'
  [ "${PIPESTATUS[0]}" -eq 0 ] || failed=$((failed + 1))
fi

if [ "$what" = all ] || [ "$what" = system ]; then
  run_script "official clients" tests/interop/run
  run_script "failover" tests/system/failover_test
  run_script "several groups and NameServers" tests/system/groups_test
  run_script "stopping" tests/system/stop_test
  run_script "metrics" tests/system/metrics_test
  run_script "mqbench" tests/system/bench_test
  run_script "power loss" tests/system/power_loss_test --rounds 1
  run_script "mqadmin" tests/system/mqadmin_test
  run_script "bad input" tests/system/bad_input_test
fi

if [ "$what" = long ]; then
  run_script "official clients, all languages" tests/interop/run --all
  for script in $(git ls-files tests/system | grep -E '_test$'); do
    run_script "$script" "$script"
  done
fi

printf '\ntook %d s\n' "$((SECONDS - started))"
if [ "$skipped" -gt 0 ]; then
  echo "$passed passed, $failed failed, $skipped skipped"
else
  echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
