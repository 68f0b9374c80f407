"""What the types of documents cost at start-up: twenty of them by msgspec and by pydantic, each in
fresh processes.

    pip install pydantic && python benchmarks/document_types.py [--rounds 9]

Twenty frozen types of ten whole numbers with a lower limit. Seconds are medians over processes in
turns, the time of an empty Python process taken off. Beside them the text of the error that each
raises for a wrong value deep inside. Results go to benchmarks/results/document-types.json.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from spikeduel.system import hardware
from spikeduel.system.hardware import Compute

RESULT = Path(__file__).parent / "results" / "document-types.json"
FIELDS = "; ".join(f"f{number}: Count = 1" for number in range(10))
NUMBERS = range(20)
MSGSPEC = "\n".join(
    [
        "import msgspec; from typing import Annotated; Count = Annotated[int, msgspec.Meta(ge=0)]",
        *(f"class T{n}(msgspec.Struct, frozen=True): {FIELDS}" for n in NUMBERS),
    ]
)
PYDANTIC = "\n".join(
    [
        "from pydantic import BaseModel, Field; from typing import Annotated; Count = "
        "Annotated[int, Field(ge=0)]",
        *(f"class T{n}(BaseModel, frozen=True): {FIELDS}" for n in NUMBERS),
    ]
)
ERRORS = {
    "msgspec": "class D(msgspec.Struct): trials: list[T0]\n"
    "try: msgspec.convert({'trials': [{'f3': -1}]}, D)\nexcept Exception as error: print(error)",
    "pydantic": "class D(BaseModel): trials: list[T0]\n"
    "try: D(trials=[{'f3': -1}])\nexcept Exception as error: print(error)",
}


def seconds(code: str) -> float:
    """How long a fresh process takes to run `code`."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    codes = {"nothing": "pass", "msgspec": MSGSPEC, "pydantic": PYDANTIC}
    taken = [{name: seconds(code) for name, code in codes.items()} for _ in range(rounds)]
    medians = {name: statistics.median(each[name] for each in taken) for name in codes}
    errors = {
        name: subprocess.run(
            [sys.executable, "-c", f"{codes[name]}\n{code}"], capture_output=True, text=True
        ).stdout
        for name, code in ERRORS.items()
    }
    result = {
        "settings": {"rounds": rounds, "types": len(NUMBERS), "fields": 10},
        "environment": hardware.environment(Compute()),
        "start_up_seconds": {
            name: medians[name] - medians["nothing"] for name in ("msgspec", "pydantic")
        },
        "error": errors,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["start_up_seconds"]), *errors.values(), sep="\n")


if __name__ == "__main__":
    main()
