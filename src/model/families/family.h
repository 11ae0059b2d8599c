#pragma once

#include <string_view>
#include <vector>

#include "formats/checkpoint.h"
#include "model/registry.h"

namespace duet {

/// A family of models: the names by which files ask for it, and how a checkpoint's configuration and tensors become a
/// model. A new one is a file in this folder and its line in families.h and registry.cc (docs/adding-a-model.md).
struct Family {
  std::string_view gguf_architecture;              // "" = there is no such file
  std::vector<std::string_view> hf_architectures;  // the first is the usual one
  ModelDescription (*describe)(const Checkpoint& checkpoint);
};

}  // namespace duet
