"""The options that are no settings: what commands take beside an experiment."""

from pathlib import Path
from typing import Annotated, Any

import typer

from spikeduel.settings.fields import DATA, DUEL

OUTPUT = "Output"


def _option(written: str, help: str, panel: str | None = None, **rest: Any) -> Any:
    """The option that is `written` as in the help: its names, and what its value is called."""
    words = written.split()
    names = [word for word in words if word.startswith("-")]
    return typer.Option(*names, metavar=" ".join(words[len(names) :]) or None, help=help, rich_help_panel=panel, **rest)


def _argument(metavar: str, help: str) -> Any:
    return typer.Argument(metavar=metavar, help=help)


# Shared by commands: `given.Given` holds their values.
ExperimentFile = Annotated[
    Path | None,
    _option(
        "--experiment FILE.toml",
        "Start from the settings of an earlier run instead of a recipe; every run writes its experiment.toml. "
        "Code of your own that the file names is run only if --own-code, or another option, names it too.",
        DUEL,
    ),
]
Assignments = Annotated[
    list[str] | None,
    _option(
        "--set key=value",
        "Any setting, such as learning_rate=1e-3 or reset_mechanism=zero; repeatable. See `spikeduel settings`.",
        DUEL,
    ),
]
OwnCode = Annotated[
    list[str] | None,
    _option(
        "--own-code module:attribute", "Code that the file of --experiment names and that may be run; repeatable.", DUEL
    ),
]
Out = Annotated[
    Path | None,
    _option(
        "--out DIR",
        "The run's folder: report.html, results.json, models/, figures/. (Default: runs/DATASET-RECIPE-…)",
        OUTPUT,
    ),
]
StoreFolder = Annotated[
    Path | None,
    _option(
        "--store DIR",
        "Where trained trials are kept and found again. (Default: $SPIKEDUEL_STORE, or runs/store)",
        OUTPUT,
    ),
]
Json = Annotated[bool, _option("--json", "Print one JSON document and nothing else on standard output.", OUTPUT)]
Quiet = Annotated[bool, _option("--quiet -q", "No progress.", OUTPUT)]

# Models and runs.
ModelFile = Annotated[Path, _argument("MODEL", "A .safetensors file from a run's models/ folder.")]
ModelsOwnCode = Annotated[
    list[str] | None,
    _option(
        "--own-code module:attribute",
        "Your own architecture, neuron or encoder that the model needs and that may be run; repeatable.",
    ),
]
Run = Annotated[Path, _argument("RUN", "A run's folder, as `spikeduel runs` lists it.")]
RunsFolder = Annotated[Path, _argument("DIR", "The folder that holds the runs.")]

# compare and tune
Tune = Annotated[
    int | None,
    _option(
        "--tune N",
        "First tune every contender with N trials, judged on validation images only, and compare them at "
        "their best settings.",
        DUEL,
    ),
]
Trials = Annotated[int, _option("--trials N", "Trials of each contender, the first at the given settings.")]
Ranges = Annotated[
    Path | None,
    _option(
        "--ranges FILE.toml",
        "What to tune, instead of learning rate, threshold, beta, surrogate width and steps: a table for each "
        "setting, such as [learning_rate] with low, high and log = true, or [num_steps] with choices.",
        DUEL,
    ),
]
Strict = Annotated[
    bool,
    _option(
        "--strict", "Train nothing and exit with 1 if the audit finds a problem that would invalidate a result.", DATA
    ),
]
TuningOut = Annotated[
    Path | None,
    _option(
        "--out DIR",
        "The run's folder: experiment.toml, tuning.json, tuning.html. (Default: runs/DATASET-RECIPE-…-tuning)",
        OUTPUT,
    ),
]

# evaluate, predict and inspect
Part = Annotated[str, _option("--part test|all", "`all`: every image, for data that the model has never seen.")]
ImageFiles = Annotated[list[Path], _argument("IMAGE…", "Image files, or folders of them.")]
ImageFile = Annotated[Path, _argument("IMAGE", "One image file.")]
FiguresOut = Annotated[Path | None, _option("--out DIR", "The folder for the figures. (Default: inspect/MODEL-IMAGE)")]

# export and import
ExportTo = Annotated[
    str,
    _option(
        "--to onnx|onnx-step|nir",
        "onnx: all time steps in one graph; onnx-step: one step, with its state as input and output, for "
        "streams and small devices; nir: for neuromorphic tools, if NIR can express the network.",
    ),
]
ExportFile = Annotated[Path, _option("--out FILE", "The file to write; FILE.check.json goes beside it.")]
Weights = Annotated[
    str,
    _option(
        "--weights float32|int8", "int8: a quarter of the size, for the ONNX formats; the loss of accuracy is measured."
    ),
]
CheckedImages = Annotated[
    int, _option("--images N", "Test images to check the file on; all if there are fewer.", min=1)
]
CheckedDataset = Annotated[
    str | None,
    _option(
        "--dataset DATASET",
        "The data set whose test images the file is checked on. (Default: what the model was trained on)",
    ),
]
ImportedFile = Annotated[Path, _argument("FILE", "A NIR graph, or the study's network as a state_dict of snnTorch.")]
ImportOut = Annotated[Path, _option("--out MODEL.safetensors", "The model file to write.")]
ImportedDataset = Annotated[
    str | None,
    _option(
        "--dataset DATASET",
        "What the network was trained on: gives the classes' names and how images are prepared. (Default: "
        "what spikeduel wrote into the file; else classes are numbered, and images are grey and of the size "
        "of its input)",
    ),
]
ImportEncoding = Annotated[
    str | None,
    _option(
        "--encoding direct|rate|latency", "How the network sees an image. (Default: what the file says, else direct)"
    ),
]
ImportSteps = Annotated[int | None, _option("--num-steps T", "Its time steps. (Default: what the file says, else 25)")]
StepSeconds = Annotated[
    float | None, _option("--dt SECONDS", "NIR: duration of a step. (Default: what the file says, else 0.0001)")
]

# audit, report and test
AuditOut = Annotated[
    Path | None,
    _option(
        "--out DIR", "Write audit.html with the pairs of pictures side by side, and audit.json, to this folder.", OUTPUT
    ),
]
ReportOut = Annotated[Path | None, _option("--out FILE.html", "(Default: report.html in the run)")]
EnergyTables = Annotated[
    list[str] | None,
    _option(
        "--energy-table NAME|FILE.toml",
        "Energy per operation: 45nm-fp32, 45nm-fp16, 45nm-int8, loihi, or a table of your own (see "
        "docs/energy-tables.md); repeatable.",
    ),
]
FirstName = Annotated[
    str | None, _option("--a NAME", "A contender of the run; may be omitted if the run has two contenders.")
]
SecondName = Annotated[str | None, _option("--b NAME", "The contender to compare it with; may be omitted likewise.")]
Against = Annotated[
    Path | None, _option("--against OTHER_RUN", "Take the second contender from this run, on the same test images.")
]
Margin = Annotated[
    float | None,
    _option(
        "--margin FRACTION",
        "Differences in accuracy within ± this count as equivalent. (Default: the run's equivalence_margin, 0.005)",
    ),
]

# bench
QuickBench = Annotated[
    bool,
    _option(
        "--quick",
        "Under a minute on two cores: few rounds, no scaling, nothing that must be compiled first; skips "
        "slower variants of peers.",
    ),
]
Workloads = Annotated[
    list[str] | None,
    _option(
        "--only WORKLOAD",
        "Only this training step (network, image side, encoding): snn-28-direct, snn-28-rate, snn-97-direct, "
        "snn-97-rate, conv-snn-28, cnn-28 or cnn-97; repeatable.",
    ),
]
Rounds = Annotated[
    int | None, _option("--rounds N", "Rounds, in each of which all take turns. (Default: 10; --quick: 2)")
]
Threads = Annotated[int | None, _option("--threads N", "Threads to compute with. (Default: PyTorch's)")]
Scaling = Annotated[
    bool | None,
    _option(
        "--scaling/--no-scaling", "Time and memory against steps, batch, width and threads. (Default: unless --quick)"
    ),
]
BenchOut = Annotated[
    Path | None, _option("--out FILE.json", "Write the measurements to this file, again after each workload.", OUTPUT)
]
