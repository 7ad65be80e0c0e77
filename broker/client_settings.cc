#include "broker/client_settings.h"

#include <algorithm>
#include <limits>

#include "base/strings.h"
#include "broker/proto_time.h"
#include "broker/validation.h"
#include "store/names.h"
#include "store/reason.h"

namespace raftmq::broker {
namespace {

void SetExponential(int64_t initial_ms, int64_t max_ms, int32_t multiplier,
                    v2::RetryPolicy* policy) {
  v2::ExponentialBackoff* backoff = policy->mutable_exponential_backoff();
  SetDuration(initial_ms, backoff->mutable_initial());
  SetDuration(max_ms, backoff->mutable_max());
  backoff->set_multiplier(static_cast<float>(multiplier));
}

// The Node.js client knows only the exponential strategy (with the other it sends a message of a
// FIFO group to the dead-letter queue after one failure); Python and C++ know only the customized.
void SetConsumerBackoff(ClientLanguage language, const store::RetryPolicy& retry,
                        int64_t max_attempts, v2::RetryPolicy* policy) {
  policy->Clear();
  policy->set_max_attempts(
      static_cast<int32_t>(std::min<int64_t>(max_attempts, std::numeric_limits<int32_t>::max())));
  const bool exponential = retry.kind == store::RetryPolicy::Kind::kExponential;
  const bool list_only = language == ClientLanguage::kPython || language == ClientLanguage::kCpp;
  if (exponential && !list_only) {
    return SetExponential(retry.initial_ms, retry.max_ms, retry.multiplier, policy);
  }
  if (language == ClientLanguage::kNodeJs) {
    // Something like it; when a message comes again after a failure the broker decides.
    const store::RetryPolicy defaults;
    if (retry == defaults) {
      return SetExponential(defaults.initial_ms, defaults.max_ms, defaults.multiplier, policy);
    }
    const auto [least, most] = std::minmax_element(retry.delays_ms.begin(), retry.delays_ms.end());
    return SetExponential(*least, *most, 2, policy);
  }
  const auto attempts = static_cast<size_t>(std::min<int64_t>(max_attempts, 1'000'000));
  for (const int64_t delay_ms : store::RetryDelays(retry, attempts)) {
    SetDuration(delay_ms, policy->mutable_customized_backoff()->add_next());
  }
}

void CompletePublishing(const SettingsDefaults& defaults, v2::Settings* settings) {
  v2::RetryPolicy* policy = settings->mutable_backoff_policy();
  policy->Clear();
  policy->set_max_attempts(defaults.producer_max_attempts);
  SetExponential(10, 1'000, 2, policy);
  settings->mutable_publishing()->set_max_body_size(defaults.max_body_bytes);
  settings->mutable_publishing()->set_validate_message_type(true);
}

void CompleteSubscription(ClientLanguage language, const SettingsDefaults& defaults,
                          const std::optional<store::GroupConfig>& group, v2::Settings* settings) {
  store::GroupConfig unknown;
  unknown.retry_max_times = defaults.retry_max_times;
  const store::GroupConfig& config = group.has_value() ? *group : unknown;
  SetConsumerBackoff(language, config.retry_policy, config.max_attempts(),
                     settings->mutable_backoff_policy());
  v2::Subscription* subscription = settings->mutable_subscription();
  subscription->set_fifo(group.has_value() && group->orderly);
  subscription->set_receive_batch_size(defaults.receive_batch_size);
  SetDuration(defaults.long_polling_ms, subscription->mutable_long_polling_timeout());
  if (settings->client_type() == v2::LITE_PUSH_CONSUMER ||
      settings->client_type() == v2::LITE_SIMPLE_CONSUMER) {
    // Python clients take no Settings in which one is 0.
    subscription->set_lite_subscription_quota(std::max(1, config.lite_client_quota));
    subscription->set_max_lite_topic_size(static_cast<int32_t>(store::kMaxLiteTopicLength));
  }
}

}  // namespace

absl::Status CheckSettings(const v2::Settings& asked) {
  switch (asked.pub_sub_case()) {
    case v2::Settings::kPublishing:
      for (const v2::Resource& topic : asked.publishing().topics()) {
        RAFTMQ_RETURN_IF_ERROR(CheckTopic(topic));
      }
      return absl::OkStatus();
    case v2::Settings::kSubscription:
      RAFTMQ_RETURN_IF_ERROR(CheckGroup(asked.subscription().group()));
      for (const v2::SubscriptionEntry& entry : asked.subscription().subscriptions()) {
        RAFTMQ_RETURN_IF_ERROR(CheckTopic(entry.topic()));
        RAFTMQ_RETURN_IF_ERROR(ParseFilter(entry.expression()).status());
      }
      return absl::OkStatus();
    case v2::Settings::PUB_SUB_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("the Settings have neither publishing nor subscription");
}

v2::Settings AnswerSettings(const v2::Settings& asked, ClientLanguage language,
                            const SettingsDefaults& defaults,
                            const std::optional<store::GroupConfig>& group) {
  v2::Settings settings = asked;
  if (language == ClientLanguage::kUnknown && asked.user_agent().language() == v2::NODE_JS) {
    language = ClientLanguage::kNodeJs;
  }
  if (settings.has_publishing()) {
    CompletePublishing(defaults, &settings);
  } else {
    CompleteSubscription(language, defaults, group, &settings);
  }
  settings.mutable_metric()->set_on(false);
  return settings;
}

}  // namespace raftmq::broker
