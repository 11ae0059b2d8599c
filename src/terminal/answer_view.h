#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "chat/events.h"
#include "terminal/markdown.h"
#include "terminal/output.h"

namespace duet {

/// Shows one answer as it comes and keeps what the conversation needs of it. On a terminal Markdown is rendered
/// (unless `plain`), thoughts are dim below a "thinking…", and a long reading of the prompt is hinted at; elsewhere the
/// answer's text goes out byte for byte, and thoughts do not.
class AnswerView {
 public:
  /// `note` says something to the person, in a line of its own.
  AnswerView(const Output& output, bool plain, std::function<void(const std::string&)> note = {});

  void show(const ChatEvent& event);
  /// The answer ended without an event of its own: what is on the screen is brought to an end.
  void end();

  const std::string& text() const { return text_; }
  const std::string& reasoning() const { return reasoning_; }
  const Finished& finished() const { return finished_; }
  const std::optional<Error>& error() const { return error_; }

 private:
  using Clock = std::chrono::steady_clock;
  void on(const TurnsDropped& dropped);
  void on(const PromptProgress& progress);
  void on(const ReasoningDelta& delta);
  void on(const TextDelta& delta);
  void on(const Logprobs&) {}
  void on(const Finished& finished);
  void on(const Failed& failed);
  void clear_hint();
  void end_thought();

  const Output& output_;
  std::function<void(const std::string&)> note_;
  bool rendered_;
  MarkdownRenderer markdown_, thought_;
  Clock::time_point began_ = Clock::now(), thought_began_, hint_drawn_;
  bool hint_ = false, thinking_ = false, ended_ = false;
  std::string text_, reasoning_;
  Finished finished_;
  std::optional<Error> error_;
};

/// "42 tokens, 31.2 tokens/s; prompt 37 tokens, 30 of them known already, 0.21 s"
std::string statistics_line(const Finished& finished);

}  // namespace duet
