// 100,000 dead letters on their way back at a rate, among other groups and ordinary messages.

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "base/strings.h"
#include "client/mqadmin/send_rate.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/message_record.h"
#include "store/testing/store_harness.h"

namespace raftmq::store {
namespace {

using mqadmin::SendRate;
using testing::HasSubstr;

constexpr int kLetters = 100'000;
constexpr int kAtOnce = 5'000;
constexpr int64_t kMaxPerCall = 256;  // as mqadmin has it
constexpr double kRate = 5'000;
constexpr char kFailing[] = "failing";

class RedriveCampaign : public testing::Test {
 protected:
  RedriveCampaign() : member_(&log_, "redrive_campaign", {}) {
    member_.Start();
    member_.MakeTopic("T", 4);
    GroupConfig group;
    group.name = kFailing;
    group.retry_max_times = 0;
    CHECK(member_.UpdateGroup(group).ok());
  }

  ReceiveResult Receive(const std::string& group, const std::vector<std::string>& tags = {}) {
    ReceiveRequest request;
    request.group = group;
    request.topic = "T";
    request.max_messages = 32;
    request.invisible_ms = 1'000;
    request.filter.tags = tags;
    request.client_id = "tester";
    auto result = member_.Receive(std::move(request));
    CHECK(result.ok()) << result.status();
    return *std::move(result);
  }

  // How often the group gets each body; all acked.
  std::map<std::string, int> Drain(const std::string& group,
                                   const std::vector<std::string>& tags = {}) {
    std::map<std::string, int> got;
    for (;;) {
      const ReceiveResult result = Receive(group, tags);
      if (result.deliveries.empty() && result.next_visible_in_ms != 0) return got;
      std::vector<std::string> handles;
      for (const Delivery& delivery : result.deliveries) {
        ++got[BodyOf(delivery.record)];
        handles.push_back(delivery.receipt_handle);
      }
      for (const absl::Status& acked : member_.Ack(group, "T", handles)) CHECK(acked.ok()) << acked;
    }
  }

  void Kill() {
    for (int sent = 0; sent < kLetters; sent += kAtOnce) {
      for (int i = 0; i < kAtOnce; i += 100) {
        std::vector<NewMessage> batch;
        for (int j = 0; j < 100; ++j) {
          batch.push_back(MessageOf("T", StrCat("letter ", sent + i + j), "red"));
        }
        CHECK(member_.Send(std::move(batch)).ok());
      }
      while (!Receive(kFailing).deliveries.empty()) {
      }
      member_.clock().AdvanceMillis(1'001);
      int dead = 0;
      while (const int more = member_.DeadLetterDue()) dead += more;
      CHECK_EQ(dead, kAtOnce);
    }
  }

  // What mqadmin does, from the front, until so many are sent or there are no more. How many were.
  int64_t SendBack(SendRate* rate, int64_t count) {
    RedriveRequest request;
    request.group = kFailing;
    int64_t sent = 0;
    while (sent < count) {
      request.max_messages =
          static_cast<int32_t>(std::min<int64_t>(rate->BeginBatch(kMaxPerCall), count - sent));
      const auto result = member_.Redrive(request);
      CHECK(result.ok()) << result.status();
      for (const RedrivenMessage& message : result->messages) CHECK(message.status.ok());
      const auto batch = static_cast<int64_t>(result->messages.size());
      sent_at_.insert(sent_at_.end(), batch, member_.clock().MonotonicNanos());
      done_before_ += result->done_before;
      sent += batch;
      member_.clock().Advance(rate->EndBatch(batch));
      request.from = result->next;
      if (result->next == result->end) break;
    }
    return sent;
  }

  FakeLog log_;
  StoreHarness member_;
  std::vector<int64_t> sent_at_;  // nanoseconds
  int64_t done_before_ = 0;
};

TEST_F(RedriveCampaign, EachComesOnceToTheGroupThatFailedAndToNoOtherAtTheRate) {
  for (const char* group : {"plain", "tagged"}) Receive(group);  // they begin
  Kill();
  ASSERT_EQ(Drain("plain").size(), kLetters) << "as sent at first";
  ASSERT_EQ(Drain("tagged", {"red"}).size(), kLetters);

  SendRate first(kRate, &member_.clock());
  ASSERT_EQ(SendBack(&first, kLetters / 3), kLetters / 3);
  member_.SendOne("T", "ordinary", "red");
  member_.clock().AdvanceMillis(60'000);  // the command is stopped, and goes on
  ASSERT_EQ(SendBack(&first, kLetters / 3), kLetters / 3);
  member_.Kill();  // it ends with the broker, and another one begins from the front
  member_.Start();
  SendRate second(kRate, &member_.clock());
  done_before_ = 0;
  ASSERT_EQ(SendBack(&second, kLetters), kLetters - 2 * (kLetters / 3));
  EXPECT_EQ(done_before_, 2 * (kLetters / 3));

  // Between any two moments no more than the rate allows, and a batch.
  double least = std::numeric_limits<double>::max();
  for (size_t i = 0; i < sent_at_.size(); ++i) {
    const double ahead = static_cast<double>(i) - kRate * static_cast<double>(sent_at_[i]) / 1e9;
    least = std::min(least, ahead);
    ASSERT_LE(ahead - least, kMaxPerCall) << "letter " << i;
  }
  const double took = static_cast<double>(sent_at_.back() - sent_at_.front()) / 1e9 - 60;
  EXPECT_LT(took, kLetters / kRate + 1) << "nor is it slower";

  // A run after the last one finds them all done.
  done_before_ = 0;
  EXPECT_EQ(SendBack(&second, kLetters), 0);
  EXPECT_EQ(done_before_, kLetters);
  EXPECT_THAT(member_.Dump(),
              HasSubstr(StrCat("redriven %DLQ%", kFailing, " 0 from=0 to=", kLetters)));

  const std::map<std::string, int> again = Drain(kFailing);
  EXPECT_EQ(again.size(), kLetters + 1u);
  for (const auto& [body, times] : again) ASSERT_EQ(times, 1) << body;
  const std::map<std::string, int> ordinary = {{"ordinary", 1}};
  EXPECT_EQ(Drain("plain"), ordinary);
  EXPECT_EQ(Drain("tagged", {"red"}), ordinary);
  for (const char* group : {kFailing, "plain", "tagged"}) {
    const auto rows = member_.store().GroupProgress(group);
    ASSERT_TRUE(rows.ok());
    for (const QueueProgress& row : *rows) EXPECT_EQ(row.commit_offset, row.max_offset) << group;
  }
}

}  // namespace
}  // namespace raftmq::store
