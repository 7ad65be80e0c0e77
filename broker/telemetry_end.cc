#include "broker/telemetry_end.h"

namespace raftmq::broker {

void EndTelemetry(TelemetryStream* stream, const absl::Status& why) {
  stream->Close(stream->context().language == ClientLanguage::kRust ? absl::OkStatus() : why);
}

}  // namespace raftmq::broker
