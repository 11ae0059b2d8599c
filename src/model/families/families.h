#pragma once

#include "model/families/family.h"

namespace duet {

const Family& llama_family();
const Family& llama4_family();
const Family& qwen2_family();
const Family& qwen3_family();
const Family& qwen3_moe_family();
const Family& qwen3_next_family();
const Family& qwen35_family();
const Family& qwen35_moe_family();

}  // namespace duet
