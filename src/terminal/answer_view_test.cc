#include "terminal/answer_view.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "tests/support.h"

namespace duet {
namespace {

/// A file or terminal that an answer is shown on.
class Shown {
 public:
  explicit Shown(bool terminal, const char* no_colour = "") {
    ::setenv("TERM", "xterm", 1);
    ::setenv("NO_COLOR", no_colour, 1);
    if (terminal) {
      EXPECT_EQ(::openpty(&read_, &write_, nullptr, nullptr, nullptr), 0);
      termios modes{};
      ::tcgetattr(write_, &modes);
      ::cfmakeraw(&modes);
      ::tcsetattr(write_, TCSANOW, &modes);
    } else {
      std::array<int, 2> ends{};
      EXPECT_EQ(::pipe(ends.data()), 0);
      read_ = ends[0];
      write_ = ends[1];
    }
  }
  ~Shown() {
    ::close(read_);
    ::close(write_);
  }
  Shown(const Shown&) = delete;
  Shown& operator=(const Shown&) = delete;

  std::string text(const std::vector<ChatEvent>& events, bool plain = false) {
    const Output output(write_);
    AnswerView view(output, plain, [&](const std::string& note) { output.write("(" + note + ")\n"); });
    for (const ChatEvent& event : events) view.show(event);
    view.end();
    answer = view.text();
    thoughts = view.reasoning();
    std::string out;
    std::array<char, 4096> buffer{};
    pollfd descriptor{.fd = read_, .events = POLLIN, .revents = 0};
    while (::poll(&descriptor, 1, 50) > 0) {
      const ssize_t n = ::read(read_, buffer.data(), buffer.size());
      if (n <= 0) break;
      out.append(buffer.data(), static_cast<size_t>(n));
    }
    return out;
  }
  std::string answer, thoughts;

 private:
  int read_ = -1, write_ = -1;
};

const std::vector<ChatEvent> kEvents = {ReasoningDelta{"Let me *see"}, ReasoningDelta{".\nWell."},
                                        TextDelta{"\n\n**Yes**"}, TextDelta{", \x1b[2J it is."},
                                        Finished{.new_tokens = 9, .thought_tokens = 5}};

TEST(AnswerView, ATerminalGetsThoughtsAndMarkdown) {
  Shown terminal(true);
  EXPECT_EQ(terminal.text(kEvents),
            "\x1b[2mthinking…\x1b[0m\n\x1b[2mLet me *see.\x1b[0m\n\x1b[2mWell.\x1b[0m\n"
            "\x1b[2mthought for 0.0 s\x1b[0m\n\n\x1b[1mYes\x1b[0m, ^[[2J it is.\n");
  EXPECT_EQ(terminal.answer, "\n\n**Yes**, \x1b[2J it is.");
  EXPECT_EQ(terminal.thoughts, "Let me *see.\nWell.");
}

TEST(AnswerView, LeftOutTurnsAreSaidFirst) {
  EXPECT_EQ(Shown(true).text({TurnsDropped{4}, TextDelta{"a"}, Finished{}}),
            "(the conversation is longer than the context: its 4 oldest messages are left out)\na\n");
}

TEST(AnswerView, WithoutColour) {
  EXPECT_EQ(Shown(true, "1").text(kEvents),
            "thinking…\nLet me *see.\nWell.\nthought for 0.0 s\n\n**Yes**, ^[[2J it is.\n");
}

TEST(AnswerView, PlainTextIsNotRendered) {
  EXPECT_EQ(Shown(true).text({TextDelta{"**a**\n- b"}, Finished{}}, true), "**a**\n- b\n");
}

TEST(AnswerView, APipeGetsTheAnswerByteForByte) {
  EXPECT_EQ(Shown(false).text(kEvents), "\n\n**Yes**, \x1b[2J it is.\n");
  EXPECT_EQ(Shown(false).text({TextDelta{"a\n"}, Finished{}}), "a\n");
}

TEST(AnswerView, AnInterruptedThoughtIsEnded) {
  const std::string shown = Shown(true).text({ReasoningDelta{"hm"}, Finished{.reason = FinishReason::kCancelled}});
  EXPECT_TRUE(shown.ends_with("hm\x1b[0m\n\x1b[2mthought for 0.0 s\x1b[0m\n\n")) << shown;
}

TEST(AnswerView, AFailureEndsTheLine) {
  EXPECT_EQ(Shown(true).text({TextDelta{"half"}, Failed{Error(ErrorCode::kNonFinite, "x")}}), "half\n");
}

TEST(AnswerView, Figures) {
  EXPECT_EQ(statistics_line(Finished{.prompt_tokens = 7, .new_tokens = 1, .prompt_seconds = 0.5}),
            "1 token; prompt 7 tokens, 0.50 s");
  EXPECT_EQ(
      statistics_line(Finished{.prompt_tokens = 7,
                               .reused_tokens = 3,
                               .new_tokens = 11,
                               .thought_tokens = 4,
                               .drafted_tokens = 8,
                               .accepted_tokens = 6,
                               .prompt_seconds = 0.25,
                               .answer_seconds = 2,
                               .answer_steps = 10}),
      "11 tokens (4 of thinking), 5.0 tokens/s, 6 of 8 drafted tokens accepted; prompt 7 tokens, 3 of them known already, 0.25 s");
}

}  // namespace
}  // namespace duet
