"""Networks as C on an emulated Cortex-M4: instructions, flash and RAM of an answer.

    python -m benchmarks.export.microcontroller MODEL… [--images 200] [--data-dir DIR] [--board]

Every model is written in int8 (`spikeduel export --to c`), compiled by arm-none-eabi-gcc
-O2 with a start (`microcontroller/`), and run in QEMU's board mps2-an386 with -icount, which counts
one nanosecond an instruction: SysTick ticks every 40. The images are evenly spread over the test
part. Labels must be those of the network in int8 in Python. What QEMU counts are
instructions, emulated: no cycles, no waiting for memory, no energy. `--board` only leaves the
programs in benchmarks/microcontroller/build: on a chip with a debugger that serves semihosting, the
same program prints the cycles of each answer as well. Needs the Debian packages gcc-arm-none-eabi,
libnewlib-arm-none-eabi and qemu-system-arm. Results go to
benchmarks/results/microcontroller.json.
"""

import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import shared
from spikeduel.engine.networks.models import load_model
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.experiment.settings import Experiment
from spikeduel.exporters import c
from spikeduel.exporters.integers import integer_network
from spikeduel.features.export import model_exchange
from spikeduel.system.progress import Progress
from spikeduel.training import model_data

RESULT = "microcontroller.json"
START = Path(__file__).parent / "board"
COMPILER, EMULATOR = "arm-none-eabi-gcc", "qemu-system-arm"
FLAGS = ("-mcpu=cortex-m4", "-mthumb", "-O2", "-std=c99")
BOARD = ("-M", "mps2-an386", "-icount", "shift=0,sleep=off", "-nographic")
INSTRUCTIONS_A_TICK = 40
MAX_TICKS = 2**24
"""SysTick counts no further: longer answers cannot be told from shorter ones."""


def measured(
    name: str, num_images: int, data_dir: str | None, folder: Path, emulates: bool
) -> dict[str, Any]:
    """Return what a model costs on the board, with its answers to `num_images` test images."""
    model = load_model(name)
    experiment = Experiment(dataset=model.card.dataset)
    if data_dir:
        experiment = replace(experiment, data_dir=data_dir)
    examples, _ = model_exchange.training_images(model, experiment, Progress())
    images, labels, _ = model_data.test_images(model, experiment, num_images, store=folder)
    network = integer_network(model, examples)
    keys = c.content_keys(images)
    answers = network.predict(images, RandomKeys(keys))
    program = built(network, images, keys, folder)
    text, data, bss = sizes(program)
    about = {
        "contender": model.card.contender,
        "num_steps": model.card.num_steps,
        "accuracy": float((answers.scores.argmax(1) == labels).mean()),
        "flash": text + data - images.nbytes - keys.nbytes,
        "ram": data + bss,
        "operations": answers.operations.tolist(),
    }
    if emulates:
        said = emulated(program)
        ticks = said[:, 1]
        assert (said[:, 0] == answers.scores.argmax(1)).all(), f"{name}: other labels on the board"
        assert ticks.max() < 0.9 * MAX_TICKS, f"{name}: an answer is longer than SysTick counts"
        about["instructions"] = (ticks * INSTRUCTIONS_A_TICK).tolist()
    return about


def built(network: Any, images: np.ndarray, keys: np.ndarray, folder: Path) -> Path:
    """Return the program of a network and its images, for the board."""
    name = c.identifier(network.card.contender)
    for file, content in c.sources(network).items():
        (folder / file).write_text(content)
    rows = ",\n".join("{" + ",".join(map(str, image.ravel())) + "}" for image in images)
    (folder / "images.h").write_text(
        f"#define NUM_IMAGES {len(images)}\n"
        f"static const uint8_t images[{len(images)}][{images[0].size}] = {{\n{rows}}};\n"
        f"static const uint64_t keys[{len(images)}] = {{{','.join(f'{key}u' for key in keys)}}};\n"
    )
    key = "keys[i], " if network.card.encoding == "rate" else ""
    defined = (
        f'-DNETWORK_H="{name}.h"',
        f"-DCLASSIFY(i)=((void)keys, {name}_classify(images[i], {key}NULL))",
    )
    linked = ("-nostartfiles", "--specs=nosys.specs", "-ffunction-sections", "-Wl,--gc-sections")
    sources = (START / "start.c", folder / f"{name}.c")
    program = folder / f"{name}.elf"
    given = (*FLAGS, *defined, *linked, "-I", folder, "-T", START / "link.ld", *sources)
    subprocess.run([COMPILER, *map(str, given), "-o", str(program)], check=True)
    return program


def sizes(program: Path) -> list[int]:
    """Return the bytes of code and constants, of variables with values, and of those without."""
    said = subprocess.run(
        [COMPILER.replace("gcc", "size"), str(program)], capture_output=True, text=True, check=True
    )
    return [int(word) for word in said.stdout.splitlines()[1].split()[:3]]


def emulated(program: Path) -> np.ndarray:
    """Return the class, ticks and cycles of every image, int64 `[N, 3]`."""
    command = [EMULATOR, *BOARD, "-semihosting-config", "enable=on,target=native"]
    said = subprocess.run(
        [*command, "-kernel", str(program)], capture_output=True, text=True, check=True
    )
    return np.array([line.split() for line in said.stderr.splitlines()], np.int64)


def main() -> None:
    """Measures what the command line names."""
    parser = shared.parser(__doc__, images=200, data_dir=str, board=False)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    given = parser.parse_args()
    for tool in (COMPILER, EMULATOR)[: 1 if given.board else 2]:
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is not installed.")
    models = {}
    for name in given.models:
        with tempfile.TemporaryDirectory() as temporary:
            folder = START / "build" if given.board else Path(temporary)
            folder.mkdir(exist_ok=True)
            models[Path(name).stem] = measured(
                name, given.images, given.data_dir, folder, not given.board
            )
        print(name, flush=True)
    if not given.board:
        document = {
            "settings": {"images": given.images, "flags": FLAGS, "board": BOARD},
            "versions": {tool: version(tool) for tool in (COMPILER, EMULATOR)},
            "models": models,
        }
        shared.write(RESULT, document)


def version(tool: str) -> str:
    """Return the first line that a tool says of itself."""
    return subprocess.run(
        [tool, "--version"], capture_output=True, text=True, check=True
    ).stdout.splitlines()[0]


if __name__ == "__main__":
    main()
