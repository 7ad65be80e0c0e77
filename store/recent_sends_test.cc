// The table of recent sends: what is found again, what is forgotten, and from where it is rebuilt.
#include "store/recent_sends.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/strings.h"
#include "base/testing/memory_file_system.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "store/message_encoding.h"
#include "store/model.h"

namespace raftmq::store {
namespace {

struct Sent {
  std::string id;
  int64_t position = 0;
  int64_t store_ms = 1'000;
  std::string client = "c";
  std::string body = "b";
  int64_t born_ms = 1'000;
  std::string topic = "T";
};

// The record of one, as the dispatcher has it.
class Record {
 public:
  explicit Record(const Sent& sent) {
    NewMessage message;
    message.topic = sent.topic;
    message.message_id = sent.id;
    message.client_id = sent.client;
    message.body = sent.body;
    message.born_ms = sent.born_ms;
    KnownSender sender;
    auto image = EncodeMessage(message, HostAddress(), {}, &sender);
    CHECK(image.ok()) << image.status();
    bytes_ = *std::move(image);
    FinishRecord(bytes_.data(), bytes_.size(), QueueId(3), QueueOffset(sent.position * 2),
                 LogPosition(sent.position), sent.store_ms);
    auto header = ReadRecordHeader(bytes_);
    CHECK(header.ok()) << header.status();
    header_ = *header;
  }
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;

  const RecordHeaderView& header() const { return header_; }
  std::string_view bytes() const { return bytes_; }

 private:
  std::string bytes_;
  RecordHeaderView header_;
};

SendIdentity IdentityOf(const Sent& sent) {
  return IdentityOf(ClientHash(sent.client), sent.topic, sent.id,
                    ReadRecordStamp(Record(sent).bytes()));
}

class RecentSendsTest : public testing::Test {
 protected:
  void Open(RecentSends::Options options) {
    auto opened = RecentSends::Open(&fs_, "/sends.mark", options);
    ASSERT_TRUE(opened.ok()) << opened.status();
    sends_ = *std::move(opened);
  }

  void Apply(const Sent& sent, int64_t entry = 1) {
    const Record record(sent);
    sends_->Apply({&record.header(), 1}, LogIndex(entry));
  }

  void Propose(const Sent& sent) {
    sends_->AddPending(IdentityOf(sent), {QueueId(3), QueueOffset(sent.position * 2),
                                          LogPosition(sent.position), sent.store_ms});
  }

  // Where the first one is, of a send that comes at `store_ms`; -1: it is new.
  int64_t Find(const Sent& sent) const {
    const SendIdentity identity = IdentityOf(sent);
    const auto found = sends_->Find(sent.topic, {&identity, 1}, sent.store_ms);
    if (found.empty()) return -1;
    EXPECT_EQ(found[0]->queue, QueueId(3));
    EXPECT_EQ(found[0]->offset.value(), found[0]->position.value() * 2);
    return found[0]->position.value();
  }

  MemoryFileSystem fs_;
  std::unique_ptr<RecentSends> sends_;
};

TEST_F(RecentSendsTest, ASendIsFoundByClientTopicIdBodyAndAboutItsBornTime) {
  Open({.born_slack_ms = 500});
  const Sent first{.id = "m", .position = 100};
  Apply(first);
  EXPECT_EQ(Find(first), 100);
  Sent later_try = first;  // an official client stamps each try
  later_try.born_ms += 500;
  EXPECT_EQ(Find(later_try), 100);
  Sent earlier_clock = first;
  earlier_clock.born_ms -= 500;
  EXPECT_EQ(Find(earlier_clock), 100);

  Sent other = first;
  other.client = "d";
  EXPECT_EQ(Find(other), -1);
  other = first;
  other.topic = "U";
  EXPECT_EQ(Find(other), -1);
  other = first;
  other.id = "n";
  EXPECT_EQ(Find(other), -1);
  other = first;
  other.body = "c";
  EXPECT_EQ(Find(other), -1);
  other = first;
  other.born_ms += 501;
  EXPECT_EQ(Find(other), -1);
  other.born_ms = std::numeric_limits<int64_t>::min();
  EXPECT_EQ(Find(other), -1);
  EXPECT_EQ(sends_->found(), 3);
}

TEST_F(RecentSendsTest, WhatHasNoClientOrNoIdIsNeverARepetition) {
  Open({});
  const Sent nobody{.id = "m", .position = 100, .client = ""};
  const Sent nameless{.id = "", .position = 200};
  Apply(nobody);
  Apply(nameless);
  EXPECT_EQ(Find(nobody), -1);
  EXPECT_EQ(Find(nameless), -1);
  EXPECT_EQ(sends_->size(), 0u);
}

TEST_F(RecentSendsTest, DifferentMessagesOfOneIdAreEachFoundAgain) {
  Open({});
  for (int i = 0; i < 5; ++i) {
    Apply({.id = "m", .position = 100 + i, .body = StrCat("body", i)});
  }
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Find({.id = "m", .body = StrCat("body", i)}), 100 + i);
  }
}

TEST_F(RecentSendsTest, AClientThatUsesOneIdForEverythingCostsAFewLooks) {
  Open({.max_messages = 20'000});
  for (int i = 0; i < 50'000; ++i) Apply({.id = "m", .position = i, .body = StrCat("body", i)});
  EXPECT_EQ(Find({.id = "m", .body = "body49999"}), 49'999);
  EXPECT_EQ(Find({.id = "m", .body = "body40000"}), -1);  // among too many of its id
  EXPECT_EQ(sends_->size(), 20'000u);
}

TEST_F(RecentSendsTest, TheWindowEndsByCount) {
  Open({.max_messages = 3});
  for (int i = 1; i <= 4; ++i) Apply({.id = StrCat("m", i), .position = i});
  EXPECT_EQ(Find({.id = "m1"}), -1);
  for (int i = 2; i <= 4; ++i) EXPECT_EQ(Find({.id = StrCat("m", i)}), i);
  EXPECT_EQ(sends_->size(), 3u);
}

TEST_F(RecentSendsTest, TheWindowEndsByLogTime) {
  Open({.window_ms = 100});
  Apply({.id = "m1", .position = 1, .store_ms = 1'000});
  Apply({.id = "m2", .position = 2, .store_ms = 1'050});
  EXPECT_EQ(Find({.id = "m1", .store_ms = 1'100}), 1);
  EXPECT_EQ(Find({.id = "m1", .store_ms = 1'101}), -1);
  EXPECT_EQ(Find({.id = "m2", .store_ms = 1'101}), 2);
  Apply({.id = "m3", .position = 3, .store_ms = 1'151});
  EXPECT_EQ(sends_->size(), 1u);  // memory goes with the window
  sends_->Freeze(LogIndex(9), 5'000);
  EXPECT_EQ(sends_->size(), 0u);
}

TEST_F(RecentSendsTest, NothingIsRememberedWithACountOfZero) {
  Open({.max_messages = 0});
  Apply({.id = "m", .position = 1});
  Propose({.id = "n", .position = 2});
  EXPECT_EQ(Find({.id = "m"}), -1);
  EXPECT_EQ(sends_->mark(), LogIndex(std::numeric_limits<int64_t>::max()));
}

TEST_F(RecentSendsTest, WhatIsProposedIsFoundAndWhenItIsAppliedItIsThereOnce) {
  Open({});
  Propose({.id = "m1", .position = 1});
  Propose({.id = "m2", .position = 2});
  EXPECT_EQ(Find({.id = "m2"}), 2);
  Apply({.id = "m1", .position = 1});
  Apply({.id = "m2", .position = 2});
  Apply({.id = "m3", .position = 3});  // somebody else's
  EXPECT_EQ(sends_->size(), 3u);
  sends_->DropPending();
  EXPECT_EQ(sends_->size(), 3u);
  EXPECT_EQ(Find({.id = "m3"}), 3);
}

TEST_F(RecentSendsTest, WhatWasProposedAndLostIsForgottenAndTheOlderOneOfItsIdIsBack) {
  Open({});
  Apply({.id = "m", .position = 1, .body = "old"});
  Propose({.id = "m", .position = 2, .body = "new"});
  Propose({.id = "n", .position = 3});
  sends_->DropPending();
  EXPECT_EQ(Find({.id = "m", .body = "new"}), -1);
  EXPECT_EQ(Find({.id = "n"}), -1);
  EXPECT_EQ(Find({.id = "m", .body = "old"}), 1);
  // It may be in another leader's log all the same.
  Apply({.id = "m", .position = 2, .body = "new"});
  EXPECT_EQ(Find({.id = "m", .body = "new"}), 2);
}

TEST_F(RecentSendsTest, MoreProposalsThanTheWindowHoldsPushOutTheOldestOfThem) {
  Open({.max_messages = 2});
  for (int i = 1; i <= 5; ++i) Propose({.id = StrCat("m", i), .position = i});
  for (int i = 1; i <= 4; ++i) Apply({.id = StrCat("m", i), .position = i});
  EXPECT_EQ(Find({.id = "m4"}), 4);
  EXPECT_EQ(Find({.id = "m5"}), 5);
  sends_->DropPending();
  EXPECT_EQ(Find({.id = "m4"}), 4);
  EXPECT_EQ(Find({.id = "m5"}), -1);
}

TEST_F(RecentSendsTest, ADeletedTopicsMessagesAreGoneWithIt) {
  Open({});
  Apply({.id = "m", .position = 1});
  Apply({.id = "m", .position = 2, .topic = "U"});
  Propose({.id = "n", .position = 3});
  sends_->PendingDeletion("T");
  EXPECT_EQ(Find({.id = "m"}), -1);
  EXPECT_EQ(Find({.id = "n"}), -1);
  EXPECT_EQ(Find({.id = "m", .topic = "U"}), 2);
  Propose({.id = "n", .position = 4});  // to a new topic of that name
  EXPECT_EQ(Find({.id = "n"}), 4);
  // The deletion is applied.
  Apply({.id = "n", .position = 3});
  sends_->ApplyDeletion("T");
  Apply({.id = "n", .position = 4});
  EXPECT_EQ(Find({.id = "m"}), -1);
  EXPECT_EQ(Find({.id = "n"}), 4);
}

TEST_F(RecentSendsTest, ADeletionThatIsLostWithItsLeaderDeletesNothing) {
  Open({});
  Apply({.id = "m", .position = 1});
  sends_->PendingDeletion("T");
  EXPECT_EQ(Find({.id = "m"}), -1);
  sends_->DropPending();
  EXPECT_EQ(Find({.id = "m"}), 1);
}

TEST_F(RecentSendsTest, TheMarkIsShortlyBeforeTheFirstOneInTheWindow) {
  Open({.max_messages = 3'000});
  for (int i = 1; i <= 10'000; ++i) Apply({.id = StrCat("m", i), .position = i}, /*entry=*/i);
  sends_->Freeze(LogIndex(10'000), 1'000);
  ASSERT_TRUE(sends_->WriteFrozen().ok());
  const LogIndex mark = sends_->mark();
  EXPECT_LT(mark, LogIndex(7'001));
  EXPECT_GT(mark, LogIndex(5'900));

  // What is after the mark makes an equal table.
  Open({.max_messages = 3'000});
  EXPECT_EQ(sends_->mark(), mark);
  for (int64_t i = mark.value() + 1; i <= 10'000; ++i) Apply({.id = StrCat("m", i), .position = i});
  EXPECT_EQ(Find({.id = "m7000"}), -1);
  EXPECT_EQ(Find({.id = "m7001"}), 7'001);
  EXPECT_EQ(sends_->size(), 3'000u);
}

TEST_F(RecentSendsTest, NothingInTheWindowNeedsNoReplayAndTheMarkNeverGoesBack) {
  Open({.window_ms = 100});
  Apply({.id = "m", .position = 1, .store_ms = 1'000}, 5);
  sends_->Freeze(LogIndex(9), 2'000);
  ASSERT_TRUE(sends_->WriteFrozen().ok());
  EXPECT_EQ(sends_->mark(), LogIndex(9));
  Open({.window_ms = 100});
  sends_->Freeze(LogIndex(0), 0);  // nothing was applied since the start
  ASSERT_TRUE(sends_->WriteFrozen().ok());
  EXPECT_EQ(sends_->mark(), LogIndex(9));
}

TEST_F(RecentSendsTest, AMarkThatIsMissingOrDamagedAsksForTheWholeLog) {
  Open({});
  EXPECT_EQ(sends_->mark(), LogIndex(0));
  sends_->Freeze(LogIndex(9), 0);
  ASSERT_TRUE(sends_->WriteFrozen().ok());
  auto bytes = ReadFile(&fs_, "/sends.mark");
  ASSERT_TRUE(bytes.ok());
  // Golden: magic, version, index, CRC-32C.
  EXPECT_EQ(bytes->substr(0, 20), std::string("RMQSENDS\0\0\0\1\0\0\0\0\0\0\0\x9", 20));
  EXPECT_EQ(bytes->size(), 24u);
  (*bytes)[19] ^= 1;
  ASSERT_TRUE(WriteFileAtomically(&fs_, "/sends.mark", *bytes).ok());
  Open({});
  EXPECT_EQ(sends_->mark(), LogIndex(0));
}

// Against a list that is searched from its end.
TEST_F(RecentSendsTest, AnyHistoryFindsWhatAPlainListFinds) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    const auto max = static_cast<size_t>(random.Between(1, 200));
    Open({.max_messages = max, .window_ms = 400, .born_slack_ms = 0});
    std::vector<Sent> log;
    size_t applied = 0;
    size_t from = 0;  // what is before was pushed out
    int64_t now = 1'000;
    for (int step = 0; step < 3'000; ++step) {
      now += random.Between(0, 5);
      const uint64_t what = random.Below(10);
      Sent sent{.id = StrCat("m", random.Below(300)),
                .position = step,
                .store_ms = now,
                .client = StrCat("c", random.Below(2)),
                .body = StrCat("b", random.Below(2)),
                .topic = random.Chance(0.8) ? "T" : "U"};
      if (what < 4) {
        Propose(sent);
        log.push_back(sent);
        if (log.size() > max) from = std::max(from, log.size() - max);
      } else if (what < 8) {
        if (applied < log.size()) Apply(log[applied++], step);
      } else if (what == 8 && random.Chance(0.1)) {
        sends_->DropPending();
        log.resize(applied);
        from = std::min(from, applied);
      } else {
        int64_t expected = -1;
        int same_key = 0;
        for (size_t i = log.size(); i-- > from && same_key < 8;) {
          if (log[i].store_ms < now - 400) break;
          if (log[i].id != sent.id || log[i].client != sent.client || log[i].topic != sent.topic) {
            continue;
          }
          ++same_key;
          if (log[i].body != sent.body) continue;
          expected = log[i].position;
          break;
        }
        ASSERT_EQ(Find(sent), expected) << "seed " << seed << " step " << step;
      }
      ASSERT_LE(sends_->size(), max);
    }
  }
}

}  // namespace
}  // namespace raftmq::store
