// Report: rows of named columns, shown to a person as an aligned table and to a script as JSON.
// Every command prints through one, so that --json never says less than the table.
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <variant>
#include <vector>

namespace raftmq::mqadmin {

// A number prints without quotes and to the right, text to the left.
using Cell = std::variant<std::string, int64_t, double, bool>;

class Report {
 public:
  // `columns` are headings as people read them ("Broker Name"); the JSON keys are those in
  // lower_snake_case.
  explicit Report(std::vector<std::string> columns);

  // REQUIRES: one cell for each column.
  void AddRow(std::vector<Cell> row);

  size_t rows() const { return rows_.size(); }

  // Columns line up by display width; no trailing blanks.
  void PrintTable(std::ostream& out) const;
  // One column of names and one of values for each row: for a single thing with many fields.
  void PrintRecords(std::ostream& out) const;
  // An array of objects.
  void PrintJson(std::ostream& out) const;

 private:
  const std::vector<std::string> columns_;
  std::vector<std::vector<Cell>> rows_;
};

// "2026-11-22 15:04:05.678" UTC; "-" for 0.
std::string FormatTime(int64_t epoch_ms);

}  // namespace raftmq::mqadmin
