"""How long one waits for `spikeduel play`: from the command to the first answer, and for each
further answer.

    python benchmarks/play.py [--repeats 5]

Starts the command several times on the networks that come with the package, asks for the page, and
then for the first sample's answer; after that twenty answers each with the settings as trained, a
changed threshold, and 16 time steps. Results go to benchmarks/results/play.json.
"""

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from spikeduel.system import hardware

RESULT = Path(__file__).parent / "results" / "play.json"
COMMAND = [sys.executable, "-m", "spikeduel", "play", "--port", "0", "--no-browser", "--quiet"]
HEADERS = {"content-type": "application/octet-stream"}
ASKED = {
    "as trained": {},
    "another threshold": {"threshold": "0.7"},
    "16 time steps": {"num_steps": "16"},
}
NUM_ANSWERS = 20


def _answer(client: httpx.Client, **settings: str) -> bytes:
    reply = client.post("answer", params=settings, headers=HEADERS)
    reply.raise_for_status()
    return reply.content


def _started(folder: str) -> tuple[dict[str, float], dict[str, list[float]], int]:
    """Seconds until the address, the page and the first answer are there; of further answers; and
    an answer's bytes.
    """
    begun = time.perf_counter()
    with subprocess.Popen(COMMAND, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        waited = {"address": time.perf_counter() - begun}
        with httpx.Client(base_url=address, timeout=120) as client:
            client.get("").raise_for_status()
            waited["page"] = time.perf_counter() - begun
            size = len(_answer(client, sample="0"))
            waited["first answer"] = time.perf_counter() - begun
            answers: dict[str, list[float]] = {name: [] for name in ASKED}
            for number in range(NUM_ANSWERS):
                for name, settings in ASKED.items():
                    asked = time.perf_counter()
                    _answer(client, sample=str(number % 20), **settings)
                    answers[name].append(time.perf_counter() - asked)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    return waited, answers, size


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        # The first fills the caches of compiled kernels.
        runs = [_started(folder) for _ in range(repeats + 1)][1:]
    results = {
        "repeats": repeats,
        "answers": NUM_ANSWERS,
        "environment": hardware.environment(hardware.resolve()),
        "seconds_from_the_command": {
            name: _summary([waited[name] for waited, _, _ in runs])
            for name in ("address", "page", "first answer")
        },
        "seconds_of_an_answer": {
            name: _summary([seconds for _, answers, _ in runs for seconds in answers[name]])
            for name in ASKED
        },
        "bytes_of_an_answer": runs[0][2],
    }
    RESULT.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps({name: results[name] for name in results if name != "environment"}, indent=1))


def _summary(seconds: list[float]) -> dict[str, float]:
    return {"median": statistics.median(seconds), "min": min(seconds), "max": max(seconds)}


if __name__ == "__main__":
    main()
