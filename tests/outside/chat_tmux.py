#!/usr/bin/env python3
"""`duet chat` in a real terminal: answers, Ctrl-C, resizing, history, pasting, colours, Ctrl-D.

usage: chat_tmux.py DUET

The model is the file that DUET_TEST_MODEL names, else smollm2-135m of the store. Exit status 77 (skipped), saying why, without it
or without tmux.
"""
import json
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

SKIPPED = 77
PATIENCE_S = 90
QUESTION = "What is the capital of France?"


def find_model(duet):
    named = os.environ.get("DUET_TEST_MODEL")
    if named:
        return os.path.abspath(named)
    listed = subprocess.run([duet, "list", "--json"], capture_output=True, timeout=60, check=True).stdout
    for model in map(json.loads, listed.splitlines()):
        if model["name"] == "smollm2-135m" and model["state"] == "ready":
            return model["path"]
    return None


class Terminal:
    """A tmux server of its own with one window; leaving it ends everything in it."""

    def __init__(self, folder, command, environment):
        # A name of its own: the server that was there before may still be ending.
        self.socket = tempfile.mktemp(prefix="tmux.", dir=folder)
        self.status_file = os.path.join(folder, "status")
        line = f"{shlex.join(command)}; echo $? > {shlex.quote(self.status_file)}; stty -a; sleep 600"
        variables = [f"{key}={value}" for key, value in environment.items()]
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "40", shlex.join(["env", *variables, "bash", "-c", line]))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True, timeout=30, check=False)
        if os.path.exists(self.status_file):
            os.remove(self.status_file)

    def tmux(self, *arguments):
        done = subprocess.run(["tmux", "-S", self.socket, *arguments], capture_output=True, timeout=30, check=False)
        assert done.returncode == 0, f"tmux {arguments[0]} ended with {done.returncode}: {done.stderr.decode()}"
        return done.stdout.decode()

    def screen(self, escapes=False):
        text = self.tmux("capture-pane", "-p", "-J", "-S", "-200", *(["-e"] if escapes else []))
        return "\n".join(line.rstrip() for line in text.splitlines())

    def wait(self, pattern, times=1):
        """Until the pattern is on the screen that often."""
        deadline = time.monotonic() + PATIENCE_S
        while len(re.findall(pattern, self.screen(), re.MULTILINE)) < times:
            assert time.monotonic() < deadline, f"{pattern!r} did not appear {times} times:\n{self.screen()}"
            time.sleep(0.1)

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def line(self, text):
        self.tmux("send-keys", "-l", text)
        self.keys("Enter")

    def status(self):
        deadline = time.monotonic() + PATIENCE_S
        while not (os.path.exists(self.status_file) and os.path.getsize(self.status_file)):
            assert time.monotonic() < deadline, f"the program did not end:\n{self.screen()}"
            time.sleep(0.1)
        with open(self.status_file, encoding="ascii") as file:
            return int(file.read())


def check_conversation(folder, command, environment):
    saved = os.path.join(folder, "saved.json")
    with Terminal(folder, command, environment) as terminal:
        terminal.wait(r"^>$")
        terminal.line(QUESTION)
        terminal.wait(r"^The capital of France is Paris\.$")
        terminal.wait(r"^7 tokens, [0-9.]+ tokens/s")
        assert "\x1b[2m" in terminal.screen(escapes=True), "the line of figures is not dimmed"

        terminal.line("Tell me a very long story about a river.")
        terminal.wait(r"^> Tell me a very long story.*\n\S+ \S+ \S+")  # an answer has begun
        terminal.keys("C-c")
        terminal.wait(r"^\(stopped\)$")
        terminal.wait(r"tokens/s", times=2)
        terminal.keys("C-c")
        terminal.wait(r"^\(Ctrl-D or /quit leaves\)$")
        terminal.tmux("send-keys", "-l", "half a thought")
        terminal.keys("C-c")
        terminal.wait(r"half a thought\^C$")

        terminal.tmux("resize-window", "-x", "40", "-y", "30")
        terminal.keys("Up")
        terminal.wait(r"^> Tell me a very long story")
        terminal.keys("Up")
        terminal.wait(r"^> What is the capital of France\?$", times=2)
        terminal.keys("C-e")
        terminal.keys("BSpace")
        terminal.line(", in one word é 東京?")
        terminal.wait(r"in one word é 東京\?")
        terminal.wait(r"tokens/s", times=3)
        terminal.tmux("resize-window", "-x", "100", "-y", "40")

        terminal.line("/clear")
        terminal.wait(r"^\(the conversation is forgotten\)$")
        terminal.tmux("set-buffer", "first line\n\tsecond line")
        terminal.tmux("paste-buffer", "-p")
        terminal.wait(r"second line")
        terminal.keys("Enter")
        terminal.wait(r"tokens/s", times=4)
        for line in ('"""', "one", "two", '"""'):
            terminal.line(line)
        terminal.wait(r"tokens/s", times=5)
        terminal.line(f"/save {saved}")
        terminal.wait(r"^\(4 messages are in")
        with open(saved, encoding="utf-8") as file:
            messages = json.load(file)["messages"]
        users = [message["content"] for message in messages if message["role"] == "user"]
        assert users == ["first line\n\tsecond line", "one\ntwo"], users

        terminal.line("/nonsense")
        terminal.wait(r"^error: there is no command /nonsense")
        terminal.keys("C-d")
        assert terminal.status() == 0
        terminal.wait(r"[^-]icanon")  # the terminal is as it was
        terminal.wait(r"[^-]echo ")


def check_history_and_plain(folder, command, environment):
    history = os.path.join(environment["DUET_HOME"], "state", "chat_history")
    assert stat.S_IMODE(os.stat(history).st_mode) == 0o600, "others can read the history"
    with Terminal(folder, command, {**environment, "NO_COLOR": "1"}) as terminal:
        terminal.wait(r"^>$")
        terminal.keys("Up", "Up", "Up", "Up", "Up", "Up")
        terminal.wait(r"^> What is the capital of France, in one word é 東京\?$")
        terminal.keys("C-u")
        terminal.line("/regen")
        terminal.wait(r"^error: there is no message to answer once more")
        terminal.line(QUESTION)
        terminal.wait(r"^7 tokens")
        assert "\x1b[" not in terminal.screen(escapes=True), "NO_COLOR is not respected"
        terminal.line("/quit")
        assert terminal.status() == 0


def check_asked_to_end(folder, command, environment):
    with Terminal(folder, command, environment) as terminal:
        terminal.wait(r"^>$")
        shell = terminal.tmux("list-panes", "-F", "#{pane_pid}").strip()
        with open(f"/proc/{shell}/task/{shell}/children", encoding="ascii") as file:
            (pid,) = [int(child) for child in file.read().split()]
        os.kill(pid, signal.SIGTERM)
        assert terminal.status() == 0
        terminal.wait(r"[^-]icanon")


def main():
    (duet,) = sys.argv[1:]
    if shutil.which("tmux") is None:
        print("SKIPPED: tmux is not installed")
        return SKIPPED
    model = find_model(duet)
    if model is None:
        print("SKIPPED: smollm2-135m is not in the store: ./test fetches it")
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="duet_tmux.") as folder:
        environment = {"DUET_HOME": os.path.join(folder, "home"), "LC_ALL": "C.UTF-8"}
        command = [os.path.abspath(duet), "chat", model, "--temperature", "0", "-n", "100"]
        check_conversation(folder, command, environment)
        check_history_and_plain(folder, command, environment)
        check_asked_to_end(folder, command, environment)
    print("chat in a terminal: answers, Ctrl-C, resizing, history, pasting, colours and Ctrl-D are right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
