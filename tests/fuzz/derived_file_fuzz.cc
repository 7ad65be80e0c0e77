// The files that are derived from the log: consume queues, the message index, and their marks. The
// first byte names the file; where it is odd, a mark's CRC is put right here.
#include "base/crc.h"
#include "base/endian.h"
#include "base/strings.h"
#include "base/testing/memory_file_system.h"
#include "glog/logging.h"
#include "store/consume_queue_set.h"
#include "store/message_index.h"
#include "tests/fuzz/fuzz_target.h"

namespace raftmq::fuzz {

using namespace raftmq::store;

namespace {

enum Kind { kQueueMark, kQueueFile, kIndexMark, kIndexFile, kKinds };

constexpr int kEntries = 12;
// What is appended to a store that opens; not to one whose marks may lie about the log's end.
constexpr AppliedMark kNext{LogIndex(21), LogPosition(9'400)};

ConsumeQueueSet::Options QueueOptions() {
  ConsumeQueueSet::Options options;
  options.entries_per_file = 8;
  return options;
}

MessageIndex::Options IndexOptions() {
  MessageIndex::Options options;
  options.slots = 4;
  options.entries = 8;
  return options;
}

// A store with two files of each kind, the second one not full.
struct Derived {
  MemoryFileSystem fs;
  std::string index_file;  // the first

  Derived() {
    auto queues = ConsumeQueueSet::Open(&fs, "/s/consumequeue", QueueOptions());
    auto index = MessageIndex::Open(&fs, "/s/index", IndexOptions());
    CHECK(queues.ok() && index.ok());
    for (int i = 0; i < kEntries; ++i) {
      const LogPosition position(1'000 + i * 500);
      CHECK_EQ((*queues)->Append("T", QueueId(0), QueueOffset(i), {position, 400, i}),
               absl::OkStatus());
      (*index)->Add("T", StrCat("k", i % 3), position, 1'700'000'000'000 + i * 1'000);
    }
    const AppliedMark mark{LogIndex(20), LogPosition(1'000 + kEntries * 500)};
    CHECK_EQ((*queues)->Flush(mark), absl::OkStatus());
    CHECK_EQ((*index)->Close(mark), absl::OkStatus());
    const auto names = fs.List("/s/index");
    CHECK(names.ok() && names->size() == 3);
    index_file = StrCat("/s/index/", names->front());
  }

  std::string PathOf(Kind kind) const {
    switch (kind) {
      case kQueueMark:
        return "/s/consumequeue/queues.mark";
      case kQueueFile:
        return StrCat("/s/consumequeue/T/0/", std::string(20, '0'));
      case kIndexMark:
        return "/s/index/index.mark";
      default:
        return index_file;
    }
  }
};

void UseQueues(FileSystem* fs, bool append) {
  auto queues = ConsumeQueueSet::Open(fs, "/s/consumequeue", QueueOptions());
  if (!queues.ok()) return;
  (void)(*queues)->damaged();
  for (const auto& queue : (*queues)->List()) {
    const auto min = queue->MinOffset();
    if (!min.ok()) continue;
    const auto entries = queue->GetRange(*min, 100);
    if (entries.ok()) CHECK_LE(static_cast<int64_t>(entries->size()), queue->MaxOffset() - *min);
    (void)queue->Get(queue->MaxOffset() - 1);
    (void)queue->Verify();
  }
  if (!append) return;
  (void)(*queues)->Append("T", QueueId(0), QueueOffset(kEntries), {LogPosition(9'000), 400, 1});
  (void)(*queues)->Flush(kNext);
}

void UseIndex(FileSystem* fs, bool append) {
  auto index = MessageIndex::Open(fs, "/s/index", IndexOptions());
  if (!index.ok()) return;
  for (const char* key : {"k0", "k1", "none"}) {
    const auto found = (*index)->QueryByKey("T", key, {});
    if (found.ok()) CHECK_LE(found->size(), 32u);
  }
  (void)(*index)->QueryByTime({});
  (void)(*index)->Verify();
  if (!append) return;
  (*index)->Add("T", "k9", LogPosition(9'000), 1'700'000'100'000);
  (void)(*index)->Flush(kNext);
}

}  // namespace

void FuzzOne(std::string_view bytes) {
  if (bytes.empty()) return;
  FLAGS_minloglevel = google::GLOG_FATAL;  // each damage is logged, as it should be
  const auto kind = static_cast<Kind>(static_cast<uint8_t>(bytes[0]) / 2 % kKinds);
  const bool sealed = static_cast<uint8_t>(bytes[0]) % 2 == 1;
  std::string content(bytes.substr(1));
  if (sealed && (kind == kQueueMark || kind == kIndexMark) && content.size() >= 4) {
    const size_t end = content.size() - 4;
    StoreBe<uint32_t>(content.data() + end, Crc32c(std::string_view(content).substr(0, end)));
  }
  Derived derived;
  CHECK_EQ(WriteFileAtomically(&derived.fs, derived.PathOf(kind), content), absl::OkStatus());
  if (kind == kQueueMark || kind == kQueueFile) {
    UseQueues(&derived.fs, !sealed);
  } else {
    UseIndex(&derived.fs, !sealed);
  }
  // Nothing outside of the store was touched.
  const auto names = derived.fs.List("/");
  CHECK(names.ok() && names->size() == 1) << "a path led out of the store";
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  Derived derived;
  for (int kind = 0; kind < kKinds; ++kind) {
    auto content = ReadFile(&derived.fs, derived.PathOf(static_cast<Kind>(kind)));
    CHECK_EQ(content.status(), absl::OkStatus());
    for (const int sealed : {0, 1}) {
      seeds.push_back(std::string(1, static_cast<char>(2 * kind + sealed)) + *content);
    }
  }
  return seeds;
}

}  // namespace raftmq::fuzz
