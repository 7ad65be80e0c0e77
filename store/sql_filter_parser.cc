// SqlFilter::Parse: a recursive descent of bounded depth over the text.

#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "base/strings.h"
#include "store/reason.h"
#include "store/sql_filter.h"

namespace raftmq::store {
namespace {

constexpr std::string_view kKeywords[] = {"AND",   "OR",       "NOT",        "BETWEEN",
                                          "IN",    "IS",       "NULL",       "TRUE",
                                          "FALSE", "CONTAINS", "STARTSWITH", "ENDSWITH"};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsNameStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' ||
         static_cast<unsigned char>(c) >= 0x80;
}

bool IsName(char c) { return IsNameStart(c) || IsDigit(c); }

bool Same(std::string_view word, std::string_view keyword) {
  return absl::EqualsIgnoreCase(ToAbsl(word), ToAbsl(keyword));
}

bool IsKeyword(std::string_view word) {
  for (const std::string_view keyword : kKeywords) {
    if (Same(word, keyword)) return true;
  }
  return false;
}

enum class TokenKind { kEnd, kWord, kText, kNumber, kSymbol };

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string_view source;  // as it stands in the expression
  size_t at = 0;
};

}  // namespace

class SqlFilterParser {
 public:
  explicit SqlFilterParser(std::string_view text) : text_(text) {}

  absl::StatusOr<std::shared_ptr<const SqlFilter>> Parse();

 private:
  using Node = SqlFilter::Node;
  using Op = SqlFilter::Op;
  using Operand = SqlFilter::Operand;

  absl::Status Fail(size_t at, std::string_view what) const;
  absl::Status Unexpected(std::string_view expected) const;
  absl::Status Advance();
  absl::Status TakeQuoted();
  void TakeNumber();

  bool AtWord(std::string_view keyword) const {
    return token_.kind == TokenKind::kWord && Same(token_.source, keyword);
  }
  bool AtSymbol(std::string_view symbol) const {
    return token_.kind == TokenKind::kSymbol && token_.source == symbol;
  }
  absl::Status Expect(std::string_view symbol_or_keyword);

  absl::StatusOr<uint32_t> Chain(Op op, int depth);  // factors or terms joined by AND or OR
  absl::StatusOr<uint32_t> Factor(int depth);
  absl::StatusOr<uint32_t> Predicate();
  absl::StatusOr<uint32_t> NegatablePredicate(Operand left, size_t left_at);
  absl::StatusOr<uint32_t> Comparison(Operand left, size_t left_at);
  absl::StatusOr<uint32_t> Between(Operand left, size_t left_at, bool negated);
  absl::StatusOr<uint32_t> In(Operand left, size_t left_at, bool negated);
  absl::StatusOr<uint32_t> TextTest(Operand left, Op op, bool negated);
  absl::StatusOr<Operand> TakeOperand();
  absl::StatusOr<Operand> NumberOperand() const;
  absl::Status CheckOrdered(const Operand& operand, size_t at) const;
  std::optional<Op> ComparisonSymbol() const;
  uint32_t Add(Node node);

  const std::string_view text_;
  size_t at_ = 0;  // behind token_
  Token token_;
  std::vector<Node> nodes_;
};

absl::Status SqlFilterParser::Fail(size_t at, std::string_view what) const {
  return Refuse(Reason::kIllegalFilter,
                StrCat("SQL filter \"", text_.substr(0, 256), text_.size() > 256 ? "…" : "",
                       "\", position ", at + 1, ": ", what));
}

absl::Status SqlFilterParser::Unexpected(std::string_view expected) const {
  return Fail(token_.at, StrCat("expected ", expected, ", found ",
                                token_.kind == TokenKind::kEnd
                                    ? std::string("the end")
                                    : StrCat("\"", token_.source.substr(0, 64), "\"")));
}

uint32_t SqlFilterParser::Add(Node node) {
  nodes_.push_back(std::move(node));
  return static_cast<uint32_t>(nodes_.size() - 1);
}

// ---- Tokens

absl::Status SqlFilterParser::TakeQuoted() {
  for (++at_; at_ < text_.size(); ++at_) {
    if (text_[at_] != '\'') continue;
    if (at_ + 1 < text_.size() && text_[at_ + 1] == '\'') {
      ++at_;
      continue;
    }
    ++at_;
    token_.kind = TokenKind::kText;
    return absl::OkStatus();
  }
  return Fail(token_.at, "a text in single quotes has no end; write a quote in it as ''");
}

void SqlFilterParser::TakeNumber() {
  token_.kind = TokenKind::kNumber;
  const auto digits = [this] {
    while (at_ < text_.size() && IsDigit(text_[at_])) ++at_;
  };
  if (text_[at_] == '+' || text_[at_] == '-') ++at_;
  digits();
  if (at_ < text_.size() && text_[at_] == '.') ++at_;
  digits();
  if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
    ++at_;
    if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
    digits();
  }
  // Whatever else sticks to it makes it no number.
  while (at_ < text_.size() && (IsName(text_[at_]) || text_[at_] == '.')) ++at_;
}

absl::Status SqlFilterParser::Advance() {
  while (at_ < text_.size() &&
         std::string_view(" \t\r\n\f").find(text_[at_]) != std::string_view::npos) {
    ++at_;
  }
  token_ = {TokenKind::kEnd, {}, at_};
  if (at_ == text_.size()) return absl::OkStatus();
  const char c = text_[at_];
  const char next = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
  if (c == '\'') {
    RAFTMQ_RETURN_IF_ERROR(TakeQuoted());
  } else if (IsDigit(c) || ((c == '.' || c == '-' || c == '+') && (IsDigit(next) || next == '.'))) {
    TakeNumber();
  } else if (IsNameStart(c)) {
    token_.kind = TokenKind::kWord;
    while (at_ < text_.size() && IsName(text_[at_])) ++at_;
  } else if (std::string_view("()=<>,").find(c) != std::string_view::npos) {
    token_.kind = TokenKind::kSymbol;
    at_ += (c == '<' && (next == '>' || next == '=')) || (c == '>' && next == '=') ? 2 : 1;
  } else {
    return Fail(at_, StrCat("character \"", std::string_view(&text_[at_], 1),
                            "\" has no meaning here; \"not equal\" is <>, texts stand in '…'"));
  }
  token_.source = text_.substr(token_.at, at_ - token_.at);
  return absl::OkStatus();
}

absl::Status SqlFilterParser::Expect(std::string_view what) {
  if (!AtSymbol(what) && !AtWord(what)) return Unexpected(StrCat("\"", what, "\""));
  return Advance();
}

// ---- Operands

absl::StatusOr<SqlFilter::Operand> SqlFilterParser::NumberOperand() const {
  Operand operand;
  std::string_view digits = token_.source;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  if (absl::SimpleAtoi(ToAbsl(digits), &operand.integer)) {
    operand.kind = Operand::Kind::kInteger;
    return operand;
  }
  operand.kind = Operand::Kind::kDouble;
  const bool plain = digits.find_first_not_of("0123456789.+-eE") == std::string_view::npos;
  if (!plain || !absl::SimpleAtod(ToAbsl(digits), &operand.number) ||
      !std::isfinite(operand.number)) {
    return Unexpected("a number that fits 64 bits or a double");
  }
  return operand;
}

absl::StatusOr<SqlFilter::Operand> SqlFilterParser::TakeOperand() {
  Operand operand;
  if (token_.kind == TokenKind::kNumber) {
    RAFTMQ_ASSIGN_OR_RETURN(operand, NumberOperand());
  } else if (token_.kind == TokenKind::kText) {
    operand.kind = Operand::Kind::kText;
    const std::string_view inner = token_.source.substr(1, token_.source.size() - 2);
    for (size_t i = 0; i < inner.size(); ++i) {
      operand.text += inner[i];
      if (inner[i] == '\'') ++i;  // it is doubled
    }
  } else if (AtWord("TRUE") || AtWord("FALSE")) {
    operand.kind = Operand::Kind::kBool;
    operand.boolean = AtWord("TRUE");
  } else if (token_.kind == TokenKind::kWord && !IsKeyword(token_.source)) {
    operand.kind = Operand::Kind::kProperty;
    operand.text = std::string(token_.source);
  } else {
    return Unexpected("a property, a number, a text in single quotes, TRUE or FALSE");
  }
  RAFTMQ_RETURN_IF_ERROR(Advance());
  return operand;
}

absl::Status SqlFilterParser::CheckOrdered(const Operand& operand, size_t at) const {
  if (operand.IsProperty() || operand.IsNumber()) return absl::OkStatus();
  return Fail(at, "only numbers and properties can be compared by >, >=, <, <= and BETWEEN");
}

// ---- Predicates

std::optional<SqlFilter::Op> SqlFilterParser::ComparisonSymbol() const {
  if (AtSymbol("=") || AtSymbol("<>")) return Op::kEqual;
  if (AtSymbol("<")) return Op::kLess;
  if (AtSymbol("<=")) return Op::kLessEqual;
  if (AtSymbol(">")) return Op::kGreater;
  if (AtSymbol(">=")) return Op::kGreaterEqual;
  return std::nullopt;
}

absl::StatusOr<uint32_t> SqlFilterParser::Comparison(Operand left, size_t left_at) {
  const Op op = *ComparisonSymbol();
  const bool unequal = AtSymbol("<>");
  RAFTMQ_RETURN_IF_ERROR(Advance());
  const size_t right_at = token_.at;
  RAFTMQ_ASSIGN_OR_RETURN(Operand right, TakeOperand());
  if (op != Op::kEqual) {
    RAFTMQ_RETURN_IF_ERROR(CheckOrdered(left, left_at));
    RAFTMQ_RETURN_IF_ERROR(CheckOrdered(right, right_at));
  }
  const uint32_t compared = Add({op, false, {}, {std::move(left), std::move(right)}});
  return unequal ? Add({Op::kNot, false, {compared}, {}}) : compared;
}

absl::StatusOr<uint32_t> SqlFilterParser::Between(Operand left, size_t left_at, bool negated) {
  RAFTMQ_RETURN_IF_ERROR(CheckOrdered(left, left_at));
  const size_t low_at = token_.at;
  RAFTMQ_ASSIGN_OR_RETURN(Operand low, TakeOperand());
  RAFTMQ_RETURN_IF_ERROR(CheckOrdered(low, low_at));
  RAFTMQ_RETURN_IF_ERROR(Expect("AND"));
  const size_t high_at = token_.at;
  RAFTMQ_ASSIGN_OR_RETURN(Operand high, TakeOperand());
  RAFTMQ_RETURN_IF_ERROR(CheckOrdered(high, high_at));
  if (low.IsNumber() && high.IsNumber() &&
      SqlFilter::Compare(Op::kGreater, SqlFilter::ValueOf(low, {}), SqlFilter::ValueOf(high, {})) ==
          SqlFilter::Truth::kTrue) {
    return Fail(low_at, "the first value of BETWEEN is above the second");
  }
  const uint32_t above = Add({Op::kGreaterEqual, false, {}, {left, std::move(low)}});
  const uint32_t below = Add({Op::kLessEqual, false, {}, {std::move(left), std::move(high)}});
  const uint32_t both = Add({Op::kAnd, false, {above, below}, {}});
  return negated ? Add({Op::kNot, false, {both}, {}}) : both;
}

absl::StatusOr<uint32_t> SqlFilterParser::In(Operand left, size_t left_at, bool negated) {
  if (!left.IsProperty()) return Fail(left_at, "left of IN a property is expected");
  RAFTMQ_RETURN_IF_ERROR(Expect("("));
  Node node{Op::kIn, negated, {}, {std::move(left)}};
  while (true) {
    const size_t at = token_.at;
    RAFTMQ_ASSIGN_OR_RETURN(Operand one, TakeOperand());
    if (one.IsProperty()) return Fail(at, "the list of IN holds texts and numbers, no properties");
    node.operands.push_back(std::move(one));
    if (!AtSymbol(",")) break;
    RAFTMQ_RETURN_IF_ERROR(Advance());
  }
  RAFTMQ_RETURN_IF_ERROR(Expect(")"));
  return Add(std::move(node));
}

absl::StatusOr<uint32_t> SqlFilterParser::TextTest(Operand left, Op op, bool negated) {
  if (token_.kind != TokenKind::kText) return Unexpected("a text in single quotes");
  RAFTMQ_ASSIGN_OR_RETURN(Operand part, TakeOperand());
  return Add({op, negated, {}, {std::move(left), std::move(part)}});
}

// [NOT] BETWEEN, IN, CONTAINS, STARTSWITH, ENDSWITH; or nothing.
absl::StatusOr<uint32_t> SqlFilterParser::NegatablePredicate(Operand left, size_t left_at) {
  const bool negated = AtWord("NOT");
  if (negated) RAFTMQ_RETURN_IF_ERROR(Advance());
  const auto taken = [&](std::string_view keyword) { return AtWord(keyword); };
  if (taken("BETWEEN")) {
    RAFTMQ_RETURN_IF_ERROR(Advance());
    return Between(std::move(left), left_at, negated);
  }
  if (taken("IN")) {
    RAFTMQ_RETURN_IF_ERROR(Advance());
    return In(std::move(left), left_at, negated);
  }
  static constexpr std::pair<std::string_view, Op> kTextTests[] = {
      {"CONTAINS", Op::kContains}, {"STARTSWITH", Op::kStartsWith}, {"ENDSWITH", Op::kEndsWith}};
  for (const auto& [keyword, op] : kTextTests) {
    if (!taken(keyword)) continue;
    RAFTMQ_RETURN_IF_ERROR(Advance());
    return TextTest(std::move(left), op, negated);
  }
  if (negated) return Unexpected("BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH");
  if (!left.IsProperty() && left.kind != Operand::Kind::kBool) {
    return Unexpected("a comparison: a number or a text alone is neither true nor false");
  }
  return Add({Op::kTest, false, {}, {std::move(left)}});
}

absl::StatusOr<uint32_t> SqlFilterParser::Predicate() {
  const size_t left_at = token_.at;
  RAFTMQ_ASSIGN_OR_RETURN(Operand left, TakeOperand());
  if (ComparisonSymbol().has_value()) return Comparison(std::move(left), left_at);
  if (!AtWord("IS")) return NegatablePredicate(std::move(left), left_at);
  RAFTMQ_RETURN_IF_ERROR(Advance());
  const bool negated = AtWord("NOT");
  if (negated) RAFTMQ_RETURN_IF_ERROR(Advance());
  RAFTMQ_RETURN_IF_ERROR(Expect("NULL"));
  return Add({Op::kIsNull, negated, {}, {std::move(left)}});
}

// ---- Logic

absl::StatusOr<uint32_t> SqlFilterParser::Factor(int depth) {
  if (depth > SqlFilter::kMaxDepth) {
    return Fail(token_.at,
                StrCat("more than ", SqlFilter::kMaxDepth, " parentheses and NOTs in each other"));
  }
  if (AtWord("NOT")) {
    RAFTMQ_RETURN_IF_ERROR(Advance());
    RAFTMQ_ASSIGN_OR_RETURN(const uint32_t negated, Factor(depth + 1));
    return Add({Op::kNot, false, {negated}, {}});
  }
  if (!AtSymbol("(")) return Predicate();
  RAFTMQ_RETURN_IF_ERROR(Advance());
  RAFTMQ_ASSIGN_OR_RETURN(const uint32_t inner, Chain(Op::kOr, depth + 1));
  RAFTMQ_RETURN_IF_ERROR(Expect(")"));
  return inner;
}

absl::StatusOr<uint32_t> SqlFilterParser::Chain(Op op, int depth) {
  Node node{op, false, {}, {}};
  while (true) {
    RAFTMQ_ASSIGN_OR_RETURN(const uint32_t part,
                            op == Op::kOr ? Chain(Op::kAnd, depth) : Factor(depth));
    node.children.push_back(part);
    if (!AtWord(op == Op::kOr ? "OR" : "AND")) break;
    RAFTMQ_RETURN_IF_ERROR(Advance());
  }
  if (node.children.size() == 1) return node.children[0];
  return Add(std::move(node));
}

absl::StatusOr<std::shared_ptr<const SqlFilter>> SqlFilterParser::Parse() {
  if (text_.size() > SqlFilter::kMaxBytes) {
    return Fail(SqlFilter::kMaxBytes,
                StrCat("the expression has ", text_.size(), " bytes, at most ",
                       SqlFilter::kMaxBytes, " are taken"));
  }
  RAFTMQ_RETURN_IF_ERROR(Advance());
  RAFTMQ_ASSIGN_OR_RETURN(const uint32_t root, Chain(Op::kOr, 0));
  if (token_.kind != TokenKind::kEnd) return Unexpected("AND, OR or the end");
  std::shared_ptr<SqlFilter> filter(new SqlFilter());
  filter->text_ = std::string(text_);
  filter->nodes_ = std::move(nodes_);
  filter->root_ = root;
  return std::shared_ptr<const SqlFilter>(std::move(filter));
}

absl::StatusOr<std::shared_ptr<const SqlFilter>> SqlFilter::Parse(std::string_view text) {
  return SqlFilterParser(text).Parse();
}

}  // namespace raftmq::store
