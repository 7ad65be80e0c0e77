#include "broker/dead_letter_scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "base/testing/manual_task_runner.h"
#include "store/reason.h"

namespace raftmq::broker {
namespace {

using store::FinalLease;
using testing::ElementsAre;
using testing::IsEmpty;

// Last attempts in memory; answers at once.
class FakeQueues final : public store::DeadLetterQueues {
 public:
  explicit FakeQueues(Clock* clock) : clock_(clock) {}

  std::map<uint64_t, int64_t> ends;  // by lease id
  std::set<uint64_t> unreadable;
  std::vector<uint64_t> moved;
  absl::Status refuse_next;  // once: how the next search or move ends
  size_t largest_batch = 0;
  int searches = 0;

  void FindDue(size_t max, DueCallback done) override {
    ++searches;
    if (!refuse_next.ok()) return done(std::exchange(refuse_next, absl::OkStatus()));
    Due due;
    for (const auto& [id, end] : ends) {
      const int64_t left_ms = end - clock_->MonotonicMillis();
      if (left_ms <= 0) {
        if (due.leases.size() < max)
          due.leases.push_back({{"g", "t", QueueId(0), QueueOffset(0), id}, 3});
      } else {
        due.next_in_ms = std::min(left_ms, due.next_in_ms.value_or(left_ms));
      }
    }
    done(std::move(due));
  }
  void MoveDue(std::vector<FinalLease> due, MoveCallback done) override {
    largest_batch = std::max(largest_batch, due.size());
    std::vector<absl::Status> statuses;
    const absl::Status refused = std::exchange(refuse_move, absl::OkStatus());
    for (const FinalLease& lease : due) {
      const uint64_t id = lease.lease.lease_id;
      if (!refused.ok()) {
        statuses.push_back(refused);
      } else if (unreadable.contains(id)) {
        statuses.push_back(absl::DataLossError("unreadable"));
      } else {
        ends.erase(id);
        moved.push_back(id);
        statuses.push_back(absl::OkStatus());
      }
    }
    done(std::move(statuses));
  }
  void Forward(std::string, std::string, std::string, DoneCallback done) override {
    done(absl::UnimplementedError("not in this fake"));
  }
  void Redrive(store::RedriveRequest, store::RedriveCallback done) override {
    done(absl::UnimplementedError("not in this fake"));
  }

  absl::Status refuse_move;

 private:
  Clock* const clock_;
};

class DeadLetterSchedulerTest : public testing::Test {
 protected:
  void Add(uint64_t id, int64_t in_ms) {
    queues_.ends[id] = clock_.MonotonicMillis() + in_ms;
    scheduler_.OnEarlierFinalLease();
    timer_.RunDue();
  }
  void RunFor(int64_t ms) { timer_.RunFor(ms * 1'000'000); }

  FakeClock clock_;
  ManualTaskRunner timer_{&clock_};
  FakeQueues queues_{&clock_};
  std::vector<std::string> released_;
  DeadLetterScheduler scheduler_{{.max_batch = 2, .max_per_second = 100},
                                 &queues_,
                                 &clock_,
                                 &timer_,
                                 [this](const std::string& group, const std::string& topic) {
                                   released_.push_back(StrCat(group, "/", topic));
                                 }};
};

TEST_F(DeadLetterSchedulerTest, MovesAMessageWhenItsLastAttemptIsOverAndNotBefore) {
  scheduler_.SetLeading(true);
  Add(1, 5'000);
  RunFor(4'999);
  EXPECT_THAT(queues_.moved, IsEmpty());
  RunFor(1);
  EXPECT_THAT(queues_.moved, ElementsAre(1));
  EXPECT_THAT(released_, ElementsAre("g/t"));
}

TEST_F(DeadLetterSchedulerTest, IsWokenByAnEarlierOne) {
  scheduler_.SetLeading(true);
  Add(1, 60'000);
  Add(2, 10);
  RunFor(10);
  EXPECT_THAT(queues_.moved, ElementsAre(2));
}

TEST_F(DeadLetterSchedulerTest, DoesNothingUnlessThisMemberLeads) {
  Add(1, 10);
  RunFor(60'000);
  EXPECT_EQ(queues_.searches, 0);
  scheduler_.SetLeading(true);
  RunFor(1);
  EXPECT_THAT(queues_.moved, ElementsAre(1));
}

TEST_F(DeadLetterSchedulerTest, SleepsWhileThereIsNothingToWaitFor) {
  scheduler_.SetLeading(true);
  RunFor(3'600'000);
  EXPECT_EQ(queues_.searches, 1);
}

TEST_F(DeadLetterSchedulerTest, ABurstIsMovedAtTheBoundedRate) {
  scheduler_.SetLeading(true);
  for (uint64_t id = 1; id <= 100; ++id) queues_.ends[id] = clock_.MonotonicMillis();
  scheduler_.OnEarlierFinalLease();
  RunFor(500);
  EXPECT_LE(queues_.moved.size(), 52u);
  EXPECT_GE(queues_.moved.size(), 48u);
  EXPECT_LE(queues_.largest_batch, 2u);
  RunFor(1'000);
  EXPECT_EQ(queues_.moved.size(), 100u);
}

TEST_F(DeadLetterSchedulerTest, WhatIsRefusedIsTriedAgain) {
  scheduler_.SetLeading(true);
  queues_.refuse_next = store::Refuse(store::Reason::kBusy, "busy");
  queues_.refuse_move = store::Refuse(store::Reason::kBusy, "busy");
  Add(1, 0);
  EXPECT_THAT(queues_.moved, IsEmpty());
  RunFor(200);
  EXPECT_THAT(queues_.moved, ElementsAre(1));
}

TEST_F(DeadLetterSchedulerTest, AMessageThatCannotBeReadDoesNotHoldUpTheOthers) {
  scheduler_.SetLeading(true);
  queues_.unreadable = {1, 2};
  Add(1, 0);
  Add(2, 0);
  Add(3, 1);
  RunFor(1'000);
  EXPECT_THAT(queues_.moved, ElementsAre(3));
  queues_.unreadable.clear();
  RunFor(12'000);
  EXPECT_THAT(queues_.moved, ElementsAre(3, 1, 2));
}

}  // namespace
}  // namespace raftmq::broker
