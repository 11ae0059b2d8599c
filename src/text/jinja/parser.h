#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"
#include "text/jinja/limits.h"

namespace duet::jinja {

/// Reads a template into statements. Throws TemplateError of kind syntax, or limit for a source that is nested too
/// deep.
class Parser {
 public:
  Parser(std::string_view source, Budget& budget);
  Body parse();

 private:
  struct End {
    std::initializer_list<std::string_view> names;
  };

  // statements (parser_statements.cc)
  Body statements(std::initializer_list<std::string_view> end_names, bool drop_end);
  Body subparse(std::initializer_list<std::string_view> end_names);
  StmtPtr statement();
  StmtPtr parse_for();
  StmtPtr parse_if();
  StmtPtr parse_set();
  StmtPtr parse_with();
  StmtPtr parse_macro();
  StmtPtr parse_call_block();
  StmtPtr parse_filter_block();
  StmtPtr parse_block();
  StmtPtr parse_autoescape();
  StmtPtr parse_generation();
  StmtPtr parse_print();
  StmtPtr parse_include();
  StmtPtr parse_import();
  StmtPtr parse_from();
  void parse_import_context();
  void parse_signature(Stmt& statement);
  [[noreturn]] void fail_unknown_tag(const std::string& name);

  // expressions (parser.cc)
  ExprPtr expression(bool with_condition = true);
  ExprPtr condition();
  ExprPtr logical_or();
  ExprPtr logical_and();
  ExprPtr logical_not();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concatenation();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary(bool with_filter = true);
  ExprPtr primary(bool with_namespace = false);
  ExprPtr literal_number();
  /// A tuple without parentheses, or the one expression that stands there. As in Jinja neither `in` nor `recursive`
  /// ends it behind a comma.
  ExprPtr tuple(bool simplified = false, bool with_condition = true, bool explicit_parentheses = false,
                bool with_namespace = false);
  ExprPtr list();
  ExprPtr dict();
  ExprPtr postfix(ExprPtr node);
  ExprPtr filter_chain(ExprPtr node);
  ExprPtr subscript(ExprPtr node);
  ExprPtr subscribed();
  ExprPtr call(ExprPtr node);
  std::unique_ptr<CallArguments> call_arguments();
  /// Filters from here on; `inline_first`: the first has no '|' before it.
  ExprPtr filters(ExprPtr node, bool inline_first = false);
  ExprPtr test(ExprPtr node);
  std::string dotted_name();
  ExprPtr assign_target(bool with_namespace = false);
  std::string name_target();
  void check_assignable(Expr& target);

  // tokens
  const Token& current() const { return current_; }
  const Token& look();
  Token take();
  bool skip_if(TokenType type);
  bool skip_if_name(std::string_view name);
  Token expect(TokenType type);
  void expect_name(std::string_view name);
  template <typename... Args>
  [[noreturn]] void fail_syntax(int line, fmt::format_string<Args...> format, Args&&... args) {
    raise(TemplateErrorKind::kSyntax, "line {}: {}", line, fmt::format(format, std::forward<Args>(args)...));
  }

  ExprPtr node(ExprKind kind);
  ExprPtr constant(Value value);
  ExprPtr unary_node(ExprKind kind, ExprPtr a);
  ExprPtr binary_node(ExprKind kind, ExprPtr a, ExprPtr b);
  StmtPtr make_statement(StmtKind kind);
  /// Sets the node's depth from its children and checks it.
  ExprPtr finish(ExprPtr node);
  void count_node();

  Lexer lexer_;
  Budget& budget_;
  Token current_;
  std::optional<Token> ahead_;
  int64_t nodes_ = 0;
  std::vector<std::string> tags_;                                   // open tags, for messages
  std::vector<std::initializer_list<std::string_view>> end_stack_;  // what would close them
};

}  // namespace duet::jinja
