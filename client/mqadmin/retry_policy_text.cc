#include "client/mqadmin/retry_policy_text.h"

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_join.h"
#include "base/strings.h"

namespace raftmq::mqadmin {
namespace {

using nlohmann::json;

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(StrCat(
      "the retry policy ", what,
      "; expected {\"type\":\"CUSTOMIZED\",\"customizedRetryPolicy\":{\"next\":[1000,5000]}}, "
      "{\"type\":\"EXPONENTIAL\",\"exponentialRetryPolicy\":{\"initial\":5000,"
      "\"max\":7200000,\"multiplier\":2}} or DEFAULT"));
}

// None: it is there and not a whole number.
std::optional<int64_t> NumberIn(const json& object, const char* name, int64_t missing) {
  const auto it = object.find(name);
  if (it == object.end()) return missing;
  if (!it->is_number_integer()) return std::nullopt;
  return it->get<int64_t>();
}

absl::Status ParseExponential(const json& root, raftmq::v1::RetryPolicy* policy) {
  const json object = root.value("exponentialRetryPolicy", json::object());
  if (!object.is_object()) return Malformed("has an exponentialRetryPolicy that is no object");
  const auto initial = NumberIn(object, "initial", 5'000);
  const auto max = NumberIn(object, "max", 7'200'000);
  const auto multiplier = NumberIn(object, "multiplier", 2);
  if (!initial || !max || !multiplier || *multiplier < 1 ||
      *multiplier > std::numeric_limits<int32_t>::max()) {
    return Malformed("has an initial, max or multiplier that is no whole number");
  }
  policy->mutable_exponential()->set_initial_ms(*initial);
  policy->mutable_exponential()->set_max_ms(*max);
  policy->mutable_exponential()->set_multiplier(static_cast<int32_t>(*multiplier));
  return absl::OkStatus();
}

absl::Status ParseCustomized(const json& root, raftmq::v1::RetryPolicy* policy) {
  policy->mutable_customized();
  const json object = root.value("customizedRetryPolicy", json::object());
  if (!object.is_object()) return Malformed("has a customizedRetryPolicy that is no object");
  const json next = object.value("next", json::array());
  if (!next.is_array()) return Malformed("has a next that is no list");
  for (const json& delay : next) {
    if (!delay.is_number_integer()) return Malformed("has a delay that is no whole number");
    policy->mutable_customized()->add_next_ms(delay.get<int64_t>());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseRetryPolicy(const std::string& text, raftmq::v1::RetryPolicy* policy) {
  policy->Clear();
  if (text == "DEFAULT") {
    policy->mutable_customized();
    return absl::OkStatus();
  }
  const json root = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded() || !root.is_object()) return Malformed("is no JSON object");
  const auto type = root.find("type");
  if (type == root.end()) return Malformed("has no type");
  if (*type == "EXPONENTIAL") return ParseExponential(root, policy);
  if (*type == "CUSTOMIZED") return ParseCustomized(root, policy);
  return Malformed("has an unknown type");
}

std::string RetryPolicyText(const raftmq::v1::RetryPolicy& policy) {
  if (policy.has_exponential()) {
    const auto& exponential = policy.exponential();
    return StrCat(exponential.initial_ms(), " x ", exponential.multiplier(), " up to ",
                  exponential.max_ms());
  }
  if (policy.customized().next_ms().empty()) return "default";
  return absl::StrJoin(policy.customized().next_ms(), ",");
}

}  // namespace raftmq::mqadmin
