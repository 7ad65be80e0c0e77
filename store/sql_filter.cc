#include "store/sql_filter.h"

#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "base/strings.h"

namespace raftmq::store {

SqlFilter::Truth SqlFilter::Negate(Truth truth) {
  if (truth == Truth::kUnknown) return truth;
  return truth == Truth::kTrue ? Truth::kFalse : Truth::kTrue;
}

SqlFilter::Value SqlFilter::NumberOf(std::string_view text) {
  int64_t integer = 0;
  if (absl::SimpleAtoi(ToAbsl(text), &integer)) return integer;
  double number = 0;
  if (absl::SimpleAtod(ToAbsl(text), &number) && std::isfinite(number)) return number;
  return std::monostate();
}

SqlFilter::Value SqlFilter::ValueOf(const Operand& operand, const PropertiesView& properties) {
  std::string_view value;
  switch (operand.kind) {
    case Operand::Kind::kProperty:
      if (!properties.Find(operand.text, &value)) return std::monostate();
      return value;
    case Operand::Kind::kText:
      return std::string_view(operand.text);
    case Operand::Kind::kInteger:
      return operand.integer;
    case Operand::Kind::kDouble:
      return operand.number;
    case Operand::Kind::kBool:
      return operand.boolean;
  }
  return std::monostate();
}

namespace {

double AsDouble(const std::variant<std::monostate, bool, int64_t, double, std::string_view>& v) {
  if (const auto* integer = std::get_if<int64_t>(&v)) return static_cast<double>(*integer);
  return std::get<double>(v);
}

}  // namespace

SqlFilter::Truth SqlFilter::Compare(Op op, const Value& left, const Value& right) {
  const auto truth = [](bool b) { return b ? Truth::kTrue : Truth::kFalse; };
  const auto is_null = [](const Value& v) { return std::holds_alternative<std::monostate>(v); };
  if (is_null(left) || is_null(right)) return Truth::kUnknown;
  const auto* left_text = std::get_if<std::string_view>(&left);
  const auto* right_text = std::get_if<std::string_view>(&right);
  const bool equality = op == Op::kEqual;
  if (std::holds_alternative<bool>(left) || std::holds_alternative<bool>(right)) {
    const auto as_bool = [](const Value& v) -> std::optional<bool> {
      if (const bool* b = std::get_if<bool>(&v)) return *b;
      const auto* text = std::get_if<std::string_view>(&v);
      if (text == nullptr) return std::nullopt;
      return absl::EqualsIgnoreCase(ToAbsl(*text), "true");
    };
    const auto a = as_bool(left), b = as_bool(right);
    if (!a.has_value() || !b.has_value()) return truth(false);
    return equality ? truth(*a == *b) : Truth::kUnknown;
  }
  if (equality && left_text != nullptr && right_text != nullptr) {
    return truth(*left_text == *right_text);
  }
  const Value a = left_text != nullptr ? NumberOf(*left_text) : left;
  const Value b = right_text != nullptr ? NumberOf(*right_text) : right;
  if (is_null(a) || is_null(b)) return Truth::kUnknown;
  const auto compare = [&](auto x, auto y) {
    switch (op) {
      case Op::kEqual:
        return truth(x == y);
      case Op::kLess:
        return truth(x < y);
      case Op::kLessEqual:
        return truth(x <= y);
      case Op::kGreater:
        return truth(x > y);
      case Op::kGreaterEqual:
        return truth(x >= y);
      default:
        return Truth::kUnknown;
    }
  };
  if (std::holds_alternative<int64_t>(a) && std::holds_alternative<int64_t>(b)) {
    return compare(std::get<int64_t>(a), std::get<int64_t>(b));
  }
  return compare(AsDouble(a), AsDouble(b));
}

SqlFilter::Truth SqlFilter::EvaluateTest(const Node& node, const PropertiesView& properties) {
  const Value value = ValueOf(node.operands[0], properties);
  if (std::holds_alternative<std::monostate>(value)) return Truth::kUnknown;
  return Compare(Op::kEqual, value, true);
}

SqlFilter::Truth SqlFilter::EvaluateIn(const Node& node, const PropertiesView& properties) {
  const Value value = ValueOf(node.operands[0], properties);
  if (std::holds_alternative<std::monostate>(value)) return Truth::kUnknown;
  Truth found = Truth::kFalse;
  for (size_t i = 1; i < node.operands.size() && found == Truth::kFalse; ++i) {
    // A text that is no number is not the number 5: false here, not unknown.
    if (Compare(Op::kEqual, value, ValueOf(node.operands[i], properties)) == Truth::kTrue) {
      found = Truth::kTrue;
    }
  }
  return node.negated ? Negate(found) : found;
}

SqlFilter::Truth SqlFilter::EvaluateText(const Node& node, const PropertiesView& properties) {
  const Value value = ValueOf(node.operands[0], properties);
  const auto* text = std::get_if<std::string_view>(&value);
  const std::string& part = node.operands[1].text;
  if (text == nullptr || part.empty()) return Truth::kFalse;
  bool found = false;
  if (node.op == Op::kContains) found = text->find(part) != std::string_view::npos;
  if (node.op == Op::kStartsWith) found = text->starts_with(part);
  if (node.op == Op::kEndsWith) found = text->ends_with(part);
  return found != node.negated ? Truth::kTrue : Truth::kFalse;
}

SqlFilter::Truth SqlFilter::Evaluate(uint32_t at, const PropertiesView& properties) const {
  const Node& node = nodes_[at];
  switch (node.op) {
    case Op::kAnd:
    case Op::kOr: {
      // The value that decides, whatever the others are.
      const Truth decisive = node.op == Op::kAnd ? Truth::kFalse : Truth::kTrue;
      Truth result = Negate(decisive);
      for (const uint32_t child : node.children) {
        const Truth one = Evaluate(child, properties);
        if (one == decisive) return decisive;
        if (one == Truth::kUnknown) result = Truth::kUnknown;
      }
      return result;
    }
    case Op::kNot:
      return Negate(Evaluate(node.children[0], properties));
    case Op::kTest:
      return EvaluateTest(node, properties);
    case Op::kIsNull: {
      const Value value = ValueOf(node.operands[0], properties);
      const bool is_null = std::holds_alternative<std::monostate>(value);
      return is_null != node.negated ? Truth::kTrue : Truth::kFalse;
    }
    case Op::kIn:
      return EvaluateIn(node, properties);
    case Op::kContains:
    case Op::kStartsWith:
    case Op::kEndsWith:
      return EvaluateText(node, properties);
    default:
      return Compare(node.op, ValueOf(node.operands[0], properties),
                     ValueOf(node.operands[1], properties));
  }
}

bool SqlFilter::Matches(const PropertiesView& properties) const {
  return Evaluate(root_, properties) == Truth::kTrue;
}

}  // namespace raftmq::store
