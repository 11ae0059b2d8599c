#!/usr/bin/env python3
"""Duet's tokenizers beside Hugging Face tokenizers and tiktoken: the same texts, one run, one core, a fresh process each time.

  python3 bench/tokenizer_bench.py --bench build/user/bin/tokenizer_bench --models DIR [--rounds 5] [--out FILE]
      [--text NAME=FILE ...] [--only llama3,qwen3.5]

DIR holds model folders as oracle/tokenizer_folders.py of the assets builds them (llama3, llama3.gguf, llama3-rank, qwen3.5, ...).
The texts are made by tokenizer_text.py unless --text names others. Needs the Python packages tokenizers and tiktoken.
Figures are medians of processor seconds; answers are compared by a hash of all ids.
"""
import argparse
import base64
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
QWEN35 = QWEN2.replace(r"\p{L}+", r"[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]+", r"[^\s\p{L}\p{M}\p{N}]+")
# name: folder with tokenizer.json, GGUF file, what tiktoken runs on: a rank file, or the vocabulary of the folder; its pattern
MODELS = {
    "llama3": ("llama3", "llama3.gguf", "llama3-rank/tokenizer.model", LLAMA3),
    "qwen3": ("qwen3", "qwen3.gguf", "qwen_tiktoken-rank/qwen.tiktoken", QWEN2),
    "qwen3.5": ("qwen3.5", "qwen3.5.gguf", "qwen3.5-vocab/vocab.json", QWEN35),
}


def fnv(ids):
    """FNV-1a over ids, as tokenizer_bench makes it."""
    h = 0xcbf29ce484222325
    for i in ids: h = ((h ^ i) * 0x100000001b3) & 0xffffffffffffffff
    return "%016x" % h


def byte_alphabet():
    own = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    rest = [b for b in range(256) if b not in own]
    return {chr(b): b for b in own} | {chr(256 + i): b for i, b in enumerate(rest)}


def load_ranks(path):
    if path.endswith(".json"):
        table = byte_alphabet()
        with open(path, encoding="utf-8") as f: return {bytes(table[c] for c in t): i for t, i in json.load(f).items()}
    with open(path, "rb") as f: return {base64.b64decode(a): int(b) for a, b in (line.split() for line in f if line.strip())}


def peer(kind, model, text, pattern):
    with open(text, encoding="utf-8", newline="") as f: data = f.read()
    begin = time.process_time()
    if kind == "tiktoken":
        import tiktoken
        encoding = tiktoken.Encoding("x", pat_str=pattern, mergeable_ranks=load_ranks(model), special_tokens={})
        encode = encoding.encode_ordinary
    else:
        from tokenizers import Tokenizer
        tokenizer = Tokenizer.from_file(model + "/tokenizer.json")
        encode = lambda s: tokenizer.encode(s, add_special_tokens=False).ids
    loaded = time.process_time()
    ids = encode(data)
    end = time.process_time()
    print(json.dumps({"load_ms": (loaded - begin) * 1e3, "bytes": os.path.getsize(text), "seconds": end - loaded, "tokens": len(ids), "hash": fnv(ids)}))


def run(command):
    environment = dict(os.environ, RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1")
    pin = ["taskset", "-c", str(sorted(os.sched_getaffinity(0))[-1])]
    done = subprocess.run(pin + command, capture_output=True, text=True, env=environment)
    if done.returncode != 0: sys.exit("%s: %s" % (" ".join(command), done.stderr.strip()))
    return json.loads(done.stdout)


def machine():
    lines = [platform.platform()]
    with open("/proc/cpuinfo") as f:
        info = dict(line.split(":", 1) for line in f.read().split("\n\n")[0].splitlines() if ":" in line)
    info = {k.strip(): v.strip() for k, v in info.items()}
    lines.append("%s, family %s model %s, %s cores seen; flags: %s" % (info.get("model name"), info.get("cpu family"), info.get("model"), os.cpu_count(),
                 " ".join(f for f in info.get("flags", "").split() if f in ("sse4_2", "avx2", "bmi2", "avx512f", "avx512vbmi", "avx512_vnni", "amx_tile"))))
    lines.append("load average %.1f %.1f %.1f at the end of the run" % os.getloadavg())
    return lines


def main():
    if sys.argv[1:2] == ["--peer"]: return peer(*sys.argv[2:6])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True)
    parser.add_argument("--models", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--text", action="append", default=[])
    parser.add_argument("--only", default="")
    parser.add_argument("--tokenizers-once", action="store_true", help="Hugging Face tokenizers in the first round only: it takes half a minute a text")
    parser.add_argument("--out")
    a = parser.parse_args()
    texts = dict(t.split("=", 1) for t in a.text)
    folder = tempfile.mkdtemp(prefix="tokenizer_bench.")
    if not texts:
        import tokenizer_text
        for kind in ("english", "chinese", "code"):
            texts[kind] = os.path.join(folder, kind + ".txt")
            with open(texts[kind], "wb") as f: f.write(tokenizer_text.make(kind, 1, 21_000_000))
    me = [sys.executable, os.path.abspath(__file__), "--peer"]
    lines, loads = [], {}
    for name, (json_folder, gguf, ranks, pattern) in MODELS.items():
        if a.only and name not in a.only.split(","): continue
        at = lambda path: os.path.join(a.models, path)
        for kind, text in texts.items():
            commands = {"duet": [a.bench, at(json_folder), text], "duet gguf": [a.bench, at(gguf), text],
                        "tiktoken": me + ["tiktoken", at(ranks), text, pattern], "tokenizers": me + ["tokenizers", at(json_folder), text, pattern]}
            results = {who: [] for who in commands}
            for turn in range(a.rounds):
                for who, command in commands.items():                                        # A B C D, A B C D, ...
                    if who != "tokenizers" or turn == 0 or not a.tokenizers_once: results[who].append(run(command))
            speed = {who: statistics.median(r["bytes"] / 1e6 / r["seconds"] for r in rs) for who, rs in results.items()}
            for who, rs in results.items(): loads.setdefault((name, who), []).extend(r["load_ms"] for r in rs)
            same = {who: rs[0]["hash"] == results["duet"][0]["hash"] for who, rs in results.items()}
            lines.append("%-8s %-8s %5.1f MB  duet %6.1f MB/s  tiktoken %5.1f (x %.1f%s)  tokenizers %5.1f (x %.1f%s)" % (
                name, kind, results["duet"][0]["bytes"] / 1e6, speed["duet"], speed["tiktoken"], speed["duet"] / speed["tiktoken"], "" if same["tiktoken"] else ", OTHER IDS",
                speed["tokenizers"], speed["duet"] / speed["tokenizers"], "" if same["tokenizers"] else ", OTHER IDS"))
            print(lines[-1], flush=True)
        lines.append("%-8s load     duet tokenizer.json %.0f ms, duet GGUF %.0f ms, tiktoken %.0f ms, tokenizers %.0f ms" % (
            name, *(statistics.median(loads[name, who]) for who in ("duet", "duet gguf", "tiktoken", "tokenizers"))))
        print(lines[-1], flush=True)
    from importlib.metadata import version
    once = " Hugging Face tokenizers ran in the first round only." if a.tokenizers_once else ""
    head = ["Tokenizers: medians of %d rounds, interleaved, a fresh process for each figure, one core, processor time.%s" % (a.rounds, once),
            "Each library gets the whole text as one string, without added tokens in it. x: how many times as fast Duet is.",
            "tiktoken %s, tokenizers %s. Texts: %s." % (version("tiktoken"), version("tokenizers"), "bench/tokenizer_text.py, seed 1" if not a.text else ", ".join(texts))] + machine()
    report = "\n".join(head + [""] + lines) + "\n"
    if a.out:
        with open(a.out, "w", encoding="utf-8") as f: f.write(report)
    else: print(report)


if __name__ == "__main__":
    main()
