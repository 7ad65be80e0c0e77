#include "broker/handlers/messaging_handlers.h"
#include "broker/internal_call.h"
#include "broker/retry_policy_proto.h"
#include "broker/telemetry_end.h"
#include "glog/logging.h"

namespace raftmq::broker {
namespace {

constexpr int64_t kAskLeaderMs = 2'000;  // clients wait for their Settings

// One client's Telemetry stream. Settings may come again at any time; each is answered.
class TelemetryListener final : public TelemetryStream::Listener {
 public:
  TelemetryListener(const MessagingOptions& options, const MessagingDeps& deps,
                    std::shared_ptr<TelemetryStream> stream)
      : options_(options), deps_(deps), stream_(std::move(stream)) {}

  void OnRead(v2::TelemetryCommand& command) override {
    switch (command.command_case()) {
      case v2::TelemetryCommand::kSettings:
        OnSettings(command.settings());
        break;
      case v2::TelemetryCommand::kThreadStackTrace:
      case v2::TelemetryCommand::kVerifyMessageResult:
        break;  // nothing here asks for them
      default:
        LOG_FIRST_N(WARNING, 100) << "client " << stream_->context().client_id
                                  << " sent a telemetry command of kind " << command.command_case()
                                  << ": ignored";
    }
  }

  void OnEnd() override { stream_.reset(); }

 private:
  void OnSettings(const v2::Settings& asked) {
    if (const absl::Status status = CheckSettings(asked); !status.ok()) {
      EndTelemetry(stream_.get(), absl::InvalidArgumentError(status.message()));
      return;
    }
    const std::string& group = asked.subscription().group().name();
    if (!asked.has_subscription()) return Answer(*this, asked, std::nullopt);
    const std::shared_ptr<const dledger::LedgerStatus> status = deps_.ledger->Status();
    absl::StatusOr<store::GroupConfig> found = deps_.store->FindGroup(group);
    if (found.ok() && deps_.group->CaughtUp(*status)) return Answer(*this, asked, *found);
    if (LeaderRouter::Leads(*status)) return Answer(*this, asked, std::nullopt);
    AskLeader(asked, group);
  }

  // This member may not know the group yet, or not its newest settings; whether it is orderly
  // decides how its consumers work. Without an answer: as if it did not exist.
  void AskLeader(const v2::Settings& asked, const std::string& group) {
    adm::GetGroupRequest request;
    request.set_name(group);
    CallContext context;
    context.client_id = stream_->context().client_id;
    context.deadline_ms = deps_.clock->MonotonicMillis() + kAskLeaderMs;
    deps_.router->Route(InternalUnary<adm::GetGroupRequest, adm::GetGroupResponse>::Make(
        std::move(context), std::move(request),
        [self = *this, asked](const absl::Status& done, const adm::GetGroupResponse& response) {
          std::optional<store::GroupConfig> found;
          if (done.ok()) {
            found.emplace();
            found->name = response.group().name();
            found->orderly = response.group().orderly();
            found->retry_max_times = response.group().retry_max_times();
            found->lite_client_quota = response.group().lite_client_quota();
            found->retry_policy = ToRetryPolicy(response.group().retry_policy());
          }
          Answer(self, asked, found);
        }));
  }

  static void Answer(const TelemetryListener& self, const v2::Settings& asked,
                     const std::optional<store::GroupConfig>& group) {
    const std::shared_ptr<TelemetryStream>& stream = self.stream_;
    v2::TelemetryCommand answer;
    *answer.mutable_settings() =
        AnswerSettings(asked, stream->context().language, self.options_.settings, group);
    if (!self.deps_.clients->PutSettings(stream->context(), answer.settings(), stream)) {
      EndTelemetry(stream.get(),
                   absl::ResourceExhaustedError(
                       "this member knows as many clients as its bound allows: try again later"));
      return;
    }
    SetOk(answer.mutable_status());
    stream->Write(std::move(answer));
  }

  const MessagingOptions& options_;
  const MessagingDeps& deps_;
  std::shared_ptr<TelemetryStream> stream_;
};

}  // namespace

std::shared_ptr<TelemetryStream::Listener> MessagingHandlers::Telemetry(
    std::shared_ptr<TelemetryStream> stream) {
  if (stream->context().client_id.empty()) {
    EndTelemetry(stream.get(),
                 absl::InvalidArgumentError("the header x-mq-client-id is missing or empty"));
  }
  return std::make_shared<TelemetryListener>(options_, deps_, std::move(stream));
}

}  // namespace raftmq::broker
