#include "terminal/answer_view.h"

#include <fmt/core.h>

#include "terminal/terminal_mode.h"

namespace duet {
namespace {

constexpr auto kSilentFor = std::chrono::seconds(1);  // then the reading of a prompt is hinted at
constexpr auto kRedraw = std::chrono::milliseconds(200);

}  // namespace

std::string statistics_line(const Finished& finished) {
  std::string line = fmt::format("{} token{}", finished.new_tokens, finished.new_tokens == 1 ? "" : "s");
  if (finished.thought_tokens > 0) line += fmt::format(" ({} of thinking)", finished.thought_tokens);
  if (const double speed = answer_tokens_per_second(finished); speed > 0)
    line += fmt::format(", {:.1f} tokens/s", speed);
  if (finished.drafted_tokens > 0) {
    line += fmt::format(", {} of {} drafted tokens accepted", finished.accepted_tokens, finished.drafted_tokens);
  }
  line += fmt::format("; prompt {} tokens", finished.prompt_tokens);
  if (finished.reused_tokens > 0) line += fmt::format(", {} of them known already", finished.reused_tokens);
  return line + fmt::format(", {:.2f} s", finished.prompt_seconds);
}

AnswerView::AnswerView(const Output& output, bool plain, std::function<void(const std::string&)> note)
    : output_(output),
      note_(std::move(note)),
      rendered_(output.is_terminal() && !plain),
      markdown_({.colour = output.colour(), .width = terminal_columns}),
      thought_({.colour = output.colour(), .marks = false, .style = kDim, .width = terminal_columns}) {}

void AnswerView::show(const ChatEvent& event) {
  std::visit([this](const auto& e) { on(e); }, event);
}

void AnswerView::on(const TurnsDropped& dropped) {
  if (!note_) return;
  clear_hint();
  note_(fmt::format("the conversation is longer than the context: its {} oldest messages are left out",
                    dropped.messages));
}

void AnswerView::on(const PromptProgress& progress) {
  const auto now = Clock::now();
  if (!output_.escapes() || now - began_ < kSilentFor || (hint_ && now - hint_drawn_ < kRedraw)) return;
  hint_ = true;
  hint_drawn_ = now;
  const std::string hint =
      fmt::format("reading the prompt: {} of {} tokens", progress.done_tokens, progress.total_tokens);
  output_.write("\r" + output_.dim(shortened(hint, terminal_columns() - 1)) + "\x1b[K");
}

void AnswerView::clear_hint() {
  if (hint_) output_.write("\r\x1b[K");
  hint_ = false;
}

void AnswerView::on(const ReasoningDelta& delta) {
  clear_hint();
  reasoning_ += delta.text;
  if (!output_.is_terminal()) return;
  if (!thinking_) {
    thinking_ = true;
    thought_began_ = Clock::now();
    output_.write(output_.dim("thinking…") + "\n");
  }
  output_.write(thought_.feed(delta.text));
}

void AnswerView::end_thought() {
  if (!thinking_) return;
  thinking_ = false;
  output_.write(thought_.finish());
  const double seconds = std::chrono::duration<double>(Clock::now() - thought_began_).count();
  output_.write(output_.dim(fmt::format("thought for {:.1f} s", seconds)) + "\n\n");
}

void AnswerView::on(const TextDelta& delta) {
  clear_hint();
  end_thought();
  text_ += delta.text;
  if (rendered_) {
    output_.write(markdown_.feed(delta.text));
  } else {
    output_.write_untrusted(delta.text);
  }
}

void AnswerView::on(const Finished& finished) {
  finished_ = finished;
  const bool answered = !text_.empty() || reasoning_.empty();
  end();
  if (!rendered_ && answered && !text_.ends_with('\n')) output_.write("\n");
}

void AnswerView::on(const Failed& failed) {
  error_ = failed.error;
  end();
  if (!rendered_ && !text_.empty() && !text_.ends_with('\n')) output_.write("\n");
}

void AnswerView::end() {
  if (ended_) return;
  ended_ = true;
  clear_hint();
  end_thought();
  if (rendered_) output_.write(markdown_.finish());
}

}  // namespace duet
