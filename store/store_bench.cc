// What the store costs the thread that decides and the thread that applies, message by message,
// with the replica left out: nanoseconds per message of 1 KiB. Run it on an idle machine:
//   bazel run -c opt //store:store_bench

#include "base/strings.h"
#include "benchmark/benchmark.h"
#include "glog/logging.h"
#include "store/sql_filter.h"
#include "store/testing/store_harness.h"

namespace raftmq::store {
namespace {

constexpr int kMessages = 960;
constexpr int kQueues = 8;

// Applying includes a copy of each entry that a real replica does not make.
enum Phase { kEncode, kDecide, kCommit, kApply, kNone };

// One round: kMessages in sends of `batch`, each phase by itself; only `timed` counts. The timer is
// stopped before and after.
void SendRound(benchmark::State& state, StoreHarness& member, const std::string& body, int batch,
               Phase timed) {
  std::vector<std::vector<NewMessage>> sends;
  for (int i = 0; i < kMessages / batch; ++i) {
    std::vector<NewMessage> messages;
    for (int j = 0; j < batch; ++j) {
      NewMessage message = MessageOf("T", body, "tag");
      message.keys = {"order-1"};
      messages.push_back(std::move(message));
    }
    sends.push_back(std::move(messages));
  }
  const auto phase = [&](Phase which, auto&& work) {
    if (which == timed) state.ResumeTiming();
    work();
    if (which == timed) state.PauseTiming();
  };
  phase(kEncode, [&] {
    for (auto& messages : sends) {
      member.store().Send(std::move(messages), dledger::AckLevel::kMajorityDisk,
                          [](auto results) { CHECK(results.ok()) << results.status(); });
    }
  });
  phase(kDecide, [&] { member.ledger().DecideAll(); });
  phase(kCommit, [&] { member.ledger().CommitAll(); });
  phase(kApply, [&] { CHECK(member.ledger().ApplyAll().ok()); });
}

void BM_Send(benchmark::State& state) {
  FakeLog log;
  StoreHarness member(&log, "store_bench", {});
  member.Start();
  member.MakeTopic("T", kQueues);
  member.ledger().set_synchronous(false);
  const std::string body(1024, 'b');
  int64_t rounds = 0;
  for (auto _ : state) {
    state.PauseTiming();
    SendRound(state, member, body, static_cast<int>(state.range(0)),
              static_cast<Phase>(state.range(1)));
    if (++rounds % 64 == 0) CHECK(member.store().Flush().ok());
    state.ResumeTiming();
  }
  state.counters["ns_per_message"] =
      benchmark::Counter(static_cast<double>(state.iterations() * kMessages),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_Send)
    ->ArgNames({"batch", "phase"})
    ->ArgsProduct({{1, 32}, {kEncode, kDecide, kCommit, kApply}})
    ->Iterations(200);

// Receive and ack of 32 messages at a time: both phases of both, per message.
void BM_ReceiveAndAck(benchmark::State& state) {
  FakeLog log;
  StoreHarness member(&log, "store_bench", {});
  member.Start();
  member.MakeTopic("T", kQueues);
  const std::string body(1024, 'b');
  int64_t received = 0;
  for (auto _ : state) {
    state.PauseTiming();
    SendRound(state, member, body, 32, kNone);
    member.Settle();
    state.ResumeTiming();
    for (int i = 0; i < kMessages / 32; ++i) {
      received += static_cast<int64_t>(member.ReceiveBodies("G", "T").size());
      member.AckLast("G", "T");
    }
  }
  state.counters["ns_per_message"] = benchmark::Counter(
      static_cast<double>(received), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_ReceiveAndAck)->Iterations(30);

// Messages that a receiver's filter leaves out: by tag, which the consume queue tells, or by an
// expression, for which each record is read. Per message.
void BM_SkipFiltered(benchmark::State& state) {
  const bool sql = state.range(0) != 0;
  FakeLog log;
  StoreHarness member(&log, "store_bench", {});
  member.Start();
  member.MakeTopic("T", kQueues);
  ReceiveRequest request;
  request.group = "G";
  request.topic = "T";
  request.max_messages = 32;
  request.invisible_ms = 60'000;
  request.client_id = "c";
  if (sql) {
    request.filter.sql = *SqlFilter::Parse("region = 'west' AND amount > 100");
  } else {
    request.filter.tags = {"another"};
  }
  NewMessage skipped = MessageOf("T", std::string(1024, 'b'), "tag");
  skipped.user_properties = {{"region", "east"}, {"amount", "17"}, {"customer", "c-4711"}};
  const auto done = [&member] {
    int64_t next = 0;
    const auto progress = member.store().GroupProgress("G");
    if (!progress.ok()) return next;  // it begins with its first receive
    for (const QueueProgress& queue : *progress) next += queue.next_offset.value();
    return next;
  };
  int64_t sent = 0;
  for (auto _ : state) {
    state.PauseTiming();
    for (int i = 0; i < kMessages / 32; ++i) {
      CHECK(member.Send(std::vector<NewMessage>(32, skipped)).ok());
    }
    sent += kMessages;
    state.ResumeTiming();
    do {
      const auto received = member.Receive(request);
      CHECK(received.ok() && received->deliveries.empty()) << received.status();
    } while (done() < sent);
  }
  state.counters["ns_per_message"] = benchmark::Counter(
      static_cast<double>(sent), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_SkipFiltered)->ArgNames({"sql"})->Arg(0)->Arg(1)->Iterations(50);

}  // namespace
}  // namespace raftmq::store
