#pragma once

#include <cstdint>

namespace duet {

/// Index of a row of the vocabulary.
enum class TokenId : int32_t {};
constexpr int32_t to_int(TokenId id) { return static_cast<int32_t>(id); }

/// Handle of a request inside one engine.
enum class RequestId : int64_t {};

}  // namespace duet
