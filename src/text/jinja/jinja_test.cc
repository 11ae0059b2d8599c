// What golden/templates does not pin down: layout filters, bytes, limits, and what malformed source gives.

#include <gtest/gtest.h>

#include "base/utf8.h"
#include "text/jinja/lexer.h"
#include "text/jinja/template.h"

namespace duet::jinja {
namespace {

std::string render(std::string_view source, const Json& variables = Json(Json::Object{})) {
  return Template::parse(source).render(variables).text;
}

/// The kind of the error that a template gives, or its text in quotes.
std::string outcome(std::string_view source, const Limits& limits = {}) {
  try {
    return "'" + Template::parse(source, limits).render(Json(Json::Object{})).text + "'";
  } catch (const TemplateError& error) {
    return std::string(template_error_kind_name(error.kind()));
  }
}

std::string repeat(std::string_view unit, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += unit;
  return out;
}

TEST(JinjaLexer, GivesTokensWithTheirLines) {
  Lexer lexer("a\n{{- x.y2 }}");
  std::vector<std::pair<TokenType, std::string>> tokens;
  int line = 0;
  for (Token token = lexer.next(); token.type != TokenType::kEof; token = lexer.next()) {
    tokens.emplace_back(token.type, token.text);
    line = token.line;
  }
  ASSERT_EQ(tokens.size(), 6U);
  EXPECT_EQ(tokens[0], std::pair(TokenType::kData, std::string("a")));  // the minus takes the line end
  EXPECT_EQ(tokens[4], std::pair(TokenType::kName, std::string("y2")));
  EXPECT_EQ(line, 2);
}

TEST(JinjaParser, RefusesWhatDoesNotParse) {
  for (const std::string_view source :
       {"{{", "{{ 1 +", "{% if x %}", "{% endif %}", "{{ 'a }}", "{# x", "{% raw %}x", "{{ ) }}", "{{ x|nothing }}",
        "{{ x is nothing }}", "{% do x %}", "{{ 1 if }}", "{{ x. }}", "{% for %}{% endfor %}", "{% set 1 = 2 %}",
        "{{ [1, }}", "{{ {1: } }}"}) {
    EXPECT_EQ(outcome(source), "syntax") << source;
  }
}

// Jinja leaves out what an extends above would drop; without a loader the extends itself is a type error.
TEST(JinjaParser, ChecksNoOutputBelowAnExtends) {
  EXPECT_EQ(outcome("{% extends '' %}{{ 1 is nothing }}"), "type");
  EXPECT_EQ(outcome("{% extends '' %}{% for i in [1] %}{{ 1 is nothing }}{% endfor %}"), "type");
  EXPECT_EQ(outcome("{% extends '' %}{% extends '' %}{% set x = 1 is nothing %}"), "type");
  EXPECT_EQ(outcome("{% extends '' %}{% set x = 1 is nothing %}"), "syntax");
  EXPECT_EQ(outcome("{% extends '' %}{% macro m() %}{{ 1 is nothing }}{% endmacro %}"), "syntax");
  EXPECT_EQ(outcome("{% if 0 %}{% extends '' %}{% endif %}{{ 1 is nothing }}"), "syntax");
  EXPECT_EQ(outcome("{{ 1 is nothing }}{% extends '' %}"), "syntax");
}

TEST(JinjaParser, SourceNestedDeeperThanTheLimitIsRefused) {
  EXPECT_EQ(outcome("{{ " + repeat("(", 100) + "1" + repeat(")", 100) + " }}"), "'1'");
  for (const std::string& source :
       {"{{ " + repeat("(", 200000) + "1" + repeat(")", 200000) + " }}", "{{ " + repeat("[", 200000) + " }}",
        "{{ " + repeat("not ", 100000) + "1 }}", "{{ x" + repeat(".x", 300000) + " }}",
        "{{ x" + repeat("()", 300000) + " }}", "{{ x" + repeat("|e", 300000) + " }}",
        "{{ 1" + repeat("+1", 300000) + " }}", "{{ 1" + repeat(" if 1", 100000) + " }}", repeat("{% if 1 %}", 50000),
        repeat("{% for i in [1] %}", 50000)}) {
    EXPECT_EQ(outcome(source), "limit") << source.substr(0, 20);
  }
}

TEST(JinjaLimits, EndEndlessTemplates) {
  EXPECT_EQ(outcome("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"), "limit");
  EXPECT_EQ(outcome("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), "limit");
  EXPECT_EQ(outcome("{{ 'a' * 10**12 }}"), "limit");
  EXPECT_EQ(outcome("{{ 10**(9**9) }}"), "limit");
  EXPECT_EQ(outcome("{{ ('a' * 70000 ~ ' ')|wordwrap(1)|length }}"), "'139999'");
  EXPECT_EQ(outcome("{{ ('a ' * 70000)|wordwrap(1, wrapstring='x' * 1000) }}"), "limit");
  EXPECT_EQ(outcome("{{ 'aaaaa' }}", {.max_output = 4}), "limit");
  EXPECT_EQ(outcome("{{ 'aaaa' }}", {.max_output = 4}), "'aaaa'");
  EXPECT_EQ(outcome("12345", {.max_source_bytes = 4}), "limit");
}

TEST(JinjaNamespace, KeepsWhatItWasMadeWith) {
  EXPECT_EQ(render("{% set n = namespace({'a': 1}, b='x' * 40) %}{% set n.a = n.a + 1 %}{{ n.a }}{{ n.b|length }}"),
            "240");
}

TEST(JinjaPprint, LeavesWhatFitsAndSortsKeys) {
  EXPECT_EQ(render("{{ {'b': 1, 'a': [1, (2,)], 3: none}|pprint }}"), "{3: None, 'a': [1, (2,)], 'b': 1}");
  EXPECT_EQ(render("{{ ('x' * 100)|pprint|length }}"), "102");
}

TEST(JinjaPprint, SpreadsWhatDoesNotFit) {
  EXPECT_EQ(render("{{ {'key': ['x' * 40, {'inner': 'y' * 30}], 'z': 1}|pprint }}"),
            "{'key': ['" + repeat("x", 40) + "',\n         {'inner': '" + repeat("y", 30) + "'}],\n 'z': 1}");
  EXPECT_EQ(render("{{ ('word ' * 20)|pprint }}"), "('" + repeat("word ", 15) + "'\n '" + repeat("word ", 5) + "')");
  EXPECT_EQ(render("{{ ['a\\n' ~ 'b ' * 40]|pprint }}"),
            "['a\\n'\n '" + repeat("b ", 38) + "'\n '" + repeat("b ", 2) + "']");
  EXPECT_EQ(render("{{ ('x' * 78).encode()|pprint }}"), "(b'" + repeat("x", 76) + "'\n b'" + repeat("x", 2) + "')");
}

TEST(JinjaWordwrap, BreaksAsTextwrapDoes) {
  const auto wrap = [](std::string_view text, std::string_view arguments) {
    Json variables = Json::Object{{"s", Json(text)}};
    return render("{{ s|wordwrap(" + std::string(arguments) + ") }}", variables);
  };
  EXPECT_EQ(wrap("a long sentence here", "6"), "a long\nsenten\nce\nhere");
  EXPECT_EQ(wrap("a long sentence here", "6, false"), "a long\nsentence\nhere");
  EXPECT_EQ(wrap("well-known half-open a-b", "6"), "well-\nknown\nhalf-\nopen\na-b");
  EXPECT_EQ(wrap("well-known", "6, break_on_hyphens=false"), "well-k\nnown");
  EXPECT_EQ(wrap("end--start", "6"), "end--\nstart");
  EXPECT_EQ(wrap("one\n\ntwo three", "4, wrapstring='|'"), "one||two |thre|e");
  EXPECT_EQ(wrap("aa bbbbbbbb", "3"), "aa \nbbb\nbbb\nbb");  // Python leaves this blank, too
  EXPECT_EQ(outcome("{{ 'a'|wordwrap(0) }}"), "type");
  EXPECT_EQ(outcome("{{ 1|wordwrap }}"), "type");
  EXPECT_EQ(outcome("{{ x|wordwrap }}"), "undefined");
}

TEST(JinjaWordwrap, OfBytesWorksOnlyWhereNothingIsWrapped) {
  EXPECT_EQ(outcome("{{ ''.encode()|wordwrap(0) }}"), "''");
  EXPECT_EQ(outcome("{{ ''.encode()|wordwrap(wrapstring='|'.encode()) }}"), "'b'''");
  EXPECT_EQ(outcome("{{ 'a'.encode()|wordwrap }}"), "type");
  EXPECT_EQ(outcome("{{ '\\n\\n'|wordwrap(wrapstring='|'.encode()) }}"), "'b'|''");
  EXPECT_EQ(outcome("{{ '\\na'|wordwrap(wrapstring='|'.encode()) }}"), "type") << "bytes join no str";
  EXPECT_EQ(outcome("{{ 'a'|wordwrap(x, wrapstring='|'.encode()) }}"), "undefined") << "wrapped before it is joined";
}

TEST(JinjaSplit, KeepsTheSpaceOfThePartBehindTheLimit) {
  EXPECT_EQ(render("{{ ' a  b c '.split(none, 1) }}{{ ' a b '.split(none, 0) }}{{ '  '.split(none, 0) }}"),
            "['a', 'b c ']['a b '][]");
  EXPECT_EQ(render("{{ ' a b  c '.rsplit(none, 1) }}{{ ' a b '.rsplit(maxsplit=0) }}"), "[' a b', 'c'][' a b']");
}

TEST(JinjaFolding, ShowsWhereJinjaWritesConstantsIntoItsCode) {
  const Json two = Json::Object{{"two", Json(int64_t{2})}, {"html", Json("<a>")}};
  EXPECT_EQ(render("{{ -2 ** 2 }} {{ -2 ** two }} {{ (1 - 3) ** two }} {{ (-two) ** 2 }} {{ -2 ** two ** two }}", two),
            "4 -4 -4 4 16");
  EXPECT_EQ(render("{% autoescape two %}{{ -2 ** two }}{{ ('<'|safe) ~ html }}{% endautoescape %}", two),
            "4&lt;&lt;a&gt;");
  EXPECT_EQ(render("{% autoescape true %}{{ ('<'|safe) ~ 'x' }}{{ (html|safe) ~ '<' }}{% endautoescape %}", two),
            "&lt;x<a>&lt;");
}

TEST(JinjaFolding, PrintsConstantsAsTheLastConstantFlagSays) {
  const Json on = Json::Object{{"on", Json(true)}, {"html", Json("<a>")}};
  const auto block = [&](const std::string& body) { return render("{% autoescape on %}" + body, on); };
  const std::string end = "{% endautoescape %}";
  EXPECT_EQ(block("{{ '\"' }}{{ html }}{{ '<' ~ '>' }}{{ ['<'] }}" + end), "\"&lt;a&gt;<>['<']");
  EXPECT_EQ(block("{{ '<'|string }}" + end), "&lt;") << "what filters give is no constant there";
  EXPECT_EQ(block("{{ '<' if true else html }}{{ '<' if on else html }}" + end), "<&lt;");
  EXPECT_EQ(render("{% autoescape true %}{% autoescape on %}{{ '<' }}{{ html }}" + end + end, on), "&lt;&lt;a&gt;");
  EXPECT_EQ(block("{% autoescape true %}{{ '<' }}{{ ('<'|safe) ~ html }}" + end + "{{ '<' }}" + end),
            "&lt;&lt;&lt;a&gt;<")
      << "a constant flag within is known, yet what is joined is no marked text";
  EXPECT_EQ(block("{% autoescape false %}{{ '<' }}{{ html }}" + end + "{{ html }}" + end), "<<a>&lt;a&gt;");
}

TEST(JinjaFolding, MakesSlicesOfWhatHasNoneUndefined) {
  EXPECT_EQ(outcome("{{ 1[:] }}"), "''") << "computed when Jinja compiles";
  EXPECT_EQ(outcome("{{ 1[:]|list|length }}"), "'0'");
  EXPECT_EQ(outcome("{{ 1[:]|batch(2)|list }}"), "'[]'");
  EXPECT_EQ(outcome("{% set x = 1[:]|list %}{{ x }}"), "'[]'");
  EXPECT_EQ(outcome("{% set x = [1[:]] %}{{ x }}"), "type") << "undefined is no literal";
  EXPECT_EQ(outcome("{% if 1[:] %}a{% endif %}"), "type");
  EXPECT_EQ(outcome("{% set x = 1 %}{{ x[:] }}"), "type") << "no constant";
  EXPECT_EQ(outcome("{{ 1[:].a }}"), "type");
  EXPECT_EQ(outcome("{{ 1[:] if 1 else nothing }}"), "''") << "what is chosen is a constant";
  EXPECT_EQ(outcome("{% autoescape nothing %}{{ 1[:] }}{% endautoescape %}"), "''");
  EXPECT_EQ(outcome("{% autoescape nothing %}{{ 1[:]|list }}{% endautoescape %}"), "type");
  EXPECT_EQ(outcome("{{ [1][::0] }}"), "type") << "a ValueError, which stays one";
}

TEST(JinjaLimits, GrowWithTheInput) {
  const Json::Object large{{"text", Json(std::string(size_t{3} << 20, 'a'))}};
  EXPECT_EQ(render("{{ text }}", large).size(), size_t{3} << 20);
  EXPECT_EQ(render("{{ text|trim }}{{ text }}", large).size(), size_t{6} << 20);
  try {
    render("{{ text }}{{ text }}{{ text }}", large);
    ADD_FAILURE() << "three times the text, and it may be repeated once";
  } catch (const TemplateError& error) {
    EXPECT_EQ(error.kind(), TemplateErrorKind::kLimit);
  }
}

TEST(JinjaMarkup, EscapesWhatItsMethodsPutIn) {
  EXPECT_EQ(outcome("{{ (1|e).replace('', 2) }}"), "'212'") << "no text need be given";
  EXPECT_EQ(outcome("{{ ('a'|e).replace('a', '<') }}"), "'&lt;'");
  EXPECT_EQ(outcome("{{ 'a'.replace('a', 2) }}"), "type");
  EXPECT_EQ(outcome("{{ ('a'|e).ljust(3, '<') }}"), "type") << "&lt; is no single character";
  EXPECT_EQ(outcome("{{ ('a'|e).center(3, 0) }}"), "'0a0'");
  EXPECT_EQ(outcome("{{ ('ab'|e).removesuffix(suffix='b') }}"), "'a'");
  EXPECT_EQ(outcome("{{ 'ab'.removesuffix(suffix='b') }}"), "type");
  EXPECT_EQ(outcome("{{ ('a'|e).replace(1, 2) }}"), "type") << "what is looked for is taken as it is";
}

TEST(JinjaFormat, JudgesAsPythonDoes) {
  EXPECT_EQ(outcome("{{ '{:-}'.format('a') }}"), "type") << "a sign, be it the default";
  EXPECT_EQ(outcome("{{ '{:-}'.format(1) }}"), "'1'");
  EXPECT_EQ(outcome("{{ '{:_n}'.format(1000) }}"), "type") << "not all kinds of numbers have groups";
  EXPECT_EQ(outcome("{{ '{:,c}'.format(65) }}"), "type");
  EXPECT_EQ(outcome("{{ '{:,x}'.format(65) }}"), "type");
  EXPECT_EQ(outcome("{{ '{:_x}'.format(65536) }}"), "'1_0000'");
  EXPECT_EQ(outcome("{{ '%(' % nothing }}"), "type") << "the format is read before the value is asked";
  EXPECT_EQ(outcome("{{ '%(a)s' % nothing }}"), "undefined");
}

TEST(JinjaFormat, OfBytesTakesBytes) {
  EXPECT_EQ(outcome("{{ '%%|%5d|%-3s|%r|%c%c'.encode() % (3, 'z'.encode(), '\u00e9', 255, 'b'.encode()) }}"),
            "'b\"%|    3|z  |'\\\\xe9'|\\xffb\"'");
  EXPECT_EQ(outcome("{{ '%.2b'.encode() % 'a\u00e9'.encode() }}"), "'b'a\\xc3''") << "counted in bytes";
  EXPECT_EQ(outcome("{{ '%(a)s'.encode() % {'a'.encode(): 'z'.encode()} }}"), "'b'z''") << "its keys are bytes";
  EXPECT_EQ(outcome("{{ '%(a)s'.encode() % {'a': 'z'.encode()} }}"), "type");
  EXPECT_EQ(outcome("{{ 'a'.encode() % {} }}{{ 'a'.encode() % nothing }}"), "'b'a'b'a''");
  EXPECT_EQ(outcome("{{ 'a'.encode() % 1 }}"), "type");
  EXPECT_EQ(outcome("{{ '%s'.encode() % 'a' }}"), "type");
  EXPECT_EQ(outcome("{{ '%b' % 'a' }}"), "type") << "for bytes only";
  EXPECT_EQ(outcome("{{ '%c'.encode() % 256 }}"), "limit");
  EXPECT_EQ(outcome("{{ '%f'.encode() % nothing }}"), "type");
  EXPECT_EQ(outcome("{{ '%d'.encode() % nothing }}"), "undefined");
}

TEST(JinjaErrors, OfJinjaComeBeforeThoseOfPythonsCompiler) {
  EXPECT_EQ(outcome("{% macro m(x, x) %}{% endmacro %}"), "type");
  EXPECT_EQ(outcome("{% macro m(x, x) %}{% endmacro %}{{ 1|nothing }}"), "syntax");
  EXPECT_EQ(outcome("{{ dict(a=1, a=2) }}{{ 1|nothing }}"), "syntax");
  EXPECT_EQ(outcome("{% break %}"), "type");
}

TEST(JinjaArguments, AreCheckedAsPythonDoes) {
  EXPECT_EQ(outcome("{{ [2, 1]|sort(reverse='') }}"), "type");
  EXPECT_EQ(outcome("{{ {'a': 1}|dictsort(reverse=none) }}"), "type");
  EXPECT_EQ(outcome("{{ 'a'.splitlines('') }}"), "type");
  EXPECT_EQ(outcome("{{ 'a'|tojson(indent=1.5, separators=(1, 2)) }}"), "'\"a\"'");
  EXPECT_EQ(outcome("{{ [1]|tojson(indent=1.5) }}"), "type");
  EXPECT_EQ(outcome("{{ [1]|tojson(separators=(1, 2)) }}"), "type");
  EXPECT_EQ(outcome("{{ []|tojson(indent=0, separators=(1, 2)) }}"), "'[]'");
  EXPECT_EQ(outcome("{{ 'abc'|truncate(1.5, leeway=9.5, end='') }}"), "'abc'");
  EXPECT_EQ(outcome("{{ '\x7f'|tojson(true) }}{{ '\x7f'|tojson }}"), "'\"\\u007f\"\"\x7f\"'");
  EXPECT_EQ(outcome("{{ 'plain'|urlize(nothing) }}"), "'plain'");
  EXPECT_EQ(outcome("{{ [1]|batch(1.5, 0)|list }}"), "type");
  EXPECT_EQ(outcome("{{ 5|batch(2)|reverse }}"), "runtime");
  EXPECT_EQ(outcome("{{ [1]|slice(nothing)|list }}"), "undefined");
  EXPECT_EQ(outcome("{{ 1|slice(nothing)|list }}"), "type") << "the list is made first";
  EXPECT_EQ(outcome("{{ [1]|slice(nothing) }}").substr(0, 2), "'<") << "nothing is counted before it is asked for";
  EXPECT_EQ(outcome("{{ '%0%' % {} }}"), "type");
  EXPECT_EQ(outcome("{{ '{}{0[0]}'.format('xy') }}"), "'xyx'");
  EXPECT_EQ(outcome("{{ '{}{0}'.format('xy') }}"), "type");
  EXPECT_EQ(outcome("{{ '{!a}'.format('\u00e9') }}"), "''\\xe9''");
}

TEST(JinjaNumbers, GoToBytesAndHexAndBack) {
  EXPECT_EQ(render("{{ (258).to_bytes(3, 'little') }}{{ (-128).to_bytes(1, signed=true) }}{{ (0).to_bytes(0) }}"),
            "b'\\x02\\x01\\x00'b'\\x80'b''");
  EXPECT_EQ(render("{{ (0).from_bytes([1, 2]) }} {{ (0).from_bytes('~'.encode(), 'little') }}"), "258 126");
  EXPECT_EQ(render("{{ (0).from_bytes([255, 2], signed=true) }}"), "-254");
  EXPECT_EQ(outcome("{{ (128).to_bytes(1, signed=true) }}"), "limit");
  EXPECT_EQ(outcome("{{ (1).to_bytes(1, 'middle') }}"), "type");
  EXPECT_EQ(render("{{ (0.5).fromhex(' 0x1.8p3 ') }} {{ (0.5).fromhex('-ab.') }}"), "12.0 -171.0");
  EXPECT_EQ(outcome("{{ (0.5).fromhex('0x') }}"), "type");
  EXPECT_EQ(outcome("{{ (0.5).fromhex('0x1p99999') }}"), "limit");
}

TEST(JinjaEntities, AreThoseOfHtml) {
  const auto strip = [](std::string_view text) {
    return render("{{ s|striptags }}", Json(Json::Object{{"s", Json(text)}}));
  };
  EXPECT_EQ(strip("&Lt;&amp&ltimes;&notit;&nosuch;&#x1F600;&;"), "\u226a&\u22c9\u00acit;&nosuch;\U0001f600&;");
  EXPECT_EQ(strip("a<b>c<!-- > --> d <!-- e"), "ac d <!-- e");
}

TEST(JinjaBytes, DecodeByEncodingAndErrorHandler) {
  EXPECT_EQ(render("{{ 'aé€'.encode().decode() }}"), "aé€");
  EXPECT_EQ(render("{{ 'é'.encode('latin-1').decode('latin_1') }}"), "é");
  EXPECT_EQ(render("{{ 'é'.encode('latin-1').decode(errors='replace') }}"), "\xef\xbf\xbd");
  EXPECT_EQ(render("{{ 'aéb'.encode().decode('ascii', 'ignore') }}"), "ab");
  EXPECT_EQ(outcome("{{ 'é'.encode().decode('ascii') }}"), "type");
  EXPECT_EQ(outcome("{{ 'é'.encode().decode('rot13') }}"), "type");
}

TEST(JinjaBytes, KnowAsciiOnly) {
  EXPECT_EQ(render("{{ 'aé'.encode().upper() }}"), "b'A\\xc3\\xa9'");
  EXPECT_EQ(render("{{ ' a\\x1c '.encode().strip() }}"), "b'a\\x1c'");
  EXPECT_EQ(render("{{ 'a b'.encode().split() }}"), "[b'a', b'b']");
  EXPECT_EQ(render("{{ 'abc'.encode().find(99) }}"), "2");
  EXPECT_EQ(render("{{ 'abcd'.encode().hex() }} {{ 'abc'.encode().hex('-', 2) }}"), "61626364 61-6263");
  EXPECT_EQ(outcome("{{ 'a'.encode().replace('a', 'b') }}"), "type");
}

}  // namespace
}  // namespace duet::jinja
