"""Coverage-guided fuzzing: `make fuzz FUZZ_SECONDS=300 [FUZZ_TARGET=yamux]`.

Each target runs in a process of its own, because the fuzzer ends its process. What it has learned stays in
`build/fuzz/corpus`, so that a later run goes on from there; an input that breaks a decoder is written to
`build/fuzz/broken`, and belongs into `tests/fuzz/found` once the decoder is mended. Exits with 1 when one was found.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve()
BUILD = HERE.parents[2] / "build" / "fuzz"
INPUT_SECONDS_MAX = 10
"""A decoder that takes longer over one input is broken: whoever sends it holds the node."""
MEMORY_MB_MAX = 1024
STARTING_SECONDS_MAX = 120


@dataclass(frozen=True)
class Result:
    """How one target fared, in the fuzzer's own figures."""

    target: str
    seconds: int
    executions: int
    edges: int
    """Branches of our code that were reached."""
    inputs: int
    """Inputs kept because each reached something that no other did."""
    broken: bool


def fuzz_one(name: str, seconds: int, corpus: Path, broken: Path) -> None:
    """Fuzz until the time is over or an input breaks the decoder. Does not return."""
    import atheris  # type: ignore[import-not-found] # in an environment of its own: see `make fuzz`

    with atheris.instrument_imports(include=["icn"]):
        from fuzz.table import TARGETS
    target = TARGETS[name]
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = (
        f"-max_total_time={seconds}",
        f"-max_len={target.bytes_max}",
        f"-timeout={INPUT_SECONDS_MAX}",
        f"-rss_limit_mb={MEMORY_MB_MAX}",
        f"-artifact_prefix={broken}/",
        "-print_final_stats=1",
    )
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda data: target.run(bytes(data)))
    atheris.Fuzz()


def fuzz(name: str, seconds: int) -> Result:
    """Fuzz one target in a process of its own."""
    corpus, broken = BUILD / "corpus" / name, BUILD / "broken" / name
    for folder in (corpus, broken):
        folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(HERE), "--one", name, "--seconds", str(seconds)]
    began = time.monotonic()
    with (BUILD / f"{name}.log").open("wb") as log:
        ended = subprocess.run(
            command, stdout=log, stderr=subprocess.STDOUT, timeout=seconds + STARTING_SECONDS_MAX, check=False
        )
    text = (BUILD / f"{name}.log").read_text(errors="replace")
    executions = re.findall(r"stat::number_of_executed_units:\s+(\d+)", text)
    edges = re.findall(r"\bcov: (\d+)", text)
    return Result(
        target=name,
        seconds=round(time.monotonic() - began),
        executions=int(executions[-1]) if executions else 0,
        edges=int(edges[-1]) if edges else 0,
        inputs=len(list(corpus.iterdir())),
        broken=ended.returncode != 0 or not executions or not edges,
    )


def main() -> int:
    """Fuzz the targets named, or all, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help="those of tests/fuzz/table.py; all of them if none"
    )
    parser.add_argument("--seconds", type=int, default=300, help="for each target")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:  # before anything of ours is imported: only what is imported under the fuzzer tells it where it went
        fuzz_one(given.one, given.seconds, BUILD / "corpus" / given.one, BUILD / "broken" / given.one)
    from fuzz.table import TARGETS

    unknown = [name for name in given.targets if name not in TARGETS]
    if unknown:
        parser.error(f"no target is called {', '.join(unknown)}: there are {', '.join(TARGETS)}")
    results = []
    print(f"{'target':<18}{'seconds':>8}{'executions':>12}{'edges':>7}{'inputs':>8}", flush=True)
    for name in given.targets or TARGETS:
        result = fuzz(name, given.seconds)
        results.append(result)
        figures = f"{result.seconds:>8}{result.executions:>12}{result.edges:>7}{result.inputs:>8}"
        verdict = f"  BROKEN: see {BUILD / name}.log and broken/{name}" if result.broken else ""
        print(f"{name:<18}{figures}{verdict}", flush=True)
    (BUILD / "report.json").write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    return int(any(result.broken for result in results))


if __name__ == "__main__":
    sys.exit(main())
