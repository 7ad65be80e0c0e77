// How a Telemetry stream is ended from this side.
//
// Pure; any thread.
#pragma once

#include "absl/status/status.h"
#include "broker/messaging_service.h"

namespace raftmq::broker {

// Closes the stream with `why`, an error, if its client can take one. Rust's (5.0.0) reads on after
// an error, for ever and without a pause, and so takes a whole thread of its application; it stops
// at OK.
void EndTelemetry(TelemetryStream* stream, const absl::Status& why);

}  // namespace raftmq::broker
