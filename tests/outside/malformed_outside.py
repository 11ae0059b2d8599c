"""Runs the program on a corpus of damaged and hostile model files and compares code, named words, exit status, time and memory.

    python3 tests/outside/malformed_outside.py --duet build/release/bin/duet [--only WORD] [--no-limits] [--keep DIR]

The corpus is written by oracle/malformed.py in the folder that DUET_ASSETS names (default ../shared beside the checkout), and by
large_files() below for limits that it does not reach. Without that folder the script says so and exits with 77.
Contract of every case: golden/malformed_codes.md there.  --no-limits: for sanitizer builds, whose memory is their own.
"""
import argparse
import json
import os
import pathlib
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time

# Cases of parts that do not exist yet give this code instead of their own.
NOT_YET = {"config/moe_top_k": "unsupported_architecture"}  # mixtures of experts
# Cases whose expectation is not what Jinja2 3.1 in transformers gives (golden/templates, README.md): what that gives.
CORRECTED = {"template/ok_undefined": {"output": "[x]"},                            # tools is always defined, as none
             "template/bomb_power": {"code": "ok", "output": str(9 ** 81)}}         # ** is left-associative: (9**9)**9

SPARE_MEMORY = 64 * 2 ** 20
CPU_SECONDS = 10.0  # the contract's 2 s on a quiet machine: the largest is printed, a shared one must not fail here
WALL_SECONDS = 60.0  # only a hang reaches this, on however loaded a machine
PREFIX_CODES = {"bad_magic", "truncated", "count_exceeds_file", "bad_offset", "bad_string", "bad_json", "too_large"}
PREFIX_SAMPLE = 60
SANITIZED_SAMPLE = 10  # there formats/Malformed cuts the same files at many more places, within one process


class Result:
    def __init__(self, status, stdout, stderr, cpu, rss):
        self.status, self.stdout, self.stderr, self.cpu, self.rss = status, stdout, stderr, cpu, rss


def run(argv, stdin=b""):
    """The program's exit status (negative: signal), output, CPU seconds and largest resident set in bytes."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as source:
        source.write(stdin)
        source.seek(0)
        process = subprocess.Popen(argv, stdin=source, stdout=out, stderr=err)
        deadline = time.monotonic() + WALL_SECONDS
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                process.send_signal(signal.SIGKILL)
            time.sleep(0.002)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        return Result(process.returncode, out.read(), err.read(), usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def last_json(data):
    lines = [line for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
    try:
        return json.loads(lines[-1]) if lines else None
    except json.JSONDecodeError:
        return None


def outcome(command, result, out_file):
    """(code, message, output): "ok", or the error's code and message, from stderr or from the record's own line."""
    if result.status < 0:
        return f"signal {-result.status}", result.stderr.decode("utf-8", "replace")[-500:], ""
    error = last_json(result.stderr)
    if isinstance(error, dict) and isinstance(error.get("error"), dict):
        return error["error"].get("code"), error["error"].get("message", ""), ""
    record = last_json(result.stdout) if command in ("tokenize", "template") else None
    if isinstance(record, dict) and "code" in record:
        return record["code"], str(record.get("error", "")), ""
    if result.status != 0:
        return f"exit {result.status} without an error in JSON", result.stderr.decode("utf-8", "replace")[-500:], ""
    if out_file is not None and not out_file.exists():
        return "exit 0 without the output file", "", ""
    return "ok", "", (record or {}).get("text", "")


def command_line(duet, case, path, folder):
    """argv, stdin and the file that must exist after success only."""
    args = case.get("args", {})
    if case["command"] == "inspect":
        return [duet, "inspect", str(path), "--json"], b"", None
    if case["command"] == "logits":
        ids, out = folder / "ids.json", folder / "out.safetensors"
        ids.write_text(json.dumps([args["ids"]]))
        out.unlink(missing_ok=True)
        return [duet, "logits", str(path), "--ids-file", str(ids), "--out", str(out), "--json"], b"", out
    record = args if args else {"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": True}
    return [duet, case["command"], str(path), "--jsonl"], json.dumps(record).encode() + b"\n", None


def size_of(path):
    files = [path] if not path.is_dir() else list(path.rglob("*"))
    if path.parent.parent.name == "split":
        files = list(path.parent.iterdir())
    return sum(f.stat().st_size for f in files if f.is_file())


def file_names(path):
    """Base names of which the message must hold one: the file itself, or a file of the folder (one may be missing)."""
    if path.is_dir():
        return {f.name for f in path.iterdir()} | {"config.json"}
    if path.parent.parent.name in ("split", "index"):
        return {f.name for f in path.parent.iterdir()} | {"m-00002-of-00002.gguf"}
    return {path.name}


def judge(case, path, result, found, out_file, limits):
    """What is wrong with this run, in words; empty if nothing is."""
    code, message, output = found
    allowed = {case["code"], *case.get("also", [])}
    wrong = []
    if code not in allowed:
        wrong.append(f"gave {code}, expected {' or '.join(sorted(allowed))}: {message[:300]}")
    elif code == "ok":
        if "output" in case and output != case["output"]:
            wrong.append(f"printed {output!r}, expected {case['output']!r}")
    else:
        if result.status != 1:
            wrong.append(f"exit status {result.status}, expected 1")
        if out_file is not None and out_file.exists():
            wrong.append("a failed run left its output file")
        if code == case["code"]:
            wrong += [f"the message does not name {word!r}: {message[:300]}" for word in case["names"] if word.lower() not in message.lower()]
        if case["command"] == "inspect" and not any(name in message for name in file_names(path)):
            wrong.append(f"the message does not name the file: {message[:300]}")
    if limits and code != "ok":
        if result.cpu > CPU_SECONDS:
            wrong.append(f"took {result.cpu:.2f} s of CPU time, at most {CPU_SECONDS} are allowed")
        spare = result.rss - (path.exists() and size_of(path) or 0)
        if spare > SPARE_MEMORY:
            wrong.append(f"took {result.rss >> 20} MiB of memory, {spare >> 20} above the file's size")
    return wrong


def text(s):
    return struct.pack("<Q", len(s)) + s


def large_files(folder):
    """Files whose contents would take many times their size in memory, and valid ones near the caps. Cases as in the manifest."""
    cases = []

    def case(name, parts, code, also=()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            for part in parts:
                file.write(part)
        at = path.parent if name.endswith("config.json") else path
        cases.append({"path": str(at), "kind": "large", "command": "inspect", "code": code, "names": [], "also": list(also)})

    def gguf(n_tensors, n_kv):
        return b"GGUF" + struct.pack("<IQQ", 3, n_tensors, n_kv)

    def array(kind, count):
        return text(b"general.x") + struct.pack("<IIQ", 9, kind, count)

    n = 6_000_000
    case("empty_strings.gguf", [gguf(0, 1), array(8, n), bytes(8 * n)], "too_large")
    case("short_strings.gguf", [gguf(0, 1), array(8, n), text(b"x" * 16) * n], "too_large")
    case("bytes.gguf", [gguf(0, 1), array(0, 10 * n), bytes(10 * n)], "missing_key")
    case("keys.gguf", [gguf(0, n // 4)] + [text(b"%x" % i) + struct.pack("<IB", 0, 0) for i in range(n // 4)], "too_large")
    case("tensors.gguf", [gguf(n // 8, 0)] + [text(b"%x" % i) + struct.pack("<IQIQ", 1, 8, 0, 32 * i) for i in range(n // 8)], "too_large")

    def header(body):
        return [struct.pack("<Q", len(body)), body]

    case("shape.safetensors", header(b'{"a":{"shape":[' + b"0," * (8 * 2 ** 20 - 100) + b"0]}}"), "bad_shape")
    case("arrays.safetensors", header(b'{"a":{"shape":[' + b"[]," * (5 * 2 ** 20) + b"0]}}"), "bad_shape")
    case("metadata.safetensors", header(b'{"__metadata__":{' + b",".join(b'"%x":""' % i for i in range(1_000_000)) + b"}}"), "too_large")
    case("fields.safetensors", header(b'{"a":{' + b",".join(b'"%x":0' % i for i in range(1_000_000)) + b"}}"), "bad_key")
    case("names.safetensors", header(b"{" + b",".join(b'"%x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % i for i in range(100_000)) + b"}"), "ok")
    case("wide_array/config.json", [b'{"x":[' + b"0," * (2 * 2 ** 20 - 100) + b"0]}"], "too_large")
    case("wide_object/config.json", [b"{" + b",".join(b'"%x":0' % i for i in range(400_000)) + b"}"], "too_large")
    case("map.safetensors.index.json", [b'{"weight_map":{' + b",".join(b'"%x":"a"' % i for i in range(4_000_000)) + b"}}"], "too_large")
    case("shards.safetensors.index.json", [b'{"weight_map":{' + b",".join(b'"%x":"%x"' % (i, i) for i in range(4_000_000)) + b"}}"], "too_large")
    case("other.safetensors.index.json", [b'{"metadata":[' + b"0," * (30 * 2 ** 20) + b"0]}"], "missing_key")
    return cases


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--duet", required=True)
    parser.add_argument("--only", default="", help="cases whose path holds this word")
    parser.add_argument("--no-limits", action="store_true")
    parser.add_argument("--keep", help="write the corpus here and leave it")
    parser.add_argument("--write-large", metavar="DIR", help="write the large files only and print their cases")
    options = parser.parse_args()
    if options.write_large:
        print(json.dumps(large_files(pathlib.Path(options.write_large))))
        return 0
    root = pathlib.Path(os.environ.get("DUET_ASSETS") or pathlib.Path(__file__).resolve().parents[2].parent / "shared")
    oracle = root / "oracle" / "malformed.py"
    if not oracle.exists():
        print(f"SKIPPED: {oracle} is absent: set DUET_ASSETS")
        return 77
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        corpus = pathlib.Path(options.keep) if options.keep else folder / "corpus"
        subprocess.run([sys.executable, str(oracle), "--out", str(corpus)], check=True, stdout=subprocess.DEVNULL)
        cases = json.loads((corpus / "manifest.json").read_text())
        if not options.no_limits:
            # Written by a process of its own: what this one has in memory would count as the program's (fork, then exec).
            large = subprocess.run([sys.executable, __file__, "--duet", "", "--write-large", str(folder / "large")], check=True, stdout=subprocess.PIPE)
            cases += json.loads(large.stdout)
        return check(options, cases, corpus, folder)


def check(options, cases, corpus, folder):
    failures, done, not_yet = [], 0, 0
    most_memory, most_cpu = (0, ""), (0.0, "")
    for case in cases:
        if options.only not in case["path"]:
            continue
        case = case | CORRECTED.get(case["path"], {})
        for label, path, expected in runs_of(case, corpus / case["path"], folder, SANITIZED_SAMPLE if options.no_limits else PREFIX_SAMPLE):
            argv, stdin, out_file = command_line(options.duet, expected, path, folder)
            result = run(argv, stdin)
            found = outcome(expected["command"], result, out_file)
            done += 1
            if any(case["path"].startswith(p) and found[0] == code for p, code in NOT_YET.items()):
                not_yet += 1
                expected = expected | {"code": found[0], "names": []}
            wrong = judge(expected, path, result, found, out_file, not options.no_limits)
            failures += [f"{case['command']} {label}: {w}" for w in wrong]
            if found[0] != "ok":
                most_memory = max(most_memory, (result.rss - (size_of(path) if path.exists() else 0), label))
                most_cpu = max(most_cpu, (result.cpu, label))
    for failure in failures:
        print("FAILED", failure)
    print(f"most memory above the file's size: {most_memory[0] / 2 ** 20:.1f} MiB ({most_memory[1]}), most CPU time {most_cpu[0]:.2f} s ({most_cpu[1]})")
    print(f"{done} runs, {len(failures)} failures, {not_yet} of parts not written yet")
    return 1 if failures or not done else 0


def runs_of(case, path, folder, sample):
    """(label, path, expectation) of each run that a case asks for; `sample` prefixes where each has to fail."""
    cut = case.get("truncate")
    if cut is None or cut == "every":
        yield case["path"], path, case
    if cut is None:
        return
    data = path.read_bytes()
    whole = len(data) - 64 if path.suffix == ".gguf" else len(data)  # a GGUF file may lack its last padding
    lengths = [cut] if cut != "every" else sorted(random.Random(1).sample(range(whole), sample))
    for n in lengths:
        prefix = folder / "prefix" / path.name
        prefix.parent.mkdir(exist_ok=True)
        prefix.write_bytes(data[:n])
        expected = dict(case)
        if cut == "every":
            expected |= {"code": "truncated", "also": sorted(PREFIX_CODES), "names": []}
        yield f"{case['path']}[:{n}]", prefix, expected


if __name__ == "__main__":
    sys.exit(main())
