#!/usr/bin/env python3
"""A context of 262,144 tokens on a chunked (Llama 4) and a hybrid (Qwen3.5) shape with one layer of full attention: the memory that
`duet plan` predicts is that which the process takes at most, within 2 % or 32 MiB. Takes about ten minutes for each on two
cores (docs/outside-checks.md has figures).

usage: long_context.py DUET [--tokens N] [--threads N] [--kv-type TYPE] [--shape NAME]...

The models are configurations with synthetic weights. `duet logits --greedy 1` reads the prompt as every request is read, in steps, with
snapshots; what the process took at most is the kernel's own count (ru_maxrss). The same run on one token tells what
the program takes without any of it: its own code, the C++ library, JSON of the ids are no part of the plan.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20
ALLOWED_BYTES, ALLOWED_SHARE = 32 * MIB, 0.02

LLAMA4 = {
    "architectures": ["Llama4ForCausalLM"], "model_type": "llama4_text", "attention_bias": False, "attention_chunk_size": 8192,
    "attn_scale": 0.1, "attn_temperature_tuning": True, "floor_scale": 8192, "bos_token_id": 1, "eos_token_id": 2, "head_dim": 32,
    "hidden_act": "silu", "hidden_size": 128, "interleave_moe_layer_step": 1, "intermediate_size": 64, "intermediate_size_mlp": 256,
    "no_rope_layers": [1, 1, 1, 0], "num_attention_heads": 2, "num_key_value_heads": 2, "num_experts_per_tok": 1,
    "num_hidden_layers": 4, "num_local_experts": 4, "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "use_qk_norm": True,
    "vocab_size": 512, "tie_word_embeddings": False,
}
HYBRID = {
    "architectures": ["Qwen3_5ForCausalLM"], "model_type": "qwen3_5_text", "attention_bias": False, "attn_output_gate": True,
    "eos_token_id": 2, "full_attention_interval": 4, "head_dim": 32, "hidden_act": "silu", "hidden_size": 128,
    "intermediate_size": 256, "layer_types": ["linear_attention"] * 3 + ["full_attention"], "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 32, "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_value_head_dim": 32,
    "mtp_num_hidden_layers": 0, "num_attention_heads": 2, "num_hidden_layers": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000000, "partial_rotary_factor": 0.25}, "vocab_size": 512,
    "tie_word_embeddings": True,
}
SHAPES = {"llama4": LLAMA4, "qwen3.5": HYBRID}


def run(command):
    """Standard output, the most memory that the process took, seconds."""
    begin = time.monotonic()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, f"{command} ended with {process.returncode}"
        out.seek(0)
        return out.read().decode(), usage.ru_maxrss * 1024, time.monotonic() - begin


def check(duet, folder, name, options):
    config = os.path.join(folder, "config.json")
    with open(config, "w", encoding="utf-8") as file:
        json.dump(SHAPES[name] | {"max_position_embeddings": options.tokens}, file)
    common = ["--synthetic=1", "--threads", str(options.threads), "--kv-type", options.kv_type, "--json"]

    def measure(tokens):
        ids, rows = os.path.join(folder, "ids.json"), os.path.join(folder, "rows.json")
        with open(ids, "w", encoding="utf-8") as file:  # only rows of the first prompt are asked for: the long one is read once
            json.dump([[1], [(i * i * 7 + i * 3) % 512 for i in range(tokens)]], file)
        with open(rows, "w", encoding="utf-8") as file:
            json.dump([[0, 0]], file)
        return run([duet, "logits", config, *common, "--ids-file", ids, "--rows", rows, "--greedy", "1", "--out",
                    os.path.join(folder, "out.safetensors")])

    plan = json.loads(run([duet, "plan", config, *common, "--context", str(options.tokens), "--machine", "16"])[0])
    planned = plan["total_bytes"]
    _, least, _ = measure(1)
    _, most, seconds = measure(options.tokens - 1)
    allowed = max(ALLOWED_BYTES, ALLOWED_SHARE * most)
    print(f"{name}, {options.tokens} tokens, {options.kv_type}: planned {planned / MIB:.1f} MiB (state {plan['state_bytes'] / MIB:.1f}), "
          f"taken at most {most / MIB:.1f} MiB, {(most - planned) / MIB:+.1f}; one token takes {least / MIB:.1f}; {seconds:.0f} s "
          f"on {options.threads} threads", flush=True)
    assert abs(most - planned) <= allowed, f"{name}: {(most - planned) / MIB:+.1f} MiB, at most {allowed / MIB:.1f} are allowed"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("duet")
    parser.add_argument("--tokens", type=int, default=262144)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kv-type", default="f32")
    parser.add_argument("--shape", action="append", choices=sorted(SHAPES))
    options = parser.parse_args()
    for name in options.shape or SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            check(os.path.abspath(options.duet), folder, name, options)


if __name__ == "__main__":
    sys.exit(main())
