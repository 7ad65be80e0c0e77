// The list of open transactions that an operator is shown.
#include "broker/handlers/open_transactions.h"

#include <string>
#include <vector>

#include "broker/testing/fake_waiting_messages.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/message_encoding.h"
#include "store/message_properties.h"
#include "store/message_record.h"
#include "store/model.h"
#include "store/names.h"

namespace raftmq::broker {
namespace {

namespace adm = ::raftmq::v1;
using testing::ElementsAre;

class OpenTransactionsTest : public testing::Test {
 protected:
  void AddHalf(int64_t position, const std::string& topic, const std::string& id) {
    store::NewMessage message;
    message.topic = topic;
    message.message_id = id;
    message.body = "b";
    store::StoredAs where;
    where.waits_in = store::kHalfTopic;
    store::KnownSender sender;
    auto record = store::EncodeMessage(message, store::HostAddress(), where, &sender);
    CHECK(record.ok()) << record.status();
    store::FinishRecord(record->data(), record->size(), QueueId(0), QueueOffset(0),
                        LogPosition(position), 1'000);
    waiting_.records[LogPosition(position)] = *std::move(record);
    store::HalfMessage half;
    half.stored_ms = 1'000 + position;
    half.checks = 2;
    half.next_check_ms = 9'000;
    waiting_.open[LogPosition(position)] = half;
  }

  std::vector<std::string> Ids(const adm::ListTransactionsResponse& list) {
    std::vector<std::string> ids;
    for (const adm::OpenTransaction& row : list.transactions()) ids.push_back(row.message_id());
    return ids;
  }

  FakeWaitingMessages waiting_;
};

TEST_F(OpenTransactionsTest, OfOneTopicFromAPlaceOnAndNotTooMany) {
  for (int i = 0; i < 2'000; ++i) AddHalf(i, i % 2 == 0 ? "even" : "odd", StrCat("m", i));
  adm::ListTransactionsRequest request;
  request.set_max(2);
  EXPECT_THAT(Ids(ListOpenTransactions(waiting_, request)), ElementsAre("m0", "m1"));
  request.set_topic("odd");
  EXPECT_THAT(Ids(ListOpenTransactions(waiting_, request)), ElementsAre("m1", "m3"));
  request.set_from_position(1'998);
  const auto last = ListOpenTransactions(waiting_, request);
  EXPECT_THAT(Ids(last), ElementsAre("m1999"));
  EXPECT_EQ(last.open(), 2'000);
  request.set_from_position(0);
  request.set_max(1'000);
  EXPECT_EQ(ListOpenTransactions(waiting_, request).transactions_size(), 1'000);
}

TEST_F(OpenTransactionsTest, OneThatCannotBeReadIsShownWithoutItsNamesAndHidesNoOther) {
  AddHalf(100, "orders", "m1");
  AddHalf(200, "orders", "m2");
  AddHalf(300, "orders", "m3");
  waiting_.unreadable.insert(LogPosition(200));
  adm::ListTransactionsRequest request;
  request.set_topic("orders");
  const auto list = ListOpenTransactions(waiting_, request);
  ASSERT_THAT(Ids(list), ElementsAre("m1", "", "m3"));
  const adm::OpenTransaction& unreadable = list.transactions(1);
  EXPECT_EQ(unreadable.topic(), "");
  EXPECT_EQ(unreadable.transaction_id(), "");
  EXPECT_EQ(unreadable.position(), 200);
  EXPECT_EQ(unreadable.stored_ms(), 1'200);
  EXPECT_EQ(unreadable.checks(), 2);
  EXPECT_EQ(unreadable.next_check_ms(), 9'000);
  EXPECT_EQ(list.open(), 3);
}

TEST_F(OpenTransactionsTest, OneThatEndsWhileItIsListedIsLeftOut) {
  AddHalf(100, "orders", "m1");
  AddHalf(200, "orders", "m2");
  AddHalf(300, "orders", "m3");
  waiting_.unreadable.insert(LogPosition(200));
  waiting_.on_read = [this](LogPosition position) {
    if (position == LogPosition(200)) waiting_.open.erase(position);
  };
  EXPECT_THAT(Ids(ListOpenTransactions(waiting_, adm::ListTransactionsRequest())),
              ElementsAre("m1", "m3"));
}

}  // namespace
}  // namespace raftmq::broker
