"""Instructions of networks on an emulated Cortex-M4: what `device_fit` makes cycles and energy of.

    python -m benchmarks.energy.instructions --cmsis DIR --runs RUN …

DIR is a checkout of github.com/ARM-software/CMSIS_5 at commit b966796, whose CMSIS-NN Skymizer's
submission to MLPerf Tiny used: cycles measured on the board, divided by instructions counted here,
are the cycles of an instruction. The layers of the four networks run one by one; sums of two paths
and pooling are left out.

RUN is a folder of `spikeduel compare` with models and results. The models are written as C in int8,
as `spikeduel export --to c` does, and label test images. Their instructions are fitted by the
amounts of `TERMS`. The results go to benchmarks/results/instructions.json. Needs the Debian packages
of `benchmarks.export.microcontroller`.
"""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls
from torch import Tensor, nn

from benchmarks import shared
from benchmarks.energy import mlperf_tiny
from benchmarks.export import microcontroller as board
from spikeduel.energy.accounting import mean_amounts
from spikeduel.features.device_energy.device_models import amounts_of_terms
from spikeduel.results.run import Results
from spikeduel.results.trials import Trial
from spikeduel.system.typed import read_json

RESULT = "instructions.json"
PROGRAM = Path(__file__).with_name("cmsis_nn.c")
SOURCES = ("*_s8*.c", "arm_nn_*.c", "arm_q7_to_q15*.c")
OPERATIONS = "(acs + takes_image * macs + (1 - takes_image) * effective_macs)"
TERMS = (
    f"convolution * {OPERATIONS}",
    f"(1 - convolution) * {OPERATIONS}",
    "neuron_updates",
    "min(weights, 1) * outputs * T",
)
NUM_IMAGES = 20


def calls(network: str) -> Iterator[str]:
    """Yield the calls of CMSIS-NN for the layers of a network of MLPerf Tiny."""
    module, images = mlperf_tiny.network(network)
    module = mlperf_tiny.padded(module)
    made: list[str] = []

    def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(layer, nn.Linear):
            made.append(f"dense({layer.in_features}, {layer.out_features});")
        if not isinstance(layer, nn.Conv2d):
            return
        is_depthwise = layer.groups > 1
        channels = [layer.in_channels] if is_depthwise else [layer.in_channels, layer.out_channels]
        sizes = [*layer.kernel_size, *channels, *inputs[0].shape[2:], *output.shape[2:]]
        name = "depthwise" if is_depthwise else "convolution"
        made.append(f"{name}({', '.join(map(str, [*sizes, layer.stride[0]]))});")

    for layer in module.modules():
        layer.register_forward_hook(add)
    module(images[:1])
    yield from made


def of_cmsis(network: str, checkout: Path, folder: Path) -> float:
    """Return the instructions of a network by CMSIS-NN."""
    (folder / "calls.h").write_text("\n".join(calls(network)))
    root = checkout / "CMSIS"
    sources = {file for form in SOURCES for file in (root / "NN" / "Source").rglob(form)}
    places = [root / place for place in ("NN/Include", "Core/Include", "DSP/Include")]
    included = [f"-I{place}" for place in (*places, folder, board.START)]
    flags = ("-mcpu=cortex-m4", "-mthumb", "-O3", "-std=c99", "-DARM_MATH_DSP", "-w")
    linked = ("-nostartfiles", "--specs=nosys.specs", "-ffunction-sections", "-Wl,--gc-sections")
    program = folder / "network.elf"
    files = map(str, (board.START / "link.ld", PROGRAM, *sorted(sources)))
    given = [*flags, *included, '-DCALLS="calls.h"', *linked, "-T", *files, "-o", str(program)]
    subprocess.run(
        [board.COMPILER, *given],
        check=True,
    )
    ((failed, ticks),) = board.emulated(program)
    assert not failed, f"{network}: CMSIS-NN refused a layer"
    assert ticks < 0.9 * board.MAX_TICKS, f"{network} takes longer than SysTick counts"
    return float(ticks * board.INSTRUCTIONS_A_TICK)


def of_model(run: Path, trial: Trial) -> dict[str, Any]:
    """Return the mean instructions of a trained model as C, and its amounts of `TERMS`."""
    assert trial.operations
    model = run / "models" / f"{trial.contender}-seed{trial.seed}.safetensors"
    with tempfile.TemporaryDirectory() as folder:
        about = board.measured(str(model), NUM_IMAGES, None, Path(folder), emulates=True)
    amounts = mean_amounts([trial.operations.layers])
    counted = amounts_of_terms(dict.fromkeys(TERMS, 1.0), amounts, trial.operations.num_steps)
    return {
        "run": run.name,
        "contender": trial.contender,
        "time steps": trial.operations.num_steps,
        "instructions": float(np.mean(about["instructions"])),
        "amounts": counted,
    }


def fitted(models: list[dict[str, Any]]) -> tuple[dict[str, float], list[float]]:
    """Return the instructions of one unit of each of `TERMS`, and the relative errors."""
    counted = np.array([[*model["amounts"].values()] for model in models])
    instructions = np.array([model["instructions"] for model in models])
    weights, _ = nnls(counted / instructions[:, None], np.ones(len(models)))
    errors = counted @ weights / instructions - 1
    return dict(zip(TERMS, weights.tolist(), strict=True)), errors.tolist()


def main() -> None:
    parser = shared.parser(__doc__, cmsis=Path, runs=[Path()])
    options = parser.parse_args()
    by_network = {}
    for network in mlperf_tiny.NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            by_network[network] = of_cmsis(network, options.cmsis, Path(folder))
    models = [
        of_model(run, trial)
        for run in options.runs
        for trial in read_json(run / "results.json", Results).trials
        if trial.operations
    ]
    weights, errors = fitted(models)
    for model, error in zip(models, errors, strict=True):
        model["error"] = round(error, 3)
    shared.write(
        RESULT,
        {
            "versions": {tool: board.version(tool) for tool in (board.COMPILER, board.EMULATOR)},
            "CMSIS-NN": by_network,
            "models": models,
            "instructions": {term: round(weight, 3) for term, weight in weights.items()},
            "root mean square error": round(float(np.sqrt(np.mean(np.square(errors)))), 3),
        },
    )


if __name__ == "__main__":
    main()
