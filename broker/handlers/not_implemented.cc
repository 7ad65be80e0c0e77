// RPCs that do nothing yet. Each says so, with the code for it; README.md lists them.
#include "broker/handlers/messaging_handlers.h"

namespace raftmq::broker {
namespace {

absl::Status NotImplemented(std::string_view what) {
  return absl::UnimplementedError(StrCat(what, " is not implemented yet"));
}

}  // namespace

void MessagingHandlers::SyncLiteSubscription(SyncLiteSubscriptionCall* call) {
  FinishWithError(call, NotImplemented("subscribing to lite topics"));
}

}  // namespace raftmq::broker
