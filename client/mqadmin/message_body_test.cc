#include "client/mqadmin/message_body.h"

#include "base/gzip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/message_record.h"

namespace raftmq::mqadmin {
namespace {

TEST(MessageBody, ACompressedBodyIsShownAsItWasSent) {
  raftmq::v1::StoredMessage message;
  message.set_body(GzipCompress("an order", 5));
  message.set_sys_flag(store::sys_flag::kCompressed);
  EXPECT_EQ(BodyOf(message), "an order");
}

TEST(MessageBody, WhatIsNotCompressedOrCannotBeReadIsShownAsStored) {
  raftmq::v1::StoredMessage message;
  message.set_body("an order");
  EXPECT_EQ(BodyOf(message), "an order");
  message.set_sys_flag(store::sys_flag::kCompressed | store::sys_flag::kCompressionLz4);
  EXPECT_EQ(BodyOf(message), "an order");
}

}  // namespace
}  // namespace raftmq::mqadmin
