"""``make fuzz-inputs``: each target for ten minutes, led by the code that it reaches.

Needs atheris (``pip install 'bhyvesim[fuzz]'``). What is new goes to ``build/fuzz/TARGET``, an
input that is not taken well to ``build/fuzz/TARGET-found``; the status is 1 if there was one.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
from pathlib import Path

TARGETS = (
    *("description", "scenario", "replay", "import", "crash"),
    *("dump", "row", "certificate", "evidence", "probe", "arguments"),
)
BUILD = Path("build") / "fuzz"
_LONGEST = 1 << 14
_GROWN = 200 << 10  # KiB: as much as an input may take


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_inputs", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="one of " + ", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    parser.add_argument("--small", type=int, metavar="N", help="N mutations, without atheris")
    parser.add_argument("--file", type=Path, help="only this input")
    parser.add_argument("--keep", type=int, metavar="N", help="copy the N best to the corpus")
    parser.add_argument("--atheris", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    wanted = options.targets or list(TARGETS)
    if set(wanted) - set(TARGETS):
        parser.error(f"expected targets of {', '.join(TARGETS)}")
    if options.atheris:
        return fuzz(wanted[0], options.seconds)
    if options.keep is not None:
        from tests.fuzz_inputs.keep import keep

        for name in wanted:
            print(f"{name}: {keep(name, BUILD / name, options.keep)} inputs kept")
        return 0
    if options.file is not None or options.small is not None:
        from tests.fuzz_inputs.small import inputs, judge

        only = None if options.file is None else options.file.read_bytes()
        for name in wanted:
            given = inputs(name, options.small) if only is None else iter((only,))
            if judge(name, given):
                return 1
        return 0
    return max([fuzzed(name, options.seconds) for name in wanted])


def fuzzed(name: str, seconds: int) -> int:
    """Fuzz *name* in a process of its own, as what is instrumented stays so."""
    print(f"{name}: {seconds} s", flush=True)
    command = [sys.executable, "-m", "tests.fuzz_inputs", name, "--atheris"]
    return min(1, subprocess.run([*command, "--seconds", str(seconds)]).returncode)


def fuzz(name: str, seconds: int) -> int:
    """Let atheris look for inputs of *name* that are not taken well."""
    import atheris

    with atheris.instrument_imports(include=["bhyvesim"]):
        from tests.fuzz_inputs import targets

    from tests.fuzz_inputs import small

    begin_with = [*targets.TARGETS[name].begin(), *targets.kept(name)]
    new, found = BUILD / name, BUILD / f"{name}-found"
    for folder in (new, found):
        folder.mkdir(parents=True, exist_ok=True)
    begin = BUILD / f"{name}-begin"
    begin.mkdir(exist_ok=True)
    for number, data in enumerate(begin_with):
        (begin / str(number)).write_bytes(data)
    words = BUILD / f"{name}.dict"
    words.write_text("".join(map(_entry, targets.TARGETS[name].words)), encoding="ascii")

    def mutate(data: bytes, longest: int, seed: int) -> bytes:
        """As libFuzzer does, or as the small form does, which knows lines and numbers."""
        rng = random.Random(seed)
        if rng.random() < 0.5:
            return atheris.Mutate(data, longest)
        return small.mutated(rng, data, begin_with, targets.TARGETS[name].words)[:longest]

    def one(data: bytes) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        problem = small.wrong_with(name, data)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        if problem is not None or grown > _GROWN:
            confirm(name, data, found)

    options = [f"-max_total_time={seconds}", f"-max_len={_LONGEST}", f"-dict={words}"]
    options += ["-timeout=60", "-rss_limit_mb=3000", f"-artifact_prefix={found}/", "-verbosity=1"]
    atheris.Setup([sys.argv[0], *options, str(new), str(begin)], one, custom_mutator=mutate)
    atheris.Fuzz()
    return 0


def confirm(name: str, data: bytes, found: Path) -> None:
    """Look again in a process where nothing is instrumented, as that makes all of it slow."""
    path = found / "last"
    path.write_bytes(data)
    command = [sys.executable, "-m", "tests.fuzz_inputs", name, "--file", str(path)]
    again = subprocess.run(command, capture_output=True, text=True)
    if again.returncode:
        raise AssertionError(again.stderr)


def _entry(word: bytes) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n'


if __name__ == "__main__":
    sys.exit(main())
