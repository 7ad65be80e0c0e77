// GroupView: which members of the group serve clients, and whether this one knows enough to.
//
// Every member tells the leader ReportMember a few times a second (how far it has applied the log);
// the leader answers who serves: itself, and each member it is connected to that reported lately
// and is not far behind. So a member that is stopped, frozen or catching up leaves all routes
// within about a second and a half, though its connections look alive.
//
// Soft state: lost with the process, made anew by the next reports. Thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/ids.h"
#include "dledger/ledger.h"

namespace raftmq::broker {

class GroupView {
 public:
  struct Options {
    int64_t report_ms = 250;    // between two reports of a member
    int64_t silent_ms = 1'200;  // without a report: the member does not serve
    // How long the leader's last answer is believed; then connections are all there is to go by.
    int64_t answer_ms = 2'000;
    // Entries behind the leader's commit: to begin serving at most the first, to go on the second.
    int64_t max_lag_to_begin = 1'000;
    int64_t max_lag = 50'000;
  };

  GroupView(Options options, Clock* clock) : options_(options), clock_(clock) {}

  const Options& options() const { return options_; }

  // This member leads: another one reported.
  void OnReport(MemberId member, LogIndex applied, const dledger::LedgerStatus& status);

  // This member does not lead: what the leader of `term` answered to its report.
  void OnAnswer(Term term, LogIndex commit, std::vector<MemberId> serving);

  // Who serves clients, by id: what routes list.
  std::vector<MemberId> Serving(const dledger::LedgerStatus& status);

  // Whether what is applied here is recent enough to answer from. False from the start until it is
  // known to be; goes on as it was while there is no leader.
  bool CaughtUp(const dledger::LedgerStatus& status);

 private:
  struct Report {
    int64_t at_ms = 0;
    LogIndex applied;
    bool serves = false;  // its lag was small enough once, and is not too large since
  };

  // Forgets the reports to an earlier term.
  void NoteTerm(const dledger::LedgerStatus& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool KeepsUp(bool did, LogIndex applied, LogIndex commit) const;
  std::vector<MemberId> ServingByReports(const dledger::LedgerStatus& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  Clock* const clock_;
  absl::Mutex mutex_;
  Term led_term_ ABSL_GUARDED_BY(mutex_);  // the reports are about this one
  int64_t leads_since_ms_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<MemberId, Report> reports_ ABSL_GUARDED_BY(mutex_);
  Term answer_term_ ABSL_GUARDED_BY(mutex_);
  int64_t answer_ms_ ABSL_GUARDED_BY(mutex_) = 0;  // 0: none yet
  LogIndex answer_commit_ ABSL_GUARDED_BY(mutex_);
  std::vector<MemberId> answer_serving_ ABSL_GUARDED_BY(mutex_);
  bool caught_up_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace raftmq::broker
