#include "client/process_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace raftmq::client {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<ReceivedMessage> At(std::vector<int64_t> offsets) {
  std::vector<ReceivedMessage> messages;
  for (const int64_t offset : offsets) {
    ReceivedMessage& message = messages.emplace_back();
    message.offset = QueueOffset(offset);
    message.body = "0123456789";
  }
  return messages;
}

std::vector<int64_t> OffsetsOf(const std::vector<ReceivedMessage>& messages) {
  std::vector<int64_t> offsets;
  for (const ReceivedMessage& message : messages) offsets.push_back(message.offset.value());
  return offsets;
}

TEST(ProcessQueue, OnlyWhatIsDoneWithoutAGapIsCommitted) {
  ProcessQueue queue(QueueOffset(5));
  EXPECT_EQ(queue.commit_offset(), QueueOffset(5));
  ASSERT_TRUE(queue.Put(0, At({5, 6, 8}), QueueOffset(10)));
  EXPECT_THAT(OffsetsOf(queue.Take(2)), ElementsAre(5, 6));
  queue.Done(QueueOffset(6));
  EXPECT_EQ(queue.commit_offset(), QueueOffset(5));
  queue.Done(QueueOffset(5));
  EXPECT_EQ(queue.commit_offset(), QueueOffset(8)) << "7 was filtered out";
  EXPECT_THAT(OffsetsOf(queue.Take(9)), ElementsAre(8));
  queue.Done(QueueOffset(8));
  EXPECT_EQ(queue.commit_offset(), QueueOffset(10)) << "9 was, too";
}

TEST(ProcessQueue, WhatIsPutBackComesNext) {
  ProcessQueue queue(QueueOffset(0));
  queue.Put(0, At({0, 1, 2}), QueueOffset(3));
  queue.PutBack(queue.Take(2));
  EXPECT_THAT(OffsetsOf(queue.Take(3)), ElementsAre(0, 1, 2));
  EXPECT_EQ(queue.commit_offset(), QueueOffset(0));
}

TEST(ProcessQueue, AnAnswerToAPullBeforeAResetIsDropped) {
  ProcessQueue queue(QueueOffset(0));
  const auto before = queue.next();
  queue.Put(before.generation, At({0}), QueueOffset(1));
  const auto taken = queue.Take(1);
  queue.Reset(QueueOffset(100));
  EXPECT_FALSE(queue.Put(before.generation, At({1}), QueueOffset(2)));
  queue.Done(QueueOffset(0));  // comes late
  queue.PutBack(taken);
  EXPECT_THAT(queue.Take(9), IsEmpty());
  EXPECT_EQ(queue.commit_offset(), QueueOffset(100));
  EXPECT_EQ(queue.next().offset, QueueOffset(100));
}

TEST(ProcessQueue, IsFullByCountByBytesAndBySpan) {
  ProcessQueue queue(QueueOffset(0));
  EXPECT_FALSE(queue.Full({.pullThresholdForQueue = 0}));
  queue.Put(0, At({0, 1}), QueueOffset(2));
  EXPECT_TRUE(queue.Full({.pullThresholdForQueue = 2}));
  EXPECT_FALSE(queue.Full({.pullThresholdForQueue = 3}));
  EXPECT_TRUE(queue.Full({.pullThresholdSizeForQueue = 20}));
  EXPECT_FALSE(queue.Full({.pullThresholdSizeForQueue = 21}));
  queue.Take(2);
  queue.Done(QueueOffset(1));
  queue.Put(0, {}, QueueOffset(11));
  EXPECT_TRUE(queue.Full({.consumeConcurrentlyMaxSpan = 10}));
  EXPECT_FALSE(queue.Full({.consumeConcurrentlyMaxSpan = 11}));
  queue.Done(QueueOffset(0));
  EXPECT_FALSE(queue.Full({.consumeConcurrentlyMaxSpan = 1})) << "nothing is held";
}

}  // namespace
}  // namespace raftmq::client
