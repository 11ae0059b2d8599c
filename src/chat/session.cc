#include "chat/session.h"

#include "model/decoder.h"
#include "text/tokenizer.h"

namespace duet {

void check_activations(std::string_view activations) {
  if (activations == "f32") return;
  throw Error(ErrorCode::kUnsupportedFeature,
              fmt::format("activations '{}' are not supported yet, only f32", printable(activations)),
              "leave --activations out, or say --activations f32");
}

Session::Session(const std::filesystem::path& path, const SessionOptions& options,
                 const std::function<void(int64_t, int64_t)>& progress)
    : runtime_((check_activations(options.activations), options.threads)), model_(path) {
  Backend& backend = runtime_.backend(options.backend);
  model_.description();
  model_.generation_config();
  model_.tokenizer();
  engine_ = std::make_unique<Engine>(model_.decoder(backend, progress),
                                     EngineOptions{.context_tokens = options.context_tokens});
}

std::vector<TokenId> Session::chat_prompt(const std::vector<Message>& messages) {
  const ChatTemplate* chat_template = model_.chat_template();
  if (chat_template == nullptr) {
    throw Error(ErrorCode::kNotFound, fmt::format("{}: the model has no chat template", model_.name()),
                "duet run --raw gives it a text as it is");
  }
  return encode_chat(*chat_template, model_.tokenizer(), messages);
}

std::vector<TokenId> Session::raw_prompt(std::string_view text) {
  return model_.tokenizer().encode(text, {.parse_special = true, .add_special = true});
}

bool Session::can_think() {
  return false;  // TODO(conversation): until the reasoning parser is here
}

void Session::chat(const std::vector<Message>& messages, const ChatOptions&, GenerateRequest request,
                   const std::atomic<bool>& cancel, const EventSink& sink) {
  try {
    request.prompt = chat_prompt(messages);
  } catch (const Error& error) {
    sink(Failed{error});
    return;
  }
  generate(std::move(request), cancel, sink);
}

void Session::generate(GenerateRequest request, const std::atomic<bool>& cancel, const EventSink& sink) {
  if (request.stop_ids.empty()) request.stop_ids = model_.end_ids();
  duet::generate(*engine_, model_.tokenizer(), request, cancel, sink);
}

}  // namespace duet
