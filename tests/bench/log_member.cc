#include "tests/bench/log_member.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/random.h"
#include "client/mqbench/histogram.h"
#include "dledger/replica_host.h"
#include "tests/bench/process_usage.h"

namespace raftmq::bench {
namespace {

using dledger::ProposalOutcome;
using dledger::ProposalWriter;

// Keeps nothing: what is measured is the log.
class NoStateMachine final : public dledger::StateMachine {
 public:
  LogIndex DurableAppliedIndex() const override { return LogIndex(0); }
  absl::Status Apply(std::span<const dledger::CommittedEntry>) override { return absl::OkStatus(); }
  void BeginLeadership(Term) override {}
  void EndLeadership() override {}
};

// Keeps so many proposals under way, made by the thread that calls Run, as a completion-queue
// thread of a broker would.
class LogLoad {
 public:
  LogLoad(dledger::Ledger* ledger, const LogOrder& order)
      : ledger_(ledger), order_(order), body_(static_cast<size_t>(order.record_size), '\0') {
    Random random(1);  // incompressible
    for (char& c : body_) c = static_cast<char>(random.Next());
  }

  void Run(LogAnswer* answer) {
    const int64_t start = Now();
    const int64_t end = start + order_.millis * 1'000'000;
    while (Now() < end) {
      const int free = AwaitFree(1);
      for (int i = 0; i < free; ++i) ledger_->Propose(std::make_unique<Load>(this));
    }
    AwaitFree(order_.outstanding);
    answer->nanos = Now() - start;
    absl::MutexLock lock(&mutex_);
    answer->records = acknowledged_ * order_.records;
    answer->failed = failed_ * order_.records;
    answer->p50_us = micros_.Percentile(0.5);
    answer->p99_us = micros_.Percentile(0.99);
    answer->max_us = micros_.max();
  }

 private:
  class Load final : public dledger::Proposal {
   public:
    explicit Load(LogLoad* load) : load_(load), start_(Now()) {}

    absl::Status Decide(ProposalWriter& writer) override {
      const std::string& body = load_->body_;
      if (load_->order_.records == 1) {
        const auto one = writer.ReserveRecord(body.size());
        if (!one.ok()) return one.status();
        std::memcpy(one->data, body.data(), body.size());
        return absl::OkStatus();
      }
      const auto reserved = writer.ReserveRecords(
          std::vector<size_t>(static_cast<size_t>(load_->order_.records), body.size()));
      if (!reserved.ok()) return reserved.status();
      for (const ProposalWriter::Reservation& record : *reserved) {
        std::memcpy(record.data, body.data(), body.size());
      }
      return absl::OkStatus();
    }

    void Done(const ProposalOutcome& outcome) override { load_->OnDone(start_, outcome); }
    size_t ByteSize() const override {
      return load_->body_.size() * static_cast<size_t>(load_->order_.records);
    }

   private:
    LogLoad* const load_;
    const int64_t start_;
  };

  static int64_t Now() { return SystemClock()->MonotonicNanos(); }

  // Takes all that is free, once it is `least` or more.
  int AwaitFree(int least) {
    absl::MutexLock lock(&mutex_);
    wanted_ = least;
    while (order_.outstanding - under_way_ < least) freed_.Wait(&mutex_);
    wanted_ = 0;
    return order_.outstanding - std::exchange(under_way_, order_.outstanding);
  }

  void OnDone(int64_t start, const ProposalOutcome& outcome) {
    const int64_t micros = (Now() - start) / 1'000;
    absl::MutexLock lock(&mutex_);
    if (outcome.status.ok() && outcome.committed) {
      ++acknowledged_;
      micros_.Record(micros);
    } else {
      ++failed_;
    }
    --under_way_;
    if (wanted_ > 0 && order_.outstanding - under_way_ >= wanted_) freed_.Signal();
  }

  dledger::Ledger* const ledger_;
  const LogOrder order_;
  std::string body_;
  absl::Mutex mutex_;
  absl::CondVar freed_;
  int wanted_ ABSL_GUARDED_BY(mutex_) = 0;  // free places that Run waits for
  int under_way_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t acknowledged_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t failed_ ABSL_GUARDED_BY(mutex_) = 0;
  mqbench::Histogram micros_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

int RunLogMember(const std::string& dir, const std::string& peer_address, int socket) {
  NoStateMachine state_machine;
  dledger::ReplicaHostOptions options;
  options.dir = dir;
  options.peer_bind_address = peer_address;
  auto host = dledger::ReplicaHost::Open(std::move(options), &state_machine,
                                         [dir](const absl::Status& failure) {
                                           std::cerr << dir << ": " << failure << "\n";
                                           ::_exit(3);
                                         });
  if (!host.ok()) {
    std::cerr << dir << ": " << host.status() << "\n";
    return 3;
  }
  (*host)->Start();
  LogOrder order;
  while (::recv(socket, &order, sizeof(order), 0) == sizeof(order)) {
    LogAnswer answer;
    if (order.kind == LogOrder::Kind::kLoad) LogLoad((*host)->replica(), order).Run(&answer);
    const auto status = (*host)->replica()->Status();
    answer.serving = status->serving;
    answer.log_end = status->end_position.value();
    answer.cpu_nanos = OwnCpuNanos();
    if (::send(socket, &answer, sizeof(answer), MSG_NOSIGNAL) != sizeof(answer)) break;
  }
  return 0;
}

}  // namespace raftmq::bench
