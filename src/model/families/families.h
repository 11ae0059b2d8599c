#pragma once

#include "model/families/dense.h"

namespace duet {

const DenseTraits& llama_traits();
const DenseTraits& qwen2_traits();
const DenseTraits& qwen3_traits();

}  // namespace duet
