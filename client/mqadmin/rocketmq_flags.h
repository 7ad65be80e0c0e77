// Flags that RocketMQ's commands have and that are about something that does not exist here. A
// script that gives one goes on if nothing is lost by that, and otherwise learns what to use.
//
// Values are RocketMQ's texts; called while the command line's parser is built, by one thread.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace raftmq::mqadmin {

// Taken with any value, and not looked at; the help says why.
void AddWithoutEffect(CLI::App* command, const std::string& names, const std::string& why);

// The same of a flag that has no value.
void AddFlagWithoutEffect(CLI::App* command, const std::string& names, const std::string& why);

// Takes true or false (no matter the case), and only this one of them. The other one is a wrong
// command line: `instead` says what there is for it here.
void AddOnlyBool(CLI::App* command, const std::string& names, bool only,
                 const std::string& instead);

// Any value is a wrong command line.
void AddRefused(CLI::App* command, const std::string& names, const std::string& instead);

}  // namespace raftmq::mqadmin
