#include "text/tokenizer.h"

#include "formats/checkpoint.h"
#include "text/gguf_tokenizer.h"
#include "text/hf_tokenizer.h"

namespace duet {

std::unique_ptr<Tokenizer> load_tokenizer(const Checkpoint& checkpoint) {
  if (const GgufMetadata* metadata = checkpoint.metadata()) return load_gguf_tokenizer(*metadata);
  return load_hf_tokenizer(checkpoint);
}

}  // namespace duet
