#include "dledger/frame.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "base/endian.h"
#include "base/random.h"
#include "base/strings.h"

namespace raftmq::dledger {
namespace {

const FrameLimits kLimits = FrameLimits::OfSegments(64 << 10);

// Computed by an independent program from the description in docs/formats.md.
constexpr char kGoldenFrame[] =
    "524d514600000035000000000000000700000000000000030000000000001000000000011a845537"
    "9a71bb4c0000000568656c6c6f";
constexpr char kGoldenNoOp[] =
    "524d514600000030000000000000000800000000000000030000000000001035"
    "0000000049e96aad0000000000000000";
constexpr char kGoldenBlank[] =
    "524d514200000060000000000000000000000000000000000000000000000fa0"
    "000000002410a5bc0000000000000000";

std::string Hex(std::string_view bytes) { return absl::BytesToHexString(ToAbsl(bytes)); }

std::string MakeFrame(LogIndex index, Term term, LogPosition position, FrameType type,
                      uint32_t chain, std::string_view body) {
  std::string frame(kFrameHeaderSize, '\xee');
  frame.append(body);
  SealFrame(index, term, position, type, chain, frame);
  return frame;
}

TEST(Frame, HasTheDocumentedBytes) {
  const std::string frame =
      MakeFrame(LogIndex(7), Term(3), LogPosition(4096), FrameType::kRecords, 0x01020304, "hello");
  EXPECT_EQ(Hex(frame), kGoldenFrame);
  const std::string noop =
      MakeFrame(LogIndex(8), Term(3), LogPosition(4096 + 53), FrameType::kNoOp, 0x1a845537, "");
  EXPECT_EQ(Hex(noop), kGoldenNoOp);
  char blank[kFrameHeaderSize];
  EncodeBlankFrame(LogPosition(4000), 96, blank);
  EXPECT_EQ(Hex({blank, sizeof(blank)}), kGoldenBlank);
}

TEST(Frame, IsReadBackAsItWasMade) {
  const std::string frame =
      MakeFrame(LogIndex(7), Term(3), LogPosition(4096), FrameType::kCommands, 99, "some command");
  const auto header = ParseFrame(frame + "what follows", kLimits);
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->index, LogIndex(7));
  EXPECT_EQ(header->term, Term(3));
  EXPECT_EQ(header->position, LogPosition(4096));
  EXPECT_EQ(header->end(), LogPosition(4096 + 60));
  EXPECT_EQ(header->type, FrameType::kCommands);
  EXPECT_EQ(header->body_size, 12);
  EXPECT_EQ(ChainCrc(99, *header), header->chain_crc);
  EXPECT_NE(ChainCrc(98, *header), header->chain_crc);
  EXPECT_EQ(ChainCrcField(frame.data()), header->chain_crc);
  const raft::EntryMeta meta = MetaOf(*header);
  EXPECT_EQ(meta.type, raft::EntryType::kNormal);
  EXPECT_EQ(meta.end(), header->end());
}

TEST(Frame, EveryFlippedBitIsFound) {
  const std::string good =
      MakeFrame(LogIndex(7), Term(3), LogPosition(4096), FrameType::kRecords, 5, "body of it");
  for (size_t byte = 0; byte < good.size(); ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[byte] ^= static_cast<char>(1 << bit);
      const auto header = ParseFrame(bad, kLimits);
      EXPECT_TRUE(!header.ok() || ChainCrc(5, *header) != header->chain_crc)
          << "byte " << byte << " bit " << bit;
    }
  }
}

TEST(Frame, AnIncompleteOneIsOutOfRange) {
  const std::string frame =
      MakeFrame(LogIndex(7), Term(3), LogPosition(4096), FrameType::kRecords, 5, "body");
  for (size_t size = 0; size < frame.size(); ++size) {
    EXPECT_TRUE(absl::IsOutOfRange(ParseFrame(frame.substr(0, size), kLimits).status())) << size;
  }
}

TEST(Frame, FieldsOutOfRangeAreRefused) {
  const std::string good =
      MakeFrame(LogIndex(1), Term(1), LogPosition(0), FrameType::kRecords, 0, "body");
  const auto with = [&](int at, auto value) {
    std::string bad = good;
    StoreBe(bad.data() + at, value);
    return ParseFrameHeader(bad, kLimits).status().code();
  };
  EXPECT_EQ(with(0, kBlankFrameMagic), absl::StatusCode::kDataLoss);
  EXPECT_EQ(with(4, int32_t{-1}), absl::StatusCode::kDataLoss);
  EXPECT_EQ(with(4, int32_t{47}), absl::StatusCode::kDataLoss);
  EXPECT_EQ(with(4, INT32_MAX), absl::StatusCode::kDataLoss);
  EXPECT_EQ(with(8, int64_t{0}), absl::StatusCode::kDataLoss);
  EXPECT_EQ(with(8, int64_t{-5}), absl::StatusCode::kDataLoss);
  EXPECT_EQ(with(16, int64_t{0}), absl::StatusCode::kDataLoss);
  EXPECT_EQ(with(16, INT64_MAX), absl::StatusCode::kDataLoss);
  EXPECT_EQ(with(24, int64_t{-1}), absl::StatusCode::kDataLoss);
  EXPECT_EQ(with(24, INT64_MAX), absl::StatusCode::kDataLoss);
  EXPECT_EQ(with(32, int32_t{4}), absl::StatusCode::kDataLoss);
  EXPECT_EQ(with(32, int32_t{-1}), absl::StatusCode::kDataLoss);
  EXPECT_EQ(with(44, int32_t{5}), absl::StatusCode::kDataLoss);
  EXPECT_EQ(with(44, int32_t{4}), absl::StatusCode::kOk);
}

TEST(Frame, GarbageNeverPasses) {
  for (uint64_t seed = 0; seed < 20000; ++seed) {
    Random random(seed);
    std::string bytes(random.Below(200), '\0');
    for (char& c : bytes) c = static_cast<char>(random.Next());
    // The magics get it past the first check.
    if (bytes.size() >= 8 && random.Chance(0.8)) {
      StoreBe(bytes.data(), random.Chance(0.5) ? kFrameMagic : kBlankFrameMagic);
      StoreBe(bytes.data() + 4, static_cast<int32_t>(bytes.size()));
    }
    EXPECT_FALSE(ParseFrame(bytes, kLimits).ok()) << "seed " << seed;
    EXPECT_FALSE(ParseBlankFrame(bytes, LogPosition(0)).ok()) << "seed " << seed;
  }
}

TEST(Frame, ABlankFrameKnowsItsPlaceAndSize) {
  char blank[kFrameHeaderSize];
  EncodeBlankFrame(LogPosition(4000), 96, blank);
  const std::string_view bytes(blank, sizeof(blank));
  EXPECT_EQ(*ParseBlankFrame(bytes, LogPosition(4000)), 96);
  EXPECT_TRUE(absl::IsDataLoss(ParseBlankFrame(bytes, LogPosition(4048)).status()));
  EXPECT_TRUE(absl::IsDataLoss(ParseFrame(bytes, kLimits).status()));
}

class SliceTest : public testing::Test {
 protected:
  void SetUp() override {
    uint32_t chain = 42;
    for (int i = 1; i <= 5; ++i) {
      const std::string frame = MakeFrame(
          LogIndex(i), Term(2), LogPosition(static_cast<int64_t>(slice_.size())),
          i == 1 ? FrameType::kNoOp : FrameType::kRecords, chain, i == 1 ? "" : StrCat("body ", i));
      const auto header = ParseFrame(frame, kLimits);
      metas_.push_back(MetaOf(*header));
      chain = header->chain_crc;
      slice_ += frame;
    }
    last_chain_ = chain;
  }
  std::string slice_;
  std::vector<raft::EntryMeta> metas_;
  uint32_t last_chain_ = 0;
};

TEST_F(SliceTest, AnIntactSliceGivesItsLastChainCrc) {
  const auto chain = CheckSlice(slice_, metas_, 42, kLimits);
  ASSERT_TRUE(chain.ok()) << chain.status();
  EXPECT_EQ(*chain, last_chain_);
}

TEST_F(SliceTest, AnotherHistoryIsFoundByTheChain) {
  EXPECT_TRUE(absl::IsDataLoss(CheckSlice(slice_, metas_, 43, kLimits).status()));
}

TEST_F(SliceTest, AnythingElseThanWhatWasAnnouncedIsRefused) {
  for (size_t i = 0; i < metas_.size(); ++i) {
    for (int field = 0; field < 5; ++field) {
      std::vector<raft::EntryMeta> metas = metas_;
      if (field == 0) ++metas[i].index;
      if (field == 1) ++metas[i].term;
      if (field == 2) ++metas[i].position;
      if (field == 3) ++metas[i].size;
      if (field == 4) metas[i].type = raft::EntryType::kConfiguration;
      EXPECT_FALSE(CheckSlice(slice_, metas, 42, kLimits).ok()) << i << " field " << field;
    }
  }
  EXPECT_FALSE(CheckSlice(slice_ + "x", metas_, 42, kLimits).ok());
  EXPECT_FALSE(CheckSlice(slice_.substr(0, slice_.size() - 1), metas_, 42, kLimits).ok());
  metas_.pop_back();
  EXPECT_FALSE(CheckSlice(slice_, metas_, 42, kLimits).ok());
}

TEST(Frame, BodiesOfALogsSegmentsAreBoundedByAQuarterOfThem) {
  EXPECT_EQ(MaxBodySize(4096), 1024 - 48);
  std::string body(static_cast<size_t>(MaxBodySize(4096)), 'x');
  const FrameLimits limits = FrameLimits::OfSegments(4096);
  const auto make = [&] {
    return MakeFrame(LogIndex(1), Term(1), LogPosition(0), FrameType::kRecords, 0, body);
  };
  EXPECT_TRUE(ParseFrame(make(), limits).ok());
  body += 'x';
  EXPECT_TRUE(absl::IsDataLoss(ParseFrame(make(), limits).status()));
}

}  // namespace
}  // namespace raftmq::dledger
