// The small files of a member's directory. The first byte names the file; if it is odd, the content
// is sealed with its CRC here, so that mutations get past it.
#include <functional>

#include "absl/strings/str_format.h"
#include "base/crc.h"
#include "base/endian.h"
#include "base/strings.h"
#include "base/testing/memory_file_system.h"
#include "dledger/hard_state_file.h"
#include "dledger/identity.h"
#include "dledger/log_files.h"
#include "dledger/segment_index.h"
#include "glog/logging.h"
#include "tests/fuzz/fuzz_target.h"

namespace raftmq::fuzz {

using namespace raftmq::dledger;

namespace {

const std::string kDir = "/member";

struct SmallFile {
  std::string path;
  std::function<void(FileSystem*)> read;
};

const std::vector<SmallFile>& Files() {
  static const auto* const files = new std::vector<SmallFile>{
      {kDir + "/identity",
       [](FileSystem* fs) {
         if (auto identity = ReadIdentity(fs, kDir); identity.ok())
           CHECK_GT(identity->segment_size, 0);
       }},
      {kDir + "/current", [](FileSystem* fs) { (void)ReadLayout(fs, kDir); }},
      {kDir + "/configuration",
       [](FileSystem* fs) {
         if (auto read = ReadConfigurationCopy(fs, kDir); read.ok()) {
           CHECK_EQ(ValidateConfiguration(*read), absl::OkStatus());
         }
       }},
      {kDir + "/hardstate",
       [](FileSystem* fs) {
         if (auto state = HardStateFile(fs, kDir + "/hardstate").Read(); state.ok()) {
           CHECK_GE(state->term, Term(0));
         }
       }},
      {kDir + "/damaged",
       [](FileSystem* fs) {
         auto text = DamagedFlag(fs, kDir + "/damaged").Read();
         if (text.ok()) CHECK_GE(DamagedFlag::FoundIn(*text), Term(0));
       }},
      {kDir + "/gen-00000001/log-start",
       [](FileSystem* fs) { (void)ReadLogStart(fs, kDir + "/gen-00000001"); }},
      {kDir + "/gen-00000001/roll",
       [](FileSystem* fs) { (void)ReadRoll(fs, kDir + "/gen-00000001"); }},
  };
  return *files;
}

// Not in the table: it is read as bytes.
constexpr int kSegmentIndex = 7;

std::string Sealed(std::string_view text) {
  const size_t crc = text.rfind("crc=");
  text = text.substr(0, crc);
  return StrCat(text, absl::StrFormat("crc=%08x\n", Crc32c(text)));
}

MemoryFileSystem* MakeMember() {
  auto* fs = new MemoryFileSystem();
  Identity identity;
  identity.cluster = "DefaultCluster";
  identity.group = "broker-a";
  identity.member = MemberId(1);
  identity.incarnation = Incarnation(7);
  identity.segment_size = 1 << 20;
  CHECK_EQ(FormatDirectory(fs, kDir, identity), absl::OkStatus());
  GroupConfiguration configuration;
  configuration.members.push_back({MemberId(1), "n0", "mq0:40911", Incarnation(7)});
  CHECK_EQ(BootstrapMember(fs, kDir, configuration), absl::OkStatus());
  CHECK_EQ(HardStateFile(fs, kDir + "/hardstate").Write({Term(3), MemberId(1)}), absl::OkStatus());
  CHECK_EQ(DamagedFlag(fs, kDir + "/damaged").Set(Term(3), "a bad frame"), absl::OkStatus());
  CHECK_EQ(WriteRoll(fs, kDir + "/gen-00000001", LogPosition(1 << 20)), absl::OkStatus());
  return fs;
}

// Both of its CRCs, where it says that they are.
void SealIndex(std::string* bytes) {
  constexpr size_t kFixed = 88;
  if (bytes->size() < kFixed + 8) return;
  const auto runs = static_cast<size_t>(LoadBe<uint32_t>(bytes->data() + 80));
  if (runs > 1'000 || bytes->size() < kFixed + runs * 16 + 8) return;
  const size_t summary = kFixed + runs * 16;
  StoreBe<uint32_t>(bytes->data() + summary, Crc32c(std::string_view(*bytes).substr(0, summary)));
  const size_t end = bytes->size() - 4;
  StoreBe<uint32_t>(bytes->data() + end,
                    Crc32c(std::string_view(*bytes).substr(summary + 4, end - summary - 4)));
}

void ReadIndex(std::string bytes, bool sealed) {
  if (sealed) SealIndex(&bytes);
  auto index = SegmentIndex::Parse(bytes, LogPosition(0));
  if (!index.ok()) return;
  CHECK(!index->empty());
  CHECK(index->Encode() == bytes);
  (void)index->TermAt(index->before().index);
  (void)index->TermAt(index->last_index());
  (void)index->Nearest(index->last_index());
}

}  // namespace

void FuzzOne(std::string_view bytes) {
  if (bytes.empty()) return;
  static MemoryFileSystem* const fs = MakeMember();
  const int kind = static_cast<uint8_t>(bytes[0]) / 2 % (kSegmentIndex + 1);
  const bool sealed = static_cast<uint8_t>(bytes[0]) % 2 == 1;
  bytes.remove_prefix(1);
  if (kind == kSegmentIndex) return ReadIndex(std::string(bytes), sealed);
  const SmallFile& file = Files()[kind];
  auto before = ReadFile(fs, file.path);
  CHECK_EQ(before.status(), absl::OkStatus());
  CHECK_EQ(WriteFileAtomically(fs, file.path, sealed ? Sealed(bytes) : std::string(bytes)),
           absl::OkStatus());
  file.read(fs);
  // The others are read beside it.
  CHECK_EQ(WriteFileAtomically(fs, file.path, *before), absl::OkStatus());
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  const std::unique_ptr<MemoryFileSystem> fs(MakeMember());
  for (size_t i = 0; i < Files().size(); ++i) {
    auto content = ReadFile(fs.get(), Files()[i].path);
    CHECK_EQ(content.status(), absl::OkStatus()) << Files()[i].path;
    for (const int sealed : {0, 1}) {
      seeds.push_back(std::string(1, static_cast<char>(2 * i + sealed)) + *content);
    }
  }
  SegmentIndex index(LogPosition(0), {});
  raft::EntryMeta entry;
  for (int i = 1; i <= 3; ++i) {
    entry.index = LogIndex(i);
    entry.term = Term(i);
    entry.position = LogPosition(i * SegmentIndex::kPointDistance * 2);
    entry.size = 100;
    index.Add(entry, 5);
  }
  for (const int sealed : {0, 1}) {
    seeds.push_back(std::string(1, static_cast<char>(2 * kSegmentIndex + sealed)) + index.Encode());
  }
  return seeds;
}

}  // namespace raftmq::fuzz
