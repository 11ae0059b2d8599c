#!/usr/bin/env python3
"""run, chat and logits from outside: what they print, their errors and exit statuses, and that failures leave no file.

usage: commands_outside.py DUET GOLDEN_FOLDER [MODEL]

With MODEL, what needs a real model of the store; exit status 77 (skipped), saying why, when it is not there.
"""
import glob
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import golden_safetensors

SKIPPED = 77


class Commands:
    def __init__(self, duet, folder):
        self.duet = duet
        self.folder = folder

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, value):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(value if isinstance(value, str) else json.dumps(value))
        return self.path(name)

    def start(self, *arguments, **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        # A test started in the background may have Ctrl-C ignored, and what is ignored stays so.
        ready = options.pop("preexec", lambda: None)
        return subprocess.Popen([self.duet, *arguments], preexec_fn=lambda: (signal.signal(signal.SIGINT, signal.SIG_DFL), ready()),
                                **options)

    def run(self, *arguments, text=None, status=0, **options):
        """What it prints, standard output and standard error."""
        if text is not None:
            options["stdin"] = subprocess.PIPE
        process = self.start(*arguments, **options)
        out, err = process.communicate(None if text is None else text.encode(), timeout=300)
        out, err = (b"" if part is None else part for part in (out, err))
        assert process.returncode == status, f"{arguments} ended with {process.returncode}, not {status}: {out[-500:]!r} {err!r}"
        return out.decode(), err.decode()

    def fails(self, code, *arguments, words=(), status=1, **options):
        """That it fails with one JSON line of this code and these words in its message, on standard error."""
        _, err = self.run(*arguments, "--json", status=status, **options)
        lines = err.strip().splitlines()
        assert len(lines) == 1, f"{arguments}: {err!r} is not one line"
        error = json.loads(lines[0])["error"]
        assert error["code"] == code, f"{arguments}: {error}, expected {code}"
        for word in words:
            assert word in error["message"] + error["hint"], f"{arguments}: {word!r} is not in {error}"


def check_logits(commands, golden):
    model = os.path.join(golden, "gguf", "llama32-tied.bf16.gguf")
    ids = commands.write("ids.json", [[1, 2, 3], [4, 5]])
    out = commands.path("o.safetensors")
    base = ["logits", model, "--out", out, "--threads", "2"]

    commands.run(*base, "--ids-file", ids, "--hidden", "--greedy", "3")
    whole = golden_safetensors.read(out)
    vocabulary = whole["logits"][0][1]
    assert whole["logits"][0] == [5, vocabulary] and whole["greedy_ids"][0] == [2, 3], whole.keys()
    assert whole["hidden.0"][0] == whole["hidden.norm"][0] and whole["hidden.0"][0][0] == 5
    os.remove(out)

    rows = commands.write("rows.json", [[1, 0], [0, 2]])
    prompts = commands.write("prompts.json", {"prompts": [[1, 2, 3], [4, 5]], "note": "unknown keys do no harm"})
    commands.run(*base, "--ids-file", prompts, "--rows", rows)
    logits = whole["logits"][1]
    expected = logits[3 * vocabulary:4 * vocabulary] + logits[2 * vocabulary:3 * vocabulary]
    assert golden_safetensors.read(out)["logits"] == ([2, vocabulary], expected), "rows differ"
    os.remove(out)
    commands.run(*base, "--ids-file", ids, "--activations", "native")
    assert golden_safetensors.read(out)["logits"] == whole["logits"], "bf16 has no other arithmetic than f32"
    os.remove(out)
    commands.run(*base, "--ids-file", ids, "--backend", "ref")
    assert golden_safetensors.read(out)["logits"][0] == [5, vocabulary]
    os.remove(out)

    def refused(code, *arguments, **options):
        commands.fails(code, *arguments, **options)
        left = glob.glob(commands.path("*safetensors*"))
        assert not left, f"{arguments} left {left}"

    for code, text, words in [
            ("bad_value", [[1], []], ["prompt 1", "empty"]), ("bad_value", [], ["no prompt"]),
            ("bad_value", [[1, vocabulary]], ["prompt 0", str(vocabulary), str(vocabulary - 1)]), ("bad_value", [[-1]], ["-1"]),
            ("bad_type", [["1"]], ["string"]), ("bad_type", [[1.5]], ["id 0 of prompt 0"]), ("bad_type", [[None]], ["null"]),
            ("missing_key", {"ids": [[1]]}, ["prompts"]), ("bad_json", "[[1,]]", ["bad.json"]),
            ("context_overflow", [[1] * 1000000], ["1000000"])]:
        refused(code, *base, "--ids-file", commands.write("bad.json", text), words=words)
    refused("bad_value", *base, "--ids-file", ids, "--rows", commands.write("bad.json", [[0, 3]]), words=["3", "0 to 2"])
    refused("not_found", *base, "--ids-file", commands.path("absent.json"), words=["absent.json"])
    refused("usage_error", *base, "--ids-file", ids, "--activations", "int4", status=2, words=["int4"])
    refused("not_found", "logits", model, "--ids-file", ids, "--out", commands.path("absent/o.safetensors"), words=["absent"])
    refused("io_error", "logits", model, "--ids-file", ids, "--out", commands.folder, words=["folder"])
    refused("usage_error", *base, status=2, words=["--ids-file"])
    refused("usage_error", *base, "--ids-file", ids, "--backend", "gpu", status=2, words=["gpu"])
    refused("usage_error", *base, "--ids-file", ids, "--greedy", "0", status=2, words=["greedy"])
    refused("context_overflow", *base, "--ids-file", ids, "--greedy", "1000000", words=["1000000"])

    def small_files():  # a full disk, as far as one can be had without being root
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    refused("io_error", *base, "--ids-file", ids, words=["o.safetensors", "large"], preexec=small_files, restore_signals=False)

    long_work = commands.write("long.json", [[1, 2, 3, 4]] * 2000)
    process = commands.start(*base, "--ids-file", long_work, "--greedy", "60", "--backend", "ref")
    deadline = time.monotonic() + 60
    while not glob.glob(commands.path("*safetensors*")):
        assert process.poll() is None and time.monotonic() < deadline, "the work did not begin"
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, f"interrupted, it ended with {process.returncode}"
    assert err == b"duet: error: interrupted [cancelled]\n", err
    assert not glob.glob(commands.path("*safetensors*")), "an interrupted command left a file"
    print("logits: output, rows, errors, full disk and Ctrl-C are right")


def check_completion(commands):
    def words(*typed):
        return commands.run("completion", "--words", "--", *typed)[0].split()

    assert words("in") == ["inspect"] and set(words("")) > {"chat", "run", "pull"}, words("")
    assert "--temperature" in words("run", "--te") and words("logits", "--backend", "") == []
    assert "smollm2-135m" in words("run", "") and words("run", "smollm2-135m", "") == []
    for shell in ("bash", "zsh", "fish"):
        script, _ = commands.run("completion", shell)
        assert os.path.realpath(commands.duet) in script, script
    script, _ = commands.run("completion", "bash")
    typed = f"{script}\nCOMP_WORDS=(duet run smoll) COMP_CWORD=2; _duet; echo \"${{COMPREPLY[*]}}\""
    done = subprocess.run(["bash", "-c", typed], capture_output=True, timeout=60, check=True)
    assert done.stdout == b"smollm2-135m\n", done
    commands.fails("usage_error", "completion", "tcsh", status=2, words=["tcsh", "bash"])
    print("completion: commands, options and models are right")


def check_errors_without_model(commands, golden):
    bare = os.path.join(golden, "gguf", "llama32-tied.bf16.gguf")
    commands.fails("not_found", "run", bare, "x", words=["llama32-tied.bf16.gguf"])
    commands.fails("not_found", "run", "smollm3-135m", "x", words=["smollm2-135m"])
    commands.fails("not_found", "run", commands.path("absent.gguf"), "x", words=["absent.gguf"])
    commands.fails("usage_error", "run", status=2, words=["model"])
    home = commands.path("home")
    os.makedirs(os.path.join(home, "state", "chats"))
    commands.write("home/state/chats/kept.json", {"model": commands.path("gone.gguf"), "messages": [
        {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})
    _, err = commands.run("chat", "--continue", status=1, env={**os.environ, "DUET_HOME": home})
    assert "last conversation" in err and "gone.gguf" in err and "MODEL --continue" in err, err
    out, err = commands.run(status=2)
    assert out == "" and "duet chat" in err and "Subcommands:" in err, err
    commands.fails("usage_error", "inspekt", status=2, words=["inspekt", "'inspect'"])
    commands.fails("usage_error", "run", bare, "x", "--temperature", "nan", status=2, words=["nan"])
    commands.fails("usage_error", "run", bare, "x", "--top-p", "0", status=2, words=["above 0"])
    for option, value, legal in [("--typical-p", "0", "above 0"), ("--xtc-probability", "1.5", "0 to 1"), ("--dry-base", "0", "1 to"),
                                 ("--dry-allowed-length", "x", "1 or more"), ("--presence-penalty", "inf", "-100 to 100"),
                                 ("--repeat-penalty", "0", "above 0"), ("--seed", "-1", "0 to"), ("--choices", "0", "1"),
                                 ("--logit-bias", "5", "ID=VALUE"), ("--logit-bias", "5=nan", "finite"),
                                 ("--logit-bias", "=1", "ID=VALUE"), ("--dry-breaker", "", "1 to 40")]:
        commands.fails("usage_error", "run", bare, "x", option, value, status=2, words=[option, legal])
    _, err = commands.run("run", bare, "x", "--logprobs", "1", status=2)
    assert "--json" in err, err
    commands.fails("not_found", "run", bare, "x", "--file", commands.path("absent.txt"), words=["absent.txt"])
    commands.fails("usage_error", "run", bare, "x", "--raw", "--system", "y", status=2, words=["--system"])
    commands.fails("usage_error", "run", bare, "--no-such-option", status=2, words=["no-such-option"])
    _, err = commands.run("chat", "smollm3-135m", status=1)
    assert err.startswith("duet: error: ") and "smollm2-135m" in err, err
    for command in ("run", "chat", "logits"):
        out, _ = commands.run(command, "--help")
        assert "Examples:" in out and out.count(f"duet {command}") >= 2, out
    print("errors without a model are right")


def check_sampling(commands, model):
    def events(*arguments):
        out, _ = commands.run("run", model, "--json", *arguments)
        return [json.loads(line) for line in out.splitlines()]

    def answers(given):
        ids, texts = {}, {}
        for event in given:
            if event["event"] == "finished":
                ids[event["choice"]] = event["ids"]
            elif event["event"] == "text":
                texts[event["choice"]] = texts.get(event["choice"], "") + event["text"]
        return ids, texts

    sampled = ["Name a colour.", "-n", "10", "--temperature", "1", "--seed", "7", "--typical-p", "0.9", "--xtc-probability", "0.2",
               "--presence-penalty", "0.5", "--dry-multiplier", "0.8"]
    three = events(*sampled, "--choices", "3")
    ids, texts = answers(three)
    assert sorted(ids) == [0, 1, 2] and ids[0] != ids[1] != ids[2], ids
    assert sum(event["event"] == "prompt" for event in three) == 1, "the prompt is computed once"
    for threads in ("1", "2"):
        assert answers(events(*sampled, "--threads", threads))[0] == {0: ids[0]}, "the first answer is the one that it is alone"
    out, _ = commands.run("run", model, *sampled, "--choices", "3")
    first, _, rest = out.partition("--- answer 2 of 3 ---\n")
    second, _, third = rest.partition("--- answer 3 of 3 ---\n")
    assert [first.rstrip("\n"), second.rstrip("\n"), third.rstrip("\n")] == [texts[i].rstrip("\n") for i in range(3)], out

    question = "What is the capital of France?"
    greedy = events(question, "--logprobs", "3")
    tokens = [event for event in greedy if event["event"] == "logprobs"]
    assert [event["id"] for event in tokens] == greedy[-1]["ids"], tokens
    for event in tokens:
        best = event["alternatives"]
        assert len(best) == 3 and best[0]["id"] == event["id"] and best[0]["logprob"] == event["logprob"] < 0, event
        assert best[0]["logprob"] >= best[1]["logprob"] >= best[2]["logprob"], event
    text = b"".join(bytes.fromhex(event["bytes"]) for event in tokens).decode()
    assert text == "The capital of France is Paris.", text
    paris = tokens[-2]["id"]
    banned = events(question, "--logit-bias", f"{paris}=-100", "-n", "8")[-1]["ids"]
    assert paris not in banned and banned[:5] == greedy[-1]["ids"][:5], banned
    assert events(question, "--logit-bias", " Paris=1000", "-n", "3")[-1]["ids"] == [paris] * 3
    commands.fails("bad_value", "run", model, "x", "--logit-bias", "9999999=1", words=["9999999"])
    commands.fails("not_found", "run", model, "x", "--recommended", words=["do not say"])

    path = commands.write("note.txt", "The password is swordfish.")
    with_file = events("What is it?", "--file", path, "-n", "1")[-1]
    spelled = events(f"File {path}:\n\nThe password is swordfish.\n\nWhat is it?", "-n", "1")[-1]
    assert (with_file["prompt_tokens"], with_file["ids"]) == (spelled["prompt_tokens"], spelled["ids"])
    assert events("--file", path, "-n", "1", "--raw")[-1]["prompt_tokens"] == events("The password is swordfish.", "-n", "1",
                                                                                     "--raw")[-1]["prompt_tokens"]
    print("run: sampling, several answers, log-probabilities, biases and files are right")


def check_states(commands, model):
    def finished(*arguments):
        return json.loads(commands.run("run", model, "--json", "-n", "12", *arguments)[0].splitlines()[-1])

    state, story = commands.path("a.state"), "There is a fox in the wood behind the house. " * 12
    first = finished("--raw", story, "--save-state", state)
    assert "reused_tokens" not in first and os.listdir(os.path.dirname(state)).count("a.state") == 1
    longer = ["--raw", story + "And an owl"]
    alone, with_state = finished(*longer), finished(*longer, "--load-state", state, "--threads", "1")
    assert with_state["ids"] == alone["ids"] and "reused_tokens" not in alone, (alone, with_state)
    assert first["prompt_tokens"] - 3 < with_state["reused_tokens"] < with_state["prompt_tokens"], with_state
    other = finished("Hello", "--load-state", state)
    assert other["ids"] == finished("Hello")["ids"] and other.get("reused_tokens", 0) < 10, other
    _, err = commands.run("run", model, "-n", "1", *longer, "--load-state", state, "--save-state", state)
    assert f"{with_state['reused_tokens']} of {with_state['prompt_tokens']} prompt tokens" in err and "state of" in err, err
    assert finished(*longer, "--load-state", state)["ids"] == alone["ids"]
    refused = ["run", model, "x", "--load-state", state]
    commands.fails("bad_value", *refused, "--kv-type", "f16", words=["a.state", "KV type", "f32", "f16"])
    commands.fails("bad_value", *refused, "--activations", "native", words=["a.state", "activations", "f32", "native"])
    commands.fails("context_overflow", *refused, "--ctx", "64", words=["a.state", "64"])
    with open(state, "r+b") as file:
        file.truncate(10_000)
    commands.fails("truncated", *refused, words=["a.state", "10000"])
    commands.fails("bad_magic", *refused[:-1], commands.write("no.state", "x" * 100), words=["no.state"])
    commands.fails("not_found", "run", model, "x", "--save-state", commands.path("absent/a.state"), words=["absent"])
    commands.fails("usage_error", "run", model, "x", "--save-state", state, "--choices", "2", status=2, words=["--choices"])
    print("run: states go through files")


def check_run(commands, model):
    def events(*arguments, **options):
        out, _ = commands.run("run", model, "--json", *arguments, **options)
        return [json.loads(line) for line in out.splitlines()]

    out, _ = commands.run("run", model, "What is the capital of France?")
    assert out == "The capital of France is Paris.\n", out
    out, _ = commands.run("run", model, "--stop", "of France", text="What is the capital of France?\n")
    assert out == "The capital \n", out
    combined = events("What is the capital", "-n", "1", text="of France?\n")[-1]
    one_text = events("-", "-n", "1", text="What is the capital\n\nof France?")[-1]
    assert combined["prompt_tokens"] == one_text["prompt_tokens"] and combined["ids"] == one_text["ids"]
    plain = events("hello", "-n", "1")[-1]["prompt_tokens"]
    spelled = events("hello<|im_end|>", "-n", "1")[-1]["prompt_tokens"]
    assert spelled > plain + 2, "text of a user became a special token"
    raw = events("hello<|im_end|>", "-n", "1", "--raw")[-1]["prompt_tokens"]
    assert raw == 2, f"{raw} tokens: --raw reads special tokens"
    sampled = [events("Tell me a story.", "-n", "12", "--temperature", "1", "--seed", seed)[-1]["ids"] for seed in ("3", "3", "4")]
    assert sampled[0] == sampled[1] != sampled[2], "the seed decides"
    last = events("Count to ten.", "-n", "5")[-1]
    assert (last["reason"], last["new_tokens"], len(last["ids"])) == ("length", 5, 5) and last["tok_per_s"] > 0, last
    commands.fails("context_overflow", "run", model, "word " * 100, "--ctx", "64", words=["64"])
    commands.fails("context_overflow", "run", model, text="word " * 600_000, words=["600"])  # no limit of templates
    latin = commands.path("latin1.txt")
    with open(latin, "wb") as file:
        file.write("naïve".encode("latin-1"))
    with open(latin, "rb") as file:
        commands.fails("bad_string", "run", model, stdin=file, words=["standard input", "byte 2"])
    commands.fails("bad_string", "run", model, "x", "--file", latin, words=["latin1.txt", "byte 2"])
    with open(latin, "rb") as file:
        _, err = commands.run("chat", model, stdin=file, status=1)
    assert "byte 2" in err, err
    commands.fails("usage_error", "run", model, "", status=2, words=["empty"])
    _, err = commands.run("run", model, "Say a long story.", "--ctx", "64", text=None)
    assert "context of 64 tokens is full" in err, err
    with open("/dev/full", "wb") as full:
        commands.fails("io_error", "run", model, "hello", words=["standard output"], stdout=full)
    process = commands.start("run", model, "--json", "Tell me a very long story.", "--temperature", "1", "--seed", "1")
    process.stdout.readline()
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and json.loads(err)["error"]["code"] == "cancelled", (process.returncode, err)
    assert json.loads(out.splitlines()[-1])["reason"] == "cancelled", out
    print("run: prompts, stops, seeds, errors and Ctrl-C are right")


def check_divergence(commands, model):
    text = commands.write("text.txt", "".join(f"Line {i} is not line {i * 7 % 1000}, and {i} times 3 is {3 * i}.\n" for i in range(90)))
    quick = ["bench", model, "--prompt", "8", "--gen", "2", "--repetitions", "1", "--activations", "native", "--json"]
    kl = json.loads(commands.run(*quick, "--kl", text)[0])["kl"]
    assert kl["rows"] in (510, 765, 1020) and 0 < kl["mean"] < kl["percentile_99"] <= kl["highest"] < 1 and kl["same_top"] > 0.8, kl
    commands.fails("bad_value", *quick[:-1], "--kl", commands.write("short.txt", "too short"), words=["1024"])
    print("bench --kl: the native arithmetic is near f32")


def check_piped_chat(commands, model):
    greedy = ["chat", model, "--temperature", "0"]
    out, err = commands.run(*greedy, text="What is the capital of France?\n")
    assert (out, err) == ("The capital of France is Paris.\n", ""), (out, err)
    out, _ = commands.run(*greedy, text="What is the capital of France?\n\n/clear\nWhat is the capital of France?")
    assert out == "The capital of France is Paris.\n" * 2, out
    out, _ = commands.run(*greedy, text='"""\nWhat is the capital\nof France?\n"""\n')
    assert "Paris" in out, out
    saved = commands.path("chat.json")
    commands.run(*greedy, text=f"/system You are a terse assistant.\nWhat is the capital of France?\n/save {saved}\n")
    with open(saved, encoding="utf-8") as file:
        roles = [message["role"] for message in json.load(file)["messages"]]
    assert roles == ["system", "user", "assistant"], roles
    commands.run(*greedy, "-n", "4", text=f"/load {saved}\n/regen\nAnd of Spain?\n/save {saved}\n")
    with open(saved, encoding="utf-8") as file:
        assert len(json.load(file)["messages"]) == 5
    _, err = commands.run(*greedy, text=f"/save {saved}\n", status=2)
    assert "is there already" in err, err
    _, err = commands.run(*greedy, text="/nonsense\n", status=2)
    assert "/nonsense" in err, err
    _, err = commands.run(*greedy, "--ctx", "48", text="word " * 60 + "\n", status=1)
    assert "context_overflow" in err, err
    commands.run(*greedy, text="")
    print("chat from a pipe: answers, commands and errors are right")


def check_compare(commands, golden):
    one = os.path.join(golden, "text", "qwen3-dense")
    two = os.path.join(golden, "gguf", "llama32-tied.bf16.gguf")
    quick = ["compare", one, two, "-p", "abc", "-p", "a|b", "-n", "3", "--threads", "2"]
    out, _ = commands.run(*quick, "--json")
    result = json.loads(out)
    assert [model["family"] for model in result["models"]] == ["qwen", "llama"], result["models"]
    assert all(model["speed"]["tok_per_s"] > 0 for model in result["models"]), result["models"]
    assert len(result["languages"]) >= 40 and all(len(row["tokens_per_character"]) == 2 for row in result["languages"])
    assert [row["prompt"] for row in result["prompts"]] == ["abc", "a|b"], result["prompts"]
    assert all(answer["new_tokens"] <= 3 for row in result["prompts"] for answer in row["answers"])
    out, _ = commands.run(*quick, "--no-speed", "--no-languages", "--md")
    assert out.startswith("# Comparison") and "> a|b" in out and "Tokens per" not in out and "reads" not in out, out
    out, _ = commands.run("compare", one, two, one, "--no-speed", "--no-answers")
    assert "Japanese" in out and out.splitlines()[0].split() == ["qwen3-dense", "llama32-tied.bf16.gguf", "qwen3-dense"], out
    commands.fails("usage_error", "compare", one, status=2, words=["2 to 8"])
    commands.fails("usage_error", "compare", one, two, "--md", status=2)
    commands.fails("not_found", "compare", one, "no-such-model", words=["no-such-model"])
    print("compare: figures, languages, answers and errors are right")


FAKE_BENCH = """#!/bin/sh
echo warming up >&2
[ -n "$FAKE_FAILS" ] && { echo "no memory for the context" >&2; exit 9; }
while [ $# -gt 0 ]; do
  case "$1" in -p) prompt=$2;; -n) gen=$2;; -m) [ -f "$2" ] || exit 8;; esac
  shift
done
echo "[{\\"n_prompt\\": $prompt, \\"n_gen\\": 0, \\"avg_ts\\": 50.5}, {\\"n_prompt\\": 0, \\"n_gen\\": $gen, \\"avg_ts\\": 5}]"
"""


def check_bench(commands, golden):
    model = os.path.join(golden, "gguf", "llama32-tied.bf16.gguf")
    short = ["bench", model, "--prompt", "8", "--gen", "4", "--threads", "2"]
    quick = [*short, "--repetitions", "2"]
    out, err = commands.run(*quick, "--depth", "5", "--parallel", "3", "--json")
    assert err == "", err
    result = json.loads(out)
    for key in ("prefill_tps", "decode_tps", "load_ms", "rss_bytes", "file_bytes", "decode_step_bytes", "decode_share_of_memory",
                "prefill_share_of_peak"):
        assert result[key] > 0, (key, result)
    for key in ("prefill_tps", "decode_tps"):
        assert result[key + "_low"] <= result[key] <= result[key + "_high"], result
    assert result["first_token_ms"] > result["load_ms"] and result["file_bytes"] == os.path.getsize(model), result
    lengths = [result[key] for key in ("prompt_tokens", "answer_tokens", "depth_tokens", "sequences", "repetitions", "threads")]
    assert lengths == [8, 4, 5, 3, 2, 2] and result["peers"] == [], result
    for key in ("read_bytes_per_s", "read_one_thread_bytes_per_s", "int8_macs_per_s", "bf16_macs_per_s", "f32_macs_per_s"):
        assert result["limits"][key] > 1e7, result["limits"]
    assert json.loads(commands.run(*quick, "--json", "--backend", "ref")[0])["level"] == "ref"
    environment = {**os.environ, "DUET_CPU": "baseline"}
    assert json.loads(commands.run(*quick, "--json", env=environment)[0])["level"] == "baseline"

    with tempfile.TemporaryDirectory() as folder:  # ids alone: no tokenizer is needed
        for name in ("config.json", "model.safetensors"):
            shutil.copy(os.path.join(golden, "text", "qwen3-dense", name), folder)
        out, _ = commands.run("bench", folder, *short[2:], "--repetitions", "1", "--json")
        assert json.loads(out)["decode_tps"] > 0, out

    bench = commands.write("llama-bench", FAKE_BENCH)
    os.chmod(bench, 0o755)
    against = ["--against", f"llama.cpp={commands.folder}", "--against", f"ik_llama.cpp={commands.folder}"]
    peers = json.loads(commands.run(*quick, *against, "--json")[0])["peers"]
    assert [peer["name"] for peer in peers] == ["llama.cpp", "ik_llama.cpp"], peers
    for peer in peers:
        assert (peer["prefill_tps"], peer["decode_tps"]) == (50.5, 5), peer
        assert peer["decode_ratio_low"] <= peer["decode_ratio"] <= peer["decode_ratio_high"], peer
    out, _ = commands.run(*quick, *against, "--md")
    assert out.startswith("# Speed of llama32-tied.bf16.gguf") and "| prefill 8 |" in out and "| llama.cpp decode 4 | 5.00 |" in out, out
    out, _ = commands.run(*quick)
    assert "prefill 8" in out and "GB/s" in out and "int8" in out and "llama.cpp" not in out, out

    commands.fails("io_error", *quick, *against, words=["llama-bench", "status 9", "no memory for the context"],
                   env={**os.environ, "FAKE_FAILS": "1"})
    commands.fails("not_found", *quick, "--against", "llama.cpp=/nowhere", words=["llama-bench", "/nowhere"])
    commands.fails("not_found", *quick, *against, "--parallel", "2", words=["llama-batched-bench"])
    commands.fails("usage_error", *quick, "--against", "other=/", status=2, words=["other", "ik_llama.cpp=FOLDER"])
    commands.fails("usage_error", "bench", os.path.join(golden, "text", "qwen3-dense"), *against, status=2, words=["GGUF"])
    commands.fails("usage_error", *quick, "--md", status=2)
    commands.fails("usage_error", *quick, "--kl", bench, status=2, words=["--activations native"])
    commands.fails("not_found", *quick, *against, "--kl", commands.path("absent.txt"), words=["absent.txt"])
    commands.fails("usage_error", *quick, "--gen", "0", status=2, words=["--gen"])
    commands.fails("context_overflow", *quick, "--depth", "100000", words=["100000"])
    commands.fails("not_found", "bench", "no-such-model", words=["no-such-model"])

    process = commands.start(*short, "--repetitions", "1000", "--json")
    time.sleep(1)
    assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"") and json.loads(err)["error"]["code"] == "cancelled", (process.returncode, err)
    print("bench: figures, peers, errors and Ctrl-C are right")


def check_plan(commands, golden):
    model = os.path.join(golden, "gguf", "llama32-tied.bf16.gguf")
    out, err = commands.run("plan", model, "--parallel", "3", "--threads", "2", "--json")
    assert err == "", err
    plan = json.loads(out)
    assert plan["fits"] and plan["advice"] == [] and plan["decode_tps"] > plan["decode_full_tps"] > 0 < plan["prefill_tps"], plan
    parts = plan["weight_bytes"] + plan["state_bytes"] + plan["logits_bytes"] + plan["scratch_bytes"]
    assert plan["total_bytes"] == parts and plan["weight_bytes"] == sum(plan["weights"].values()), plan
    bench, _ = commands.run("bench", model, "--prompt", "8", "--gen", "4", "--threads", "1", "--repetitions", "1", "--json")
    assert json.loads(bench)["weight_bytes"] == plan["weight_bytes"], bench
    out, _ = commands.run("plan", model)
    assert "keys and values" in out and "GB/s" in out and "fits" in out, out

    config = os.path.join(golden, "text", "qwen35-moe", "config.json")
    small = ["plan", config, "--synthetic", "--parallel", "4000"]
    out, _ = commands.run(*small, "--machine", "0.5:10", "--json")
    plan = json.loads(out)
    assert not plan["fits"] and any("--parallel" in advice["change"] and advice["fits"] for advice in plan["advice"]), plan
    assert plan["prefill_tps"] is None and plan["weights"]["experts"] > 0 < plan["recurrent_bytes"], plan
    out, _ = commands.run(*small, "--machine", "0.5")
    assert "does not fit" in out and "what would take less" in out, out

    ids, logits = commands.write("ids.json", [[1, 2, 3]]), commands.path("synthetic.safetensors")
    texts = []
    for seed in ("--synthetic=3", "--synthetic=3", "--synthetic=4"):
        commands.run("logits", config, seed, "--layers", "2", "--ids-file", ids, "--out", logits)
        with open(logits, "rb") as file:
            texts.append(file.read())
    assert texts[0] == texts[1] != texts[2]
    out, _ = commands.run("inspect", os.path.dirname(config), "--synthetic", "--json")
    assert json.loads(out)["parameters"] > 0
    out, _ = commands.run("bench", config, "--synthetic", "--prompt", "4", "--gen", "2", "--repetitions", "1", "--json")
    assert json.loads(out)["decode_tps"] > 0

    commands.fails("bad_value", *small, "--machine", "much", words=["much", "rtx-4090-24"])
    machines = {one["name"]: one for one in json.loads(commands.run("plan", "--machines", "--json")[0])}
    assert "raspberry-pi-5-8" in commands.run("plan", "--machines")[0]
    named = json.loads(commands.run(*small, "--machine", "mac-m4-max-128", "--json")[0])
    assert named["estimate"] and named["fits"] and named["machine"]["source"] == machines["mac-m4-max-128"]["source"], named
    assert abs(named["token_ms"] * named["decode_tps"] - 1e3) < 1e-6 < named["token_ms"] < named["token_full_ms"], named
    assert "an estimate" in commands.run(*small, "--machine", "mac-m4-max-128")[0]
    commands.fails("usage_error", "plan", status=2, words=["model"])
    commands.fails("bad_value", *small, "--machine", "8:", words=["8:"])
    commands.fails("bad_value", *small, "--layers", "1000", words=["1000"])
    commands.fails("bad_value", "plan", model, "--ctx", "100000000", words=["100000000"])
    commands.fails("usage_error", "plan", model, "--layers", "1", status=2, words=["--synthetic"])
    commands.fails("not_found", "plan", "no-such-model", words=["no-such-model"])
    print("plan: figures, synthetic models and errors are right")


def check_cache(commands, golden):
    model = commands.path("kept.gguf")
    shutil.copy(os.path.join(golden, "gguf", "llama32-tied.bf16.gguf"), model)
    home = commands.path("home")
    environment = {**os.environ, "DUET_HOME": home}
    environment.pop("DUET_CACHE_LIMIT", None)

    def bench(*more, **changes):
        out, err = commands.run("bench", model, "--prompt", "4", "--gen", "2", "--repetitions", "1", "--json", *more,
                                env={**environment, **changes})
        return json.loads(out)["packed_cache"], err

    def kept():
        return [json.loads(line) for line in commands.run("cache", "list", "--json", env=environment)[0].splitlines()]

    assert bench() == (False, "") and kept() == [], "nothing is kept unless it is asked for"
    assert bench("--packed-cache") == (False, "")
    assert bench("--packed-cache") == (True, "")
    [pack] = kept()
    assert pack["model"] == "kept" and pack["bytes"] > 0 and not pack["unfinished"], pack
    assert bench() == (False, ""), "it serves only where it is asked for"
    assert bench("--packed-cache", "--backend", "ref") == (False, "") and len(kept()) == 2, "another layout is another file"
    out, _ = commands.run("cache", "list", env=environment)
    assert "kept" in out and "DUET_CACHE_LIMIT" in out, out

    with open(pack["path"], "r+b") as file:  # damage
        file.seek(2 << 20)
        byte = file.read(1)[0]
        file.seek(2 << 20)
        file.write(bytes([byte ^ 1]))
    served, err = bench("--packed-cache")
    assert not served and len(err.splitlines()) == 1 and "damaged" in err and "written anew" in err, err
    assert bench("--packed-cache") == (True, "")
    os.utime(model)
    served, err = bench("--packed-cache")
    assert not served and "another state" in err and len(kept()) == 2, err

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    assert json.loads(commands.run("cache", "clear", "--json", env=environment)[0])["removed"] == 2
    out, err = commands.run("bench", model, "--prompt", "4", "--gen", "2", "--repetitions", "1", "--json", "--packed-cache",
                            env=environment, preexec=small_files, restore_signals=False)
    assert "not kept" in err and len(err.splitlines()) == 1 and json.loads(out)["decode_tps"] > 0, err
    served, err = bench("--packed-cache", DUET_CACHE_LIMIT="10kB")
    assert not served and "DUET_CACHE_LIMIT" in err and kept() == [], err
    commands.fails("bad_value", "bench", model, "--packed-cache", words=["DUET_CACHE_LIMIT", "lots"],
                   env={**environment, "DUET_CACHE_LIMIT": "lots"})
    commands.fails("usage_error", "cache", "empty", status=2, words=["empty"])
    commands.fails("usage_error", "cache", status=2)
    assert "0 removed" in commands.run("cache", "clear", env=environment)[0]

    both = [commands.start("bench", model, "--prompt", "4", "--gen", "2", "--repetitions", "1", "--json", "--packed-cache",
                           env=environment) for _ in range(4)]
    for process in both:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, b""), (process.returncode, err)
    assert [pack["unfinished"] for pack in kept()] == [False] and bench("--packed-cache") == (True, "")
    config = os.path.join(golden, "text", "qwen3moe")
    for served in (False, True):
        out, _ = commands.run("bench", config, "--synthetic=3", "--packed-cache", "--prompt", "4", "--gen", "2", "--repetitions",
                              "1", "--json", env=environment)
        assert json.loads(out)["packed_cache"] == served, out
    print("cache: what is kept serves, damage and a full disk cost the cache alone")


def check_experts(commands, golden):
    model = os.path.join(golden, "text", "qwen3moe")
    environment = {**os.environ, "DUET_HOME": commands.path("experts_home")}
    plan = json.loads(commands.run("plan", model, "--machine", "1", "--json")[0])
    experts = 8 * 2 * 3 * 20 * 48 * 2  # of two layers, three matrices each, bf16
    part = json.loads(commands.run("plan", model, "--machine", "1", "--json", "--expert-memory", str(experts // 2))[0])
    assert plan["expert_slots"] is None and part["expert_slots"] == 4, part
    assert plan["weight_bytes"] - part["weight_bytes"] == experts // 2, (plan, part)
    assert plan["total_bytes"] - part["total_bytes"] == experts // 2, (plan, part)

    too_small = str((plan["total_bytes"] - experts // 4) / 1e9)
    advice = {one["change"]: one for one in json.loads(commands.run("plan", model, "--machine", too_small, "--json")[0])["advice"]}
    change = f"--expert-memory {experts * 3 // 4}"
    assert advice[change]["fits"] and advice[change]["total_bytes"] == plan["total_bytes"] - experts // 4, advice

    ids, out = commands.write("expert_ids.json", [[1, 2, 3, 4, 5, 6], [9, 8, 7]]), commands.path("experts.safetensors")
    base = ["logits", model, "--ids-file", ids, "--out", out, "--greedy", "4"]
    commands.run(*base)
    expected = golden_safetensors.read(out)
    for memory in (experts * 3 // 8, experts // 2, experts * 10):
        _, err = commands.run(*base, "--expert-memory", str(memory), env=environment)
        assert err == "" and golden_safetensors.read(out) == expected, memory
    out, err = commands.run("bench", model, "--prompt", "8", "--gen", "4", "--repetitions", "1", "--json", "--expert-memory",
                            str(experts // 2), env=environment)
    result = json.loads(out)
    assert err == "" and result["weight_bytes"] == part["weight_bytes"] and result["packed_cache"], result
    assert result["expert_reads"] > 0 and result["expert_read_bytes"] > 0 and 0 < result["expert_hit_rate"] < 1, result

    for command in (["bench", model], base, ["plan", model, "--machine", "1"]):
        for size in ("0", "1", str(experts * 3 // 8 - 1)):
            commands.fails("bad_value", *command, "--expert-memory", size, words=[size, str(experts * 3 // 8), str(experts)],
                           env=environment)
        for size in ("-1", "lots", "4XB", ""):
            commands.fails("usage_error", *command, f"--expert-memory={size}", status=2, words=["--expert-memory"], env=environment)
        dense = [os.path.join(golden, "text", "qwen3-dense") if word == model else word for word in command]
        commands.fails("unsupported_feature", *dense, "--expert-memory", "1GB", words=["no experts"], env=environment)
    _, err = commands.run(*base, "--expert-memory", str(experts // 2), status=1, env={**environment, "DUET_CACHE_LIMIT": "1kB",
                                                                                    "DUET_HOME": commands.path("other_home")})
    assert "DUET_CACHE_LIMIT" in err and "could not be written [io_error]" in err, err
    print("experts: the same logits from fewer in memory, sizes are judged, the plan knows them")


def check_manual(commands):
    page, _ = commands.run("man")
    helped, _ = commands.run("--help")
    names = [line.split()[0] for line in helped.split("Subcommands:")[1].split("Examples:")[0].splitlines() if line.strip()]
    assert len(names) > 10, names
    for name in names:
        assert f".SS {name}\n" in page, f"the manual has no section on {name}"
    assert "\\-\\-temperature" in page and ".SH EXIT STATUS" in page
    for line in page.splitlines():
        known = (".TH", ".SH", ".SS", ".TP", ".PP", ".RS", ".RE", ".nf", ".fi", ".br", ".B ", ".I ")
        assert not line.startswith(".") or line.startswith(known), f"{line!r} would be a command of troff"
    print("man: every command is in the manual")


def main():
    duet, golden, *model = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="duet_outside.") as folder:
        commands = Commands(duet, folder)
        if not model:
            check_errors_without_model(commands, golden)
            check_completion(commands)
            check_manual(commands)
            check_logits(commands, golden)
            check_compare(commands, golden)
            check_bench(commands, golden)
            check_plan(commands, golden)
            check_cache(commands, golden)
            check_experts(commands, golden)
            return 0
        probe = subprocess.run([duet, "run", model[0], "--json", "-n", "1", "x"], stdin=subprocess.DEVNULL, capture_output=True,
                               timeout=600, check=False)
        if b'"not_found"' in probe.stderr:
            print(f"SKIPPED: {model[0]} is not in the store: ./test fetches it")
            return SKIPPED
        check_run(commands, model[0])
        check_states(commands, model[0])
        check_sampling(commands, model[0])
        check_piped_chat(commands, model[0])
        check_divergence(commands, model[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
