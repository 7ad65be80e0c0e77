#include "store/receipt_handle.h"

#include <gtest/gtest.h>

#include "store/reason.h"

namespace raftmq::store {
namespace {

const ReceiptHandle kHandle{ReceiptNamesCrc("group", "topic"), QueueId(3), QueueOffset(1'000'000),
                            0xfedcba9876543210};

TEST(ReceiptHandle, ClientsKeepHandlesAcrossReleases) {
  std::string text = EncodeReceiptHandle(kHandle);
  EXPECT_EQ(text, "ASsCp58AAAADAAAAAAAPQkD-3LqYdlQyENfl9oM");
  absl::StatusOr<ReceiptHandle> parsed = ParseReceiptHandle(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(*parsed == kHandle);
}

TEST(ReceiptHandle, KnowsWhenItsLeaseEnds) {
  ReceiptHandle handle = kHandle;
  handle.lease_until_ms = 1'234'567;
  const std::string text = EncodeReceiptHandle(handle);
  EXPECT_EQ(text.size(), 50u);
  absl::StatusOr<ReceiptHandle> parsed = ParseReceiptHandle(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(*parsed == handle);
}

TEST(ReceiptHandle, EveryChangedCharacterIsNoticed) {
  const std::string text = EncodeReceiptHandle(kHandle);
  for (size_t i = 0; i < text.size(); ++i) {
    for (char c : std::string("Aa9-_+/=| \0\xff", 12)) {
      if (text[i] == c) continue;
      std::string bad = text;
      bad[i] = c;
      EXPECT_EQ(ReasonOf(ParseReceiptHandle(bad).status()), Reason::kInvalidReceiptHandle)
          << "character " << i << " as " << static_cast<int>(c);
    }
  }
}

TEST(ReceiptHandle, GarbageIsAnInvalidHandle) {
  const std::string text = EncodeReceiptHandle(kHandle);
  for (const std::string& bad :
       {std::string(), std::string("x"), text + "A", text.substr(1), text + "=",
        std::string(39, 'A'), std::string(50, 'A'), std::string(1 << 20, 'A')}) {
    EXPECT_EQ(ReasonOf(ParseReceiptHandle(bad).status()), Reason::kInvalidReceiptHandle);
  }
}

TEST(ReceiptHandle, NamesAreToldApart) {
  EXPECT_NE(ReceiptNamesCrc("ab", "c"), ReceiptNamesCrc("a", "bc"));
  EXPECT_NE(ReceiptNamesCrc("a", "b"), ReceiptNamesCrc("b", "a"));
}

}  // namespace
}  // namespace raftmq::store
