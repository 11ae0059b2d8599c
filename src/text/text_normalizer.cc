#include "text/text_normalizer.h"

#include "text/nfc.h"

namespace duet {

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size() + text.size() / 2);
  while (!text.empty()) {
    const size_t at = text.find(from);
    if (at == std::string_view::npos) break;
    out.append(text.substr(0, at)).append(to);
    text.remove_prefix(at + from.size());
  }
  return out.append(text);
}

bool normalize(const std::vector<NormalizerStep>& steps, std::string_view text, std::string& out) {
  bool changed = false;
  std::string next;
  for (const NormalizerStep& step : steps) {
    switch (step.kind) {
      case NormalizerStep::Kind::kNfc:
        if (is_plainly_nfc(text)) continue;
        next = nfc(text);
        break;
      case NormalizerStep::Kind::kPrepend:
        if (text.empty() || step.to.empty()) continue;
        next.assign(step.to).append(text);
        break;
      case NormalizerStep::Kind::kReplace:
        if (text.find(step.from) == std::string_view::npos) continue;
        next = replace_all(text, step.from, step.to);
        break;
    }
    out.swap(next);
    text = out;
    changed = true;
  }
  return changed;
}

}  // namespace duet
