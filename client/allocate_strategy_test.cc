#include "client/allocate_strategy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <tuple>

#include "base/strings.h"

namespace raftmq::client {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

std::vector<MessageQueue> Queues(int count, const std::string& broker = "a") {
  std::vector<MessageQueue> queues;
  for (int i = 0; i < count; ++i) queues.push_back({"t", broker, QueueId(i)});
  return queues;
}

std::vector<std::string> Members(int count) {
  std::vector<std::string> members;
  for (int i = 0; i < count; ++i) members.push_back(StrCat("c", 10 + i));
  return members;
}

// How often each queue is given out over all members, by broker and number.
std::map<std::pair<std::string, int>, int> Owners(const AllocateStrategy& strategy,
                                                  const std::vector<MessageQueue>& queues,
                                                  const std::vector<std::string>& members) {
  std::map<std::pair<std::string, int>, int> owners;
  for (const std::string& member : members) {
    for (const MessageQueue& q : strategy->Allocate(member, queues, members)) {
      ++owners[{q.broker_name, q.queue.value()}];
    }
  }
  return owners;
}

std::vector<int> NumbersOf(const std::vector<MessageQueue>& queues) {
  std::vector<int> numbers;
  for (const MessageQueue& queue : queues) numbers.push_back(queue.queue.value());
  return numbers;
}

MachineRoomResolver ByFirstLetter() {
  return {[](const MessageQueue& queue) { return queue.broker_name.substr(0, 1); },
          [](const std::string& client) { return client.substr(0, 1); }};
}

TEST(AllocateStrategy, EveryQueueHasExactlyOneOwnerWhateverTheNumbers) {
  for (const AllocateStrategy& strategy :
       {AllocateMessageQueueAveragely(), AllocateMessageQueueAveragelyByCircle(),
        AllocateMessageQueueConsistentHash(),
        AllocateMachineRoomNearby(AllocateMessageQueueAveragely(), ByFirstLetter())}) {
    for (int queues = 0; queues <= 20; ++queues) {
      for (int members = 1; members <= 9; ++members) {
        const auto owners = Owners(strategy, Queues(queues), Members(members));
        EXPECT_THAT(owners, SizeIs(queues)) << strategy->name() << " with " << members;
        for (const auto& [queue, count] : owners) {
          EXPECT_EQ(count, 1) << strategy->name() << ": queue " << queue.second << " of " << queues
                              << ", " << members << " members";
        }
      }
    }
  }
}

TEST(AllocateStrategy, AveragelyGivesNeighboursAndTheFirstMembersOneMore) {
  const auto avg = AllocateMessageQueueAveragely();
  EXPECT_THAT(NumbersOf(avg->Allocate("c10", Queues(8), Members(3))), ElementsAre(0, 1, 2));
  EXPECT_THAT(NumbersOf(avg->Allocate("c11", Queues(8), Members(3))), ElementsAre(3, 4, 5));
  EXPECT_THAT(NumbersOf(avg->Allocate("c12", Queues(8), Members(3))), ElementsAre(6, 7));
  EXPECT_THAT(avg->Allocate("c12", Queues(2), Members(3)), IsEmpty()) << "surplus members idle";
  EXPECT_THAT(avg->Allocate("stranger", Queues(8), Members(3)), IsEmpty());
}

TEST(AllocateStrategy, ByCircleGivesInTurn) {
  const auto circle = AllocateMessageQueueAveragelyByCircle();
  EXPECT_THAT(NumbersOf(circle->Allocate("c10", Queues(8), Members(3))), ElementsAre(0, 3, 6));
  EXPECT_THAT(NumbersOf(circle->Allocate("c12", Queues(8), Members(3))), ElementsAre(2, 5));
}

TEST(AllocateStrategy, WithConsistentHashAMemberThatGoesMovesOnlyItsOwnQueues) {
  const auto hash = AllocateMessageQueueConsistentHash();
  const auto all = Members(4);
  const auto rest = Members(3);
  for (const std::string& member : rest) {
    const auto after = hash->Allocate(member, Queues(64), rest);
    for (const MessageQueue& queue : hash->Allocate(member, Queues(64), all)) {
      EXPECT_THAT(after, testing::Contains(queue));
    }
  }
}

TEST(AllocateStrategy, ByConfigGivesWhatIsConfiguredAndThere) {
  const auto config = AllocateMessageQueueByConfig({Queues(9)[1], Queues(9)[8]});
  EXPECT_THAT(NumbersOf(config->Allocate("c10", Queues(4), Members(3))), ElementsAre(1));
}

TEST(AllocateStrategy, ByMachineRoomSharesTheQueuesOfTheRooms) {
  auto queues = Queues(5, "hz@a");
  for (const MessageQueue& queue : Queues(5, "sh@b")) queues.push_back(queue);
  for (const MessageQueue& queue : Queues(5, "nowhere")) queues.push_back(queue);
  const auto owners = Owners(AllocateMessageQueueByMachineRoom({"hz"}), queues, Members(2));
  EXPECT_THAT(owners, SizeIs(5));
  for (const auto& [queue, count] : owners) {
    EXPECT_EQ(queue.first, "hz@a");
    EXPECT_EQ(count, 1);
  }
}

TEST(AllocateStrategy, NearbySharesARoomsQueuesWithinItAndThoseOfAnEmptyRoomByAll) {
  auto queues = Queues(4, "h");
  for (const MessageQueue& queue : Queues(4, "s")) queues.push_back(queue);
  for (const MessageQueue& queue : Queues(4, "x")) queues.push_back(queue);
  const std::vector<std::string> members = {"h1", "h2", "s1"};
  const auto nearby = AllocateMachineRoomNearby(AllocateMessageQueueAveragely(), ByFirstLetter());
  EXPECT_THAT(Owners(nearby, queues, members), SizeIs(12));
  std::map<std::string, int> of_s1;
  for (const MessageQueue& queue : nearby->Allocate("s1", queues, members)) {
    ++of_s1[queue.broker_name];
  }
  EXPECT_EQ(of_s1["s"], 4);
  EXPECT_EQ(of_s1["h"], 0);
  EXPECT_EQ(of_s1["x"], 1);
}

}  // namespace
}  // namespace raftmq::client
