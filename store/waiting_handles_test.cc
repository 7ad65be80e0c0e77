#include "store/waiting_handles.h"

#include "gtest/gtest.h"
#include "store/reason.h"

namespace raftmq::store {
namespace {

TEST(RecallHandle, ComesBackForItsTopicOnly) {
  const TimerRef timer{1'700'000'000'123, LogPosition(4096)};
  const std::string handle = EncodeRecallHandle("orders", timer);
  ASSERT_TRUE(ParseRecallHandle("orders", handle).ok());
  EXPECT_EQ(*ParseRecallHandle("orders", handle), timer);
  EXPECT_EQ(ReasonOf(ParseRecallHandle("bills", handle).status()), Reason::kInvalidReceiptHandle);
}

TEST(RecallHandle, OneThatWasChangedIsRefused) {
  const std::string handle = EncodeRecallHandle("orders", {1'700'000'000'123, LogPosition(4096)});
  for (size_t i = 0; i < handle.size(); ++i) {
    std::string changed = handle;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(ParseRecallHandle("orders", changed).ok()) << changed;
  }
  EXPECT_FALSE(ParseRecallHandle("orders", "").ok());
  EXPECT_FALSE(ParseRecallHandle("orders", handle + "A").ok());
}

TEST(TransactionId, ComesBackForItsTopicAndMessageOnly) {
  const HalfRef half{LogPosition(81'920)};
  const std::string id = EncodeTransactionId("orders", "01ID", half);
  ASSERT_TRUE(ParseTransactionId("orders", "01ID", id).ok());
  EXPECT_EQ(*ParseTransactionId("orders", "01ID", id), half);
  EXPECT_EQ(*ParseTransactionId(id), half);
  EXPECT_EQ(ReasonOf(ParseTransactionId("bills", "01ID", id).status()),
            Reason::kInvalidTransactionId);
  EXPECT_EQ(ReasonOf(ParseTransactionId("orders", "02ID", id).status()),
            Reason::kInvalidTransactionId);
  EXPECT_EQ(ReasonOf(ParseTransactionId("orders", "01ID", "").status()),
            Reason::kInvalidTransactionId);
}

TEST(TransactionId, ARecallHandleIsNone) {
  EXPECT_FALSE(ParseTransactionId(EncodeRecallHandle("orders", {1, LogPosition(2)})).ok());
}

}  // namespace
}  // namespace raftmq::store
