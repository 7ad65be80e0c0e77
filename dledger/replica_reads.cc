// Replica: linearizable reads, on the leader.
#include <utility>

#include "base/strings.h"
#include "dledger/replica.h"

namespace raftmq::dledger {
namespace {

constexpr int32_t kMaxWaitingReads = 16'384;

}  // namespace

void Replica::ReadIndex(ReadIndexCallback done) {
  if (waiting_reads_.fetch_add(1) >= kMaxWaitingReads) {
    waiting_reads_.fetch_sub(1);
    return done(absl::ResourceExhaustedError(
        StrCat("read index: ", kMaxWaitingReads, " reads wait already; try again")));
  }
  deps_.replica->Post([this, done = std::move(done)]() mutable { BeginRead(std::move(done)); });
}

void Replica::BeginRead(ReadIndexCallback done) {
  absl::StatusOr<raft::Node::Read> read = absl::UnavailableError("the replica has stopped");
  if (!stopped_) read = node_.ReadIndex();
  if (!read.ok()) {
    waiting_reads_.fetch_sub(1);
    return done(read.status());
  }
  reads_.push_back({read->round, read->index, std::move(done)});
  ScheduleTurn();
}

void Replica::ConfirmReads(raft::ReadRound confirmed) {
  while (!reads_.empty() && reads_.front().round <= confirmed) {
    OpenRead read = std::move(reads_.front());
    reads_.pop_front();
    waiting_reads_.fetch_sub(1);
    read.done(read.index);
  }
}

void Replica::FailReads(const absl::Status& why) {
  for (OpenRead& read : std::exchange(reads_, {})) {
    waiting_reads_.fetch_sub(1);
    read.done(why);
  }
}

}  // namespace raftmq::dledger
