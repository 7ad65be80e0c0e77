#include "client/queue_choice.h"

#include <set>

#include "base/testing/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace raftmq::client {
namespace {

using ::testing::Each;
using ::testing::Pair;
using ::testing::SizeIs;

BrokerRoute Broker(const std::string& name, int queues) {
  BrokerRoute broker{name, {name + ":8081"}, {}, {}};
  for (int i = 0; i < queues; ++i) {
    broker.readable_queues.push_back(i);
    broker.writable_queues.push_back(i);
  }
  return broker;
}

class QueueChoiceTest : public ::testing::Test {
 protected:
  QueueChoiceTest() {
    options_.sendLatencyFaultEnable = true;
    faults_ = std::make_unique<FaultStrategy>(options_, &clock_);
    choice_ = std::make_unique<QueueChoice>(faults_.get(), 17);
  }

  // How many of `sends` went to each queue, as "broker/queue".
  std::map<std::string, int> Spread(const TopicRoute& route, int sends,
                                    const std::string& avoid = "") {
    std::map<std::string, int> counts;
    for (int i = 0; i < sends; ++i) {
      const auto chosen = choice_->Next(route, avoid);
      if (chosen) ++counts[chosen->broker->name + "/" + std::to_string(*chosen->queue)];
    }
    return counts;
  }

  FakeClock clock_;
  FaultOptions options_;
  std::unique_ptr<FaultStrategy> faults_;
  std::unique_ptr<QueueChoice> choice_;
};

TEST_F(QueueChoiceTest, FourHundredSendsToFourQueuesAreAHundredEach) {
  const auto counts = Spread({"T", {Broker("a", 4)}}, 400);
  EXPECT_THAT(counts, SizeIs(4));
  EXPECT_THAT(counts, Each(Pair(testing::_, 100)));
}

TEST_F(QueueChoiceTest, SendsSpreadEvenlyOverTheQueuesOfAllBrokers) {
  const auto counts = Spread({"T", {Broker("a", 4), Broker("b", 2)}}, 600);
  EXPECT_THAT(counts, SizeIs(6));
  EXPECT_THAT(counts, Each(Pair(testing::_, 100)));
}

TEST_F(QueueChoiceTest, TopicsTakeTheirTurnsApart) {
  const TopicRoute one{"one", {Broker("a", 2)}};
  const TopicRoute two{"two", {Broker("a", 2)}};
  std::set<int32_t> queues;
  for (int i = 0; i < 2; ++i) {
    queues.insert(*choice_->Next(one, "")->queue);
    choice_->Next(two, "");
  }
  EXPECT_THAT(queues, SizeIs(2));
}

TEST_F(QueueChoiceTest, ARetryGoesToAnotherBrokerIfThereIsOne) {
  const auto counts = Spread({"T", {Broker("a", 4), Broker("b", 2)}}, 10, "a");
  EXPECT_EQ(counts.size(), 2u);
  EXPECT_TRUE(counts.contains("b/0") && counts.contains("b/1"));
  EXPECT_THAT(Spread({"T", {Broker("a", 4)}}, 4, "a"), SizeIs(4)) << "the only one is taken again";
}

TEST_F(QueueChoiceTest, ABrokerThatWasSlowIsLeftAloneUntilItsPauseIsOver) {
  const TopicRoute route{"T", {Broker("a", 1), Broker("b", 1)}};
  faults_->OnAnswer("a", 600);
  EXPECT_EQ(Spread(route, 10), (std::map<std::string, int>{{"b/0", 10}}));
  clock_.AdvanceMillis(2'000);
  EXPECT_THAT(Spread(route, 10), Each(Pair(testing::_, 5)));
}

TEST_F(QueueChoiceTest, WhenAllAreUnavailableTheRetryStillAvoidsTheLast) {
  const TopicRoute route{"T", {Broker("a", 1), Broker("b", 1)}};
  faults_->OnFailure("a");
  faults_->OnFailure("b");
  EXPECT_EQ(Spread(route, 4, "b"), (std::map<std::string, int>{{"a/0", 4}}));
  EXPECT_THAT(Spread(route, 4), SizeIs(2));
}

TEST_F(QueueChoiceTest, AMessageGroupStaysWithOneBrokerWhichPicksTheQueue) {
  const TopicRoute route{"T", {Broker("a", 4), Broker("b", 4), Broker("c", 4)}};
  std::set<std::string> used;
  for (int i = 0; i < 50; ++i) {
    const std::string group = "order-" + std::to_string(i);
    const auto chosen = QueueChoice::ForMessageGroup(route, group);
    EXPECT_EQ(chosen->queue, std::nullopt);
    EXPECT_EQ(QueueChoice::ForMessageGroup(route, group)->broker, chosen->broker);
    used.insert(chosen->broker->name);
  }
  EXPECT_THAT(used, SizeIs(3));
}

TEST_F(QueueChoiceTest, NothingIsChosenWhereNothingMayBeWritten) {
  BrokerRoute reading = Broker("a", 2);
  reading.writable_queues.clear();
  EXPECT_FALSE(choice_->Next({"T", {reading}}, "").has_value());
  EXPECT_FALSE(QueueChoice::ForMessageGroup({"T", {reading}}, "g").has_value());
}

}  // namespace
}  // namespace raftmq::client
