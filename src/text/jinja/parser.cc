#include "text/jinja/parser.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "text/jinja/filters.h"

namespace duet::jinja {
namespace {

constexpr int64_t kMaxNodes = 100'000;      // keeps a template of 1 MiB within some 30 MB
constexpr size_t kMaxIntegerDigits = 4300;  // as Python's

std::string_view target_kind(const Expr& node) {
  switch (node.kind) {
    case ExprKind::kConst:
      return "const";
    case ExprKind::kList:
      return "list";
    case ExprKind::kDict:
      return "dict";
    default:
      return "name";
  }
}

bool can_assign(const Expr& node) {
  if (node.kind == ExprKind::kTuple) {
    return std::all_of(node.items.begin(), node.items.end(), [](const ExprPtr& item) { return can_assign(*item); });
  }
  return node.kind == ExprKind::kName || node.kind == ExprKind::kNamespaceRef;
}

}  // namespace

Parser::Parser(std::string_view source, Budget& budget) : lexer_(source), budget_(budget), current_(lexer_.next()) {}

void Parser::count_node() {
  if (++nodes_ > kMaxNodes) raise_limit("the template has more than {} nodes", kMaxNodes);
}

ExprPtr Parser::node(ExprKind kind) {
  count_node();
  auto out = std::make_unique<Expr>();
  out->kind = kind;
  out->line = current_.line;
  return out;
}

ExprPtr Parser::finish(ExprPtr node) {
  if (node->kind == ExprKind::kFilter || node->kind == ExprKind::kTest) {
    const Builtin* builtin = node->kind == ExprKind::kFilter ? find_filter(node->name) : find_test(node->name);
    node->function = builtin == nullptr ? nullptr : builtin->function;
    node->unknown_below = builtin == nullptr;
    node->context_filter = builtin != nullptr && builtin->needs_context;
  }
  int32_t deepest = 0;
  const auto look_at = [&](const ExprPtr& child) {
    if (child == nullptr) return;
    deepest = std::max(deepest, child->depth);
    node->unknown_below = node->unknown_below || child->unknown_below;
  };
  for (const ExprPtr& item : node->items) look_at(item);
  for (const ExprPtr* child : {&node->a, &node->b, &node->c}) look_at(*child);
  if (node->arguments != nullptr) {
    for (const ExprPtr& item : node->arguments->positional) look_at(item);
    for (const auto& item : node->arguments->keyword) look_at(item.second);
    look_at(node->arguments->more_positional);
    look_at(node->arguments->more_keyword);
  }
  node->depth = deepest + 1;
  if (node->depth > budget_.limits().max_depth) {
    raise_limit("line {}: an expression is nested deeper than {} levels", node->line, budget_.limits().max_depth);
  }
  return node;
}

ExprPtr Parser::constant(Value value) {
  ExprPtr out = node(ExprKind::kConst);
  out->constant = std::move(value);
  return out;
}

ExprPtr Parser::unary_node(ExprKind kind, ExprPtr a) {
  ExprPtr out = node(kind);
  out->a = std::move(a);
  return finish(std::move(out));
}

ExprPtr Parser::binary_node(ExprKind kind, ExprPtr a, ExprPtr b) {
  ExprPtr out = node(kind);
  out->a = std::move(a);
  out->b = std::move(b);
  return finish(std::move(out));
}

Token Parser::take() {
  Token out = std::move(current_);
  if (ahead_) {
    current_ = std::move(*ahead_);
    ahead_.reset();
  } else {
    current_ = lexer_.next();
  }
  return out;
}

const Token& Parser::look() {
  if (!ahead_) ahead_ = lexer_.next();
  return *ahead_;
}

bool Parser::skip_if(TokenType type) {
  if (current_.type != type) return false;
  take();
  return true;
}

bool Parser::skip_if_name(std::string_view name) {
  if (!current_.is_name(name)) return false;
  take();
  return true;
}

Token Parser::expect(TokenType type) {
  if (current_.type != type) {
    if (current_.type == TokenType::kEof) {
      fail_syntax(current_.line, "unexpected end of template, expected '{}'", describe(type));
    }
    fail_syntax(current_.line, "expected token '{}', got '{}'", describe(type), describe(current_));
  }
  return take();
}

void Parser::expect_name(std::string_view name) {
  if (!current_.is_name(name)) fail_syntax(current_.line, "expected token '{}', got '{}'", name, describe(current_));
  take();
}

ExprPtr Parser::expression(bool with_condition) {
  const Budget::Depth depth(budget_);
  return with_condition ? condition() : logical_or();
}

ExprPtr Parser::condition() {
  ExprPtr value = logical_or();
  while (skip_if_name("if")) {
    ExprPtr out = node(ExprKind::kCondition);
    out->a = logical_or();
    if (skip_if_name("else")) {
      const Budget::Depth depth(budget_);
      out->c = condition();
    }
    out->b = std::move(value);
    value = finish(std::move(out));
  }
  return value;
}

ExprPtr Parser::logical_or() {
  ExprPtr left = logical_and();
  while (skip_if_name("or")) left = binary_node(ExprKind::kOr, std::move(left), logical_and());
  return left;
}

ExprPtr Parser::logical_and() {
  ExprPtr left = logical_not();
  while (skip_if_name("and")) left = binary_node(ExprKind::kAnd, std::move(left), logical_not());
  return left;
}

ExprPtr Parser::logical_not() {
  if (skip_if_name("not")) {
    const Budget::Depth depth(budget_);
    return unary_node(ExprKind::kNot, logical_not());
  }
  return comparison();
}

ExprPtr Parser::comparison() {
  ExprPtr left = sum();
  ExprPtr out;
  const auto add = [&](CompareOp op) {
    if (out == nullptr) out = node(ExprKind::kCompare);
    out->compare.push_back(op);
    out->items.push_back(sum());
  };
  while (true) {
    if (skip_if(TokenType::kEq)) {
      add(CompareOp::kEq);
    } else if (skip_if(TokenType::kNe)) {
      add(CompareOp::kNe);
    } else if (skip_if(TokenType::kLt)) {
      add(CompareOp::kLt);
    } else if (skip_if(TokenType::kLtEq)) {
      add(CompareOp::kLtEq);
    } else if (skip_if(TokenType::kGt)) {
      add(CompareOp::kGt);
    } else if (skip_if(TokenType::kGtEq)) {
      add(CompareOp::kGtEq);
    } else if (skip_if_name("in")) {
      add(CompareOp::kIn);
    } else if (current_.is_name("not") && look().is_name("in")) {
      take();
      take();
      add(CompareOp::kNotIn);
    } else {
      break;
    }
  }
  if (out == nullptr) return left;
  out->a = std::move(left);
  return finish(std::move(out));
}

ExprPtr Parser::sum() {
  ExprPtr left = concatenation();
  while (current_.type == TokenType::kAdd || current_.type == TokenType::kSub) {
    const BinaryOp op = take().type == TokenType::kAdd ? BinaryOp::kAdd : BinaryOp::kSub;
    left = binary_node(ExprKind::kBinary, std::move(left), concatenation());
    left->binary = op;
  }
  return left;
}

ExprPtr Parser::concatenation() {
  ExprPtr first = product();
  if (current_.type != TokenType::kTilde) return first;
  ExprPtr out = node(ExprKind::kConcat);
  out->items.push_back(std::move(first));
  while (skip_if(TokenType::kTilde)) out->items.push_back(product());
  return finish(std::move(out));
}

ExprPtr Parser::product() {
  ExprPtr left = power();
  while (true) {
    BinaryOp op;
    switch (current_.type) {
      case TokenType::kMul:
        op = BinaryOp::kMul;
        break;
      case TokenType::kDiv:
        op = BinaryOp::kDiv;
        break;
      case TokenType::kFloorDiv:
        op = BinaryOp::kFloorDiv;
        break;
      case TokenType::kMod:
        op = BinaryOp::kMod;
        break;
      default:
        return left;
    }
    take();
    left = binary_node(ExprKind::kBinary, std::move(left), power());
    left->binary = op;
  }
}

ExprPtr Parser::power() {
  ExprPtr left = unary();
  while (skip_if(TokenType::kPow)) {
    left = binary_node(ExprKind::kBinary, std::move(left), unary());
    left->binary = BinaryOp::kPow;
  }
  return left;
}

ExprPtr Parser::unary(bool with_filter) {
  const Budget::Depth depth(budget_);
  ExprPtr out;
  if (skip_if(TokenType::kSub)) {
    out = unary_node(ExprKind::kNegate, unary(false));
  } else if (skip_if(TokenType::kAdd)) {
    out = unary_node(ExprKind::kPlus, unary(false));
  } else {
    out = primary();
  }
  out = postfix(std::move(out));
  return with_filter ? filter_chain(std::move(out)) : std::move(out);
}

ExprPtr Parser::literal_number() {
  const Token token = take();
  if (token.type == TokenType::kFloat) return constant(Value::real(std::strtod(token.text.c_str(), nullptr)));
  std::string_view digits = token.text;
  int base = 10;
  if (digits.size() > 1 && digits[0] == '0') {
    const char letter = static_cast<char>(digits[1] | 0x20);
    base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
    if (base != 10) digits.remove_prefix(2);
  }
  int64_t small = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), small, base);
  if (error == std::errc() && end == digits.data() + digits.size()) return constant(Value::integer(small));
  if (base == 10 && digits.size() > kMaxIntegerDigits) {
    raise_type("line {}: an integer of {} digits is above the limit of {}", token.line, digits.size(),
               kMaxIntegerDigits);
  }
  budget_.check_size(static_cast<int64_t>(digits.size()));
  if (digits.size() > 20'000) raise_limit("line {}: an integer of {} digits is too long", token.line, digits.size());
  return constant(make_integer(BigInt::parse(digits, base).value_or(BigInt())));
}

ExprPtr Parser::primary(bool with_namespace) {
  switch (current_.type) {
    case TokenType::kName: {
      const Token token = take();
      if (token.text == "true" || token.text == "True") return constant(Value::boolean(true));
      if (token.text == "false" || token.text == "False") return constant(Value::boolean(false));
      if (token.text == "none" || token.text == "None") return constant(Value::none());
      ExprPtr out = node(ExprKind::kName);
      out->line = token.line;
      out->name = token.text;
      if (with_namespace && skip_if(TokenType::kDot)) {
        out->kind = ExprKind::kNamespaceRef;
        out->attribute = expect(TokenType::kName).text;
      }
      return out;
    }
    case TokenType::kString: {
      std::string text = take().text;
      while (current_.type == TokenType::kString) text += take().text;
      return constant(make_string(budget_, std::move(text)));
    }
    case TokenType::kInteger:
    case TokenType::kFloat:
      return literal_number();
    case TokenType::kLParen: {
      take();
      ExprPtr out = tuple(false, true, true);
      expect(TokenType::kRParen);
      return out;
    }
    case TokenType::kLBracket:
      return list();
    case TokenType::kLBrace:
      return dict();
    default:
      fail_syntax(current_.line, "unexpected '{}'", describe(current_));
  }
}

ExprPtr Parser::tuple(bool simplified, bool with_condition, bool explicit_parentheses, bool with_namespace) {
  ExprPtr out = node(ExprKind::kTuple);
  bool is_tuple = false;
  while (true) {
    if (!out->items.empty()) expect(TokenType::kComma);
    const TokenType type = current_.type;
    if (type == TokenType::kVariableEnd || type == TokenType::kBlockEnd || type == TokenType::kRParen) break;
    out->items.push_back(simplified ? primary(with_namespace) : expression(with_condition));
    if (current_.type != TokenType::kComma) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!out->items.empty()) return std::move(out->items[0]);
    if (!explicit_parentheses) fail_syntax(current_.line, "Expected an expression, got '{}'", describe(current_));
  }
  return finish(std::move(out));
}

ExprPtr Parser::list() {
  ExprPtr out = node(ExprKind::kList);
  expect(TokenType::kLBracket);
  while (current_.type != TokenType::kRBracket) {
    if (!out->items.empty()) expect(TokenType::kComma);
    if (current_.type == TokenType::kRBracket) break;
    out->items.push_back(expression());
  }
  expect(TokenType::kRBracket);
  return finish(std::move(out));
}

ExprPtr Parser::dict() {
  ExprPtr out = node(ExprKind::kDict);
  expect(TokenType::kLBrace);
  while (current_.type != TokenType::kRBrace) {
    if (!out->items.empty()) expect(TokenType::kComma);
    if (current_.type == TokenType::kRBrace) break;
    out->items.push_back(expression());
    expect(TokenType::kColon);
    out->items.push_back(expression());
  }
  expect(TokenType::kRBrace);
  return finish(std::move(out));
}

ExprPtr Parser::postfix(ExprPtr node) {
  while (true) {
    if (current_.type == TokenType::kDot || current_.type == TokenType::kLBracket) {
      node = subscript(std::move(node));
    } else if (current_.type == TokenType::kLParen) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr Parser::filter_chain(ExprPtr node) {
  while (true) {
    if (current_.type == TokenType::kPipe) {
      node = filters(std::move(node));
    } else if (current_.is_name("is")) {
      node = test(std::move(node));
    } else if (current_.type == TokenType::kLParen) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr Parser::subscript(ExprPtr base) {
  if (skip_if(TokenType::kDot)) {
    if (current_.type == TokenType::kInteger) return binary_node(ExprKind::kGetitem, std::move(base), literal_number());
    if (current_.type != TokenType::kName) fail_syntax(current_.line, "expected name or number");
    ExprPtr out = unary_node(ExprKind::kGetattr, std::move(base));
    out->name = take().text;
    return out;
  }
  take();
  ExprPtr index = node(ExprKind::kTuple);
  while (current_.type != TokenType::kRBracket) {
    if (!index->items.empty()) expect(TokenType::kComma);
    index->items.push_back(subscribed());
  }
  expect(TokenType::kRBracket);
  if (index->items.size() == 1) {
    ExprPtr only = std::move(index->items[0]);
    index = std::move(only);
  } else {
    index = finish(std::move(index));
  }
  return binary_node(ExprKind::kGetitem, std::move(base), std::move(index));
}

ExprPtr Parser::subscribed() {
  ExprPtr start;
  if (current_.type != TokenType::kColon) {
    start = expression();
    if (current_.type != TokenType::kColon) return start;
  }
  ExprPtr out = node(ExprKind::kSlice);
  take();
  const auto at_end = [&] { return current_.type == TokenType::kRBracket || current_.type == TokenType::kComma; };
  out->a = std::move(start);
  if (current_.type != TokenType::kColon && !at_end()) out->b = expression();
  if (skip_if(TokenType::kColon) && !at_end()) out->c = expression();
  return finish(std::move(out));
}

ExprPtr Parser::call(ExprPtr function) {
  ExprPtr out = node(ExprKind::kCall);
  out->arguments = call_arguments();
  out->a = std::move(function);
  return finish(std::move(out));
}

std::unique_ptr<CallArguments> Parser::call_arguments() {
  const int line = current_.line;
  expect(TokenType::kLParen);
  auto out = std::make_unique<CallArguments>();
  const auto ensure = [&](bool valid) {
    if (!valid) fail_syntax(line, "invalid syntax for function call expression");
  };
  bool need_comma = false;
  while (current_.type != TokenType::kRParen) {
    if (need_comma) {
      expect(TokenType::kComma);
      if (current_.type == TokenType::kRParen) break;
    }
    if (skip_if(TokenType::kMul)) {
      ensure(out->more_positional == nullptr && out->more_keyword == nullptr);
      out->more_positional = expression();
    } else if (skip_if(TokenType::kPow)) {
      ensure(out->more_keyword == nullptr);
      out->more_keyword = expression();
    } else if (current_.type == TokenType::kName && look().type == TokenType::kAssign) {
      ensure(out->more_keyword == nullptr);
      std::string key = take().text;
      take();
      out->keyword.emplace_back(std::move(key), expression());
    } else {
      ensure(out->more_positional == nullptr && out->more_keyword == nullptr && out->keyword.empty());
      out->positional.push_back(expression());
    }
    need_comma = true;
  }
  expect(TokenType::kRParen);
  return out;
}

std::string Parser::dotted_name() {
  std::string name = expect(TokenType::kName).text;
  while (skip_if(TokenType::kDot)) name += "." + expect(TokenType::kName).text;
  return name;
}

ExprPtr Parser::filters(ExprPtr base, bool inline_first) {
  while (inline_first || current_.type == TokenType::kPipe) {
    if (!inline_first) take();
    inline_first = false;
    ExprPtr out = node(ExprKind::kFilter);
    out->name = dotted_name();
    out->arguments = current_.type == TokenType::kLParen ? call_arguments() : std::make_unique<CallArguments>();
    out->a = std::move(base);
    base = finish(std::move(out));
  }
  return base;
}

ExprPtr Parser::test(ExprPtr base) {
  ExprPtr out = node(ExprKind::kTest);
  take();
  const bool negated = skip_if_name("not");
  out->name = dotted_name();
  out->arguments = std::make_unique<CallArguments>();
  constexpr std::array kStarts{TokenType::kName,  TokenType::kString,   TokenType::kInteger,
                               TokenType::kFloat, TokenType::kLBracket, TokenType::kLBrace};
  if (current_.type == TokenType::kLParen) {
    out->arguments = call_arguments();
  } else if (std::find(kStarts.begin(), kStarts.end(), current_.type) != kStarts.end() && !current_.is_name("else") &&
             !current_.is_name("or") && !current_.is_name("and")) {
    if (current_.is_name("is")) fail_syntax(current_.line, "You cannot chain multiple tests with is");
    out->arguments->positional.push_back(postfix(primary()));
  }
  out->a = std::move(base);
  out = finish(std::move(out));
  return negated ? unary_node(ExprKind::kNot, std::move(out)) : std::move(out);
}

void Parser::check_assignable(Expr& target) {
  if (!can_assign(target)) fail_syntax(target.line, "can't assign to '{}'", target_kind(target));
}

ExprPtr Parser::assign_target(bool with_namespace) {
  ExprPtr target = tuple(true, true, false, with_namespace);
  check_assignable(*target);
  return target;
}

std::string Parser::name_target() {
  const Token token = expect(TokenType::kName);
  for (const std::string_view word : {"true", "false", "none", "True", "False", "None"}) {
    if (token.text == word) fail_syntax(token.line, "can't assign to 'name'");
  }
  return token.text;
}

}  // namespace duet::jinja
