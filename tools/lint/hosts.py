#!/usr/bin/env python3
"""No tracked file names the host of a package registry, or a path of one machine.

Which mirror a machine takes packages from is that machine's own affair: what is named here would be wrong elsewhere. The hosts
are read from the configuration of the package clients of the machine that runs the check, and are never printed; hosts of public
registries are known by the words in their names.
"""

import os
import pathlib
import re

import tree

CONFIGURATION = ["/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf", "/etc/npmrc", "/usr/etc/npmrc", "~/.npmrc",
                 "/etc/apt/sources.list", "/etc/apt/sources.list.d/*", "/etc/apt/apt.conf", "/etc/apt/apt.conf.d/*"]
REGISTRY = re.compile(r"\b(?:[a-z0-9-]+\.)*(?:pypi|pythonhosted|npmjs|yarnpkg|debian)\.(?:org|com|net|io)\b", re.IGNORECASE)
MACHINE_PATH = re.compile(r"(?:^|[^\]\w.~})>*%/-])(/(?:work|root|tmp|home)/[^\]\s\"'`<>(){},]*)")


def configured_hosts():
    texts = [value for name, value in os.environ.items() if re.match(r"(?i)(pip|npm_config)_", name)]
    for pattern in CONFIGURATION:
        path = pathlib.Path(os.path.expanduser(pattern))
        for file in sorted(path.parent.glob(path.name)):
            try:
                texts.append(file.read_text(errors="replace"))
            except OSError:
                continue
    hosts = set()
    for text in texts:
        for line in text.splitlines():
            if not re.match(r"\s*[#;]", line):
                hosts |= set(re.findall(r"//(?:[^@/\s\"]*@)?([^/:\s\"]+)", line))
    return {host.lower() for host in hosts if "." in host and not re.match(r"127\.|0\.0\.0\.0", host)}


def check(root, files, hosts=None):
    hosts = configured_hosts() if hosts is None else hosts
    for path in files:
        text = tree.read(root, path)
        if text is None:
            continue
        tests = path.parts[0] == "tests" or "_test." in path.name
        for number, line in enumerate(text.splitlines(), 1):
            if REGISTRY.search(line) or any(host in line.lower() for host in hosts):
                yield f"{path}:{number}: names the host of a package registry"
            match = None if tests else MACHINE_PATH.search(line)
            if match:
                yield f"{path}:{number}: path of one machine: {match[1]}"


# The bad examples are put together here, so that this file itself stays clean.
CASES = [
    ({"a.md": "see https://example.org/x and $HOME/work/x\n"}, []),
    ({"a.md": "from https://files." + "pythonhosted" + ".org/x\n"}, ["a.md:1: names the host"]),
    ({"a.sh": "\ncp x /" + "root/x\n"}, ["a.sh:2: path of one machine"]),
    ({"tests/a.cc": "open /" + "tmp/x\n"}, []),
]

if __name__ == "__main__":
    tree.main(check, CASES, "hosts and paths")
