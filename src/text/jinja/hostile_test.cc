// Templates that want to take the machine down: each ends in well under a second of the processor's time, with an error
// or with a harmless text. golden/templates/hostile.jsonl has more of them, with what Jinja makes of each.

#include <gtest/gtest.h>

#include <chrono>
#include <ctime>

#include "text/jinja/template.h"

namespace duet::jinja {
namespace {

std::string repeat(std::string_view unit, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += unit;
  return out;
}

/// "{% set x = ... %}" and a body that is run as often as the limits allow.
std::string loop(std::string_view set, std::string_view body) {
  return std::string(set) + "{% for i in range(99999) %}{% for j in range(999) %}{% set y = " + std::string(body) +
         " %}{% endfor %}{% endfor %}";
}

std::string nested(std::string_view start) {
  return "{% set ns = namespace(x=" + std::string(start) + ", y=" + std::string(start) +
         ") %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}"
         "{% set ns.y = [ns.y, ns.y] %}{% endfor %}";
}

#ifdef DUET_SANITIZED
constexpr double kMostSeconds = 20;
constexpr bool kSlow = true;  // the limit on processor time may end what is quick otherwise
#else
constexpr double kMostSeconds = 1;
constexpr bool kSlow = false;
#endif

/// `wanted`: the kind of the error, or "text"; empty where it depends on the limits.
void expect_end(std::string_view wanted, const std::string& source) {
  const std::clock_t start = std::clock();
  std::string outcome = "text";
  try {
    Template::parse(source).render(Json(Json::Object{}));
  } catch (const TemplateError& error) {
    outcome = template_error_kind_name(error.kind());
  }
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  EXPECT_TRUE(wanted.empty() || outcome == wanted || (kSlow && wanted == "text" && outcome == "limit"))
      << outcome << ": " << source.substr(0, 150);
  EXPECT_LT(seconds, kMostSeconds) << source.substr(0, 150);
}

TEST(JinjaHostile, SourceNestedTooDeep) {
  for (const std::string& source : {
           "{{ " + repeat("(", 300000),
           "{{ " + repeat("{1:", 300000),
           "{{ " + repeat("-", 900000) + "1 }}",
           "{{ x" + repeat("[1]", 300000) + " }}",
           "{{ 2" + repeat("**1", 300000) + " }}",
           "{{ 1" + repeat(" and 1", 150000) + " }}",
           "{% for " + repeat("(", 100000) + "a" + repeat(")", 100000) + " in x %}{% endfor %}",
           repeat("{% with %}", 90000),
           repeat("{% set x %}", 90000),
           repeat("{% filter e %}", 70000),
           repeat("{% macro m() %}", 60000),
           repeat("{% call x() %}", 80000),
           repeat("{% generation %}", 60000),
       }) {
    expect_end("limit", source);
  }
}

TEST(JinjaHostile, LongSource) {
  expect_end("", repeat("{{", 500000));
  expect_end("", repeat("{%", 500000));
  expect_end("", repeat("{#", 500000));
  expect_end("", "{% raw %}" + repeat("{% endraw ", 100000));
  expect_end("", "{{ 'a" + repeat("\\x41", 250000));
  expect_end("", repeat("{{1}}", 200000));
  expect_end("", repeat(repeat(" ", 500) + "{{1}}", 2000));
  expect_end("", "{% if 0 %}" + repeat("{% elif 0 %}", 80000) + "{% endif %}");
  expect_end("", "{{ [" + repeat("1,", 400000) + "]|length }}");
  expect_end("", "{{ f(" + repeat("a,", 400000) + ") }}");
  expect_end("", "{{ f(" + repeat("a=1,", 200000) + ") }}");
  expect_end("", repeat("{% autoescape 3**300000 %}{% endautoescape %}", 20000));
  expect_end("", repeat("{{ (3**300000)**x }}", 40000));
  std::string parameters, blocks;
  for (int i = 0; i < 90000; ++i) parameters += "p" + std::to_string(i) + ",";
  expect_end("", "{% macro m(" + parameters + "q) %}{% endmacro %}");
  for (int i = 0; i < 25000; ++i) blocks += "{% block b" + std::to_string(i) + " %}{% endblock %}";
  expect_end("", blocks);
}

TEST(JinjaHostile, ValuesThatAreTooLarge) {
  for (const std::string_view expression : {"'a' * 10**9",
                                            "[0] * 10**9",
                                            "[[0] * 1000] * 1000 * 1000",
                                            "'a'|center(10**9)",
                                            "'a'.ljust(10**9)",
                                            "'a'.zfill(10**9)",
                                            "('\\t' * 1000).expandtabs(10**6)",
                                            "'%999999999d' % 1",
                                            "'%.999999999d' % 1",
                                            "'%.999999999f' % 1",
                                            "'%*d' % (10**9, 1)",
                                            "('%1000000d' * 1000) % ((1,) * 1000)",
                                            "'{:>999999999}'.format(1)",
                                            "'{:.999999999f}'.format(1.5)",
                                            "('{0:>16000000}' * 50).format('a')",

                                            "(10**9)**(10**9)",
                                            "[1]|tojson(indent=10**9)",
                                            "([1] * 100000)|tojson(separators=('x' * 10000, ''))",
                                            "'a'|indent(10**9)",
                                            "('a\\n' * 100000)|indent(10000)",
                                            "('a ' * 100000)|wordwrap(1, wrapstring='x' * 10000)",
                                            "[1]|batch(10**9, 'x')|list",
                                            "[1]|slice(10**9)|list",
                                            "range(9999)|join('a' * 1000000)",
                                            "('a' * 1000000)|replace('a', 'a' * 1000000)",
                                            "('a' * 100000).replace('', 'b' * 100000)",
                                            "('<' * 3000000)|e|e|e",
                                            "lipsum(n=10**9)",
                                            "(5).to_bytes(10**9)",
                                            "('{x}' * 100000).format_map({'x': 'y' * 1000})",
                                            "('ab' * 500000).translate({97: 'z' * 1000})",
                                            "range(10**9)",
                                            "{'a': 'b' * 20000000}|xmlattr"}) {
    expect_end("limit", "{{ " + std::string(expression) + " }}");
  }
}

TEST(JinjaHostile, WorkWithoutEnd) {
  const std::string text = "{% set x = 'a' * 1000000 %}", wide = "{% set x = 'é' * 1000000 %}",
                    number = "{% set x = 3**300000 %}", list = "{% set x = range(99999)|list %}";
  for (const std::string& source :
       {loop(text, "x.isprintable()"),
        loop(text, "x.islower()"),
        loop(text, "x is lower"),
        loop(text, "x.istitle()"),
        loop(text, "x.isidentifier()"),
        loop(text, "x.partition('b')"),
        loop(text, "x.encode().hex()"),
        loop(text, "x|capitalize"),
        loop(text, "x.replace('a', 'b')"),
        loop(text, "x|wordcount"),
        loop("{% set x = '9' * 1000000 %}", "x|float"),
        loop("{% set x = 'f' * 90000 %}", "x|int(0, 16)"),
        loop("{% set x = 'f' * 1000000 %}", "(1.5).fromhex(x)"),
        loop(wide, "x[900000]"),
        loop(wide, "x[::999999]"),
        loop(wide, "{x: 1}"),
        loop(wide, "x.count('')"),
        loop(number, "x * x // x"),
        loop(number, "'%x' % x"),
        loop(number, "x.bit_count()"),
        loop("{% set x = 2**14000 %}", "x|string"),
        loop(list, "x|sort"),
        loop(list, "-1 in x"),
        loop(list, "x|unique|list"),
        loop(list, "x[1:]"),
        loop(list, "x.count(-1)"),
        loop("", "dict.fromkeys(range(99999))"),
        loop("", "range(99999)|groupby('real')"),
        loop("", "(5e-324).as_integer_ratio()"),
        loop("{% set x = 'ab-' * 300000 %}", "x|wordwrap(3)"),
        std::string("{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(200) }}"),
        std::string("{% for i in [1, 2] recursive %}{{ loop([1, 2]) if loop.depth < 100 }}{% endfor %}"),
        std::string("{% block a %}{{ self.a() }}{% endblock %}"),
        std::string("{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}"),
        std::string("{% set ns = namespace(x=2) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}{% endfor %}"),
        std::string("{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}"),
        std::string("{{ ([[1]] * 100000)|sum(start=[])|length }}"),
        nested("[1]") + "{{ ns.x }}",
        nested("[1]") + "{{ ns.x|tojson }}",
        nested("[1]") + "{{ ns.x|pprint }}",
        nested("[1]") + "{{ ns.x == ns.y }}",
        nested("[1]") + "{{ ns.x < ns.y }}",
        nested("[1]") + "{{ [ns.x, ns.y]|sort }}",
        "{{ range(99999)" + repeat("|map('string')", 3000) + "|list }}"}) {
    expect_end("limit", source);
  }
}

TEST(JinjaHostile, SearchesThatGoBackOverAndOver) {
  expect_end("text",
             "{% set x = 'a' * 1000000 %}{% set z = 'a' * 500000 ~ 'b' %}"
             "{{ z in x }}{{ x.find(z) }}{{ x.count(z) }}{{ x.rfind(z) }}");
  expect_end("text",
             "{% set x = 'a' * 1000000 %}{% set z = 'b' ~ 'a' * 500000 %}"
             "{{ x.rfind(z) }}{{ x.rsplit(z)|length }}{{ x.replace(z, '')|length }}");
  expect_end("text", "{{ ('ab' * 500000).strip('b' * 400000 ~ 'a')|length }}");
  expect_end("text", "{{ ('http://a.b ' * 90000)|urlize(target='x' * 10000)|length }}");
  expect_end("text", "{{ ('<!--' * 250000)|striptags|length }}{{ ('&a' * 400000)|striptags|length }}");
  expect_end("text", "{{ ('-' * 300000)|wordwrap(5)|length }}");
  expect_end("text", "{{ '%x' % 2**500000 }}");
}

TEST(JinjaSearch, FindsLongPartsFromBothEnds) {
  for (const std::string_view text : {"'abcabcabcabcabcabcabcabd' ~ 'abcabcabcabcabcabcabcabd'"}) {
    const std::string source = "{% set x = " + std::string(text) + " %}{% set z = 'cabcabcabcabcabcabd' %}";
    EXPECT_EQ(Template::parse(source + "{{ x.find(z) }} {{ x.rfind(z) }} {{ x.count(z) }} {{ x.rsplit(z, 1) }}")
                  .render(Json(Json::Object{}))
                  .text,
              "5 29 2 ['abcabcabcabcabcabcabcabdabcab', '']");
  }
}

}  // namespace
}  // namespace duet::jinja
