#include "terminal/line_editor.h"

#include <histedit.h>
#include <langinfo.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "terminal/interrupt.h"
#include "terminal/key_input.h"
#include "terminal/output.h"
#include "terminal/terminal_mode.h"
#include "terminal/width.h"

namespace duet {
namespace {

constexpr int kHistoryEntries = 1000;
constexpr char kInvisible = '\1';  // encloses escape sequences of a prompt, for libedit

volatile std::sig_atomic_t g_resized = 0;
volatile std::sig_atomic_t g_resumed = 0;

extern "C" void on_resize(int) { g_resized = 1; }
extern "C" void on_resume(int) { g_resumed = 1; }

/// libedit measures and prints characters by the locale; without a UTF-8 one it would mangle them.
void use_utf8_locale() {
  std::setlocale(LC_CTYPE, "");
  if (std::string_view(::nl_langinfo(CODESET)) != "UTF-8") std::setlocale(LC_CTYPE, "C.UTF-8");
}

constexpr const char *kPreviousEntry = "\x10", *kNextEntry = "\x0e";  // Ctrl-P and Ctrl-N
constexpr int64_t kArrowCharacters = 3;

/// Tells libedit which parts take no room: \x1b[...m. It prints each together with the character behind it, so one at
/// the end, of which it would lose sight, goes before the last character.
std::string prompt_for_libedit(std::string_view prompt) {
  std::string out, escape;
  size_t last = 0;  // where the last character begins
  for (size_t i = 0; i < prompt.size(); ++i) {
    if (prompt[i] == '\x1b') {
      const size_t end = std::min(prompt.find('m', i), prompt.size() - 1);
      escape += prompt.substr(i, end + 1 - i);
      i = end;
      continue;
    }
    const bool begins = (static_cast<unsigned char>(prompt[i]) & 0xc0) != 0x80;
    if (begins && !escape.empty()) out += kInvisible + std::exchange(escape, {}) + kInvisible;
    if (begins) last = out.size();
    out += prompt[i];
  }
  if (escape.empty()) return out;
  if (last > 0 && out[last - 1] == kInvisible) return out.insert(last - 1, escape);  // beside another: as one
  return out.insert(last, kInvisible + escape + kInvisible);
}

constexpr long kLostPasteNs = 500'000'000;  // a terminal that is silent in a paste for so long has lost its end
constexpr size_t kMaxShown = 100;           // candidates of a completion

/// As ls shows names.
std::string in_columns(const std::vector<std::string>& names, int width) {
  int64_t widest = 1;
  for (const std::string& name : names) widest = std::max(widest, display_width(visible_controls(name)) + 2);
  const size_t columns = static_cast<size_t>(std::max<int64_t>(width / widest, 1));
  const size_t shown = std::min(names.size(), kMaxShown), rows = (shown + columns - 1) / columns;
  std::string out;
  for (size_t row = 0; row < rows; ++row) {
    for (size_t i = row; i < shown; i += rows) {
      const std::string name = visible_controls(names[i]);
      out += name;
      if (i + rows < shown) out += std::string(static_cast<size_t>(widest - display_width(name)), ' ');
    }
    out += "\n";
  }
  if (shown < names.size()) out += fmt::format("... and {} more\n", names.size() - shown);
  return out;
}

/// Keeps the signals that end a wait blocked outside the wait, so that none is lost between a check and the wait.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGCONT}) ::sigaddset(&set, signal);
    ::pthread_sigmask(SIG_BLOCK, &set, &before_);
  }
  ~BlockedSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;
  const sigset_t& before() const { return before_; }

 private:
  sigset_t before_;
};

}  // namespace

struct LineEditor::State {
  EditLine* editor = nullptr;
  History* history = nullptr;
  History* saved = nullptr;  // what of it the file has
  std::filesystem::path history_file;
  std::string prompt;
  KeyInput keys;
  std::string prefill;
  Completer completer;
  bool interrupted = false;
  std::string typed;  // when interrupted
  int64_t characters = 0,
          walked_at = 0;  // that libedit got, and had got when an arrow key last went through the history
  int read_error = 0;
  struct sigaction old_resize {
  }, old_resume{};

  static State& of(EditLine* editor) {
    void* data = nullptr;
    ::el_get(editor, EL_CLIENTDATA, &data);
    return *static_cast<State*>(data);
  }

  static char* give_prompt(EditLine* editor) { return of(editor).prompt.data(); }

  /// Waits for bytes of the terminal. False: interrupted, ended or failed.
  bool wait_for_input() {
    const BlockedSignals blocked;
    while (true) {
      if (take_interrupt()) {
        interrupted = true;
        const LineInfo* line = ::el_line(editor);  // gone once el_gets() returns
        typed.assign(line->buffer, line->lastchar);
        keys.interrupt();
        return false;
      }
      if (g_resumed != 0) {  // the shell has had the terminal in between
        g_resumed = 0;
        ::el_set(editor, EL_PREP_TERM, 0);
        ::el_set(editor, EL_PREP_TERM, 1);
        ::el_set(editor, EL_REFRESH);
      }
      if (g_resized != 0) {
        g_resized = 0;
        ::el_resize(editor);
      }
      pollfd descriptor{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
      const timespec lost{.tv_sec = 0, .tv_nsec = kLostPasteNs};
      const int ready = ::ppoll(&descriptor, 1, keys.in_paste() ? &lost : nullptr, &blocked.before());
      if (ready > 0) return true;
      if (ready == 0) {
        keys.end_paste();
        return true;
      }
      if (ready < 0 && errno != EINTR) {
        read_error = errno;
        return false;
      }
    }
  }

  static bool readable() {
    pollfd descriptor{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    return ::poll(&descriptor, 1, 0) != 0;
  }

  static unsigned char new_line(EditLine* editor, int) {
    return ::el_insertstr(editor, "\n") == 0 ? CC_REFRESH : CC_ERROR;
  }

  // The arrow keys move between the lines of an entry; from its first and last line on, through the history. Pressed
  // again there, they go on through it, whatever lines the entries have.
  static unsigned char up(EditLine* editor, int) {
    const LineInfo* line = ::el_line(editor);
    const std::string_view before(line->buffer, static_cast<size_t>(line->cursor - line->buffer));
    const size_t end = before.rfind('\n');
    if (end == std::string_view::npos || of(editor).walks_history()) return walk_history(editor, kPreviousEntry);
    const size_t above = before.substr(0, end).rfind('\n') + 1;  // npos + 1 is 0
    const int64_t column = count_code_points(before.substr(end + 1));
    const int64_t length = count_code_points(before.substr(above, end - above));
    ::el_cursor(editor, static_cast<int>(std::min(column, length) - length - column - 1));
    return CC_REFRESH;
  }

  static unsigned char down(EditLine* editor, int) {
    const LineInfo* line = ::el_line(editor);
    const std::string_view before(line->buffer, static_cast<size_t>(line->cursor - line->buffer));
    const std::string_view after(line->cursor, static_cast<size_t>(line->lastchar - line->cursor));
    const size_t end = after.find('\n');
    if (end == std::string_view::npos || of(editor).walks_history()) return walk_history(editor, kNextEntry);
    const std::string_view below = after.substr(end + 1, after.find('\n', end + 1) - end - 1);
    const int64_t column = count_code_points(before.substr(before.rfind('\n') + 1));
    ::el_cursor(editor, static_cast<int>(count_code_points(after.substr(0, end)) + 1 +
                                         std::min(column, count_code_points(below))));
    return CC_REFRESH;
  }

  bool walks_history() const { return characters - walked_at == kArrowCharacters; }

  static unsigned char walk_history(EditLine* editor, const char* key) {
    of(editor).walked_at = of(editor).characters;
    ::el_push(editor, key);
    return CC_NORM;
  }

  /// The Tab key: completes as far as that is certain, then shows what there is.
  static unsigned char complete(EditLine* editor, int) {
    const State& state = of(editor);
    if (!state.completer) return CC_ERROR;
    const LineInfo* line = ::el_line(editor);
    const std::string before(line->buffer, line->cursor);
    const Completions found = state.completer(before);
    if (found.candidates.empty() || found.begin > before.size()) return CC_ERROR;
    std::string common = found.candidates.front();
    for (const std::string& candidate : found.candidates) {
      const auto [end, unused] = std::mismatch(common.begin(), common.end(), candidate.begin(), candidate.end());
      common.erase(end, common.end());
    }
    while (!is_valid_utf8(common)) common.pop_back();
    const std::string word = before.substr(found.begin);
    if (common.size() > word.size() || found.candidates.size() == 1) {
      int characters = 0;
      for (const char c : word) characters += (static_cast<unsigned char>(c) & 0xc0) == 0x80 ? 0 : 1;
      if (characters > 0) ::el_deletestr(editor, characters);
      ::el_insertstr(editor, common.c_str());
      return CC_REFRESH;
    }
    const Output output(STDOUT_FILENO);
    output.write("\n" + in_columns(found.candidates, terminal_columns()));
    return CC_REDISPLAY;
  }

  /// libedit's way to get a character: 1 and the character, 0 at the end, -1 on failure.
  static int get_character(EditLine* editor, wchar_t* out) {
    State& state = of(editor);
    while (true) {
      if (const auto character = state.keys.next()) {
        *out = static_cast<wchar_t>(*character);
        ++state.characters;
        return 1;
      }
      if (!state.wait_for_input()) return -1;
      if (!state.readable()) continue;
      char bytes[4096];
      const ssize_t n = ::read(STDIN_FILENO, bytes, sizeof bytes);
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (n < 0 && errno != EIO) state.read_error = errno;  // EIO: the terminal is gone, which is an end
      if (n <= 0) return n == 0 ? 0 : -1;
      state.keys.feed(std::string_view(bytes, static_cast<size_t>(n)));
    }
  }
};

LineEditor::LineEditor(std::filesystem::path history_file) : state_(std::make_unique<State>()) {
  use_utf8_locale();
  State& state = *state_;
  state.history_file = std::move(history_file);
  state.history = ::history_init();
  state.saved = ::history_init();
  state.editor = ::el_init("duet", stdin, stdout, stderr);
  if (state.history == nullptr || state.saved == nullptr || state.editor == nullptr) {
    if (state.history != nullptr) ::history_end(state.history);
    if (state.saved != nullptr) ::history_end(state.saved);
    if (state.editor != nullptr) ::el_end(state.editor);
    fail(ErrorCode::kIoError, "the terminal cannot be used for editing lines");
  }
  HistEvent event;
  for (History* history : {state.history, state.saved}) {
    ::history(history, &event, H_SETSIZE, kHistoryEntries);
    ::history(history, &event, H_SETUNIQUE, 1);
    if (!state.history_file.empty()) ::history(history, &event, H_LOAD, state.history_file.c_str());
  }
  ::el_set(state.editor, EL_CLIENTDATA, static_cast<void*>(&state));
  ::el_set(state.editor, EL_EDITOR, "emacs");
  ::el_set(state.editor, EL_HIST, ::history, state.history);
  ::el_set(state.editor, EL_PROMPT_ESC, &State::give_prompt, kInvisible);
  ::el_set(state.editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  ::el_set(state.editor, EL_ADDFN, "duet-complete", "completes commands, models and files", &State::complete);
  ::el_set(state.editor, EL_BIND, "^I", "duet-complete", nullptr);
  ::el_set(state.editor, EL_ADDFN, "duet-newline", "begins a new line", &State::new_line);
  ::el_set(state.editor, EL_BIND, "^[^M", "duet-newline", nullptr);
  ::el_set(state.editor, EL_BIND, "^[^J", "duet-newline", nullptr);
  ::el_set(state.editor, EL_ADDFN, "duet-up", "a line up, or the entry before", &State::up);
  ::el_set(state.editor, EL_ADDFN, "duet-down", "a line down, or the entry after", &State::down);
  for (const char* key : {"^[[A", "^[OA"}) ::el_set(state.editor, EL_BIND, key, "duet-up", nullptr);
  for (const char* key : {"^[[B", "^[OB"}) ::el_set(state.editor, EL_BIND, key, "duet-down", nullptr);
  ::el_source(state.editor, nullptr);
  // Behind the person's own bindings: pasted text and the functions above press these keys.
  ::el_set(state.editor, EL_BIND, "\\036", "duet-newline", nullptr);
  ::el_set(state.editor, EL_BIND, "^P", "ed-prev-history", nullptr);
  ::el_set(state.editor, EL_BIND, "^N", "ed-next-history", nullptr);
  ::el_set(state.editor, EL_GETCFN, &State::get_character);
  struct sigaction action {};
  ::sigemptyset(&action.sa_mask);
  action.sa_handler = on_resize;
  ::sigaction(SIGWINCH, &action, &state.old_resize);
  action.sa_handler = on_resume;
  ::sigaction(SIGCONT, &action, &state.old_resume);
}

LineEditor::~LineEditor() {
  ::sigaction(SIGWINCH, &state_->old_resize, nullptr);
  ::sigaction(SIGCONT, &state_->old_resume, nullptr);
  ::el_end(state_->editor);
  ::history_end(state_->history);
  ::history_end(state_->saved);
}

ReadLine LineEditor::read(std::string_view prompt) {
  State& state = *state_;
  state.prompt = prompt_for_libedit(prompt);
  state.interrupted = false;
  g_resumed = 0;  // whatever was stopped before, el_gets() prepares the terminal
  state.read_error = 0;
  int count = 0;
  if (!state.prefill.empty()) state.keys.insert(state.prefill);
  state.prefill.clear();
  const char* line = ::el_gets(state.editor, &count);
  if (line != nullptr && count > 0 && !state.interrupted && state.read_error == 0) {
    std::string text(line, static_cast<size_t>(count));
    if (text.back() == '\n') text.pop_back();
    text = replace_invalid_utf8(text);
    std::string whole = state.keys.expand(text);
    return {ReadLine::Kind::kLine, std::move(whole), text, state.keys.take_pasted(text)};
  }
  if (state.read_error != 0) {
    fail(ErrorCode::kIoError, "the terminal cannot be read: {}", std::generic_category().message(state.read_error));
  }
  if (!state.interrupted || termination_requested()) return {ReadLine::Kind::kEnd, {}, {}, {}};
  return {ReadLine::Kind::kInterrupted, state.keys.expand(state.typed), state.typed, {}};
}

void LineEditor::prefill(std::string text, std::vector<std::string> pasted) {
  state_->prefill = std::move(text);
  state_->keys.add_pasted(std::move(pasted));
}

void LineEditor::set_completer(Completer completer) { state_->completer = std::move(completer); }

bool LineEditor::remember(const std::string& entry) {
  State& state = *state_;
  HistEvent event;
  ::history(state.history, &event, H_ENTER, entry.c_str());
  if (state.history_file.empty() || state.keys.has_stand_in(entry)) return true;
  ::history(state.saved, &event, H_ENTER, entry.c_str());
  std::error_code error;
  std::filesystem::create_directories(state.history_file.parent_path(), error);
  const std::filesystem::path temporary = state.history_file.string() + fmt::format(".{}.tmp", ::getpid());
  if (::history(state.saved, &event, H_SAVE, temporary.c_str()) >= 0) {
    std::filesystem::rename(temporary, state.history_file, error);
    if (!error) return true;
  }
  std::filesystem::remove(temporary, error);
  return false;
}

}  // namespace duet
