"""Runs the commands of a page as a reader would: in order, in one shell, in an empty folder.

A reader has a terminal for each node; here a command that starts one is put in the background, and the next waits until
the node is ready. One that listens where an earlier one does follows it: the reader has stopped the first.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.processes import clean_environment

ROOT = Path(__file__).resolve().parents[2]
PAGE_SECS_MAX = 120.0
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ENDS_BY_ITSELF = frozenset(("config", "--help", "--version"))
_PRELUDE = """\
set -eu -o pipefail
declare -A AT
finish() {
  for pid in "${AT[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
}
trap finish EXIT
stop_at() {
  if [ -n "${AT[$1]:-}" ]; then kill -TERM "${AT[$1]}" 2>/dev/null || true; wait "${AT[$1]}" || true; fi
}
await() {
  until grep -q -e '"event": "ready"' -e '"event": "standing by"' -e '"event": "held"' "$2"; do
    kill -0 "$1" 2>/dev/null || { cat "$2" >&2; exit 97; }
    sleep 0.02
  done
}
"""


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return [found.group(2) for found in _FENCE.finditer(page) if found.group(1) == language]


def commands(block: str) -> list[str]:
    """A block's commands, one each; lines that continue are joined."""
    return [line for line in re.sub(r"\\\n\s*", "", block).split("\n") if line.strip()]


def run_page(
    lines: list[str],
    folder: Path,
    *,
    placeholders: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    inside: Sequence[str] = (),
) -> str:
    """Run commands; what they printed. Raises `AssertionError` when one fails.

    `inside`: the words before a command that put it into a room (`support.rooms`).
    """
    script = [_PRELUDE]
    for number, line in enumerate(lines):
        for placeholder, value in (placeholders or {}).items():
            line = line.replace(placeholder, value)
        script.append(f"echo {shlex.quote('$ ' + line)}")
        script.append(_in_background(line, number) if _starts_a_node(line) else _checked(line))
    variables = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    # The default is every address of this machine; tests stay on loopback.
    variables["ICN_NETWORK_P2P_LISTEN_ADDR"] = "/ip4/127.0.0.1/tcp/7000"
    shell = subprocess.Popen(
        [*inside, "bash", "-c", "\n".join(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=clean_environment(**variables, **(env or {})),
        start_new_session=True,
    )
    try:
        out, _ = shell.communicate(timeout=PAGE_SECS_MAX)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)  # a session of its own, with only what it started
        out, _ = shell.communicate()
    if shell.returncode != 0:
        raise AssertionError(f"status {shell.returncode}\n{out[-4000:]}")
    return out


def _checked(line: str) -> str:
    """A command whose failure ends the script; a shell lets `!` pass however it ends."""
    return f"{line} || exit 98" if line.startswith("! ") else line


def _starts_a_node(line: str) -> bool:
    words = [word for word in line.split() if "=" not in word or word.startswith("-")]
    return words[:1] == ["icn-node"] and not _ENDS_BY_ITSELF.intersection(words)


def _in_background(line: str, number: int) -> str:
    address = re.search(r"--http-listen-addr[ =](\S+)", line)
    at = shlex.quote(address.group(1) if address else "127.0.0.1:7845")
    line = re.sub(r"\s+#\s.*", "", line)
    return f'stop_at {at}\n{line} 2> node-{number}.log &\nAT[{at}]=$!\nawait "${{AT[{at}]}}" node-{number}.log'
