#include "base/error.h"

namespace duet {

std::string_view error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kIoError:
      return "io_error";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kBadMagic:
      return "bad_magic";
    case ErrorCode::kUnsupportedVersion:
      return "unsupported_version";
    case ErrorCode::kTruncated:
      return "truncated";
    case ErrorCode::kCountExceedsFile:
      return "count_exceeds_file";
    case ErrorCode::kBadAlignment:
      return "bad_alignment";
    case ErrorCode::kBadOffset:
      return "bad_offset";
    case ErrorCode::kOverlappingTensors:
      return "overlapping_tensors";
    case ErrorCode::kBadShape:
      return "bad_shape";
    case ErrorCode::kBadDtype:
      return "bad_dtype";
    case ErrorCode::kSizeOverflow:
      return "size_overflow";
    case ErrorCode::kBadString:
      return "bad_string";
    case ErrorCode::kBadKey:
      return "bad_key";
    case ErrorCode::kBadType:
      return "bad_type";
    case ErrorCode::kMissingKey:
      return "missing_key";
    case ErrorCode::kBadValue:
      return "bad_value";
    case ErrorCode::kMissingTensor:
      return "missing_tensor";
    case ErrorCode::kUnexpectedTensor:
      return "unexpected_tensor";
    case ErrorCode::kDuplicateTensor:
      return "duplicate_tensor";
    case ErrorCode::kShapeMismatch:
      return "shape_mismatch";
    case ErrorCode::kMissingShard:
      return "missing_shard";
    case ErrorCode::kShardMismatch:
      return "shard_mismatch";
    case ErrorCode::kUnsupportedArchitecture:
      return "unsupported_architecture";
    case ErrorCode::kUnsupportedFeature:
      return "unsupported_feature";
    case ErrorCode::kBadJson:
      return "bad_json";
    case ErrorCode::kTooDeep:
      return "too_deep";
    case ErrorCode::kTooLarge:
      return "too_large";
    case ErrorCode::kPathEscape:
      return "path_escape";
    case ErrorCode::kPickleRefused:
      return "pickle_refused";
    case ErrorCode::kBadTokenizer:
      return "bad_tokenizer";
    case ErrorCode::kTemplateError:
      return "template_error";
    case ErrorCode::kTemplateLimit:
      return "template_limit";
    case ErrorCode::kNonFinite:
      return "non_finite";
    case ErrorCode::kUsageError:
      return "usage_error";
    case ErrorCode::kOutOfMemory:
      return "out_of_memory";
    case ErrorCode::kHashMismatch:
      return "hash_mismatch";
    case ErrorCode::kNetworkError:
      return "network_error";
    case ErrorCode::kContextOverflow:
      return "context_overflow";
    case ErrorCode::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

int Error::exit_status() const {
  if (code_ == ErrorCode::kCancelled) return 130;
  return code_ == ErrorCode::kUsageError ? 2 : 1;
}

std::string printable(std::string_view bytes, size_t max) {
  std::string out;
  for (const char c : bytes.substr(0, max)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  if (bytes.size() > max) out += fmt::format("... ({} bytes)", bytes.size());
  return out;
}

}  // namespace duet
