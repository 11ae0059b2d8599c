#!/usr/bin/env python3
"""The layer rule of docs/architecture.md, checked over #include.

A file includes its own layer and lower ones; layers of one rank never include each other. Of backend/, everyone above may see
device.h, limits.h, runtime.h and types.h; the rest, backend.h with the list of operations above all, is for ops alone. Some headers are slow to compile or belong to one
place: they are included there only. Tests (_test.cc and tests/) may include anything.
"""

import re

import tree

RANKS = [
    {"base"}, {"tensor"}, {"formats"}, {"text"}, {"grammar"}, {"media", "hub", "dist", "backend"}, {"ops"}, {"state"},
    {"model"}, {"engine"}, {"chat"}, {"api", "quantize", "eval", "db"}, {"train", "report", "agent"}, {"server"}, {"terminal"},
    {"apps"},
]
RANK_OF = {layer: rank for rank, layers in enumerate(RANKS) for layer in layers}

# Where an outside header may be included: files, or folders ending in /.
HOME_OF = {
    "nlohmann/": ["src/base/json.cc"],
    "toml++/": ["src/hub/catalog.cc", "src/report/machines.cc"],
    "CLI/": ["apps/"],
    "gtest/": ["tests/"],
    "gmock/": ["tests/"],
    "simde/": ["tests/"],
}

PUBLIC_BACKEND = ("backend/device.h", "backend/limits.h", "backend/runtime.h", "backend/types.h")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def layer_of(path):
    if path.parts[0] == "apps":
        return "apps"
    if path.parts[0] == "src" and len(path.parts) > 2:
        return path.parts[1]
    return None


def check_include(path, layer, name, root):
    for prefix, homes in HOME_OF.items():
        if name.startswith(prefix):
            if not any(str(path) == home or (home.endswith("/") and str(path).startswith(home)) for home in homes):
                yield f"<{name}> is included by {', '.join(homes)} only"
            return
    target = name.split("/")[0]
    if target in ("apps", "tests"):
        if target != layer:
            yield f"{layer} includes {name}"
        return
    if "/" not in name and (root / path.parent / name).is_file():
        yield f'"{name}" is written with its path below src/'
        return
    if target not in RANK_OF or not (root / "src" / name).is_file():
        return
    if target == layer:
        return
    if RANK_OF[target] == RANK_OF[layer]:
        yield f"{layer} includes its sibling {name}"
    elif RANK_OF[target] > RANK_OF[layer]:
        yield f"{layer} includes {name}, a layer above it"
    elif target == "backend" and name not in PUBLIC_BACKEND and layer != "ops":
        yield f"{name} is for ops alone; {layer} may include {', '.join(PUBLIC_BACKEND)}"


def check(root, files):
    for path in files:
        if path.suffix not in (".h", ".cc", ".inc") or path.name.endswith("_test.cc") or path.parts[0] not in ("src", "apps"):
            continue
        layer = layer_of(path)
        if layer not in RANK_OF:
            yield f"{path}:1: in no layer folder"
            continue
        text = tree.read(root, path)
        for number, line in enumerate((text or "").splitlines(), 1):
            match = INCLUDE.match(line)
            if match:
                for finding in check_include(path, layer, match[2], root):
                    yield f"{path}:{number}: {finding}"


CASES = [
    ({"src/base/a.h": "", "src/text/b.cc": '#include "base/a.h"\n#include <vector>\n'}, []),
    ({"src/text/a.h": "", "src/base/b.cc": '#include "text/a.h"\n'}, ["src/base/b.cc:1: base includes text/a.h"]),
    ({"src/text/a.h": "", "src/base/b_test.cc": '#include "text/a.h"\n'}, []),
    ({"src/hub/a.h": "", "src/backend/b.cc": '\n  # include "hub/a.h"\n'}, ["src/backend/b.cc:2: backend includes its sibling"]),
    ({"src/backend/backend.h": "", "src/model/b.cc": '#include "backend/backend.h"\n'}, ["backend/backend.h is for ops alone"]),
    ({"src/backend/device.h": "", "src/model/b.cc": '#include "backend/device.h"\n'}, []),
    ({"src/backend/backend.h": "", "src/ops/b.cc": '#include "backend/backend.h"\n'}, []),
    ({"src/backend/backend.h": "", "apps/b.cc": '#include "backend/backend.h"\n'}, ["backend/backend.h is for ops alone"]),
    ({"apps/a.h": "", "src/chat/b.cc": '#include "apps/a.h"\n'}, ["chat includes apps/a.h"]),
    ({"src/base/json.cc": "#include <nlohmann/json.hpp>\n", "src/base/x.cc": "#include <nlohmann/json.hpp>\n"}, ["src/base/x.cc:1"]),
    ({"src/hub/x.cc": "#include <toml++/toml.h>\n"}, ["<toml++/toml.h>"]),
    ({"src/base/a.h": "", "src/base/b.cc": '#include "a.h"\n'}, ['"a.h" is written with its path']),
    ({"src/odd/a.h": ""}, ["in no layer folder"]),
]

if __name__ == "__main__":
    tree.main(check, CASES, "layers")
