// What transformers does around the rendering of a chat template, where golden/templates does not show it.

#include "chat/template_call.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "text/jinja/template_error.h"

namespace duet {
namespace {

Json json(std::string_view text) { return parse_json(text, "test"); }

std::string with_reasoning(std::string_view text) {
  Json message = json(text);
  copy_reasoning(message);
  return message.dump();
}

/// The text left of `rendered`, or "type error".
std::string continued(std::string_view messages_text, std::string_view wanted, std::string_view source,
                      std::string rendered) {
  Json messages = json(messages_text);
  try {
    const ContinuedMessage message(messages, json(wanted), source);
    if (rendered.empty()) return messages.dump();
    message.cut(rendered);
    return rendered;
  } catch (const TemplateError& error) {
    return std::string(template_error_kind_name(error.kind())) + " error";
  }
}

TEST(TemplateCall, ReasoningIsFoundUnderEveryNameAndThinkingComesFirst) {
  EXPECT_EQ(with_reasoning(R"({"role":"a","reasoning":"w"})"),
            R"({"thinking":"w","role":"a","reasoning":"w","reasoning_content":"w"})");
  EXPECT_EQ(with_reasoning(R"({"thinking":"t","reasoning_content":"r","x":1})"),
            R"({"thinking":"t","reasoning_content":"r","x":1})");
  EXPECT_EQ(with_reasoning(R"({"x":1,"thinking":null,"reasoning":"w"})"),
            R"({"thinking":null,"x":1,"reasoning":"w","reasoning_content":"w"})");
  EXPECT_EQ(with_reasoning(R"({"reasoning":null,"x":1})"), R"({"reasoning":null,"x":1})");
}

TEST(TemplateCall, WhatIsNoListOfObjectsIsRefused) {
  const auto accepted = [](std::string_view messages, std::string_view tools, std::string_view documents) {
    try {
      check_conversation(json(messages), json(tools), json(documents));
      return true;
    } catch (const TemplateError& error) {
      EXPECT_EQ(error.kind(), TemplateErrorKind::kType);
      return false;
    }
  };
  EXPECT_TRUE(accepted("[{}]", "null", "null"));
  EXPECT_TRUE(accepted("[]", "[]", "[{}]"));
  EXPECT_FALSE(accepted("null", "null", "null"));
  EXPECT_FALSE(accepted(R"(["a"])", "null", "null"));
  EXPECT_FALSE(accepted("[]", "5", "null"));
  EXPECT_FALSE(accepted("[]", R"(["f"])", "null"));
  EXPECT_FALSE(accepted("[]", "null", R"([1])"));
}

TEST(TemplateCall, TheTagIsPutBehindTheTextAndCut) {
  constexpr std::string_view kMessages = R"([{"content":"So far "}])";
  EXPECT_EQ(continued(kMessages, "true", "content", ""), R"([{"content":"So far CONTINUE_FINAL_MESSAGE_TAG "}])");
  EXPECT_EQ(continued(kMessages, "true", "content", "<So far CONTINUE_FINAL_MESSAGE_TAG >"), "<So far ");
  EXPECT_EQ(continued(kMessages, "true", "content", "<So far CONTINUE_FINAL_MESSAGE_TAG>"), "<So far");
  EXPECT_EQ(continued(kMessages, "true", "content", "<CONTINUE_FINAL_MESSAGE_TAG >"), "type error");
  EXPECT_EQ(continued(kMessages, "true", "content", "<So far>"), "type error");
  EXPECT_EQ(continued(kMessages, "true", "role only", ""), "type error");
  EXPECT_EQ(continued(kMessages, R"("thinking")", "thinking", ""), "type error");
}

TEST(TemplateCall, EveryCopyOfTheReasoningGetsTheTag) {
  EXPECT_EQ(continued(R"([{"thinking":"w","reasoning_content":"w","reasoning":"v"}])", R"("reasoning_content")",
                      "message.thinking", ""),
            R"([{"thinking":"wCONTINUE_FINAL_MESSAGE_TAG ","reasoning_content":"wCONTINUE_FINAL_MESSAGE_TAG ",)"
            R"("reasoning":"v"}])");
}

TEST(TemplateCall, TheLastTextOfAListIsContinued) {
  EXPECT_EQ(continued(R"([{"content":[{"text":"a"},{"text":"b"},{"type":"image"}]}])", "true", "content", ""),
            R"([{"content":[{"text":"a"},{"text":"bCONTINUE_FINAL_MESSAGE_TAG "},{"type":"image"}]}])");
  EXPECT_EQ(continued(R"([{"content":[{"type":"image"}]}])", "true", "content", ""), "type error");
  EXPECT_EQ(continued(R"([{"content":[{"text":1}]}])", "true", "content", ""), "type error");
  EXPECT_EQ(continued(R"([{"content":[{"text":"a"},null]}])", "true", "content", ""), "type error");
}

}  // namespace
}  // namespace duet
