#include "broker/lite_scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/testing/fake_clock.h"
#include "base/testing/manual_task_runner.h"
#include "broker/testing/fake_lite_topics.h"

namespace raftmq::broker {
namespace {

class LiteSchedulerTest : public testing::Test {
 protected:
  void RunForSeconds(int64_t seconds) { timer_.RunFor(seconds * 1'000'000'000); }

  FakeClock clock_;
  ManualTaskRunner timer_{&clock_};
  FakeLiteTopics lite_topics_;
  std::set<std::string> alive_ = {"living"};
  LiteScheduler scheduler_{{}, &lite_topics_, &clock_, &timer_, [this](const std::string& client) {
                             return alive_.contains(client);
                           }};
};

TEST_F(LiteSchedulerTest, LooksEveryTenSecondsWhileItLeads) {
  RunForSeconds(60);
  EXPECT_EQ(lite_topics_.looks, 0);
  scheduler_.SetLeading(true);
  RunForSeconds(35);
  EXPECT_EQ(lite_topics_.looks, 4);
  scheduler_.SetLeading(false);
  RunForSeconds(60);
  EXPECT_EQ(lite_topics_.looks, 4);
}

TEST_F(LiteSchedulerTest, GoesOnSoonWhileThereIsMoreToDelete) {
  lite_topics_.idle = 256;
  scheduler_.SetLeading(true);
  RunForSeconds(1);
  EXPECT_EQ(lite_topics_.looks, 2);
}

TEST_F(LiteSchedulerTest, SilentClientsAreTakenOffOnceANewLeaderHasHeardAll) {
  for (const char* client : {"living", "silent"}) {
    store::LiteSubscribeRequest& row = lite_topics_.clients.emplace_back();
    row.client_id = client;
    row.group = "g";
    row.topic = "t";
    row.lite_topics = {"a"};
  }
  scheduler_.SetLeading(true);
  RunForSeconds(115);
  EXPECT_TRUE(lite_topics_.subscribed.empty());
  RunForSeconds(20);
  ASSERT_FALSE(lite_topics_.subscribed.empty());
  EXPECT_EQ(lite_topics_.subscribed[0].client_id, "silent");
  EXPECT_EQ(lite_topics_.subscribed[0].action, store::LiteSubscribeRequest::Action::kLeave);
  for (const auto& request : lite_topics_.subscribed) EXPECT_EQ(request.client_id, "silent");
}

}  // namespace
}  // namespace raftmq::broker
