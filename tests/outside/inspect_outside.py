"""Checks what `duet inspect` writes against readers of its own: tensors as F32, lists, failures that leave no file.

    python3 tests/outside/inspect_outside.py --duet build/release/bin/duet

Uses tests/golden of the checkout only. Standard library only.
"""
import argparse
import json
import pathlib
import resource
import signal
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
FAILURES = []


def check(condition, what):
    if not condition:
        FAILURES.append(what)


def read_safetensors(path):
    """{name: (dtype, shape, bytes)}"""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    out, body = {}, data[8 + length:]
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        out[name] = (entry["dtype"], entry["shape"], body[begin:end])
    return out


def as_f32(dtype, data):
    """The bytes of the values as float32, exactly."""
    if dtype == "F32":
        return data
    if dtype == "BF16":
        return b"".join(b"\0\0" + data[i:i + 2] for i in range(0, len(data), 2))
    if dtype == "F16":
        return struct.pack(f"<{len(data) // 2}f", *struct.unpack(f"<{len(data) // 2}e", data))
    raise ValueError(dtype)


def one_nan(data):
    """Float32 words with every NaN the same: the goldens ask for NaN, not for its payload."""
    words = struct.unpack(f"<{len(data) // 4}I", data)
    return [0x7fc00000 if w & 0x7fffffff > 0x7f800000 else w for w in words]


class Duet:
    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def __call__(self, *args, **more):
        return subprocess.run([self.program, *map(str, args)], capture_output=True, timeout=120, **more)

    def export(self, model, tensor):
        """(dtype, shape, bytes) of the one tensor written."""
        out = self.folder / "out.safetensors"
        out.unlink(missing_ok=True)
        done = self("inspect", model, "--tensor", tensor, "--out", out)
        if done.returncode != 0:
            check(False, f"{model} {tensor}: {done.stderr.decode()}")
            return None
        written = read_safetensors(out)
        check(list(written) == [tensor], f"{model}: wrote {list(written)}, asked for {tensor}")
        return written[tensor]


def check_golden_folders(duet):
    """Every tensor of a few folders, and of their GGUF twins those whose rows do not move."""
    for case in ("llama-f16", "llama-f32", "qwen2-bias", "llama-sharded"):
        folder = GOLDEN / "text" / case
        expected = {}
        for path in sorted(folder.glob("model*.safetensors")):
            expected |= read_safetensors(path)
        listed = json.loads(duet("inspect", folder, "--tensors", "--json").stdout)
        check({t["name"]: t["shape"] for t in listed["tensors"]} == {n: e[1] for n, e in expected.items()}, f"{case}: list of tensors")
        check(listed["parameters"] == sum(len(e[2]) // {"F32": 4}.get(e[0], 2) for e in expected.values()), f"{case}: parameters")
        for name, (dtype, shape, data) in expected.items():
            check(duet.export(folder, name) == ("F32", shape, as_f32(dtype, data)), f"{case}: {name} differs")
        for twin in (GOLDEN / "gguf").glob(f"{case}.*.gguf"):
            for name, gguf_name in (("model.embed_tokens.weight", "token_embd.weight"), ("model.norm.weight", "output_norm.weight"),
                                    ("model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight")):
                dtype, shape, data = expected[name]
                check(duet.export(twin, gguf_name) == ("F32", shape, as_f32(dtype, data)), f"{twin.name}: {gguf_name} differs")


def check_block_types(duet):
    """Quantized types: the golden's own blocks in a GGUF file of one tensor for each type, architecture unknown."""
    index = json.loads((GOLDEN / "quant" / "index.json").read_text())
    done = 0
    for name, entry in index["types"].items():
        type_id, path = entry.get("ggml_type"), GOLDEN / "quant" / f"{name}.safetensors"
        if type_id is None or not path.exists() or "blocks" not in read_safetensors(path):
            continue
        golden = read_safetensors(path)
        blocks, (_, (rows, row), values) = golden["blocks"][2], golden["values"]
        info = text(b"t.weight") + struct.pack("<IQQIQ", 2, row, rows, type_id, 0)
        head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + text(b"general.architecture") + struct.pack("<I", 8) + text(b"nobody-knows") + info
        file = duet.folder / f"{name}.gguf"
        file.write_bytes(head + bytes(-len(head) % 32) + blocks)
        written = duet.export(file, "t.weight")
        check(written is not None and written[1] == [rows, row] and one_nan(written[2]) == one_nan(values), f"{name}: differs from golden/quant")
        done += 1
    check(done >= 20, f"only {done} block types checked")


def text(s):
    return struct.pack("<Q", len(s)) + s


def check_failures(duet):
    model = GOLDEN / "gguf" / "llama-f32.f32.gguf"
    folder = duet.folder / "empty"
    folder.mkdir()
    out = folder / "out.safetensors"

    def fails(what, code, status, *args, **more):
        done = duet("inspect", *args, "--json", **more)
        try:
            error = json.loads(done.stderr)["error"]
        except (json.JSONDecodeError, KeyError):
            return check(False, f"{what}: stderr is not one JSON error: {done.stderr[-300:]}")
        check(error["code"] == code and done.returncode == status, f"{what}: {error['code']} and {done.returncode}, expected {code} and {status}")
        check(list(folder.iterdir()) == [], f"{what}: left {list(folder.iterdir())}")

    fails("no such tensor", "missing_tensor", 1, model, "--tensor", "blk.9.x", "--out", out)
    fails("no such folder", "not_found", 1, model, "--tensor", "output_norm.weight", "--out", folder / "none" / "out.safetensors")
    fails("a device", "io_error", 1, model, "--tensor", "output_norm.weight", "--out", "/dev/full")
    fails("--tensor alone", "usage_error", 2, model, "--tensor", "output_norm.weight")
    fails("--out alone", "usage_error", 2, model, "--out", out)
    fails("no model", "usage_error", 2)
    fails("no such model", "not_found", 1, duet.folder / "nowhere.gguf")

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    fails("a full disk", "io_error", 1, model, "--tensor", "token_embd.weight", "--out", out, preexec_fn=small_files, restore_signals=False)


def check_summaries(duet):
    for path in [*sorted((GOLDEN / "gguf").glob("*.gguf"))[:3], GOLDEN / "text" / "llama-f32", GOLDEN / "text" / "llama-f32" / "model.safetensors",
                 GOLDEN / "text" / "llama-f32" / "expect.safetensors", GOLDEN / "text" / "llama-sharded" / "model.safetensors.index.json"]:
        done = duet("inspect", path)
        check(done.returncode == 0 and done.stdout.decode().startswith(path.name + "\n"), f"{path}: {done.stdout[:200]} {done.stderr}")
        report = duet("inspect", path, "--json")
        check(json.loads(report.stdout)["name"] == path.name, f"{path}: --json")
    # What the file says cannot steer the terminal.
    evil = duet.folder / "evil.gguf"
    evil.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text(b"k\x1b[2J") + struct.pack("<I", 8) + text("\x1b]0;x\x07\u009b31m\u202eabc".encode()))
    shown = duet("inspect", evil, "--tensors").stdout.decode()
    check("abc" in shown and not any(c in shown for c in "\x1b\x07\u009b\u202e"), f"control characters reach the terminal: {shown!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--duet", required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        duet = Duet(options.duet, pathlib.Path(scratch))
        for part in (check_golden_folders, check_block_types, check_failures, check_summaries):
            part(duet)
    for failure in FAILURES:
        print("FAILED", failure)
    print(f"{len(FAILURES)} failures")
    return 1 if FAILURES else 0


if __name__ == "__main__":
    sys.exit(main())
