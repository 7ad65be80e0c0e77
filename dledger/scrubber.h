// Scrubber: reads a log's sealed segments again and again, slowly, so that rot is found while other
// members still have what it destroyed.
//
// Made and used on the replica thread, which is told of rot; the reading runs on `background`, one
// small step at a time. May be destroyed on the replica thread at any time, or after the runners
// have stopped.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/ids.h"
#include "base/task_runner.h"
#include "dledger/segmented_log.h"

namespace raftmq::dledger {

struct ScrubOptions {
  int64_t first_ms = 300'000;          // after the start
  int64_t pause_ms = 3'600'000;        // between the end of a pass over the whole log and the next
  int64_t bytes_per_second = 8 << 20;  // 0: never
  int64_t step_bytes = 1 << 20;
};

class Scrubber {
 public:
  // Called once, with DataLoss that names the segment; then the scrubber rests for good.
  using OnRot = absl::AnyInvocable<void(const absl::Status&)>;

  // All outlive the last step.
  Scrubber(ScrubOptions options, const SegmentedLog* log, TaskRunner* replica,
           TaskRunner* background, OnRot on_rot);

  void Start();

 private:
  void ScheduleNext(int64_t delay_ms);
  void BeginSegment();
  static void Step(std::shared_ptr<SegmentScrub> scrub, ScrubOptions options, TaskRunner* replica,
                   TaskRunner* background, std::weak_ptr<Scrubber*> owner);
  void EndSegment(const SegmentScrub& scrub, const absl::Status& result);

  const ScrubOptions options_;
  const SegmentedLog* const log_;
  TaskRunner* const replica_;
  TaskRunner* const background_;
  OnRot on_rot_;
  LogPosition next_;                  // where the pass goes on
  std::shared_ptr<Scrubber*> alive_;  // what posted tasks hold weakly
};

}  // namespace raftmq::dledger
