"""What the lints share: the files of the repository, findings, and the self-test that every lint has.

A lint is a function check(root, files) that yields findings "path:line: text". `main` runs it over the tracked files (and the
untracked ones that git does not ignore); with --self-test over small made-up trees instead, each with what must be found there.
"""

import pathlib
import subprocess
import sys
import tempfile


def repository_files(root):
    """Relative paths of what git tracks or would track, links and deleted files left out."""
    names = subprocess.run(["git", "-C", root, "ls-files", "-z", "-co", "--exclude-standard"],
                           check=True, stdout=subprocess.PIPE).stdout.decode().split("\0")
    paths = [pathlib.PurePosixPath(name) for name in sorted(set(names)) if name]
    return [path for path in paths if (root / path).is_file() and not (root / path).is_symlink()]


def read(root, path):
    """The text of a file, or None where it is not UTF-8 text."""
    data = (root / path).read_bytes()
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def self_test(check, cases):
    """cases: (files {path: text}, findings: for each one a part of its text). Exactly these must be found."""
    failures = 0
    for files, expected in cases:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            found = list(check(root, sorted(pathlib.PurePosixPath(name) for name in files)))
        missed = [part for part in expected if not any(part in finding for finding in found)]
        if missed or len(found) != len(expected):
            failures += 1
            print(f"self-test: of {sorted(files)} expected {expected}, found {found}", file=sys.stderr)
    print(f"self-test: {len(cases) - failures} of {len(cases)} cases as expected")
    return 1 if failures else 0


def main(check, cases, what):
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test(check, cases))
    if sys.argv[1:]:
        sys.exit(f"usage: {sys.argv[0]} [--self-test]")
    root = pathlib.Path(__file__).resolve().parents[2]
    files = repository_files(root)
    findings = list(check(root, files))
    for finding in findings:
        print(finding)
    if findings:
        sys.exit(f"{what}: {len(findings)} findings")
    print(f"{what}: clean")
