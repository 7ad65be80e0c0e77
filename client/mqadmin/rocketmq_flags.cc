#include "client/mqadmin/rocketmq_flags.h"

#include "absl/strings/ascii.h"
#include "base/strings.h"

namespace raftmq::mqadmin {
namespace {

void Ignore(const std::string&) {}

}  // namespace

void AddWithoutEffect(CLI::App* command, const std::string& names, const std::string& why) {
  command->add_option_function<std::string>(names, Ignore,
                                            StrCat("RocketMQ's; without effect: ", why));
}

void AddFlagWithoutEffect(CLI::App* command, const std::string& names, const std::string& why) {
  command->add_flag_callback(
      names, [] {}, StrCat("RocketMQ's; without effect: ", why));
}

void AddOnlyBool(CLI::App* command, const std::string& names, bool only,
                 const std::string& instead) {
  const std::string wanted = only ? "true" : "false";
  command
      ->add_option_function<std::string>(names, Ignore,
                                         StrCat("RocketMQ's; only ", wanted, ": ", instead))
      ->check([wanted, instead](const std::string& value) {
        std::string lower = value;
        absl::AsciiStrToLower(&lower);
        return lower == wanted ? std::string()
                               : StrCat("only ", wanted, ", not '", value, "': ", instead);
      });
}

void AddRefused(CLI::App* command, const std::string& names, const std::string& instead) {
  command->add_option_function<std::string>(names, Ignore, StrCat("RocketMQ's; refused: ", instead))
      ->check([instead](const std::string&) { return StrCat("not here: ", instead); });
}

}  // namespace raftmq::mqadmin
