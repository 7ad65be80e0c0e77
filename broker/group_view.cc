#include "broker/group_view.h"

#include <algorithm>
#include <utility>

namespace raftmq::broker {
namespace {

bool Leads(const dledger::LedgerStatus& status) {
  return status.role == dledger::Role::kLeader && status.serving;
}

}  // namespace

bool GroupView::KeepsUp(bool did, LogIndex applied, LogIndex commit) const {
  return commit - applied <= (did ? options_.max_lag : options_.max_lag_to_begin);
}

void GroupView::NoteTerm(const dledger::LedgerStatus& status) {
  if (led_term_ == status.term && leads_since_ms_ != 0) return;
  led_term_ = status.term;
  leads_since_ms_ = clock_->MonotonicMillis();
  reports_.clear();
}

void GroupView::OnReport(MemberId member, LogIndex applied, const dledger::LedgerStatus& status) {
  absl::MutexLock lock(&mutex_);
  NoteTerm(status);
  // Only members are kept: whoever may call the service may name any number.
  const bool known = std::any_of(status.members.begin(), status.members.end(),
                                 [&](const dledger::Member& m) { return m.id == member; });
  if (!known) return;
  Report& report = reports_[member];
  report.at_ms = clock_->MonotonicMillis();
  report.applied = applied;
  report.serves = KeepsUp(report.serves, applied, status.commit_index);
}

void GroupView::OnAnswer(Term term, LogIndex commit, std::vector<MemberId> serving) {
  absl::MutexLock lock(&mutex_);
  if (term < answer_term_) return;  // of a leader that was replaced
  answer_term_ = term;
  answer_ms_ = clock_->MonotonicMillis();
  answer_commit_ = commit;
  answer_serving_ = std::move(serving);
}

std::vector<MemberId> GroupView::ServingByReports(const dledger::LedgerStatus& status) {
  NoteTerm(status);
  const int64_t now_ms = clock_->MonotonicMillis();
  // A new leader was not reported to yet.
  const bool benefit_of_doubt = now_ms - leads_since_ms_ < options_.silent_ms;
  std::vector<MemberId> serving;
  for (const dledger::Member& member : status.members) {
    bool serves = member.id == status.self;
    if (!serves && member.connected) {
      const auto report = reports_.find(member.id);
      serves = report == reports_.end()
                   ? benefit_of_doubt
                   : report->second.serves && now_ms - report->second.at_ms < options_.silent_ms;
    }
    if (serves) serving.push_back(member.id);
  }
  return serving;
}

std::vector<MemberId> GroupView::Serving(const dledger::LedgerStatus& status) {
  absl::MutexLock lock(&mutex_);
  std::vector<MemberId> serving;
  const int64_t now_ms = clock_->MonotonicMillis();
  if (Leads(status)) {
    serving = ServingByReports(status);
  } else if (answer_ms_ != 0 && now_ms - answer_ms_ < options_.answer_ms) {
    serving = answer_serving_;
  } else {
    for (const dledger::Member& member : status.members) {
      if (member.connected || member.id == status.self) serving.push_back(member.id);
    }
  }
  std::sort(serving.begin(), serving.end());
  return serving;
}

bool GroupView::CaughtUp(const dledger::LedgerStatus& status) {
  absl::MutexLock lock(&mutex_);
  if (Leads(status)) {
    caught_up_ = true;
  } else if (answer_ms_ != 0) {
    caught_up_ = KeepsUp(caught_up_, status.applied_index, answer_commit_);
  }
  return caught_up_;
}

}  // namespace raftmq::broker
