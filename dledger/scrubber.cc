#include "dledger/scrubber.h"

#include <algorithm>
#include <utility>

#include "glog/logging.h"

namespace raftmq::dledger {
namespace {

constexpr int64_t kNanosPerMilli = 1'000'000;
constexpr int64_t kNanosPerSecond = 1'000'000'000;

}  // namespace

Scrubber::Scrubber(ScrubOptions options, const SegmentedLog* log, TaskRunner* replica,
                   TaskRunner* background, OnRot on_rot)
    : options_(options),
      log_(log),
      replica_(replica),
      background_(background),
      on_rot_(std::move(on_rot)),
      alive_(std::make_shared<Scrubber*>(this)) {}

void Scrubber::Start() {
  if (options_.bytes_per_second > 0) ScheduleNext(options_.first_ms);
}

void Scrubber::ScheduleNext(int64_t delay_ms) {
  replica_->RunAfter(delay_ms * kNanosPerMilli, [weak = std::weak_ptr(alive_)] {
    if (const auto self = weak.lock()) (*self)->BeginSegment();
  });
}

void Scrubber::BeginSegment() {
  std::optional<SealedSegment> segment = log_->SealedFrom(next_);
  if (!segment.has_value()) {
    next_ = LogPosition(0);
    ScheduleNext(options_.pause_ms);
    return;
  }
  auto scrub = std::make_shared<SegmentScrub>(*std::move(segment), log_->segment_size());
  background_->Post([scrub = std::move(scrub), options = options_, replica = replica_,
                     background = background_, weak = std::weak_ptr(alive_)]() mutable {
    Step(std::move(scrub), options, replica, background, std::move(weak));
  });
}

// On the background runner, where the scrubber itself may be gone.
void Scrubber::Step(std::shared_ptr<SegmentScrub> scrub, ScrubOptions options, TaskRunner* replica,
                    TaskRunner* background, std::weak_ptr<Scrubber*> owner) {
  const absl::StatusOr<bool> ended = scrub->Step(options.step_bytes);
  if (ended.ok() && !*ended) {
    const int64_t pause = options.step_bytes * kNanosPerSecond / options.bytes_per_second;
    background->RunAfter(pause, [=]() mutable {
      Step(std::move(scrub), options, replica, background, std::move(owner));
    });
    return;
  }
  replica->Post([scrub = std::move(scrub), result = ended.status(), owner = std::move(owner)] {
    if (const auto self = owner.lock()) (*self)->EndSegment(*scrub, result);
  });
}

void Scrubber::EndSegment(const SegmentScrub& scrub, const absl::Status& result) {
  const LogPosition start = scrub.segment().start;
  if (absl::IsDataLoss(result) && log_->IsUncut(scrub.segment())) {
    on_rot_(result);
    return;
  }
  // It says nothing about what is in the file; the next pass tries again.
  LOG_IF(ERROR, !result.ok() && !absl::IsDataLoss(result))
      << "segment " << start << " could not be scrubbed: " << result;
  next_ = start + log_->segment_size();
  const int64_t rest = options_.step_bytes * 1'000 / options_.bytes_per_second;
  ScheduleNext(std::max<int64_t>(1, rest));
}

}  // namespace raftmq::dledger
