// Random histories of a log that is crashed at every step and in every way the file system knows.
//
// What must hold after each crash: the log is a prefix of one of the histories it went through, it
// holds at least everything that was reported durable, and it is not taken for damaged.
// A failure prints its seed and step; run with --gtest_filter and RAFTMQ_LOG_SEED=<seed> to repeat.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/strings.h"
#include "dledger/log_test_support.h"
#include "dledger/segmented_log.h"
#include "glog/logging.h"

namespace raftmq::dledger {
namespace {

using History = std::vector<std::string>;

// A log, and what it should hold.
class CrashedLog {
 public:
  CrashedLog() {
    FLAGS_minloglevel = google::GLOG_FATAL;  // thousands of crashes would be told of
    EXPECT_TRUE(t_.Create().ok());
    EXPECT_TRUE(t_.Open().ok());
  }

  // One random action. False when the file system has halted.
  bool Act(Random& random) {
    switch (random.Below(13)) {
      case 12:
        Drop(random);
        break;
      case 0:
        Truncate(random);
        break;
      case 1:
        t_.writer.RunFor(300'000'000);  // idle marks
        t_.replica.RunDue();
        break;
      case 2:
      case 3:
        t_.background.RunOne();
        break;
      case 4:
      case 5:
        t_.writer.RunOne();
        break;
      case 6:
        t_.replica.RunDue();
        break;
      case 7:
        t_.Settle();
        break;
      default:
        Append(random);
    }
    return !t_.fs.halted();
  }

  void Append(Random& random) {
    ++written_;
    const std::string body =
        StrCat(written_, std::string(random.Below(900), static_cast<char>('a' + written_ % 26)));
    if (t_.Append(body, term_).ok()) now_.push_back(body);
  }

  void Truncate(Random& random) {
    if (now_.empty()) return;
    // Mostly near the end; what Raft committed is never truncated, the rest may be.
    const auto size = static_cast<int64_t>(now_.size());
    const int64_t keep = std::max<int64_t>(applied_, size - random.Between(1, 25));
    if (keep >= size) return;
    if (!t_.log->TruncateSuffix(LogIndex(keep + 1)).ok()) return;
    past_.push_back(now_);
    now_.resize(static_cast<size_t>(keep));
    t_.acked = std::min(t_.acked, LogIndex(keep));
    ++term_;
  }

  // Entries up to some durable one are applied, and those before some position may go.
  void Drop(Random& random) {
    applied_ = std::max(applied_, t_.acked.value() - random.Between(0, 10));
    const int64_t segments = t_.log->EndPosition().value() / kTestSegmentSize;
    t_.log->DropBefore(LogPosition(random.Between(0, segments + 1) * kTestSegmentSize),
                       LogIndex(applied_));
  }

  void Halt(int64_t step) { t_.fs.HaltBefore(step); }
  bool halted() const { return t_.fs.halted(); }
  void RunToTheEnd() { t_.Settle(); }

  // Ends the process, opens the log again and compares.
  void CrashAndCheck(Random& random, const std::string& where) {
    const LogIndex acked = t_.acked;
    t_.Close();
    if (random.Chance(0.2)) {
      t_.fs.Kill();
    } else {
      t_.fs.Crash(&random);
    }
    const absl::Status opened = t_.Open();
    ASSERT_TRUE(opened.ok()) << where << ": " << opened;
    const History found = t_.Bodies();
    // What was dropped was durable and applied; the rest is a piece of some history.
    const auto first = static_cast<size_t>(t_.log->StartIndex().value());
    ASSERT_LE(first, static_cast<size_t>(applied_)) << where << ": dropped, not applied";
    const auto durable = static_cast<size_t>(acked.value());
    ASSERT_GE(first + found.size(), durable) << where << ": acknowledged, lost";
    for (size_t i = first; i < durable; ++i) {
      ASSERT_EQ(found[i - first], now_[i]) << where << ": acknowledged, altered: entry " << i + 1;
    }
    const auto names = t_.fs.List("/log/commitlog");
    ASSERT_TRUE(names.ok());
    for (const std::string& name : *names) {
      const auto segment = ParseSegmentName(name);
      ASSERT_TRUE(!segment.has_value() || *segment + kTestSegmentSize > t_.log->FirstPosition())
          << where << ": segment " << name << " has expired and is still there";
    }
    past_.push_back(now_);
    const bool known = std::any_of(past_.begin(), past_.end(), [&](const History& history) {
      return first + found.size() <= history.size() &&
             std::equal(found.begin(), found.end(), history.begin() + static_cast<long>(first));
    });
    ASSERT_TRUE(known) << where << ": " << found.size() << " entries of no history it ever had";
    now_.resize(first);  // equal in all of them
    now_.insert(now_.end(), found.begin(), found.end());
    past_.clear();
    ++term_;
  }

 private:
  LogUnderTest t_;
  History now_;
  std::vector<History> past_;  // since the last start, before each truncation
  Term term_{1};
  int64_t written_ = 0;
  int64_t applied_ = 0;  // never truncated
};

TEST(LogCrash, RandomHistoriesLoseNothingThatWasDurable) {
  uint64_t first = 1;
  uint64_t last = 600;
  if (const char* seed = std::getenv("RAFTMQ_LOG_SEED"))
    first = last = std::strtoull(seed, nullptr, 10);
  for (uint64_t seed = first; seed <= last; ++seed) {
    Random random(seed);
    CrashedLog log;
    for (int life = 0; life < 8; ++life) {
      log.Halt(random.Between(0, 150));
      for (int action = 0; action < 150 && log.Act(random); ++action) {
      }
      log.CrashAndCheck(random, StrCat("seed ", seed, " life ", life));
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

// Runs `script` once for each file system call it makes, and crashes before that call.
template <typename Script>
void CrashBeforeEveryCall(Script script) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    for (int64_t step = 0;; ++step) {
      Random random(seed);
      CrashedLog log;
      for (int i = 0; i < 25; ++i) log.Append(random);
      log.RunToTheEnd();
      log.Halt(step);
      script(log, random);
      const bool halted = log.halted();
      log.CrashAndCheck(random, StrCat("seed ", seed, " step ", step));
      if (testing::Test::HasFatalFailure()) return;
      // And it works.
      for (int i = 0; i < 25; ++i) {
        log.Append(random);
        log.RunToTheEnd();
      }
      log.CrashAndCheck(random, StrCat("seed ", seed, " step ", step, ", afterwards"));
      if (testing::Test::HasFatalFailure()) return;
      if (!halted) break;
      ASSERT_LT(step, 1000);
    }
  }
}

// Catalogue 26: truncation front to back leaves a hole.
TEST(LogCrash, ATruncationIsSafeToInterruptAnywhere) {
  CrashBeforeEveryCall([](CrashedLog& log, Random& random) {
    log.Truncate(random);
    log.Append(random);
    log.RunToTheEnd();
  });
}

// Catalogue 16 and 30: names that were not synced, a crash during a roll.
TEST(LogCrash, ARollIsSafeToInterruptAnywhere) {
  CrashBeforeEveryCall([](CrashedLog& log, Random& random) {
    for (int i = 0; i < 10; ++i) {
      log.Append(random);
      log.RunToTheEnd();
    }
  });
}

TEST(LogCrash, DroppingTheBeginningIsSafeToInterruptAnywhere) {
  CrashBeforeEveryCall([](CrashedLog& log, Random& random) {
    for (int i = 0; i < 3; ++i) {
      log.Drop(random);
      log.Append(random);
      log.RunToTheEnd();
    }
  });
}

TEST(LogCrash, AGroupCommitIsSafeToInterruptAnywhere) {
  CrashBeforeEveryCall([](CrashedLog& log, Random& random) {
    for (int i = 0; i < 5; ++i) log.Append(random);
    log.RunToTheEnd();
  });
}

}  // namespace
}  // namespace raftmq::dledger
