#pragma once

#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/pipeline_tokenizer.h"

namespace duet {

// The stages of a tokenizer.json around its model. `file` is the file's name for messages. A type, pattern or option
// that Duet does not know is unsupported_feature and named; a stage of the wrong form is bad_type or bad_tokenizer.
// Null is no stage.

/// Fills in parts.normalizer: NFC, Prepend, Replace of a string, and sequences of them.
void read_normalizer(const Json* stage, std::string_view file, TokenizerParts& parts);
/// Fills in parts.pre_tokenizer: Split, Digits and, as the last one, ByteLevel; or parts.metaspace; or nothing.
/// Returns whether the pieces are bytes, that is, whether there was ByteLevel.
bool read_pre_tokenizer(const Json* stage, std::string_view file, TokenizerParts& parts);
/// Fills in parts.spelling and parts.strip_leading_space: ByteLevel, which must stand here and in the pre_tokenizer or
/// in neither; or Metaspace, or Replace, ByteFallback, Fuse and Strip.
void read_decoder(const Json* stage, std::string_view file, bool bytes, TokenizerParts& parts);
/// Fills in parts.front and parts.back: TemplateProcessing, ByteLevel (offsets only) and sequences of them.
/// Precondition: the vocabulary is complete.
void read_post_processor(const Json* stage, std::string_view file, TokenizerParts& parts);

/// Appends the step of a Split with this regular expression.
void add_pattern(std::string_view pattern, std::string_view file, TokenizerParts& parts);

// Members of objects. A member of another kind is bad_type; `where` names the object in messages.
const Json& require_member(const Json& object, std::string_view key, std::string_view file, std::string_view where);
const std::string& require_text(const Json& object, std::string_view key, std::string_view file,
                                std::string_view where);
/// `otherwise` when absent or null.
bool flag_member(const Json& object, std::string_view key, bool otherwise, std::string_view file,
                 std::string_view where);

}  // namespace duet
