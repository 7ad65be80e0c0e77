#include "dledger/group_configuration.h"

#include <set>

#include "base/endian.h"
#include "base/strings.h"

namespace raftmq::dledger {
namespace {

constexpr int32_t kVersion = 1;
constexpr size_t kMaxText = 64 << 10;
constexpr size_t kMaxMembers = 1000;

void AppendText(std::string* out, std::string_view text) {
  AppendBe<int32_t>(out, static_cast<int32_t>(text.size()));
  out->append(text);
}

void AppendMembers(std::string* out, const std::vector<ConfiguredMember>& members) {
  AppendBe<int32_t>(out, static_cast<int32_t>(members.size()));
  for (const ConfiguredMember& member : members) {
    AppendBe<int32_t>(out, member.id.value());
    AppendBe<uint64_t>(out, member.incarnation.value());
    AppendBe<uint8_t>(out, member.learner ? 1 : 0);
    AppendText(out, member.name);
    AppendText(out, member.peer_address);
  }
}

// Takes values off the front of bytes that may be anything.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <typename T>
  T Int() {
    if (bytes_.size() < sizeof(T)) {
      failed_ = true;
      return T{};
    }
    const T value = LoadBe<T>(bytes_.data());
    bytes_.remove_prefix(sizeof(T));
    return value;
  }

  std::string Text() {
    const auto size = Int<int32_t>();
    if (failed_ || size < 0 || static_cast<size_t>(size) > bytes_.size()) {
      failed_ = true;
      return "";
    }
    std::string text(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return text;
  }

  std::vector<ConfiguredMember> Members() {
    std::vector<ConfiguredMember> members;
    const auto count = Int<int32_t>();
    if (count < 0 || static_cast<size_t>(count) > kMaxMembers) failed_ = true;
    for (int32_t i = 0; i < count && !failed_; ++i) {
      ConfiguredMember member;
      member.id = MemberId(Int<int32_t>());
      member.incarnation = Incarnation(Int<uint64_t>());
      member.learner = Int<uint8_t>() != 0;
      member.name = Text();
      member.peer_address = Text();
      members.push_back(std::move(member));
    }
    return members;
  }

  bool failed() const { return failed_; }
  bool AtEnd() const { return bytes_.empty(); }

 private:
  std::string_view bytes_;
  bool failed_ = false;
};

absl::Status ValidateMembers(const std::vector<ConfiguredMember>& members) {
  std::set<MemberId> ids;
  std::set<std::string> names;
  bool voter = false;
  for (const ConfiguredMember& member : members) {
    if (member.id < MemberId(1)) {
      return absl::InvalidArgumentError(
          StrCat("member ", member.name, ": expected an id from 1, found ", member.id));
    }
    if (!ids.insert(member.id).second || !names.insert(member.name).second) {
      return absl::InvalidArgumentError(
          StrCat("member ", member.id, " ", member.name, " appears twice"));
    }
    if (member.name.empty() || member.peer_address.empty() || member.name.size() > kMaxText ||
        member.peer_address.size() > kMaxText) {
      return absl::InvalidArgumentError(
          StrCat("member ", member.id, ": name or address is empty or too long"));
    }
    if (member.incarnation == Incarnation(0)) {
      return absl::InvalidArgumentError(
          StrCat("member ", member.id, " ", member.name, ": has no incarnation"));
    }
    voter = voter || !member.learner;
  }
  if (!voter) return absl::InvalidArgumentError("a group needs at least one voter, found none");
  if (members.size() > kMaxMembers) {
    return absl::InvalidArgumentError(
        StrCat("expected at most ", kMaxMembers, " members, found ", members.size()));
  }
  return absl::OkStatus();
}

std::string MembersText(const std::vector<ConfiguredMember>& members) {
  std::string text;
  for (const ConfiguredMember& member : members) {
    text += StrCat(text.empty() ? "" : ", ", member.name, "=", member.id, "@", member.peer_address,
                   "#", member.incarnation, member.learner ? " (learner)" : "");
  }
  return text;
}

}  // namespace

const ConfiguredMember* GroupConfiguration::Find(MemberId id) const {
  for (const auto* list : {&members, &old_members}) {
    for (const ConfiguredMember& member : *list) {
      if (member.id == id) return &member;
    }
  }
  return nullptr;
}

std::string GroupConfiguration::ToString() const {
  std::string text = StrCat("[", MembersText(members), "]");
  if (joint()) text += StrCat(" from [", MembersText(old_members), "]");
  return text;
}

absl::Status ValidateConfiguration(const GroupConfiguration& configuration) {
  RAFTMQ_RETURN_IF_ERROR(ValidateMembers(configuration.members));
  if (configuration.joint()) return ValidateMembers(configuration.old_members);
  return absl::OkStatus();
}

std::string EncodeConfiguration(const GroupConfiguration& configuration) {
  std::string out;
  AppendBe<int32_t>(&out, kVersion);
  AppendMembers(&out, configuration.members);
  AppendMembers(&out, configuration.old_members);
  return out;
}

absl::StatusOr<GroupConfiguration> ParseConfiguration(std::string_view bytes) {
  Reader reader(bytes);
  const auto version = reader.Int<int32_t>();
  if (!reader.failed() && version != kVersion) {
    return absl::UnimplementedError(StrCat("configuration entry: expected version ", kVersion,
                                           ", found ", version, "; a newer binary wrote it"));
  }
  GroupConfiguration configuration;
  configuration.members = reader.Members();
  configuration.old_members = reader.Members();
  if (reader.failed() || !reader.AtEnd()) {
    return absl::DataLossError(
        StrCat("configuration entry: ", bytes.size(), " bytes that are no list of members"));
  }
  if (const absl::Status valid = ValidateConfiguration(configuration); !valid.ok()) {
    return absl::DataLossError(StrCat("configuration entry: ", Message(valid)));
  }
  return configuration;
}

}  // namespace raftmq::dledger
