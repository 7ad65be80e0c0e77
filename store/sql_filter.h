// SqlFilter: RocketMQ's SQL92 filter expressions over a message's properties.
//
//   expression := term (OR term)*           term := factor (AND factor)*
//   factor     := NOT factor | primary      primary := '(' expression ')' | operand [predicate]
//   predicate  := (= | <> | > | >= | < | <=) operand | IS [NOT] NULL
//               | [NOT] BETWEEN operand AND operand | [NOT] IN '(' literal (',' literal)* ')'
//               | [NOT] (CONTAINS | STARTSWITH | ENDSWITH) 'text'
//   operand    := property name | number | 'text' ('' is a quote in it) | TRUE | FALSE
//
// Keywords in any case; property names are case-sensitive, letters, digits, '_' and '$'. TAGS and
// KEYS are properties like others.
//
// A message passes if the expression is true: neither false nor unknown. A property that the
// message does not have is unknown (NULL), and so is each comparison with it; NOT unknown is
// unknown, AND and OR follow SQL. Property values are texts: compared with a number they are read
// as one, compared with TRUE or FALSE as a boolean; a text that is no number makes the comparison
// unknown. > >= < <= and BETWEEN compare numbers only. CONTAINS, STARTSWITH and ENDSWITH, with NOT
// or without, are false for a property that is missing, as in RocketMQ. There, `a > 3` fails for
// "3.5", a text that is no whole number; here it is true.
//
// Immutable once parsed; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "store/message_properties.h"

namespace raftmq::store {

class SqlFilter {
 public:
  static constexpr size_t kMaxBytes = 8'192;
  static constexpr int kMaxDepth = 64;  // of parentheses and NOTs in each other

  // Reason::kIllegalFilter, with the position (bytes from 1) and what was expected there.
  static absl::StatusOr<std::shared_ptr<const SqlFilter>> Parse(std::string_view text);

  bool Matches(const PropertiesView& properties) const;

  const std::string& text() const { return text_; }

 private:
  friend class SqlFilterParser;

  enum class Truth : uint8_t { kFalse, kTrue, kUnknown };
  enum class Op : uint8_t {
    kAnd,  // of children
    kOr,
    kNot,   // of children[0]
    kTest,  // operands[0] by itself
    kEqual,
    kLess,
    kLessEqual,
    kGreater,
    kGreaterEqual,
    kIsNull,
    kIn,  // operands[0] in the rest of them
    kContains,
    kStartsWith,
    kEndsWith,
  };
  struct Operand {
    enum class Kind : uint8_t { kProperty, kText, kInteger, kDouble, kBool };
    Kind kind = Kind::kText;
    std::string text;  // a property's name, or a text
    int64_t integer = 0;
    double number = 0;
    bool boolean = false;
    bool IsProperty() const { return kind == Kind::kProperty; }
    bool IsNumber() const { return kind == Kind::kInteger || kind == Kind::kDouble; }
  };
  struct Node {
    Op op = Op::kTest;
    bool negated = false;  // of kIsNull, kIn and the three on texts
    std::vector<uint32_t> children;
    std::vector<Operand> operands;
  };
  // Null, a boolean, a number or a text; the text is the property's or the operand's.
  using Value = std::variant<std::monostate, bool, int64_t, double, std::string_view>;

  SqlFilter() = default;

  static Value ValueOf(const Operand& operand, const PropertiesView& properties);
  static Value NumberOf(std::string_view text);
  static Truth Compare(Op op, const Value& left, const Value& right);
  static Truth Negate(Truth truth);
  Truth Evaluate(uint32_t node, const PropertiesView& properties) const;
  static Truth EvaluateTest(const Node& node, const PropertiesView& properties);
  static Truth EvaluateIn(const Node& node, const PropertiesView& properties);
  static Truth EvaluateText(const Node& node, const PropertiesView& properties);

  std::string text_;
  std::vector<Node> nodes_;
  uint32_t root_ = 0;
};

}  // namespace raftmq::store
