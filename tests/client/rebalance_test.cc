// How the members of a group share queues, with every strategy: whatever changes, in the end each
// queue is held by one member, as the strategy has it over what there is.
#include <cstdlib>
#include <set>

#include "client/allocate_strategy.h"
#include "tests/client/grpc_push_consumers.h"

namespace raftmq::client {
namespace {

using ::testing::IsEmpty;

std::vector<std::string> NamesOf(const std::vector<MessageQueue>& queues) {
  std::vector<std::string> names;
  for (const MessageQueue& q : queues) {
    names.push_back(StrCat(q.topic, " ", q.broker_name, " ", q.queue));
  }
  std::sort(names.begin(), names.end());
  return names;
}

// HOST@PID@NUMBER@CHANCE: every second member is in the other room.
std::string RoomOf(const std::string& client_id) {
  const size_t pid = client_id.find('@');
  if (pid == std::string::npos) return "east";
  const size_t number = client_id.find('@', pid + 1) + 1;
  return std::atoi(client_id.c_str() + number) % 2 == 0 ? "east" : "west";
}

struct Case {
  std::string name;
  AllocateStrategy strategy;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

std::vector<Case> Cases() {
  MachineRoomResolver rooms;
  rooms.broker_deploy_in = [](const MessageQueue& queue) {
    return queue.broker_name.substr(0, queue.broker_name.find('@'));
  };
  rooms.consumer_deploy_in = RoomOf;
  return {{"Averagely", AllocateMessageQueueAveragely()},
          {"ByCircle", AllocateMessageQueueAveragelyByCircle()},
          {"ConsistentHash", AllocateMessageQueueConsistentHash()},
          {"MachineRoom", AllocateMessageQueueByMachineRoom({"east", "west"})},
          {"MachineRoomNearby",
           AllocateMachineRoomNearby(AllocateMessageQueueAveragely(), std::move(rooms))}};
}

class RebalanceTest : public PushConsumerTest {
 protected:
  void SetUp() override {
    PushConsumerTest::SetUp();
    group_names_ = {"east@a", "west@b"};
  }

  PushConsumerOptions With(const std::string& who, AllocateStrategy strategy) {
    PushConsumerOptions options = OptionsOf(who);
    options.allocateMessageQueueStrategy = std::move(strategy);
    options.pollNameServerInterval = 50;
    return options;
  }
  // So many queues of the topic at each of the groups, in the order that members have them.
  static std::vector<MessageQueue> Queues(const std::string& topic, int queues,
                                          const std::vector<std::string>& groups) {
    std::vector<MessageQueue> all;
    for (const std::string& group : groups) {
      for (int i = 0; i < queues; ++i) all.push_back({topic, group, QueueId(i)});
    }
    return all;
  }
  std::vector<std::string> Ids() const {
    std::vector<std::string> ids = other_ids_;
    for (const auto& [who, member] : members_) ids.push_back(member->client_id());
    std::sort(ids.begin(), ids.end());
    return ids;
  }
  // Until each member has what the strategy gives it of each topic's queues.
  void AwaitAllocated(const AllocateStrategy& strategy,
                      const std::vector<std::vector<MessageQueue>>& topics) {
    SCOPED_TRACE(strategy->name());
    std::map<std::string, std::vector<std::string>> wanted;
    std::set<std::string> once;
    size_t all = 0;
    for (const auto& [who, member] : members_) {
      std::vector<MessageQueue> mine;
      for (const auto& queues : topics) {
        for (MessageQueue& queue : strategy->Allocate(member->client_id(), queues, Ids())) {
          mine.push_back(std::move(queue));
        }
      }
      wanted[who] = NamesOf(mine);
      once.insert(wanted[who].begin(), wanted[who].end());
    }
    if (other_ids_.empty()) {
      for (const auto& queues : topics) all += queues.size();
      EXPECT_EQ(once.size(), all) << "every queue is somebody's";
    }
    WaitUntil([&] {
      for (const auto& [who, member] : members_) {
        if (NamesOf(member->AssignedQueues()) != wanted[who]) return false;
      }
      return true;
    });
  }
  // One message to each of the queues; all are consumed.
  void Consume(const std::vector<MessageQueue>& queues) {
    auto producer = StartProducer();
    for (const MessageQueue& queue : queues) {
      auto sent = producer->SendToQueue(Make(queue.topic, StrCat("m", sent_++)), queue);
      ASSERT_TRUE(sent.ok()) << sent.status();
    }
    WaitUntil([&] { return seen_.distinct() == sent_; });
  }

  std::map<std::string, std::unique_ptr<PushConsumer>> members_;
  std::vector<std::string> other_ids_;
  size_t sent_ = 0;
};

class EachStrategy : public RebalanceTest, public testing::WithParamInterface<Case> {};

TEST_P(EachStrategy, EveryQueueHasOneOwnerWhateverChanges) {
  const AllocateStrategy strategy = GetParam().strategy;
  StartGroups(2, 1);
  CreateTopic("orders", 3);
  CreateTopic("returns", 2);
  const std::vector<std::string> both = group_names_;
  auto orders = Queues("orders", 3, both);
  const auto returns = Queues("returns", 2, both);

  members_["a"] = Run(With("a", strategy));
  AwaitAllocated(strategy, {orders});
  for (const char* joins : {"b", "c", "d"}) {
    members_[joins] = Run(With(joins, strategy));
    AwaitAllocated(strategy, {orders});
  }
  Consume(orders);

  for (auto& [who, member] : members_) ASSERT_TRUE(member->Subscribe("returns", "*").ok());
  AwaitAllocated(strategy, {orders, returns});
  Consume(returns);
  for (auto& [who, member] : members_) member->Unsubscribe("returns");
  AwaitAllocated(strategy, {orders});

  CreateTopic("orders", 5);
  orders = Queues("orders", 5, both);
  AwaitAllocated(strategy, {orders});
  Consume(orders);

  members_.erase("b");
  AwaitAllocated(strategy, {orders});
  Consume(orders);
  EXPECT_THAT(seen_.Twice(), IsEmpty());

  groups_[1]->Stop(0);
  const auto half = Queues("orders", 5, {both[0]});
  AwaitAllocated(strategy, {half});
  Consume(half);
  groups_[1]->Start(0);
  AwaitAllocated(strategy, {orders});
  Consume(orders);
}

TEST_P(EachStrategy, ADeadMembersQueuesGoToThoseThatLive) {
  const AllocateStrategy strategy = GetParam().strategy;
  group_names_ = {"east@a"};
  StartGroups(1, 1);
  CreateTopic("orders", 6);
  const auto orders = Queues("orders", 6, group_names_);
  // Without a member in its room, a room's queues are everybody's.
  for (const char* who : {"a", "b"}) members_[who] = Run(With(who, strategy));
  AwaitAllocated(strategy, {orders});
  MemberByHand dying(groups_[0]->port(0), "workers");
  other_ids_ = {MemberByHand::kClientId};
  AwaitAllocated(strategy, {orders});
  for (const MessageQueue& queue : strategy->Allocate(MemberByHand::kClientId, orders, Ids())) {
    WaitUntil(
        [&] { return dying.Lock("workers", "orders", queue.queue.value(), 1'000).size() == 1; });
  }
  dying.Die();
  other_ids_.clear();
  AwaitAllocated(strategy, {orders});
  Consume(orders);
  EXPECT_THAT(seen_.Twice(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Strategies, EachStrategy, testing::ValuesIn(Cases()),
                         [](const auto& info) { return info.param.name; });

TEST_F(RebalanceTest, ByConfigEachMemberHasWhatItIsGivenAndASpareTakesOverWhatIsLeft) {
  StartGroups(2, 1);
  CreateTopic("orders", 2);
  const auto east = Queues("orders", 2, {group_names_[0]});
  const auto west = Queues("orders", 2, {group_names_[1]});
  const auto holds = [&](const std::string& who, const std::vector<MessageQueue>& queues) {
    return NamesOf(members_[who]->AssignedQueues()) == NamesOf(queues);
  };
  members_["a"] = Run(With("a", AllocateMessageQueueByConfig(east)));
  members_["b"] = Run(With("b", AllocateMessageQueueByConfig(west)));
  WaitUntil([&] { return holds("a", east) && holds("b", west); });
  auto all = east;
  all.insert(all.end(), west.begin(), west.end());
  Consume(all);
  // Configured to the same queues: it waits until they are let go of.
  members_["spare"] = Run(With("spare", AllocateMessageQueueByConfig(west)));
  Consume(all);
  EXPECT_TRUE(holds("b", west));
  EXPECT_THAT(members_["spare"]->AssignedQueues(), IsEmpty());
  members_.erase("b");
  WaitUntil([&] { return holds("a", east) && holds("spare", west); });
  Consume(all);
  EXPECT_THAT(seen_.Twice(), IsEmpty());
}

// The group that is first by name is away when one member starts, and is there when the next does.
TEST_F(RebalanceTest, MembersKnowEachOtherInWhateverOrderBrokerGroupsComeAndGo) {
  const AllocateStrategy strategy = AllocateMessageQueueAveragely();
  StartGroups(2, 1);
  CreateTopic("orders", 2);
  groups_[0]->Stop(0);
  AwaitRoute("orders", 1);
  members_["a"] = Run(With("a", strategy));
  AwaitAllocated(strategy, {Queues("orders", 2, {group_names_[1]})});
  groups_[0]->Start(0);
  AwaitRoute("orders", 2);
  members_["b"] = Run(With("b", strategy));
  const auto orders = Queues("orders", 2, group_names_);
  AwaitAllocated(strategy, {orders});
  // Who tells of members is gone: the other goes on telling.
  groups_[0]->Stop(0);
  members_["c"] = Run(With("c", strategy));
  AwaitAllocated(strategy, {Queues("orders", 2, {group_names_[1]})});
  groups_[0]->Start(0);
  AwaitAllocated(strategy, {orders});
  members_.erase("a");
  AwaitAllocated(strategy, {orders});
  Consume(orders);
}

TEST_F(RebalanceTest, WhileSuspendedQueuesAreKeptAndAfterResumeWhatCameMeanwhileIsConsumed) {
  const AllocateStrategy strategy = AllocateMessageQueueAveragelyByCircle();
  StartGroups(1, 1);
  CreateTopic("orders", 4);
  const auto orders = Queues("orders", 4, {group_names_[0]});
  members_["a"] = Run(With("a", strategy));
  members_["b"] = Run(With("b", strategy));
  AwaitAllocated(strategy, {orders});
  members_["a"]->Suspend();
  auto producer = StartProducer();
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(
        producer->SendToQueue(Make("orders", StrCat(i)), orders[static_cast<size_t>(i) % 4]).ok());
  }
  WaitUntil([&] { return seen_.of("b").size() == 20; });
  EXPECT_THAT(seen_.of("a"), IsEmpty());
  // What moves is another's to consume; what comes back waits for Resume.
  members_["c"] = Run(With("c", strategy));
  AwaitAllocated(strategy, {orders});
  members_.erase("c");
  AwaitAllocated(strategy, {orders});
  const size_t others = seen_.distinct();
  EXPECT_THAT(seen_.of("a"), IsEmpty());
  members_["a"]->Resume();
  WaitUntil([&] { return seen_.distinct() == 40; });
  EXPECT_EQ(seen_.of("a").size(), 40 - others);
  EXPECT_THAT(seen_.Twice(), IsEmpty());
}

}  // namespace
}  // namespace raftmq::client
