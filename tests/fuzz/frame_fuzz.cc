#include "base/bytes.h"
#include "base/endian.h"
#include "dledger/frame.h"
#include "glog/logging.h"
#include "tests/fuzz/fuzz_target.h"

namespace raftmq::fuzz {

using namespace raftmq::dledger;

void FuzzOne(std::string_view bytes) {
  const FrameLimits limits = FrameLimits::OfSegments(1 << 20);
  if (auto frame = ParseFrame(bytes, limits); frame.ok()) {
    CHECK_LE(static_cast<size_t>(frame->size), bytes.size());
    CHECK_EQ(frame->size, frame->body_size + kFrameHeaderSize);
    // What was accepted is written the same way again.
    std::string again(kFrameHeaderSize, '\0');
    EncodeFrameHeader(*frame, again.data());
    CHECK(again == bytes.substr(0, kFrameHeaderSize));
    const raft::EntryMeta meta = MetaOf(*frame);
    (void)CheckSlice(bytes, std::span(&meta, 1), 0, limits);
  }
  if (bytes.size() >= kFrameHeaderSize) {
    if (auto blank = ParseBlankFrame(bytes, LogPosition(LoadBe<int64_t>(bytes.data() + 24)));
        blank.ok()) {
      CHECK_GE(*blank, kFrameHeaderSize);
    }
  }
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  for (const FrameType type : {FrameType::kNoOp, FrameType::kRecords, FrameType::kCommands}) {
    std::string frame(kFrameHeaderSize, '\0');
    if (type != FrameType::kNoOp) frame += "a body of some length";
    SealFrame(LogIndex(7), Term(3), LogPosition(4096), type, 0x12345678, frame);
    seeds.push_back(std::move(frame));
  }
  std::string blank(64, '\0');
  EncodeBlankFrame(LogPosition(8192), 64, blank.data());
  seeds.push_back(std::move(blank));
  return seeds;
}

}  // namespace raftmq::fuzz
