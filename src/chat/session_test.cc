#include "chat/session.h"

#include <fstream>

#include "base/file.h"
#include "tests/support.h"

namespace duet {
namespace {

namespace fs = std::filesystem;

/// A tiny Qwen3 with a chat template of its own.
fs::path model_with(std::string_view chat_template) {
  const fs::path folder = test::temporary_folder() / "model";
  fs::copy(test::golden("text/qwen3-dense"), folder);
  fs::permissions(folder, fs::perms::owner_all);
  fs::remove(folder / "chat_template.jinja");
  std::ofstream(folder / "chat_template.jinja") << chat_template;
  return folder;
}

constexpr std::string_view kThinking =
    "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% else %}<think>\n{% endif %}";

struct Record {
  std::string text, reasoning;
  std::vector<int64_t> dropped;
  std::optional<Finished> finished;
  std::optional<Error> error;

  void operator()(const TurnsDropped& event) { dropped.push_back(event.messages); }
  void operator()(const PromptProgress&) {}
  void operator()(const Logprobs&) {}
  void operator()(const TextDelta& delta) { text += delta.text; }
  void operator()(const ReasoningDelta& delta) {
    EXPECT_EQ(text, "") << "a thought after the answer began";
    reasoning += delta.text;
  }
  void operator()(const Finished& event) { finished = event; }
  void operator()(const Failed& event) { error = event.error; }
};

Record chat(Session& session, const std::vector<Message>& messages, const ChatOptions& options, int64_t tokens) {
  Record record;
  const std::atomic<bool> cancel = false;
  GenerateRequest request;
  request.max_new_tokens = tokens;
  request.stop_ids = {TokenId{0}};  // a random model must not end by chance; id 0 is not among its choices here
  session.chat(messages, options, std::move(request), cancel,
               [&](const ChatEvent& event) { std::visit(record, event); });
  return record;
}

TEST(Session, AThoughtIsClosedAtItsLimitAndTheAnswerFollows) {
  Session session(model_with(kThinking), {.threads = 1, .backend = "cpu"});
  EXPECT_TRUE(session.can_think());
  const Record open = chat(session, {{"user", "hi"}}, {}, 12);
  ASSERT_TRUE(open.finished) << (open.error ? open.error->what() : "");
  EXPECT_EQ(open.text, "");
  EXPECT_EQ(open.finished->thought_tokens, 12);

  const Record limited = chat(session, {{"user", "hi"}}, {.thought_tokens = 5}, 30);
  ASSERT_TRUE(limited.finished);
  const std::string whole = session.model().tokenizer().decode(limited.finished->ids, /*skip_special=*/true);
  const size_t close = whole.find("</think>");
  ASSERT_NE(close, std::string::npos) << whole;
  EXPECT_GT(limited.finished->thought_tokens, 5);
  EXPECT_EQ(std::vector<TokenId>(limited.finished->ids.begin(), limited.finished->ids.begin() + 5),
            std::vector<TokenId>(open.finished->ids.begin(), open.finished->ids.begin() + 5));
  EXPECT_FALSE(limited.text.empty());
  EXPECT_TRUE(whole.ends_with(limited.text)) << whole << "\nanswer: " << limited.text;

  const Record without = chat(session, {{"user", "hi"}}, {.think = false}, 6);
  ASSERT_TRUE(without.finished);
  EXPECT_EQ(without.reasoning, "");
  EXPECT_EQ(without.finished->thought_tokens, 0);
  EXPECT_FALSE(without.text.empty());
}

TEST(Session, TheSameSeedGivesTheSameTextWhateverCameBefore) {
  const fs::path folder = model_with("{{ messages[-1].content }}");
  const auto sampled = [&](Session& session) {
    Record record;
    const std::atomic<bool> cancel = false;
    GenerateRequest request;
    request.max_new_tokens = 20;
    request.stop_ids = {TokenId{0}};
    request.sampling.temperature = 1;
    request.sampling.seed = 42;
    session.chat({{"user", "once upon"}}, {}, std::move(request), cancel,
                 [&](const ChatEvent& event) { std::visit(record, event); });
    return record.finished ? record.finished->ids : std::vector<TokenId>();
  };
  Session one(folder, {.threads = 1, .backend = "cpu"});
  const std::vector<TokenId> first = sampled(one);
  EXPECT_EQ(first.size(), 20u);
  EXPECT_EQ(sampled(one), first);  // the second time the prompt's state is known already
  Session two(folder, {.threads = 3, .backend = "cpu"});
  chat(two, {{"user", "once upon another time"}}, {}, 3);
  EXPECT_EQ(sampled(two), first);
}

TEST(Session, AConversationThatIsTooLongFailsOrLosesItsOldestTurns) {
  Session session(model_with("{% for m in messages %}{{ m.content }}{% endfor %}"),
                  {.threads = 1, .backend = "cpu", .context_tokens = 40});
  const std::vector<Message> chat_messages = {{"user", std::string(200, 'x')}, {"assistant", "y"}, {"user", "z"}};
  const Record refused = chat(session, chat_messages, {}, 4);
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->code(), ErrorCode::kContextOverflow);
  EXPECT_TRUE(refused.dropped.empty());
  const Record cut = chat(session, chat_messages, {.drop_oldest = true}, 4);
  ASSERT_TRUE(cut.finished) << (cut.error ? cut.error->what() : "");
  EXPECT_EQ(cut.dropped, (std::vector<int64_t>{2}));
  const Record hopeless = chat(session, {{"user", std::string(200, 'x')}}, {.drop_oldest = true}, 4);
  ASSERT_TRUE(hopeless.error);
  EXPECT_EQ(hopeless.error->code(), ErrorCode::kContextOverflow);
}

TEST(Session, WithoutATemplateThereIsNoChat) {
  const fs::path folder = test::temporary_folder() / "model";
  fs::copy(test::golden("text/qwen3-dense"), folder);
  Session session(folder, {.threads = 1, .backend = "cpu"});
  EXPECT_FALSE(session.can_think());
  const Record record = chat(session, {{"user", "x"}}, {}, 4);
  ASSERT_TRUE(record.error);
  EXPECT_EQ(record.error->code(), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace duet
