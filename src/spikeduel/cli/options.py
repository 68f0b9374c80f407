"""The options that commands share, and how they become an experiment."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikeduel.system.errors import InputError, unknown

if TYPE_CHECKING:
    from spikeduel.settings import Experiment

DATASET_HELP = "A name from `spikeduel data list`, or a folder of images with one sub-folder a class."

DataDir = Annotated[
    str | None,
    typer.Option(
        "--data-dir",
        metavar="PATH",
        help="Files you already have: idx files (gzipped or not) of an MNIST-like set, or SOCOFing's folder or zip.",
        rich_help_panel="Data",
    ),
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        "--image-size",
        metavar="N",
        help="Side of the prepared images. (Default for a folder: 64, or less if all images are smaller)",
        rich_help_panel="Data",
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="default|published",
        help="`published` redoes the study's random split of SOCOFing over files, leakage included.",
        rich_help_panel="Data",
    ),
]
Folds = Annotated[
    int | None,
    typer.Option(
        "--folds",
        metavar="K",
        help="Test every image once: train K times, each time with another K-th of the images as the test set. For "
        "data without a test set of its own whose tenth would be too small for a test.",
        rich_help_panel="Data",
    ),
]
GroupBy = Annotated[
    str | None,
    typer.Option(
        "--group-by",
        metavar="REGEX|FILE.csv",
        help="For a folder: which images belong together and must not lie on two sides of the split, such as those of "
        "one person. A regular expression whose one pair of parentheses captures the group in an image's path, "
        r"as in '(\\d+)_\\d+\\.png'; or a CSV file with the columns path and group.",
        rich_help_panel="Data",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        help="Use only N images for training and validation; the test set stays whole.",
        rich_help_panel="Data",
    ),
]
Near = Annotated[
    float | None,
    typer.Option(
        "--near",
        metavar="SHARE",
        help="Near duplicates are images nearer than this share of the usual distance. (Default: 0.33)",
        rich_help_panel="Data",
    ),
]
Contenders = Annotated[
    list[str] | None,
    typer.Option(
        "--contender",
        metavar="NAME",
        help="Which networks to compare: an architecture's name or module:function; repeatable. "
        "Each brings the settings of its recipe, unless they are given. (Default: the recipe's; of twins conv-lif and "
        "conv-relu)",
        rich_help_panel="Duel",
    ),
]
Family = Annotated[
    list[str] | None,
    typer.Option(
        "--family",
        metavar="[NAME=]snn|cnn",
        help="What a network of your own is, where its layers do not show it; with its NAME where there are several; "
        "repeatable.",
        rich_help_panel="Duel",
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        metavar="direct|rate|latency",
        help="How a spiking contender sees an image: the same grey values at every step (direct), random spikes "
        "(rate), or one spike a pixel, the earlier the brighter (latency). (Recipe baseline: rate, else direct)",
        rich_help_panel="Duel",
    ),
]
NumSteps = Annotated[
    int | None,
    typer.Option(
        "--num-steps",
        metavar="T",
        help="Time steps of a spiking contender. (Recipe baseline: 25, else 4)",
        rich_help_panel="Duel",
    ),
]
FirstName = Annotated[
    str | None, typer.Option("--a", metavar="NAME", help="A contender of the run. (Default: where there is no choice)")
]
SecondName = Annotated[
    str | None, typer.Option("--b", metavar="NAME", help="The contender to set it against. (Default: likewise)")
]
Against = Annotated[
    Path | None,
    typer.Option(
        "--against", metavar="OTHER_RUN", help="Take the second contender from this run, on the same test images."
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(
        "--margin",
        metavar="FRACTION",
        help="Differences in accuracy inside ± this count as none. (Default: the run's equivalence_margin, 0.005)",
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        "--seeds", metavar="N", help="Train every contender with seeds 0 to N−1. (Default: 1)", rich_help_panel="Duel"
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        "--epochs",
        metavar="N",
        help="At most N epochs. (Recipe twins: 10, or on a small set as many as 400 training steps take, and 3 on the "
        "embedded set; baseline: 20, and 4 on the embedded set; matched: 10)",
        rich_help_panel="Duel",
    ),
]
Controls = Annotated[
    bool | None,
    typer.Option(
        "--controls/--no-controls",
        help="Show what spiking buys: each spiking contender beside its ReLU twin, a quantised twin, itself with one "
        "time step and with its spikes shuffled in time, and a nearest neighbour. Trains three more networks for each.",
        rich_help_panel="Duel",
    ),
]
Convert = Annotated[
    bool | None,
    typer.Option(
        "--convert/--no-convert",
        help="Add each trained ReLU network of the matched shapes, with integrate-and-fire neurons for its ReLU and "
        "its own weights, as one more contender. Trains nothing. (Steps: --set conversion_steps=32)",
        rich_help_panel="Duel",
    ),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="twins|baseline|matched",
        help="The named experiment to start from: a convolutional network with spiking neurons and with ReLU and the "
        "same weights (twins), the study's two networks (baseline), or a dense and a convolutional shape, each with "
        "both (matched). (Default: that of the contenders named, else twins)",
        rich_help_panel="Duel",
    ),
]
ExperimentFile = Annotated[
    Path | None,
    typer.Option(
        "--experiment",
        metavar="FILE.toml",
        help="Start from the settings of an earlier run instead of a recipe; every run writes its experiment.toml. "
        "Code of one's own that it names is run only where --own-code, or another option, names it too.",
        rich_help_panel="Duel",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="key=value",
        help="Any setting, such as learning_rate=1e-3 or reset_mechanism=zero; repeatable. See `spikeduel settings`.",
        rich_help_panel="Duel",
    ),
]
Tune = Annotated[
    int | None,
    typer.Option(
        "--tune",
        metavar="N",
        help="First give every contender N trials of its own settings, judged on validation images only, and compare "
        "them at the best. Needs: pip install 'spikeduel[tune]'",
        rich_help_panel="Duel",
    ),
]
Trials = Annotated[
    int,
    typer.Option("--trials", metavar="N", help="Trials of each contender, the first at the given settings."),
]
Ranges = Annotated[
    Path | None,
    typer.Option(
        "--ranges",
        metavar="FILE.toml",
        help="What to tune, instead of learning rate, threshold, beta, surrogate width and steps: a table for each "
        "setting, such as [learning_rate] with low, high and log = true, or [num_steps] with choices.",
        rich_help_panel="Duel",
    ),
]
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="auto|cpu|cuda", help="Where to compute.", rich_help_panel="Machine"),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="auto|32|bf16",
        help="Of matrix products and convolutions; auto is bf16 where the hardware has it.",
        rich_help_panel="Machine",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="The run's folder: report.html, results.json, models/, figures/. (Default: runs/DATASET-RECIPE-…)",
        rich_help_panel="Output",
    ),
]
TuningOut = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="The run's folder: experiment.toml, tuning.json, tuning.html. (Default: runs/DATASET-RECIPE-…-tuning)",
        rich_help_panel="Output",
    ),
]
StoreDir = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="DIR",
        help="Where trained trials are kept and found again. (Default: $SPIKEDUEL_STORE, or runs/store)",
        rich_help_panel="Output",
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON document and nothing else on standard output.",
        rich_help_panel="Output",
    ),
]
Robustness = Annotated[
    bool | None,
    typer.Option(
        "--robustness",
        help="Test on worse images too: noise, blur, contrast, occlusion, rotation, translation and JPEG at five "
        "severities, and SOCOFing's Medium and Hard alterations where they are present. Every model is asked about the "
        "whole test set 35 times more: as long as 40 plain evaluations, which are slowest with rate encoding.",
        rich_help_panel="Duel",
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Train nothing, and exit with 1, where the audit of the data finds what would invalidate a result.",
        rich_help_panel="Data",
    ),
]
AuditOut = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Write audit.html here, with the pairs of pictures side by side, and audit.json.",
        rich_help_panel="Output",
    ),
]
EnergyTables = Annotated[
    list[str] | None,
    typer.Option(
        "--energy-table",
        metavar="NAME|FILE.toml",
        help="What operations cost: 45nm-fp32, 45nm-fp16, 45nm-int8, loihi, or a table of your own "
        "(its form: docs/energy-tables.md); repeatable.",
    ),
]
OwnCode = Annotated[
    list[str] | None,
    typer.Option(
        "--own-code",
        metavar="module:attribute",
        help="Your own architecture, neuron or encoder that the model needs and that may be run; repeatable.",
    ),
]
ExperimentsOwnCode = Annotated[
    list[str] | None,
    typer.Option(
        "--own-code",
        metavar="module:attribute",
        help="Code that the file of --experiment names and that may be run; repeatable.",
        rich_help_panel="Duel",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.", rich_help_panel="Output")]
QuickBench = Annotated[
    bool,
    typer.Option(
        "--quick",
        help="Under a minute on two cores: few rounds, no scaling, nothing that has to be compiled first, and no peer "
        "in a form that it has a faster one for.",
    ),
]
Workloads = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="WORKLOAD",
        help="Only this training step (network, image side, encoding): snn-28-direct, snn-28-rate, snn-97-direct, "
        "snn-97-rate, conv-snn-28, cnn-28 or cnn-97; repeatable.",
    ),
]
Rounds = Annotated[
    int | None,
    typer.Option("--rounds", metavar="N", help="How often each has its turn. (Default: 10, with --quick 2)"),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", metavar="N", help="Threads to compute with. (Default: PyTorch's)"),
]
Scaling = Annotated[
    bool | None,
    typer.Option(
        "--scaling/--no-scaling",
        help="Time and memory against steps, batch, width and threads. (Default: unless --quick)",
    ),
]
OutFile = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE.json",
        help="Keep the measurements here, written anew after each workload.",
        rich_help_panel="Output",
    ),
]
ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="A .safetensors file from a run's models/ folder.")]
ExportTo = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="onnx|onnx-step|nir",
        help="onnx: all time steps in one graph; onnx-step: one step, its state going in and out, for streams and "
        "small devices; nir: for neuromorphic tools, where NIR can say what the network does.",
    ),
]
ExportFile = Annotated[
    Path, typer.Option("--out", metavar="FILE", help="The file to write; FILE.check.json goes beside.")
]
Weights = Annotated[
    str,
    typer.Option(
        "--weights",
        metavar="float32|int8",
        help="int8: a quarter of the size, for the ONNX formats; what it costs in accuracy is measured.",
    ),
]
CheckedImages = Annotated[
    int,
    typer.Option("--images", metavar="N", min=1, help="Test images to check the file on; all where there are fewer."),
]
CheckedDataset = Annotated[
    str | None,
    typer.Option(
        "--dataset", metavar="DATASET", help="Whose test images to check on. (Default: what the model was trained on)"
    ),
]
ImportedDataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="DATASET",
        help="What it was trained on, for the names of the classes and how images are prepared. (Default: what "
        "spikeduel wrote into the file; else classes are numbered, and images grey and of the size of its input)",
    ),
]
ImportedFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="A NIR graph, or the study's network as a state_dict of snnTorch.")
]
ImportOut = Annotated[Path, typer.Option("--out", metavar="MODEL.safetensors", help="The model file to write.")]
ImportEncoding = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        metavar="direct|rate|latency",
        help="How the network is to see an image. (Default: what the file says, else direct)",
    ),
]
ImportSteps = Annotated[
    int | None,
    typer.Option("--num-steps", metavar="T", help="Its time steps. (Default: what the file says, else 25)"),
]
StepSeconds = Annotated[
    float | None,
    typer.Option("--dt", metavar="SECONDS", help="NIR: what a step lasts. (Default: what the file says, else 0.0001)"),
]
Dataset = Annotated[str, typer.Argument(metavar="DATASET", help=DATASET_HELP)]
OptionalDataset = Annotated[
    str | None,
    typer.Argument(metavar="DATASET", help=DATASET_HELP + " Left out: the embedded fashion-mnist-mini."),
]

_NAMES = (
    "family",
    "encoding",
    "num_steps",
    "seeds",
    "epochs",
    "controls",
    "convert",
    "limit",
    "split",
    "folds",
    "data_dir",
    "group_by",
    "image_size",
    "near",
    "device",
    "precision",
    "robustness",
)


def given_options(values: dict[str, Any]) -> dict[str, Any]:
    """Of a command's arguments, those that are settings of an experiment; None where not given."""
    return {name: values.get(name) for name in _NAMES}


def experiment_from(
    dataset: str | None,
    recipe: str | None,
    file: Path | None,
    given: dict[str, Any],
    assignments: list[str] | None,
    own_code: Collection[str] = (),
) -> "Experiment":
    """The experiment in `file`, or of `recipe` on `dataset`, changed by options and `--set`.

    Without a recipe, each contender brings the settings of its own (`recipes.for_contenders`).

    Raises `InputError`, also where `file` names code of one's own that neither `own_code` nor an option names: a file
    from someone else must not be enough to run code.
    """
    from spikeduel.settings import read_experiment, with_settings
    from spikeduel.settings.recipes import RECIPES, for_contenders

    pairs = {}
    for text in assignments or ():
        name, separator, value = text.partition("=")
        if not separator:
            raise InputError(f"--set {text}: write it as name=value.")
        pairs[name.strip()] = value.strip()
    changes = {name: value for name, value in given.items() if value is not None}
    on: dict[str, Any] = {"dataset": dataset} if dataset else {}
    if file is not None:
        experiment = replace(read_experiment(file), **on)
    elif recipe is None and (contenders := changes.get("contenders")):
        experiment = for_contenders(contenders, **on, given={*changes, *pairs})
    elif recipe is None or recipe in RECIPES:
        experiment = RECIPES[recipe or next(iter(RECIPES))](**on)
    else:
        raise unknown("recipe", recipe, RECIPES)
    in_file = experiment.own_code if file is not None else ()
    named = {*own_code, dataset, *(changes.get("contenders") or ()), changes.get("encoding"), *pairs.values()}
    changed = with_settings(replace(experiment, **changes), pairs)
    if unnamed := [name for name in in_file if name in changed.own_code and name not in named]:
        added = " ".join(f"--own-code {name}" for name in unnamed)
        raise InputError(f"{file}: runs the code {', '.join(unnamed)}. If you trust it, add {added}")
    return changed
