#include "tests/sim/store_oracle.h"

#include <algorithm>
#include <limits>

#include "absl/strings/numbers.h"
#include "base/crc.h"
#include "base/strings.h"
#include "glog/logging.h"
#include "store/receipt_handle.h"

namespace raftmq::sim {
namespace {

std::string Text(const StoreOracle::Place& place) {
  return StrCat("queue ", place.first, " offset ", place.second);
}

// Enough to see what is wrong; a broken run repeats itself.
constexpr size_t kMaxViolations = 20;

constexpr LogPlace kNoPlace{LogIndex(0), 0};
constexpr LogPlace kLogsEnd{LogIndex(std::numeric_limits<int64_t>::max()), 0};

uint64_t LeaseOf(const store::Delivery& delivery) {
  const auto handle = store::ParseReceiptHandle(delivery.receipt_handle);
  CHECK(handle.ok()) << handle.status();
  return handle->lease_id;
}

}  // namespace

void StoreOracle::Complain(std::string what) {
  if (violations_.size() < kMaxViolations) violations_.push_back(std::move(what));
}

void StoreOracle::Note(uint64_t value) { fingerprint_ = (fingerprint_ ^ value) * 1099511628211ULL; }

void StoreOracle::OnApplied(int member, const dledger::CommittedEntry& entry) {
  const uint32_t digest =
      Crc32c(entry.body, Crc32c(StrCat(entry.term, "/", static_cast<int>(entry.type), "/",
                                       entry.position, "/", entry.end)));
  Note((static_cast<uint64_t>(member) << 56) ^ static_cast<uint64_t>(entry.index.value()) ^ digest);
  auto [known, is_new] = entries_.emplace(entry.index, digest);
  if (!is_new && known->second != digest) {
    Complain(StrCat("member ", member, " applied another entry at index ", entry.index,
                    " than a member before it"));
  }
}

std::string StoreOracle::MessageGroupOf(const std::string& body) {
  return body.substr(0, body.find('-'));
}

void StoreOracle::OnLeader(int member, Term term) {
  auto [known, is_new] = leaders_.emplace(term, member);
  if (is_new) {
    Note(static_cast<uint64_t>(term.value()) * 31 + static_cast<uint64_t>(member));
  } else if (known->second != member) {
    Complain(StrCat("members ", known->second, " and ", member, " both lead term ", term));
  }
}

void StoreOracle::OnSendBegun(const std::string& body) { begun_.insert(body); }

void StoreOracle::OnSendAcknowledged(const std::string& body, QueueId queue, QueueOffset offset) {
  Note(static_cast<uint64_t>(offset.value()) * 7 + static_cast<uint64_t>(queue.value()));
  if (!acknowledged_.emplace(body, Place(queue, offset)).second) {
    Complain(StrCat("the send of ", body, " was answered twice"));
  }
}

void StoreOracle::OnSendRefused(const std::string& body) { refused_.insert(body); }

void StoreOracle::OnDelivered(const store::Delivery& delivery, const std::string& body,
                              int64_t asked_at, int64_t now, int64_t invisible_ms) {
  const Place place(delivery.queue, delivery.offset);
  Note(static_cast<uint64_t>(delivery.offset.value()) ^ static_cast<uint64_t>(now) << 20);
  if (!begun_.count(body)) Complain(StrCat(Text(place), " holds ", body, ", which nobody sent"));
  if (refused_.count(body)) {
    Complain(StrCat(Text(place), " holds ", body, ", whose send was refused"));
  }
  const uint64_t lease_id = LeaseOf(delivery);
  auto acked = acked_.find(place);
  if (acked != acked_.end() && asked_at > acked->second.at_ms) {
    doubts_.push_back({place, kNoPlace, acked->second.lease_id, lease_id,
                       StrCat(Text(place), " was acked at ", acked->second.at_ms,
                              " ms and given out again to a receive of ", asked_at, " ms")});
  }
  const auto dead = dead_.find(place);
  if (dead != dead_.end() && asked_at > dead->second.seen_ms) {
    doubts_.push_back({place, dead->second.at.back(), 0, lease_id,
                       StrCat(Text(place), " was dead-lettered at ", dead->second.seen_ms,
                              " ms and given out again to a receive of ", asked_at, " ms")});
  }
  if (delivery.attempt > max_attempts_) {
    Complain(
        StrCat(Text(place), " was given out as attempt ", delivery.attempt, " of ", max_attempts_));
  }
  auto [lease, first] = leases_.emplace(place, Lease());
  if (!first) {
    ++redelivered_;
    if (lease->second.body != body) {
      Complain(StrCat(Text(place), " held ", lease->second.body, " and now holds ", body));
    }
    if (!lease->second.nacked && now < lease->second.not_before) {
      doubts_.push_back({place, kNoPlace, lease->second.id, lease_id,
                         StrCat(Text(place), " was leased until ", lease->second.not_before,
                                " ms and given out again at ", now, " ms")});
    }
    if (delivery.attempt < 2) {
      doubts_.push_back(
          {place, kNoPlace, lease->second.id, lease_id,
           StrCat(Text(place), " was given out again as attempt ", delivery.attempt)});
    }
  }
  // The lease began after the receive did: it cannot end before this.
  lease->second = {asked_at + invisible_ms, false, body, lease_id};
}

void StoreOracle::OnAckBegun(const store::Delivery& delivery) {
  const Place place(delivery.queue, delivery.offset);
  if (acks_begun_[place].emplace(LeaseOf(delivery), acks_begun_count_).second) ++acks_begun_count_;
}

void StoreOracle::OnDeliveredInOrder(const std::vector<store::Delivery>& deliveries) {
  Answer& answer = answers_.emplace_back();
  answer.acks_begun = acks_begun_count_;
  for (const store::Delivery& delivery : deliveries) {
    answer.places.emplace_back(Place(delivery.queue, delivery.offset), LeaseOf(delivery));
  }
}

void StoreOracle::OnGrant(LogPlace at, const store::GrantItem& item) {
  granted_[Place(item.queue, item.offset)].push_back(at);
  if (item.attempt > 0) lease_places_.emplace(item.lease_id, at);
}

LogPlace StoreOracle::PlaceOf(uint64_t lease_id) const {
  const auto it = lease_places_.find(lease_id);
  return it == lease_places_.end() ? kNoPlace : it->second;
}

bool StoreOracle::Covers(const Place& place, LogPlace after, LogPlace before) const {
  return moves_->Covers(group_, place.first, place.second, after, before);
}

bool StoreOracle::WasGranted(const Place& place, const Span& span) const {
  const auto it = granted_.find(place);
  return it != granted_.end() && std::any_of(it->second.begin(), it->second.end(),
                                             [&](LogPlace at) { return span.Has(at); });
}

bool StoreOracle::WasAcked(const Place& place, const Span& span, size_t acks_begun) const {
  const auto it = acks_begun_.find(place);
  return it != acks_begun_.end() &&
         std::any_of(it->second.begin(), it->second.end(), [&](const auto& ack) {
           return ack.second < acks_begun && span.Has(PlaceOf(ack.first));
         });
}

bool StoreOracle::WasDead(const Place& place, const Span& span) const {
  const auto it = dead_.find(place);
  return it != dead_.end() && std::any_of(it->second.at.begin(), it->second.at.end(),
                                          [&](LogPlace at) { return span.Has(at); });
}

bool StoreOracle::Missed(const Place& place, const Span& span) const {
  const auto min = min_.find(place.first);
  return min != min_.end() && place.second < min->second && !WasGranted(place, span);
}

// A producer sends a message of its group when the one before it was answered: they are in one
// queue, in that order.
void StoreOracle::CheckStoredOrder() {
  std::map<std::string, std::map<int, Place>> groups;
  for (const auto& [body, place] : acknowledged_) {
    int number = 0;
    CHECK(absl::SimpleAtoi(body.substr(body.find('-') + 1), &number)) << body;
    groups[MessageGroupOf(body)][number] = place;
  }
  for (const auto& [group, places] : groups) {
    const Place* before = nullptr;
    for (const auto& [number, place] : places) {
      if (before != nullptr && (before->first != place.first || before->second >= place.second)) {
        Complain(StrCat("message ", number, " of message group ", group, " is at ", Text(place),
                        ", the one before it at ", Text(*before)));
      }
      before = &place;
    }
  }
}

// Looked at in the end, when it is known which messages are stored where.
void StoreOracle::CheckOrder() {
  std::map<std::pair<QueueId, std::string>, std::vector<QueueOffset>> groups;
  for (const auto& [place, body] : final_) {
    groups[{place.first, MessageGroupOf(body)}].push_back(place.second);
  }
  for (const Answer& answer : answers_) {
    std::set<Place> before;
    for (const auto& [place, lease_id] : answer.places) {
      const auto body = final_.find(place);
      if (body == final_.end()) continue;  // complained about elsewhere
      Span span{kNoPlace, kLogsEnd};
      QueueOffset first(0);
      for (const MoveOperator::Moved& moved : moves_->Of(group_, place.first)) {
        if (PlaceOf(lease_id) < moved.place) {
          span.before = moved.place;
          break;
        }
        span.after = moved.place;
        first = moved.to;
      }
      const std::vector<QueueOffset>& same = groups[{place.first, MessageGroupOf(body->second)}];
      for (auto earlier = std::lower_bound(same.begin(), same.end(), first);
           earlier != same.end() && *earlier < place.second; ++earlier) {
        const Place other(place.first, *earlier);
        if (!WasAcked(other, span, answer.acks_begun) && !WasDead(other, span) &&
            !before.count(other) && !Missed(other, span)) {
          Complain(StrCat(Text(place), " was given out before ", Text(other),
                          " of the same message group was acked"));
        }
      }
      before.insert(place);
    }
  }
}

void StoreOracle::CheckDoubts() {
  for (const Doubt& doubt : doubts_) {
    const LogPlace after = doubt.after == kNoPlace ? PlaceOf(doubt.after_lease) : doubt.after;
    if (!Covers(doubt.place, after, PlaceOf(doubt.before_lease))) Complain(doubt.what);
  }
}

// Whether it is rightly behind the group's offset in the end. What the last move that went so far
// back did not leave out was consumed after it.
void StoreOracle::CheckConsumed(const Place& place, const std::string& body) {
  const std::vector<MoveOperator::Moved>& moves = moves_->Of(group_, place.first);
  Span span{kNoPlace, kLogsEnd};
  for (auto moved = moves.rbegin(); moved != moves.rend(); ++moved) {
    if (place.second >= moved->to) {
      span.after = moved->place;
      break;
    }
    if (place.second >= moved->from) return;
    span.before = moved->place;
  }
  // Dead-lettered: perhaps after grants whose answers were all lost.
  if (WasDead(place, span) || Missed(place, span)) return;
  if (!WasGranted(place, span)) {
    Complain(StrCat(body, " at ", Text(place), " was skipped: it was never given to anybody"));
  } else if (!WasAcked(place, span, acks_begun_count_)) {
    Complain(StrCat(body, " at ", Text(place), " counts as consumed, but nobody acked it"));
  }
}

void StoreOracle::OnAckAcknowledged(const store::Delivery& delivery, int64_t now) {
  const Acked acked{now, LeaseOf(delivery)};
  const auto [known, is_new] = acked_.emplace(Place(delivery.queue, delivery.offset), acked);
  if (!is_new && known->second.lease_id < acked.lease_id) known->second = acked;
}

void StoreOracle::OnNackBegun(QueueId queue, QueueOffset offset) {
  leases_[Place(queue, offset)].nacked = true;
}

void StoreOracle::OnForwardBegun(QueueId queue, QueueOffset offset) {
  forward_begun_.emplace(queue, offset);
}

void StoreOracle::OnRedriveApplied(const std::string& settles, LogPosition position,
                                   const std::string& body) {
  const auto [known, first] = redriven_.emplace(settles, position);
  if (first) ++sent_back_[body];
  if (known->second != position) {
    Complain(StrCat("the dead letter ", settles, " was sent back twice, at ", known->second,
                    " and ", position));
  }
}

void StoreOracle::OnDeadLetter(LogPlace at, int64_t now, const DeadLetter& dead) {
  Dead& known = dead_[dead.origin];
  if (!known.at.empty() && !Covers(dead.origin, known.at.back(), at)) {
    Complain(
        StrCat(Text(dead.origin), " is dead-lettered twice, the second time by entry ", at.first));
  }
  known.body = dead.body;
  known.seen_ms = now;
  known.at.push_back(at);
  if (dead.reason == "FORWARDED_BY_CONSUMER" && !forward_begun_.count(dead.origin)) {
    Complain(StrCat(Text(dead.origin), " was dead-lettered, but nobody gave it up"));
  }
  if (dead.reason == "MAX_ATTEMPTS" && dead.attempts != max_attempts_) {
    Complain(StrCat(Text(dead.origin), " was dead-lettered after ", dead.attempts,
                    " attempts, expected ", max_attempts_));
  }
}

// When all members have told all of theirs.
void StoreOracle::CheckDeadLetters() {
  for (const auto& [place, dead] : dead_) {
    const auto stored = final_.find(place);
    if (stored == final_.end() || stored->second != dead.body) {
      Complain(StrCat("the dead letter ", dead.body, " says it was at ", Text(place)));
    }
    const auto acked = acked_.find(place);
    if (acked == acked_.end()) continue;
    const LogPlace leased = PlaceOf(acked->second.lease_id);
    for (const LogPlace& at : dead.at) {
      if (!Covers(place, std::min(leased, at), std::max(leased, at))) {
        Complain(StrCat(dead.body, " at ", Text(place), " was acked and dead-lettered"));
      }
    }
  }
}

void StoreOracle::OnMessageApplied(int member, QueueId queue, QueueOffset offset,
                                   const std::string& body) {
  const Place place(queue, offset);
  auto [known, is_new] = final_.emplace(place, body);
  if (!is_new && known->second != body) {
    Complain(StrCat("member ", member, " has ", body, " at ", Text(place), ", another member ",
                    known->second));
  }
}

void StoreOracle::OnFinalQueue(int member, QueueId queue, QueueOffset first,
                               const std::vector<std::string>& bodies) {
  const auto [min, is_new] = min_.emplace(queue, first);
  if (!is_new && min->second != first) {
    Complain(StrCat("queue ", queue, " begins at ", first, " on member ", member, ", at ",
                    min->second, " on another one"));
  }
  for (size_t i = 0; i < bodies.size(); ++i) {
    const Place place(queue, first + static_cast<int64_t>(i));
    const auto known = final_.find(place);
    if (known == final_.end() || known->second != bodies[i]) {
      Complain(StrCat("member ", member, " has ", bodies[i], " at ", Text(place), ", it applied ",
                      known == final_.end() ? "nothing" : known->second));
    }
  }
}

size_t StoreOracle::expired() const {
  size_t expired = 0;
  for (const auto& [queue, min] : min_) expired += static_cast<size_t>(min.value());
  return expired;
}

void StoreOracle::CheckEnd() {
  CheckDoubts();
  if (!answers_.empty()) CheckStoredOrder();
  CheckOrder();
  CheckDeadLetters();
  std::map<std::string, std::vector<Place>> stored;
  for (const auto& [place, body] : final_) {
    if (!begun_.count(body)) Complain(StrCat(Text(place), " holds ", body, ", which nobody sent"));
    if (refused_.count(body)) {
      Complain(StrCat(Text(place), " holds ", body, ", whose send was refused"));
    }
    stored[body].push_back(place);
    CheckConsumed(place, body);  // the group's offset is past all of them
  }
  for (const auto& [body, places] : stored) {
    const auto sent_back = sent_back_.find(body);
    const size_t expected = 1 + (sent_back == sent_back_.end() ? 0 : sent_back->second);
    if (places.size() != expected) {
      Complain(StrCat(body, " is stored ", places.size(), " times, expected ", expected, ": at ",
                      Text(places[0]), " and ", Text(places.back())));
    }
  }
  for (const auto& [body, place] : acknowledged_) {
    const auto found = stored.find(body);
    if (found == stored.end()) {
      Complain(StrCat("acknowledged and lost: ", body, " at ", Text(place)));
    } else if (std::find(found->second.begin(), found->second.end(), place) ==
               found->second.end()) {
      Complain(StrCat(body, " was acknowledged at ", Text(place), " and is at ",
                      Text(found->second[0])));
    }
  }
}

}  // namespace raftmq::sim
