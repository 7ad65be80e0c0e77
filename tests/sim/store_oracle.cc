#include "tests/sim/store_oracle.h"

#include <algorithm>

#include "base/crc.h"
#include "base/strings.h"

namespace raftmq::sim {
namespace {

std::string Text(const StoreOracle::Place& place) {
  return StrCat("queue ", place.first, " offset ", place.second);
}

// Enough to see what is wrong; a broken run repeats itself.
constexpr size_t kMaxViolations = 20;

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
  auto acked = acked_.find(place);
  if (acked != acked_.end() && asked_at > acked->second) {
    Complain(StrCat(Text(place), " was acked at ", acked->second, " ms and given out again to a ",
                    "receive of ", asked_at, " ms"));
  }
  const auto dead = dead_applied_.find(place);
  if (dead != dead_applied_.end() && asked_at > dead->second) {
    Complain(StrCat(Text(place), " was dead-lettered at ", dead->second,
                    " ms and given out again to a receive of ", asked_at, " ms"));
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
      Complain(StrCat(Text(place), " was leased until ", lease->second.not_before,
                      " ms and given out again at ", now, " ms"));
    }
    if (delivery.attempt < 2) {
      Complain(StrCat(Text(place), " was given out again as attempt ", delivery.attempt));
    }
  }
  // The lease began after the receive did: it cannot end before this.
  lease->second = {asked_at + invisible_ms, false, body};
}

void StoreOracle::OnAckBegun(QueueId queue, QueueOffset offset) {
  ack_order_.emplace(Place(queue, offset), ack_order_.size());
  ack_begun_.emplace(queue, offset);
}

void StoreOracle::OnDeliveredInOrder(const std::vector<store::Delivery>& deliveries) {
  Answer& answer = answers_.emplace_back();
  answer.acks_begun = ack_order_.size();
  for (const store::Delivery& delivery : deliveries) {
    answer.places.emplace_back(delivery.queue, delivery.offset);
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
    for (const Place& place : answer.places) {
      const auto body = final_.find(place);
      if (body == final_.end()) continue;  // complained about elsewhere
      for (const QueueOffset earlier : groups[{place.first, MessageGroupOf(body->second)}]) {
        if (earlier >= place.second) break;
        const Place other(place.first, earlier);
        const auto ack = ack_order_.find(other);
        const bool acked = ack != ack_order_.end() && ack->second < answer.acks_begun;
        if (!acked && !dead_.count(other) && !before.count(other) && !Missed(other)) {
          Complain(StrCat(Text(place), " was given out before ", Text(other),
                          " of the same message group was acked"));
        }
      }
      before.insert(place);
    }
  }
}

void StoreOracle::OnAckAcknowledged(QueueId queue, QueueOffset offset, int64_t now) {
  acked_.emplace(Place(queue, offset), now);
}

void StoreOracle::OnNackBegun(QueueId queue, QueueOffset offset) {
  leases_[Place(queue, offset)].nacked = true;
}

void StoreOracle::OnForwardBegun(QueueId queue, QueueOffset offset) {
  forward_begun_.emplace(queue, offset);
}

void StoreOracle::OnDeadLetterApplied(QueueId queue, QueueOffset offset, int64_t now) {
  dead_applied_.emplace(Place(queue, offset), now);
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

void StoreOracle::OnDeadLetter(int member, const DeadLetter& dead) {
  if (!dead_seen_.emplace(member, dead.origin).second) {
    Complain(StrCat(Text(dead.origin), " is dead-lettered twice on member ", member));
  }
  dead_.emplace(dead.origin, dead.body);
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
  for (const auto& [place, body] : dead_) {
    const auto stored = final_.find(place);
    if (stored == final_.end() || stored->second != body) {
      Complain(StrCat("the dead letter ", body, " says it was at ", Text(place)));
    }
    if (acked_.count(place)) {
      Complain(StrCat(body, " at ", Text(place), " was acked and dead-lettered"));
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

bool StoreOracle::Missed(const Place& place) const {
  const auto min = min_.find(place.first);
  return min != min_.end() && place.second < min->second && !granted_.count(place);
}

size_t StoreOracle::expired() const {
  size_t expired = 0;
  for (const auto& [queue, min] : min_) expired += static_cast<size_t>(min.value());
  return expired;
}

void StoreOracle::CheckEnd() {
  CheckOrder();
  CheckDeadLetters();
  std::map<std::string, std::vector<Place>> stored;
  for (const auto& [place, body] : final_) {
    if (!begun_.count(body)) Complain(StrCat(Text(place), " holds ", body, ", which nobody sent"));
    if (refused_.count(body)) {
      Complain(StrCat(Text(place), " holds ", body, ", whose send was refused"));
    }
    stored[body].push_back(place);
    // The group's offset is past all of them.
    if (dead_.count(place)) {
      continue;  // perhaps after grants whose answers were all lost
    } else if (Missed(place)) {
      continue;
    } else if (!leases_.count(place)) {
      Complain(StrCat(body, " at ", Text(place), " was skipped: it was never given to anybody"));
    } else if (!ack_begun_.count(place)) {
      Complain(StrCat(body, " at ", Text(place), " counts as consumed, but nobody acked it"));
    }
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
