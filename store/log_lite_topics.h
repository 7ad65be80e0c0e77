// LogLiteTopics: LiteTopics over the log; a part of LogMessageStore.
#pragma once

#include <string>
#include <vector>

#include "dledger/ledger.h"
#include "store/lite_topics.h"
#include "store/message_store.h"
#include "store/store_context.h"

namespace raftmq::store {

class LogLiteTopics final : public LiteTopics {
 public:
  // `context` outlives it.
  explicit LogLiteTopics(StoreContext* context) : context_(context) {}

  void Subscribe(LiteSubscribeRequest request, SubscribeCallback done) override;
  void ExpireIdle(ExpireCallback done) override;
  std::vector<std::string> SubscribersOf(const std::string& topic,
                                         const std::string& group) const override;
  std::vector<LiteSubscribeRequest> Clients() const override;
  int64_t Count(const std::string& parent) const override;
  std::vector<LiteTopicStatus> List(const std::string& parent, const std::string& after,
                                    size_t max) const override;

 private:
  StoreContext* const context_;
};

// Makes the lite topic of that stored name if it does not exist. Nothing was logged if this is
// refused: its parent is missing, of another type or not writable, or there are as many lite topics
// as may be. Replica thread, in a Decide, which must not fail any more once `*made`.
absl::Status EnsureLiteTopic(StoreContext& context, const std::string& topic,
                             dledger::ProposalWriter& writer, bool* made);

}  // namespace raftmq::store
