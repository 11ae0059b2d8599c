#!/usr/bin/env python3
"""`duet run` on a real model equals the reference's greedy texts (tests/golden/real), up to the first step that does not decide.

usage: run_real_outside.py DUET MODEL GOLDEN_FOLDER

Exit status 77 (skipped), saying why, when the model is not in the store.
"""
import json
import os
import subprocess
import sys

import golden_safetensors

BOUND = 1.5e-3  # of a logit; a step whose margin is at most twice this may be decided otherwise
SKIPPED = 77


def run(duet, model, arguments, prompt, tokens):
    """The text and the last event of one `duet run --json`."""
    command = [duet, "run", model, "--json", "--activations", "f32", "-n", str(tokens), *arguments, "-"]
    done = subprocess.run(command, input=prompt.encode(), capture_output=True, timeout=600, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}: {done.stderr.decode()}")
    events = [json.loads(line) for line in done.stdout.decode().splitlines()]
    if events[-1]["event"] != "finished":
        raise AssertionError(f"the last event is {events[-1]}")
    return "".join(event["text"] for event in events if event["event"] == "text"), events[-1]


def ways(prompt):
    """How this prompt can be given to `duet run`: arguments and text."""
    if prompt["kind"] == "raw":
        return [(["--raw"], prompt["text"])]
    found = [(["--raw"], prompt["rendered"])]
    roles = [message["role"] for message in prompt["messages"]]
    if "tools" in prompt or not all(isinstance(message["content"], str) for message in prompt["messages"]):
        return found
    last = prompt["messages"][-1]["content"]
    if last.endswith("\n"):
        return found  # standard input loses its last line end
    if roles == ["user"]:
        found.append(([], last))
    elif roles == ["system", "user"]:
        found.append((["--system", prompt["messages"][0]["content"]], last))
    return found


def check(duet, model, golden):
    with open(os.path.join(golden, "prompts.json"), encoding="utf-8") as file:
        description = json.load(file)
    expect = golden_safetensors.read(os.path.join(golden, "expect.safetensors"))
    stop_ids = set(description["stop_ids"])
    chats = checked = 0
    for prompt in description["prompts"]:
        ids = expect[f"p{prompt['index']}.greedy_ids"][1]
        margins = expect[f"p{prompt['index']}.greedy_margin"][1]
        decided = next((i for i, margin in enumerate(margins) if margin <= 2 * BOUND), len(ids))
        if decided == 0:
            continue
        for arguments, text in ways(prompt):
            answer, finished = run(duet, model, arguments, text, decided)
            wanted = [i for i in ids[:decided] if i not in stop_ids]
            where = f"{prompt['tag']} {arguments}"
            assert finished["prompt_tokens"] == len(prompt["ids"]), f"{where}: {finished['prompt_tokens']} prompt tokens"
            assert finished["ids"] == wanted, f"{where}: ids {finished['ids']}, expected {wanted}"
            stopped = ids[decided - 1] in stop_ids
            assert finished["reason"] == ("stop" if stopped else "length"), f"{where}: reason {finished['reason']}"
            if decided == len(ids):
                expected = prompt["greedy_text"]
                if stopped:
                    expected = expected[:expected.rindex("<|")]
                assert answer == expected, f"{where}: text {answer!r}, expected {expected!r}"
            checked += 1
            chats += not arguments or arguments[0] == "--system"
    assert checked >= 12 and chats >= 5, f"only {checked} prompts were checked, {chats} of them through the template"
    print(f"{checked} greedy texts equal the reference, {chats} of them through the chat template")


def main():
    duet, model, golden = sys.argv[1:]
    probe = subprocess.run([duet, "run", model, "--json", "-n", "1", "--raw", "x"], stdin=subprocess.DEVNULL,
                           capture_output=True, timeout=600, check=False)
    if b'"not_found"' in probe.stderr:
        print(f"SKIPPED: {model} is not in the store: ./test fetches it")
        return SKIPPED
    check(duet, model, golden)
    return 0


if __name__ == "__main__":
    sys.exit(main())
