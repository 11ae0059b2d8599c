#pragma once

#include <functional>
#include <memory>
#include <string>

#include "model/expert_slots.h"
#include "model/mlp.h"
#include "ops/moe.h"

namespace duet {

/// A mixture of experts (MoeFfn): route > grouped SwiGLU > weighted sum, beside the shared expert.
struct Moe {
  MoeFfn spec;
  Linear router;                                    // [E, C]
  ops::ExpertLinear gate_proj, up_proj, down_proj;  // empty with slots
  std::shared_ptr<ExpertSlots> slots;               // nullptr: all experts are in memory
  Mlp shared;                                       // with spec.shared_dim
  Linear shared_gate;                               // [1, C], with spec.shared_gate

  /// Reads the tensors under `prefix` ("model.layers.0.mlp.").
  static Moe load(WeightLoader& loader, const std::string& prefix, const MoeFfn& spec);
  ///   x : [T, C] normed input;   add_to : [T, C] += the output
  void forward(Ctx& ctx, const LinearInput& x, const Tensor& add_to) const;
  /// Arena bytes of forward() for `rows` rows of `hidden` values.
  static int64_t scratch_bytes(const MoeFfn& spec, int64_t hidden, int64_t rows);
  /// Calls visit(matrix) for those that every token multiplies, and visit_experts for those of which a token multiplies
  /// spec.top_k.
  /// With slots these are what experts_in_memory() says.
  int64_t experts_in_memory() const { return slots ? slots->slots() : spec.experts; }
  void visit_weights(const std::function<void(const Linear& weight)>& visit,
                     const std::function<void(const ops::ExpertLinear& weights)>& visit_experts) const;

 private:
  const ops::ExpertLinear& part(size_t index) const;
};

}  // namespace duet
