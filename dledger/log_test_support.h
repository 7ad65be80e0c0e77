// LogUnderTest: a SegmentedLog on a MemoryFileSystem with runners turned by hand, and what its
// callbacks told. Shared by the tests of the log's storage.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/testing/fake_clock.h"
#include "base/testing/manual_task_runner.h"
#include "base/testing/memory_file_system.h"
#include "dledger/frame.h"
#include "dledger/log_files.h"
#include "dledger/segmented_log.h"

namespace raftmq::dledger {

inline constexpr int64_t kTestSegmentSize = 4096;

class LogUnderTest {
 public:
  explicit LogUnderTest(int64_t segment_size = kTestSegmentSize) : segment_size_(segment_size) {}

  // An empty log at /log, durably.
  absl::Status Create(const LogStart& start = {}) {
    RAFTMQ_RETURN_IF_ERROR(fs.CreateDirs("/log"));
    RAFTMQ_RETURN_IF_ERROR(fs.SyncDir("/"));
    RAFTMQ_RETURN_IF_ERROR(CreateLog(&fs, "/log", start));
    return fs.SyncDir("/log");
  }

  absl::Status Open(DamageAction on_damage = DamageAction::kStop) {
    Close();
    report = RecoveryReport();
    acked = LogIndex();
    failure = absl::OkStatus();
    failures = 0;
    options.fs = &fs;
    options.dir = "/log";
    options.segment_size = segment_size_;
    options.replica = &replica;
    options.writer = &writer;
    options.background = &background;
    options.on_damage = on_damage;
    options.damaged_flag = "/log/damaged";
    options.reserve_bytes = reserve_bytes;
    auto opened = SegmentedLog::Open(options, &report);
    if (!opened.ok()) return opened.status();
    log = *std::move(opened);
    acked = log->DurableIndex();
    log->SetCallbacks({
        .on_durable =
            [this](LogIndex index, Term term) {
              acked = index;
              acked_term = term;
            },
        .on_failure =
            [this](const absl::Status& status) {
              failure = status;
              ++failures;
            },
        .on_room = [this] { ++room_calls; },
    });
    return absl::OkStatus();
  }

  // As the end of a process: nothing that is posted runs any more.
  void Close() {
    log.reset();
    replica.Clear();
    writer.Clear();
    background.Clear();
  }

  // Runs what is posted until nothing is.
  void Settle() {
    while (background.RunDue() + writer.RunDue() + replica.RunDue() > 0) {
    }
  }

  // A sealed frame that follows the last one.
  std::pair<raft::EntryMeta, std::string> NextFrame(std::string_view body, Term term,
                                                    FrameType type = FrameType::kRecords) const {
    std::string frame(kFrameHeaderSize, '\0');
    frame.append(body);
    const LogPosition position =
        raft::PlaceFrame(log->EndPosition(), static_cast<int64_t>(frame.size()), segment_size_);
    const FrameHeader header =
        SealFrame(log->LastIndex() + 1, term, position, type, log->LastChainCrc(), frame);
    return {MetaOf(header), std::move(frame)};
  }

  absl::Status Append(std::string_view body, Term term = Term(1)) {
    auto [meta, frame] = NextFrame(body, term);
    return log->Append(meta, Bytes(std::move(frame)));
  }

  // Appends and makes durable.
  absl::Status AppendAndSettle(std::string_view body, Term term = Term(1)) {
    RAFTMQ_RETURN_IF_ERROR(Append(body, term));
    Settle();
    return failure;
  }

  // The body of an entry, read from memory or file.
  absl::StatusOr<std::string> Body(LogIndex index) const {
    RAFTMQ_ASSIGN_OR_RETURN(const raft::EntryMeta meta, log->EntryAt(index));
    RAFTMQ_ASSIGN_OR_RETURN(const Bytes frame, log->ReadSlice(std::span(&meta, 1)));
    return std::string(frame.view().substr(kFrameHeaderSize));
  }

  // All bodies, first to last; an unreadable one as its error.
  std::vector<std::string> Bodies() const {
    std::vector<std::string> bodies;
    for (LogIndex i = log->FirstIndex(); i <= log->LastIndex(); ++i) {
      const auto body = Body(i);
      bodies.push_back(body.ok() ? *body : body.status().ToString());
    }
    return bodies;
  }

  absl::Status Stop() {
    absl::Status stopped = absl::InternalError("not stopped");
    log->Stop([&](absl::Status status) { stopped = std::move(status); });
    Settle();
    return stopped;
  }

  std::string Segment(int64_t start) const { return SegmentPath("/log", LogPosition(start)); }

  FakeClock clock;
  ManualTaskRunner replica{&clock};
  ManualTaskRunner writer{&clock};
  ManualTaskRunner background{&clock};
  MemoryFileSystem fs;
  SegmentedLog::Options options;
  std::unique_ptr<SegmentedLog> log;
  RecoveryReport report;
  LogIndex acked;  // durable, as reported; at first what was there
  Term acked_term;
  absl::Status failure;
  int failures = 0;
  int room_calls = 0;
  int64_t reserve_bytes = 0;

 private:
  const int64_t segment_size_;
};

}  // namespace raftmq::dledger
