#include "terminal/markdown.h"

#include <random>

#include "tests/support.h"

namespace duet {
namespace {

/// Escape sequences in words: <b>, <i>, <c>, ..., </> for the end of all styles.
std::string readable(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\x1b') {
      out += text[i];
      continue;
    }
    const size_t end = text.find('m', i);
    const std::string codes = text.substr(i + 2, end - i - 2);
    if (codes == "0") {
      out += "</>";
    } else {
      std::string names = "<";
      for (size_t c = 0; c < codes.size(); ++c) {
        if (codes.substr(c, 2) == "36") {
          names += 'c', ++c;
        } else if (codes[c] != ';') {
          names += std::string_view("?bdiu")[static_cast<size_t>(codes[c] - '0')];
        }
      }
      out += names + ">";
    }
    i = end;
  }
  return out;
}

std::string render(std::string_view text, int width = 60, bool colour = true) {
  MarkdownRenderer renderer({.colour = colour, .width = [width] { return width; }});
  std::string out = renderer.feed(text);
  return readable(out + renderer.finish());
}

TEST(Markdown, Emphasis) {
  EXPECT_EQ(render("plain"), "plain\n");
  EXPECT_EQ(render("a **bold** word"), "a <b>bold</> word\n");
  EXPECT_EQ(render("*italic* and _too_"), "<i>italic</> and <i>too</>\n");
  EXPECT_EQ(render("***both***"), "<bi>both</>\n");
  EXPECT_EQ(render("**bold *and italic***."), "<b>bold </><bi>and italic</>.\n");
  EXPECT_EQ(render("**two words**"), "<b>two words</>\n");
  EXPECT_EQ(render("use `a*b*c` here"), "use <c>a*b*c</> here\n");
  EXPECT_EQ(render("``a`b``"), "<c>a`b</>\n");
  EXPECT_EQ(render("这是**重点**内容"), "这是<b>重点</>内容\n");
}

TEST(Markdown, MarksThatAreText) {
  for (const std::string_view text : {"2 * 3 * 4", "2*3*4", "*args and **kwargs", "snake_case_name", "_private_name is",
                                      "a ` b", "**not closed", "__init__x", "\\(x^2\\)", "C:\\path", "[no link] here",
                                      "[a](b", "f(x)[i]", "a_ _b", "1)2", "#hash", "-dash", ">"}) {
    const std::string shown = text == ">" ? "<d>│ </>" : std::string(text);
    EXPECT_EQ(render(text), shown + "\n");
  }
  EXPECT_EQ(render("\\*plain\\*"), "*plain*\n");
  const std::string far(300, 'x');
  EXPECT_EQ(render("*" + far + "*", 1000), "*" + far + "*\n");
  EXPECT_EQ(render("**" + far + "** y", 1000), "<b>" + far + "</> y\n");
}

TEST(Markdown, Blocks) {
  EXPECT_EQ(render("# Title\n## Part **two**\ntext"), "<bu>Title</>\n<b>Part two</>\ntext\n");
  EXPECT_EQ(render("- a\n* b\n  + c\n1. d\n10) e"), "<d>• </>a\n<d>• </>b\n<d>  • </>c\n<d>1. </>d\n<d>10) </>e\n");
  EXPECT_EQ(render("> quoted\n> - item\n>\n> end"), "<d>│ </>quoted\n<d>│ • </>item\n<d>│ </>\n<d>│ </>end\n");
  EXPECT_EQ(render("a\n\n\n\nb\n\n"), "a\n\nb\n");
  EXPECT_EQ(render("\n\na"), "a\n");
  EXPECT_EQ(render("---", 11), "<d>──────────</>\n");
  EXPECT_EQ(render("* * *", 4), "<d>───</>\n");
  EXPECT_EQ(render("- - text"), "<d>• • </>text\n");
}

TEST(Markdown, FencedCode) {
  EXPECT_EQ(render("```cpp\nint **a;  // *x*\n\n\tb\n```\nafter"),
            "<d>```cpp</>\n<c>int **a;  // *x*</>\n\n<c>\tb</>\n<d>```</>\nafter\n");
  EXPECT_EQ(render("~~~\n```\n~~~"), "<d>~~~</>\n<c>```</>\n<d>~~~</>\n");
  EXPECT_EQ(render("````\n```\n````"), "<d>````</>\n<c>```</>\n<d>````</>\n");
  EXPECT_EQ(render("1. Do:\n   ```sh\n   ls\n   ```\n2. Next"),
            "<d>1. </>Do:\n<d>   ```sh</>\n<c>   ls</>\n<d>   ```</>\n<d>2. </>Next\n");
  EXPECT_EQ(render("> ```\n> x\n> ```\nout"), "<d>│ ```</>\n<d>│ </><c>x</>\n<d>│ ```</>\nout\n");
  EXPECT_EQ(render("> ```\n> x\nout"), "<d>│ ```</>\n<d>│ </><c>x</>\nout\n");
  EXPECT_EQ(render("```\n" + std::string(100, 'x') + "\n```", 20),
            "<d>```</>\n<c>" + std::string(100, 'x') + "</>\n<d>```</>\n");  // never wrapped
  EXPECT_EQ(render("```\nnot closed"), "<d>```</>\n<c>not closed</>\n");
  EXPECT_EQ(render("```inline``` code"), "<c>inline</> code\n");
}

TEST(Markdown, Links) {
  EXPECT_EQ(render("see [the page](https://a.b/c_(d)).", 80), "see <u>the page</> (<d>https://a.b/c_(d)</>).\n");
  EXPECT_EQ(render("[https://a.b](https://a.b)"), "<u>https://a.b</>\n");
}

TEST(Markdown, Wrapping) {
  EXPECT_EQ(render("aaa bbb ccc ddd", 12), "aaa bbb ccc\nddd\n");
  EXPECT_EQ(render("- aaa bbb ccc ddd", 14), "<d>• </>aaa bbb ccc\n<d>  </>ddd\n");
  EXPECT_EQ(render("> aaa **bbb ccc ddd**", 14), "<d>│ </>aaa <b>bbb ccc</>\n<d>│ </><b>ddd</>\n");
  EXPECT_EQ(render("xxxxxxxxxxxxxxxxxxxxxxxxx", 11), "xxxxxxxxxx\nxxxxxxxxxx\nxxxxx\n");
  EXPECT_EQ(render("東京は日本の首都です。", 15), "東京は日本の首\n都です。\n");
  EXPECT_EQ(render("東京は日本の首。です", 15), "東京は日本の\n首。です\n");  // no line begins with 。
  EXPECT_EQ(
      render(
          "👩‍👩‍👧‍👦 👩‍👩‍👧‍👦 👩‍👩‍👧‍👦 👩‍👩‍👧‍👦 👩‍👩‍👧‍👦",
          12),
      "👩‍👩‍👧‍👦 👩‍👩‍👧‍👦 👩‍👩‍👧‍👦 👩‍👩‍👧‍👦\n👩‍👩‍👧‍👦\n");
}

TEST(Markdown, TheWidthIsAskedForEachLine) {
  int width = 12;
  MarkdownRenderer renderer({.width = [&] { return width; }});
  std::string out = renderer.feed("aaa bbb ccc ddd ");
  width = 24;
  out += renderer.feed("eee fff ggg hhh iii jjj kkk");
  EXPECT_EQ(out + renderer.finish(), "aaa bbb ccc\nddd eee fff\nggg hhh iii jjj kkk\n");
}

TEST(Markdown, Tables) {
  EXPECT_EQ(render("| a | b |\n|---|--:|\n| **one** | 2 |\n| x | 345 |\nend"),
            "<b>a</>  <d> │ </>  <b>b</>\n<d>────┼────</>\n<b>one</><d> │ </>  2\nx  <d> │ </>345\nend\n");
  EXPECT_EQ(render("| a | b |\n|---|---|\n| 東京 | `x` |", 60, false), "a    │ b\n─────┼────\n東京 │ `x`\n");
  EXPECT_EQ(render("| a | b |\n|---|---|\n| one two three four | five six seven |", 24, false),
            "a          │ b\n───────────┼───────────\none two    │ five six\nthree four │ seven\n");
  EXPECT_EQ(render("| a | b |\n|--|--|\n|1|2|\n|3|4|\n|5|6|\n|7|longer than eleven|\n|8|9|10|\n|11|", 30, false),
            "a           │ b\n────────────┼────────────\n1           │ 2\n3           │ 4\n5           │ 6\n"
            "7           │ longer than\n            │ eleven\n|8|9|10|\n11          │ \n");
  EXPECT_EQ(render("| no table |\ntext"), "| no table |\ntext\n");
  EXPECT_EQ(render("|a|\n|-|\n|b|c|"), "<b>a</>\n<d>─</>\n|b|c|\n");  // a cell too many is not lost
}

TEST(Markdown, LaterRowsOfATableComeAtOnce) {
  MarkdownRenderer renderer({});
  EXPECT_EQ(renderer.feed("|a|\n|-|\n|1|\n|2|\n"), "");
  EXPECT_EQ(renderer.feed("|3|\n"), "a\n───────────\n1\n2\n3\n");
  EXPECT_EQ(renderer.feed("|4|\n"), "4\n");
  EXPECT_EQ(renderer.finish(), "");
}

TEST(Markdown, WithoutColourEveryMarkIsKept) {
  EXPECT_EQ(render("# T\n**b** *i* `c` [l](u)\n- x\n> q\n```c\ny\n```", 60, false),
            "# T\n**b** *i* `c` [l](u)\n• x\n│ q\n```c\ny\n```\n");
}

TEST(Markdown, ControlCharactersAreShown) {
  EXPECT_EQ(render("a\x1b[2Jb\x07 **\x1b[0m**", 60), "a^[[2Jb^G <b>^[[0m</>\n");
  EXPECT_EQ(render("```\n\x1b]0;x\x07\n```", 60, false), "```\n^[]0;x^G\n```\n");
  EXPECT_EQ(render("\xff\xc3", 60, false), "\xef\xbf\xbd\xef\xbf\xbd\n");
}

TEST(Markdown, ShowsWordsAsTheyCome) {
  MarkdownRenderer renderer({});
  EXPECT_EQ(renderer.feed("The capital of "), "The capital of");
  EXPECT_EQ(renderer.feed("France is"), " France");
  EXPECT_EQ(renderer.feed("\n- it"), " is\n• ");
  EXPECT_EQ(renderer.finish(), "it\n");
  EXPECT_EQ(renderer.feed("```c\nint main"), "```c\nint main");
}

TEST(Markdown, PlainTextIsOnlyWrapped) {
  MarkdownRenderer renderer({.colour = true, .marks = false, .style = kDim, .width = [] { return 12; }});
  EXPECT_EQ(readable(renderer.feed("# *aaa* bbb ccc\n\n- x\n") + renderer.finish()),
            "<d># *aaa* bbb</>\n<d>ccc</>\n\n<d>- x</>\n");
}

constexpr std::string_view kMixed =
    "# Héading *one*\n\nSome **bold text** and *it* with `code ** x` and a [link](http://x.y/(z)) at the end, 2*3 * 4.\n"
    "- item one that is long enough to be wrapped somewhere\n  - nested `a`\n1. num ***both*** _u_n_\n\n> quote **b\n"
    "> > deeper 東京は日本の首都です。\n\n```py\ndef f(*a, **k):\n    ``` x\n\n```\n| a | b |\n|:-|-:|\n| 1 | **2** |\n"
    "---\n* * x\n**open\n👩‍👩‍👧‍👦🇩🇪e\u0301 \x1b[1m \\* \\(a\\) ``x`` ~~~\n~~~\nlast `line";

TEST(Markdown, EverySplitGivesTheSame) {
  for (const bool colour : {true, false}) {
    const std::string whole = render(kMixed, 30, colour);
    for (size_t cut = 0; cut <= kMixed.size(); ++cut) {
      MarkdownRenderer renderer({.colour = colour, .width = [] { return 30; }});
      std::string out = renderer.feed(kMixed.substr(0, cut));
      out += renderer.feed(kMixed.substr(cut));
      ASSERT_EQ(readable(out + renderer.finish()), whole) << cut;
    }
    MarkdownRenderer bytewise({.colour = colour, .width = [] { return 30; }});
    std::string out;
    for (const char c : kMixed) out += bytewise.feed(std::string_view(&c, 1));
    EXPECT_EQ(readable(out + bytewise.finish()), whole);
  }
}

TEST(Markdown, EverySplitOfNoiseGivesTheSame) {
  std::mt19937 random(7);
  const std::vector<std::string> parts = {"*", "**", "_",    "`",  "```", "~~~",  "|",      "-",    "#",
                                          ">", "\n", "\n\n", " ",  "  ",  "1.",   "[",      "](u)", "\\",
                                          "a", "bc", "東",   "。", "👍",   "🏽", "\u0301", "\x1b", "\t"};
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int i = 0; i < 40; ++i) text += parts[random() % parts.size()];
    MarkdownRenderer whole({.colour = true, .width = [] { return 14; }});
    std::string expected = whole.feed(text);
    expected += whole.finish();
    MarkdownRenderer cut({.colour = true, .width = [] { return 14; }});
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const size_t n = 1 + random() % 5;
      out += cut.feed(std::string_view(text).substr(at, n));
      at += n;
    }
    out += cut.finish();
    ASSERT_EQ(readable(out), readable(expected)) << printable(text, 1000);
  }
}

TEST(Markdown, LongLinesTakeLinearTime) {
  const std::string text = std::string(1 << 20, '*') + std::string(1 << 20, '`') + std::string(1 << 19, '[') + " x";
  const std::string out = render(text, 80);
  EXPECT_GE(out.size(), text.size());
}

}  // namespace
}  // namespace duet
