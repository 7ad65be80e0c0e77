// The Settings that the server answers on a Telemetry stream: the client's own, completed with what
// its library needs before it starts. Libraries differ; one function, one table test.
//
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "apache/rocketmq/v2/service.pb.h"
#include "broker/client_language.h"
#include "store/model.h"

namespace raftmq::broker {

namespace v2 = ::apache::rocketmq::v2;

struct SettingsDefaults {
  int32_t producer_max_attempts = 3;
  int32_t max_body_bytes = 4 << 20;
  int32_t receive_batch_size = 32;
  int64_t long_polling_ms = 20'000;
  int32_t retry_max_times = 16;  // of a group that does not exist yet
};

// Settings must say whether they are a producer's or a consumer's, with legal names.
absl::Status CheckSettings(const v2::Settings& asked);

// `group` is the consumer's group if it exists.
v2::Settings AnswerSettings(const v2::Settings& asked, ClientLanguage language,
                            const SettingsDefaults& defaults,
                            const std::optional<store::GroupConfig>& group);

}  // namespace raftmq::broker
