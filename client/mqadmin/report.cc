#include "client/mqadmin/report.h"

#include <glog/logging.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace raftmq::mqadmin {
namespace {

std::string Show(const Cell& cell) {
  if (const auto* text = std::get_if<std::string>(&cell)) return text->empty() ? "-" : *text;
  if (const auto* number = std::get_if<int64_t>(&cell)) return StrCat(*number);
  if (const auto* real = std::get_if<double>(&cell)) {
    char buffer[32];
    std::snprintf(buffer, sizeof(buffer), "%.2f", *real);
    return buffer;
  }
  return std::get<bool>(cell) ? "yes" : "no";
}

bool IsNumber(const Cell& cell) {
  return std::holds_alternative<int64_t>(cell) || std::holds_alternative<double>(cell);
}

// Characters on screen, not bytes: UTF-8 continuation bytes take no room.
size_t Width(const std::string& text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

std::string JsonKey(const std::string& heading) {
  std::string key;
  for (char c : heading) {
    key += c == ' ' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return key;
}

}  // namespace

Report::Report(std::vector<std::string> columns) : columns_(std::move(columns)) {}

void Report::AddRow(std::vector<Cell> row) {
  CHECK_EQ(row.size(), columns_.size());
  rows_.push_back(std::move(row));
}

void Report::PrintTable(std::ostream& out) const {
  std::vector<size_t> widths;
  for (const std::string& column : columns_) widths.push_back(Width(column));
  std::vector<std::vector<std::string>> shown;
  for (const auto& row : rows_) {
    std::vector<std::string>& line = shown.emplace_back();
    for (size_t i = 0; i < row.size(); ++i) {
      line.push_back(Show(row[i]));
      widths[i] = std::max(widths[i], Width(line.back()));
    }
  }
  auto print = [&](const std::vector<std::string>& cells, const std::vector<Cell>* row) {
    std::string line;
    for (size_t i = 0; i < cells.size(); ++i) {
      if (i > 0) line += "  ";
      const std::string pad(widths[i] - Width(cells[i]), ' ');
      const bool right =
          row != nullptr ? IsNumber((*row)[i]) : !rows_.empty() && IsNumber(rows_[0][i]);
      line += right ? pad + cells[i] : cells[i] + pad;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << "\n";
  };
  print(columns_, nullptr);
  for (size_t i = 0; i < shown.size(); ++i) print(shown[i], &rows_[i]);
}

void Report::PrintRecords(std::ostream& out) const {
  size_t width = 0;
  for (const std::string& column : columns_) width = std::max(width, Width(column));
  bool first = true;
  for (const auto& row : rows_) {
    if (!first) out << "\n";
    first = false;
    for (size_t i = 0; i < row.size(); ++i) {
      out << columns_[i] << std::string(width - Width(columns_[i]) + 2, ' ') << Show(row[i])
          << "\n";
    }
  }
}

void Report::PrintJson(std::ostream& out) const {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const auto& row : rows_) {
    nlohmann::ordered_json object = nlohmann::ordered_json::object();
    for (size_t i = 0; i < row.size(); ++i) {
      std::visit([&](const auto& value) { object[JsonKey(columns_[i])] = value; }, row[i]);
    }
    rows.push_back(std::move(object));
  }
  // Bodies may hold any bytes: those that are no UTF-8 are replaced, never refused.
  out << rows.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
}

std::string FormatTime(int64_t epoch_ms) {
  if (epoch_ms == 0) return "-";
  const time_t seconds = static_cast<time_t>(epoch_ms / 1000);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[64];
  const size_t n = std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &utc);
  std::snprintf(text + n, sizeof(text) - n, ".%03d", static_cast<int>(epoch_ms % 1000));
  return text;
}

}  // namespace raftmq::mqadmin
