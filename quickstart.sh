#!/usr/bin/env bash
# From a fresh checkout to a running three-node cluster that survives the death of its leader.
#
#   ./quickstart.sh          installs, builds, starts a cluster, carries a real file through it while
#                            its leader is killed, and leaves the cluster running
#   ./quickstart.sh --once   the same in a temporary folder; stops and deletes everything at the end
#
# Exit code 0: every line arrived. 1: it did not work, and the output says what.
set -euo pipefail
cd "$(dirname "$0")"

once=false
case "${1:-}" in
  '') ;;
  --once) once=true ;;
  *)
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    [ "$1" = --help ] && exit 0 || exit 2
    ;;
esac

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$(printf '\033[1m') green=$(printf '\033[32m') red=$(printf '\033[31m') plain=$(printf '\033[0m')
else
  bold='' green='' red='' plain=''
fi
started=$SECONDS
step() { printf '\n%s== %s%s  (%d s)\n' "$bold" "$1" "$plain" "$((SECONDS - started))"; }
fail() {
  printf '%serror:%s %s\n' "$red" "$plain" "$1" >&2
  exit 1
}

work=$(mktemp -d)
cluster=(deploy/local/cluster)
place=()
background=()
running=false
clean_up() {
  local code=$?
  for pid in "${background[@]}"; do kill "$pid" 2>/dev/null || true; done
  if $running && { $once || [ $code -ne 0 ]; }; then "${cluster[@]}" stop "${place[@]}" 2>/dev/null || true; fi
  if [ $code -eq 0 ]; then rm -rf "$work"; else echo "what was left is in $work" >&2; fi
  exit $code
}
trap clean_up EXIT
trap 'exit 130' INT TERM

step "1/6 what is needed"
tools/install_dependencies.sh

step "2/6 build (some minutes the first time, seconds later)"
build() {
  local command=(bazel build -c opt //broker:mqbroker //client/mqadmin:mqadmin //namesrv:mqnamesrv)
  if [ -t 1 ]; then # Bazel draws its own progress
    "${command[@]}"
  else
    "${command[@]}" --show_progress_rate_limit=15 2>&1 |
      grep -v --line-buffered -E 'WARNING: (An illegal|Please|Use|All illegal)|sun\.misc'
    return "${PIPESTATUS[0]}"
  fi
}
build || fail "the build failed: see above"
mqadmin=bazel-bin/client/mqadmin/mqadmin

step "3/6 a three-node cluster"
if $once; then
  place=(--dir "$work/cluster")
  start=("${place[@]}" --base-port 0)
else
  start=()
fi
running=true
"${cluster[@]}" start "${start[@]}" | tee "$work/before" || fail "no cluster: see above"
status=$("${cluster[@]}" status "${place[@]}" --json)
field() { python3 -c "import json,sys; s=json.load(sys.stdin); print($1)" <<<"$status"; }
members=$(field 's["access_points"]')
export NAMESRV_ADDR=$members # mqadmin takes brokers as well as NameServers
topic=quickstart-$(date +%H%M%S)
"$mqadmin" updateTopic -t "$topic" -r 4 -w 4 >/dev/null || fail "topic $topic was not created"
echo "topic $topic is there"

step "4/6 a real file, and a dead leader on the way"
# Every line of this machine's licences and package documents, numbered so that each is unique.
{ cat /usr/share/common-licenses/* /usr/share/doc/*/copyright 2>/dev/null || true; } |
  iconv -c -t utf-8 | tr -d '\r' |
  awk 'NF && lines < 60000 { printf "%06d %s\n", ++lines, $0 }' >"$work/sent"
lines=$(wc -l <"$work/sent")
[ "$lines" -gt 0 ] || fail "no documents found under /usr/share"
echo "$lines lines, $(du -h "$work/sent" | cut -f1)"

# Idle for longer than a lease: a batch that died with the leader on its way comes again after 10 s.
"$mqadmin" consume -t "$topic" -g "$topic" --idle 13000 >"$work/arrived" 2>"$work/consume.log" &
consumer=$!
"$mqadmin" produce -t "$topic" --inFlight 64 <"$work/sent" 2>"$work/produce.log" &
producer=$!
background=("$consumer" "$producer")

# The leader dies once a quarter of the lines has arrived.
until [ "$(wc -l <"$work/arrived")" -ge $((lines / 4)) ]; do
  kill -0 "$consumer" 2>/dev/null || fail "the consumer ended early: $(cat "$work/consume.log")"
  sleep 0.02
done
leader=$(field '[g["leader"] for g in s["groups"].values()][0]')
arrived=$(wc -l <"$work/arrived")
"${cluster[@]}" kill leader "${place[@]}" --json >/dev/null
echo "${bold}SIGKILL to $leader, the leader,${plain} after $arrived lines had arrived"

wait "$producer" || fail "not every line was stored: $(cat "$work/produce.log")"
cat "$work/produce.log"
echo "waiting for the last line to arrive"
wait "$consumer" || fail "the consumer failed: $(cat "$work/consume.log")"
background=()
cat "$work/consume.log"

step "5/6 is every line there?"
sort -u "$work/arrived" >"$work/arrived.sorted"
sort "$work/sent" >"$work/sent.sorted"
missing=$(comm -23 "$work/sent.sorted" "$work/arrived.sorted" | wc -l)
foreign=$(comm -13 "$work/sent.sorted" "$work/arrived.sorted" | wc -l)
twice=$(($(wc -l <"$work/arrived") - $(wc -l <"$work/arrived.sorted")))
printf '%-28s %8d\n' "lines sent" "$lines" "different lines arrived" "$(wc -l <"$work/arrived.sorted")" \
  "missing" "$missing" "never sent" "$foreign" "arrived more than once" "$twice"
if [ "$missing" -ne 0 ] || [ "$foreign" -ne 0 ]; then
  fail "the lines that arrived are not the lines that were sent; see $work"
fi

step "6/6 the dead member comes back"
"${cluster[@]}" restart "$leader" "${place[@]}" >"$work/after"
echo "before:"
sed 's/^/  /' "$work/before"
echo "after $leader was killed and restarted:"
sed 's/^/  /' "$work/after"

printf '\n%sAll %d lines arrived although the leader was killed.%s It took %d s.\n' \
  "$green" "$lines" "$plain" "$((SECONDS - started))"
$once && exit 0
cat <<END

The cluster goes on running. Try:
  deploy/local/cluster status
  deploy/local/cluster kill leader
  export NAMESRV_ADDR='$members'
  $mqadmin clusterList
  seq 1000 | $mqadmin produce -t $topic
  $mqadmin consume -t $topic -g me --idle 3000 | head
  deploy/local/cluster stop --delete
Any RocketMQ 5 client (gRPC) can use $(field 's["access_point"]') as its endpoint.
END
