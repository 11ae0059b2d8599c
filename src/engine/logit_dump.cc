#include "engine/logit_dump.h"

#include <algorithm>
#include <utility>

#include "engine/engine.h"
#include "model/spec.h"

namespace duet {
namespace {

/// An array's element as an integer; `what` names its place.
int64_t integer_at(const Json& json, std::string_view name, const std::string& what) {
  if (json.is_big_integer()) fail(ErrorCode::kBadValue, "{}: {} does not fit 64 bits", name, what);
  if (!json.is_integer()) fail(ErrorCode::kBadType, "{}: {} is {}, expected an integer", name, what, json.kind_name());
  return json.integer();
}

const Json::Array& array_of(const Json& json, std::string_view name, std::string_view what) {
  if (!json.is_array()) fail(ErrorCode::kBadType, "{}: {} is {}, expected an array", name, what, json.kind_name());
  return json.array();
}

/// The N likeliest tokens after a sequence, one after the other.
std::vector<int64_t> greedy_ids(Engine& engine, const std::vector<TokenId>& prompt, int64_t tokens,
                                const std::function<void()>& check) {
  std::vector<int64_t> ids;
  const RequestId id = engine.submit({.prompt = prompt, .sampling = {}, .max_new_tokens = tokens, .stop_ids = {}});
  try {
    while (!engine.idle()) {
      check();
      for (const EngineEvent& event : engine.step()) {
        if (const auto* failed = std::get_if<RequestFailed>(&event)) throw failed->error;
        if (const auto* chosen = std::get_if<TokenChosen>(&event)) ids.push_back(to_int(chosen->id));
      }
    }
  } catch (...) {
    engine.cancel(id);
    engine.step();
    throw;
  }
  return ids;
}

}  // namespace

std::vector<std::vector<TokenId>> read_prompts(const Json& json, std::string_view name, const ModelSpec& spec) {
  const Json* list = &json;
  if (json.is_object()) {
    list = json.find("prompts");
    if (list == nullptr) fail(ErrorCode::kMissingKey, "{}: no key 'prompts'", name);
  }
  std::vector<std::vector<TokenId>> prompts;
  for (const Json& entry : array_of(*list, name, "the list of prompts")) {
    const std::string which = fmt::format("prompt {}", prompts.size());
    std::vector<TokenId> ids;
    for (const Json& value : array_of(entry, name, which)) {
      const std::string what = fmt::format("id {} of {}", ids.size(), which);
      const int64_t id = integer_at(value, name, what);
      if (id < 0 || id >= spec.vocabulary) {
        fail(ErrorCode::kBadValue, "{}: {} is {}, legal: 0 to {}", name, what, id, spec.vocabulary - 1);
      }
      ids.push_back(TokenId{static_cast<int32_t>(id)});
    }
    if (ids.empty()) fail(ErrorCode::kBadValue, "{}: {} is empty, at least one id is needed", name, which);
    if (static_cast<int64_t>(ids.size()) > spec.context_tokens) {
      fail(ErrorCode::kContextOverflow, "{}: {} has {} ids, the context holds {}", name, which, ids.size(),
           spec.context_tokens);
    }
    prompts.push_back(std::move(ids));
  }
  if (prompts.empty()) fail(ErrorCode::kBadValue, "{}: there is no prompt, at least one is needed", name);
  return prompts;
}

std::vector<LogitRow> read_rows(const Json& json, std::string_view name,
                                const std::vector<std::vector<TokenId>>& prompts) {
  std::vector<LogitRow> rows;
  for (const Json& entry : array_of(json, name, "the list of rows")) {
    const std::string which = fmt::format("row {}", rows.size());
    const Json::Array& pair = array_of(entry, name, which);
    if (pair.size() != 2)
      fail(ErrorCode::kBadValue, "{}: {} has {} numbers, expected [prompt, position]", name, which, pair.size());
    const LogitRow row{integer_at(pair[0], name, "the prompt of " + which),
                       integer_at(pair[1], name, "the position of " + which)};
    const auto count = static_cast<int64_t>(prompts.size());
    if (row.prompt < 0 || row.prompt >= count) {
      fail(ErrorCode::kBadValue, "{}: the prompt of {} is {}, legal: 0 to {}", name, which, row.prompt, count - 1);
    }
    const auto length = static_cast<int64_t>(prompts[static_cast<size_t>(row.prompt)].size());
    if (row.position < 0 || row.position >= length) {
      fail(ErrorCode::kBadValue, "{}: the position of {} is {}, legal in prompt {}: 0 to {}", name, which, row.position,
           row.prompt, length - 1);
    }
    rows.push_back(row);
  }
  if (rows.empty()) fail(ErrorCode::kBadValue, "{}: there is no row, at least one is needed", name);
  return rows;
}

std::vector<LogitRow> all_rows(const std::vector<std::vector<TokenId>>& prompts) {
  std::vector<LogitRow> rows;
  for (size_t p = 0; p < prompts.size(); ++p) {
    for (size_t i = 0; i < prompts[p].size(); ++i) rows.push_back({static_cast<int64_t>(p), static_cast<int64_t>(i)});
  }
  return rows;
}

LogitDump::LogitDump(LogitJob job, const ModelSpec& spec, const std::filesystem::path& out) : job_(std::move(job)) {
  for (size_t p = 0; p < job_.prompts.size(); ++p) {
    const auto length = static_cast<int64_t>(job_.prompts[p].size());
    if (length > spec.context_tokens - job_.greedy_tokens) {
      fail(ErrorCode::kContextOverflow, "prompt {} has {} ids and {} more are asked for, the context holds {}", p,
           length, job_.greedy_tokens, spec.context_tokens);
    }
  }
  if (std::filesystem::is_directory(out)) fail(ErrorCode::kIoError, "{}: is a folder, not a file", out.string());
  for (const LogitRow& row : job_.rows) placed_.push_back({row, static_cast<int64_t>(placed_.size())});
  std::stable_sort(placed_.begin(), placed_.end(), [](const Placed& a, const Placed& b) {
    return std::pair(a.row.prompt, a.row.position) < std::pair(b.row.prompt, b.row.position);
  });
  const auto row_count = static_cast<int64_t>(job_.rows.size()), layers = static_cast<int64_t>(spec.layers.size());
  std::vector<SafetensorsWriter::Declared> tensors{{"logits", DType::kF32, {row_count, spec.vocabulary}}};
  first_hidden_ = tensors.size();
  for (int64_t i = 0; job_.hidden && i <= layers + 1; ++i) {  // the norm's is number layers + 1, as the engine counts
    const std::string index = i <= layers ? std::to_string(i) : "norm";
    tensors.push_back({"hidden." + index, DType::kF32, {row_count, spec.hidden_dim}});
  }
  mtp_ = tensors.size();
  if (job_.mtp) tensors.push_back({"mtp_logits", DType::kF32, {row_count, spec.vocabulary}});
  greedy_ = tensors.size();
  if (job_.greedy_tokens > 0) {
    tensors.push_back({"greedy_ids", DType::kI64, {static_cast<int64_t>(job_.prompts.size()), job_.greedy_tokens}});
  }
  writer_.emplace(out, tensors);
}

/// Of values [count, width] of the positions from `first` on, writes the wanted ones to their places. `wanted`: of one
/// prompt.
void LogitDump::write_rows(size_t tensor, std::span<const Placed> wanted, int64_t first, int64_t count,
                           std::span<const float> values) {
  const size_t width = values.size() / static_cast<size_t>(count);
  auto placed =
      std::partition_point(wanted.begin(), wanted.end(), [&](const Placed& p) { return p.row.position < first; });
  for (; placed != wanted.end() && placed->row.position < first + count; ++placed) {
    const auto row = std::as_bytes(values.subspan(static_cast<size_t>(placed->row.position - first) * width, width));
    writer_->put(tensor, static_cast<uint64_t>(placed->place) * row.size(), row);
  }
}

void LogitDump::run(Engine& engine, const std::function<void()>& check,
                    const std::function<void(int64_t done, int64_t total)>& progress) {
  int64_t done = 0, total = 0;
  for (const auto& prompt : job_.prompts) total += static_cast<int64_t>(prompt.size()) + job_.greedy_tokens;
  const auto report = [&](int64_t tokens) {
    if (progress) progress(done + tokens, total);
  };
  auto next = placed_.cbegin();
  for (size_t p = 0; p < job_.prompts.size(); ++p) {
    const auto begin = next;
    while (next != placed_.cend() && next->row.prompt == static_cast<int64_t>(p)) ++next;
    const std::span<const Placed> wanted(begin, next);
    check();
    if (!wanted.empty()) {
      const auto on_logits = [&](int64_t first, int64_t count, std::span<const float> values) {
        check();
        write_rows(0, wanted, first, count, values);
        report(first + count);
      };
      const auto on_hidden = [&](int64_t index, int64_t first, int64_t count, std::span<const float> values) {
        check();
        write_rows(first_hidden_ + static_cast<size_t>(index), wanted, first, count, values);
      };
      const auto wants = [&](int64_t position) {
        const auto at = std::partition_point(wanted.begin(), wanted.end(),
                                             [&](const Placed& placed) { return placed.row.position < position; });
        return at != wanted.end() && at->row.position == position;
      };
      const auto on_mtp = [&](int64_t first, int64_t count, std::span<const float> values) {
        check();
        write_rows(mtp_, wanted, first, count, values);
      };
      engine.score(job_.prompts[p], on_logits, job_.hidden ? HiddenRowSink(on_hidden) : HiddenRowSink(), wants,
                   job_.mtp ? RowSink(on_mtp) : RowSink());
    }
    done += static_cast<int64_t>(job_.prompts[p].size());
    report(0);
    if (job_.greedy_tokens > 0) {
      const std::vector<int64_t> ids = greedy_ids(engine, job_.prompts[p], job_.greedy_tokens, check);
      writer_->append(greedy_, std::as_bytes(std::span(ids)));
      done += job_.greedy_tokens;
      report(0);
    }
  }
  writer_->finish();
}

}  // namespace duet
