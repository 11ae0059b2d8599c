#include <algorithm>

#include "text/jinja/parser.h"
#include "text/jinja/unicode.h"

namespace duet::jinja {
namespace {

std::string quoted_list(std::initializer_list<std::string_view> names) {
  std::string out;
  for (const std::string_view name : names) out += fmt::format("{}'{}'", out.empty() ? "" : " or ", name);
  return out;
}

}  // namespace

Body Parser::parse() { return subparse({}); }

StmtPtr Parser::make_statement(StmtKind kind) {
  count_node();
  auto out = std::make_unique<Stmt>();
  out->kind = kind;
  out->line = current_.line;
  return out;
}

/// After the head of a block tag: its body, up to one of the tags that end it.
Body Parser::statements(std::initializer_list<std::string_view> end_names, bool drop_end) {
  skip_if(TokenType::kColon);
  expect(TokenType::kBlockEnd);
  Body body = subparse(end_names);
  if (current_.type == TokenType::kEof) {
    fail_syntax(current_.line,
                "Unexpected end of template. Jinja was looking for the following tags: {}. The innermost block that "
                "needs to be closed is '{}'.",
                quoted_list(end_names), tags_.empty() ? "" : tags_.back());
  }
  if (drop_end) take();
  return body;
}

Body Parser::subparse(std::initializer_list<std::string_view> end_names) {
  const Budget::Depth depth(budget_);
  Body body;
  StmtPtr output;
  const auto add_output = [&](ExprPtr expr) {
    if (output == nullptr) output = make_statement(StmtKind::kOutput);
    output->values.push_back(std::move(expr));
  };
  const auto flush = [&] {
    if (output != nullptr) body.push_back(std::move(output));
  };
  end_stack_.push_back(end_names);
  while (current_.type != TokenType::kEof) {
    if (current_.type == TokenType::kData) {
      Token data = take();
      add_output(constant(make_string(budget_, std::move(data.text), true)));  // marked: template text is never escaped
    } else if (current_.type == TokenType::kVariableBegin) {
      take();
      add_output(tuple());
      expect(TokenType::kVariableEnd);
    } else {
      flush();
      take();
      const bool ends =
          current_.type == TokenType::kName &&
          std::find(end_names.begin(), end_names.end(), std::string_view(current_.text)) != end_names.end();
      if (ends) {
        end_stack_.pop_back();
        return body;
      }
      body.push_back(statement());
      expect(TokenType::kBlockEnd);
    }
  }
  flush();
  end_stack_.pop_back();
  return body;
}

StmtPtr Parser::statement() {
  if (current_.type != TokenType::kName) fail_syntax(current_.line, "tag name expected");
  const std::string tag = current_.text;
  tags_.push_back(tag);
  StmtPtr out;
  if (tag == "for") {
    out = parse_for();
  } else if (tag == "if") {
    out = parse_if();
  } else if (tag == "set") {
    out = parse_set();
  } else if (tag == "with") {
    out = parse_with();
  } else if (tag == "macro") {
    out = parse_macro();
  } else if (tag == "call") {
    out = parse_call_block();
  } else if (tag == "filter") {
    out = parse_filter_block();
  } else if (tag == "block") {
    out = parse_block();
  } else if (tag == "autoescape") {
    out = parse_autoescape();
  } else if (tag == "generation") {
    out = parse_generation();
  } else if (tag == "print") {
    out = parse_print();
  } else if (tag == "include") {
    out = parse_include();
  } else if (tag == "import") {
    out = parse_import();
  } else if (tag == "from") {
    out = parse_from();
  } else if (tag == "extends") {
    out = make_statement(StmtKind::kExtends);
    take();
    out->values.push_back(expression());
  } else if (tag == "break" || tag == "continue") {
    out = make_statement(tag == "break" ? StmtKind::kBreak : StmtKind::kContinue);
    take();
  } else {
    tags_.pop_back();
    fail_unknown_tag(tag);
  }
  tags_.pop_back();
  return out;
}

void Parser::fail_unknown_tag(const std::string& name) {
  std::string message = fmt::format("Encountered unknown tag '{}'.", name);
  if (!end_stack_.empty() && end_stack_.back().size() > 0) {
    message += fmt::format(" Jinja was looking for the following tags: {}.", quoted_list(end_stack_.back()));
  }
  if (!tags_.empty()) message += fmt::format(" The innermost block that needs to be closed is '{}'.", tags_.back());
  fail_syntax(current_.line, "{}", message);
}

StmtPtr Parser::parse_for() {
  StmtPtr out = make_statement(StmtKind::kFor);
  take();
  out->targets.push_back(assign_target());
  expect_name("in");
  out->values.push_back(tuple(false, false));
  if (skip_if_name("if")) out->test = expression();
  out->recursive = skip_if_name("recursive");
  out->body = statements({"endfor", "else"}, false);
  if (take().text != "endfor") out->else_body = statements({"endfor"}, true);
  return out;
}

StmtPtr Parser::parse_if() {
  StmtPtr out = make_statement(StmtKind::kIf);
  take();
  Stmt* branch = out.get();
  while (true) {
    branch->test = tuple(false, false);
    branch->body = statements({"elif", "else", "endif"}, false);
    const Token end = take();
    if (end.text == "elif") {
      out->elifs.push_back(make_statement(StmtKind::kIf));
      branch = out->elifs.back().get();
      continue;
    }
    if (end.text == "else") out->else_body = statements({"endif"}, true);
    return out;
  }
}

StmtPtr Parser::parse_set() {
  StmtPtr out = make_statement(StmtKind::kSet);
  take();
  out->targets.push_back(assign_target(true));
  if (skip_if(TokenType::kAssign)) {
    out->values.push_back(tuple());
    return out;
  }
  out->kind = StmtKind::kSetBlock;
  out->call = filters(nullptr);
  out->body = statements({"endset"}, true);
  return out;
}

StmtPtr Parser::parse_with() {
  StmtPtr out = make_statement(StmtKind::kWith);
  take();
  while (current_.type != TokenType::kBlockEnd) {
    if (!out->targets.empty()) expect(TokenType::kComma);
    out->targets.push_back(assign_target());
    expect(TokenType::kAssign);
    out->values.push_back(expression());
  }
  out->body = statements({"endwith"}, true);
  return out;
}

void Parser::parse_signature(Stmt& statement) {
  expect(TokenType::kLParen);
  while (current_.type != TokenType::kRParen) {
    if (!statement.parameters.empty()) expect(TokenType::kComma);
    statement.parameters.push_back(name_target());
    if (skip_if(TokenType::kAssign)) {
      statement.values.push_back(expression());
    } else if (!statement.values.empty()) {
      fail_syntax(current_.line, "non-default argument follows default argument");
    }
  }
  expect(TokenType::kRParen);
}

StmtPtr Parser::parse_macro() {
  StmtPtr out = make_statement(StmtKind::kMacro);
  take();
  out->name = name_target();
  parse_signature(*out);
  out->body = statements({"endmacro"}, true);
  return out;
}

StmtPtr Parser::parse_call_block() {
  StmtPtr out = make_statement(StmtKind::kCallBlock);
  take();
  if (current_.type == TokenType::kLParen) parse_signature(*out);
  out->call = expression();
  if (out->call->kind != ExprKind::kCall) fail_syntax(out->line, "expected call");
  out->body = statements({"endcall"}, true);
  return out;
}

StmtPtr Parser::parse_filter_block() {
  StmtPtr out = make_statement(StmtKind::kFilterBlock);
  take();
  out->call = filters(nullptr, true);
  out->body = statements({"endfilter"}, true);
  return out;
}

StmtPtr Parser::parse_block() {
  StmtPtr out = make_statement(StmtKind::kBlock);
  take();
  out->name = expect(TokenType::kName).text;
  out->scoped = skip_if_name("scoped");
  out->required = skip_if_name("required");
  if (current_.type == TokenType::kSub) fail_syntax(current_.line, "block names may not contain hyphens");
  out->body = statements({"endblock"}, true);
  const auto only_space = [](const StmtPtr& part) {
    return part->kind == StmtKind::kOutput &&
           std::all_of(part->values.begin(), part->values.end(), [](const ExprPtr& value) {
             if (value->kind != ExprKind::kConst || !value->constant.is_markup()) return false;
             const std::u32string codes = decode(value->constant.text());
             return std::all_of(codes.begin(), codes.end(), [](char32_t code) { return has(code, kSpace); });
           });
  };
  if (out->required && !std::all_of(out->body.begin(), out->body.end(), only_space)) {
    fail_syntax(out->line, "Required blocks can only contain comments or whitespace");
  }
  skip_if_name(out->name);
  return out;
}

StmtPtr Parser::parse_autoescape() {
  StmtPtr out = make_statement(StmtKind::kAutoescape);
  take();
  out->test = expression();
  out->body = statements({"endautoescape"}, true);
  return out;
}

StmtPtr Parser::parse_generation() {
  StmtPtr out = make_statement(StmtKind::kGeneration);
  take();
  out->body = statements({"endgeneration"}, true);
  return out;
}

StmtPtr Parser::parse_print() {
  StmtPtr out = make_statement(StmtKind::kOutput);
  take();
  while (current_.type != TokenType::kBlockEnd) {
    if (!out->values.empty()) expect(TokenType::kComma);
    out->values.push_back(expression());
  }
  return out;
}

void Parser::parse_import_context() {
  if ((current_.is_name("with") || current_.is_name("without")) && look().is_name("context")) {
    take();
    take();
  }
}

StmtPtr Parser::parse_include() {
  StmtPtr out = make_statement(StmtKind::kInclude);
  take();
  out->values.push_back(expression());
  if (current_.is_name("ignore") && look().is_name("missing")) {
    take();
    take();
    out->ignore_missing = true;
  }
  parse_import_context();
  return out;
}

StmtPtr Parser::parse_import() {
  StmtPtr out = make_statement(StmtKind::kImport);
  take();
  out->values.push_back(expression());
  expect_name("as");
  out->name = name_target();
  parse_import_context();
  return out;
}

StmtPtr Parser::parse_from() {
  StmtPtr out = make_statement(StmtKind::kFromImport);
  take();
  out->values.push_back(expression());
  expect_name("import");
  const auto context_follows = [&] {
    if ((!current_.is_name("with") && !current_.is_name("without")) || !look().is_name("context")) return false;
    take();
    take();
    return true;
  };
  while (true) {
    if (!out->names.empty()) expect(TokenType::kComma);
    if (current_.type == TokenType::kName) {
      if (context_follows()) break;
      std::string name = name_target();
      if (name.starts_with("_")) fail_syntax(current_.line, "names starting with an underline can not be imported");
      if (skip_if_name("as")) name = name_target();
      out->names.push_back(std::move(name));
      if (context_follows() || current_.type != TokenType::kComma) break;
    } else {
      expect(TokenType::kName);
    }
  }
  return out;
}

}  // namespace duet::jinja
