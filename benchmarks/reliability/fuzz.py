"""Feeds damaged files of every kind to the readers: each must end in a result or an error for
people, and soon.

    python -m benchmarks.reliability.fuzz [--minutes 5] [--kinds model toml …] [--seed 0]

A valid file of each kind is mutated at random (bytes, numbers, pieces cut out, doubled or moved;
keys and values of JSON and TOML), and read in a process of its own, which a crash or a hang would
end. Whatever is neither a result nor an `InputError` is kept in --keep as the file that caused it.
The counts go to benchmarks/results/fuzz.json; those of recordings alone, the kinds with the names of
files such as evt3.raw, are in benchmarks/results/fuzz-recordings.json, those of kits in
benchmarks/results/fuzz-kits.json.
"""

import collections
import json
import random
import resource
import signal
import string
import struct
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import PIL

from benchmarks import shared
from benchmarks.reliability.fuzz_kinds import KINDS, Kind

RESULT = "fuzz.json"
SECONDS_A_FILE = 60
MAX_MEMORY = 6 << 30
EXTREMES: tuple[Any, ...] = (
    0,
    1,
    -1,
    2**31,
    2**32 - 1,
    2**40,
    2**63,
    10**400,
    1e308,
    -0.5,
    "",
    "x" * 5000,
    "\u202e<b>",
    "a:b",
    None,
    True,
    [],
    {},
    [[[]]],
    ["a", "a"],
    {"a": {}},
    "../../x",
    "/dev/zero",
    "\ud800",
    "$\\frac{$",
)
PIECES = (b"[" * 3000, b'{"a":' * 3000, b"NaN", b"1e999", b"9" * 5000, b"\0", b"\r\n")
NUMBERS = (b"-1", b"0", b"1e400", b"99999999999999999999", b"0.5")


def mutated_bytes(content: bytes, rng: random.Random) -> bytes:
    """`content` with one to six pieces of damage."""
    made = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        # Headers decide most: damage near the start more often.
        place = int(len(made) * rng.random() ** rng.choice((1, 1, 4))) if made else 0
        kind = rng.randrange(9)
        if kind == 0:
            made[place : place + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            made[place : place + 4] = struct.pack(
                rng.choice("<>") + "I", rng.choice((0, 1, 2**31, 2**32 - 1, 60_000))
            )
        elif kind == 2:
            made[place : place + 8] = struct.pack(
                "<Q", rng.choice((0, 1, 2**40, 2**63, 2**64 - 1, 100 << 20))
            )
        elif kind == 3:
            del made[place:]
        elif kind == 4:
            del made[place : place + rng.randrange(1, 50)]
        elif kind == 5:
            made[place:place] = made[place : place + rng.randrange(1, 200)]
        elif kind == 6:
            made[place:place] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 20)))
        elif kind == 7:
            made[place:place] = rng.choice(PIECES)
        elif digits := [i for i, byte in enumerate(made) if chr(byte) in string.digits]:
            made[(at := rng.choice(digits)) : at + 1] = rng.choice(NUMBERS)
    return bytes(made)


def mutated_value(value: Any, rng: random.Random) -> Any:
    """`value`, one place in it changed: a key gone, a value replaced, a list shortened or
    doubled.
    """
    if rng.random() < 0.12 or not isinstance(value, dict | list) or not value:
        return rng.choice(EXTREMES)
    if isinstance(value, dict):
        key = rng.choice(list(value))
        if rng.random() < 0.15:
            return {name: inner for name, inner in value.items() if name != key}
        return {**value, key: mutated_value(value[key], rng)}
    place = rng.randrange(len(value))
    if rng.random() < 0.2:
        return rng.choice(
            (value[:place], value + value[place:], value[:place] + value[place + 1 :])
        )
    return [*value[:place], mutated_value(value[place], rng), *value[place + 1 :]]


def mutated(kind: Kind, rng: random.Random) -> bytes:
    if kind.name.endswith(".safetensors") and rng.random() < 0.6:
        size = int.from_bytes(kind.valid[:8], "little")
        header = json.loads(kind.valid[8 : 8 + size])
        if rng.random() < 0.7:
            card = mutated_value(json.loads(header["__metadata__"]["spikeduel"]), rng)
            header["__metadata__"]["spikeduel"] = json.dumps(card)
        else:
            header = mutated_value(header, rng)
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + kind.valid[8 + size :]
    if kind.name.endswith(".toml") and rng.random() < 0.5:
        lines = kind.valid.decode().splitlines()
        at = rng.randrange(len(lines))
        value = rng.choice(EXTREMES)
        lines[at] = f"{lines[at].split('=')[0]} = {json.dumps(value)}"
        return "\n".join(lines).encode()
    if kind.is_json and rng.random() < 0.8:
        value = json.loads(kind.valid)
        for _ in range(rng.choice((1, 1, 2, 4))):
            value = mutated_value(value, rng)
        return json.dumps(value).encode()
    return mutated_bytes(kind.valid, rng)


def worker(name: str, seconds: float, seed: int, place: str) -> dict[str, Any]:
    """Read damaged files of one kind until the time is over; keep bad ones in the folder `place`."""
    from spikeduel.system.errors import SpikeduelError

    keep = Path(place)
    signal.signal(signal.SIGALRM, shared.too_slow)
    warnings.simplefilter("ignore")
    kind, rng = KINDS[name](), random.Random(f"{seed}-{name}")
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    counts: collections.Counter[str] = collections.Counter()
    bad: dict[str, str] = {}
    slowest = 0.0
    with TemporaryDirectory() as folder:
        path = Path(folder, "run", kind.name)
        path.parent.mkdir()
        path.write_bytes(kind.valid)
        kind.read(path)
        started = time.monotonic()
        while time.monotonic() - started < seconds:
            path.write_bytes(mutated(kind, rng))
            (keep / f"{name}.current").write_bytes(path.read_bytes())
            began = time.monotonic()
            signal.alarm(SECONDS_A_FILE)
            try:
                kind.read(path)
                outcome = "read"
            except SpikeduelError:
                outcome = "error for people"
            except shared.TooSlow:
                outcome = "hang"
            except Exception as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                outcome = f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno} ({str(error)[:80]})"
            finally:
                signal.alarm(0)
            slowest = max(slowest, time.monotonic() - began)
            if outcome not in ("read", "error for people"):
                bad.setdefault(outcome, f"{name}-{len(bad)}")
                (keep / bad[outcome]).write_bytes((keep / f"{name}.current").read_bytes())
                outcome = f"BAD: {outcome}"
            counts[outcome] += 1
    (keep / f"{name}.current").unlink()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "outcomes": dict(counts),
        "slowest_seconds": round(slowest, 2),
        "peak_memory_bytes": peak,
    }


def main() -> int:
    parser = shared.parser(__doc__, minutes=5.0, seed=0, keep=Path("fuzz-found"), kinds=KINDS)
    parser.add_argument("--out", default=RESULT, help="another name of the results file")
    given = parser.parse_args()
    given.keep.mkdir(parents=True, exist_ok=True)
    seconds = 60 * given.minutes / len(given.kinds)
    found: dict[str, Any] = {}
    for name in given.kinds:
        # A hang within C code answers no alarm.
        try:
            done = subprocess.run(
                shared.command(worker, name, seconds, given.seed, str(given.keep)),
                env=shared.surroundings(),
                stdout=subprocess.PIPE,
                timeout=seconds + 15 * SECONDS_A_FILE,
            )
            found[name] = (
                json.loads(done.stdout)
                if done.returncode == 0
                else {"outcomes": {f"BAD: ended with {done.returncode}": 1}}
            )
        except subprocess.TimeoutExpired:
            found[name] = {"outcomes": {"BAD: hang": 1}}
        print(name, json.dumps(found[name]), flush=True)
    outcomes = [
        (outcome, count) for each in found.values() for outcome, count in each["outcomes"].items()
    ]
    bad = sum(count for outcome, count in outcomes if outcome.startswith("BAD"))
    document = {
        "minutes": given.minutes,
        "seed": given.seed,
        "seconds_a_file": SECONDS_A_FILE,
        "pillow": PIL.__version__,
        "files": sum(count for _, count in outcomes),
        "bad": bad,
        "kinds": found,
    }
    shared.write(given.out, document)
    print(
        f"{document['files']:,} files, {bad} of them bad" + (f": see {given.keep}/" if bad else "")
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
