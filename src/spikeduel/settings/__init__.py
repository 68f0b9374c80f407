"""What defines an experiment: each setting's type, limits, meaning and option in one place; and experiments as text."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from msgspec import Meta

from spikeduel.settings.fields import (
    Count,
    DeclaredFamily,
    Fraction,
    Million,
    NotNegative,
    Positive,
    Steps,
    Text,
    TwoOrMore,
    about,
    checked,
    data,
    duel,
    machine,
    parsed,
    setting_of,
)
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError, naming, unknown
from spikeduel.system.registry import FAMILIES, Family, is_own_code

NUMERICS_VERSION = 3
"""Raised by hand when the same settings would give other numbers; part of every trial's key."""

EPOCHS, FEWEST_STEPS = 10, 400
"""How long is trained where `epochs` is unset: so many epochs, and on a small set so many steps."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A whole comparison: data, contenders, training. Every field can be set by `--set name=value`.

    A field's type says all there is about a setting: its values, its meaning, its option. Raises `InputError` for a
    value that is not allowed. Names are checked by `spikeduel.compare`, before anything runs.
    """

    # fmt: off
    dataset: Annotated[Text, about(
        "A data set's name, or a folder of images with one sub-folder a class.",
        "`spikeduel data list` shows the names.", metavar="DATASET",
    )] = "fashion-mnist-mini"
    recipe: Annotated[Text, duel(
        "The named experiment to start from.",
        "twins: a convolutional network with spiking neurons and with ReLU, and the same weights. baseline: the "
        "study's two networks. matched: a dense and a convolutional shape, each with both.",
        metavar="twins|baseline|matched", default="that of the contenders named, else twins",
    )] = "twins"
    contenders: Annotated[tuple[Text, ...], duel(
        "The networks to train: architectures by name, torchvision:NAME, timm:NAME, or module:function.",
        "Repeatable. Those of torchvision and timm get a new head and are fine-tuned (--pretrained). Each brings the "
        "settings of its recipe, unless they are given.", metavar="NAME",
        option="--contender", default="those of the recipe; of twins conv-lif and conv-relu",
    )] = ("conv-lif", "conv-relu")
    family: Annotated[tuple[DeclaredFamily, ...], duel(
        "Declare your own network spiking (snn) or not (cnn, ann), if that cannot be detected.",
        "NAME= may be omitted if the contenders include one such network. Repeatable.",
        metavar=f"[NAME=]{'|'.join(FAMILIES)}",
    )] = ()
    pretrained: Annotated[Literal["auto", "yes", "no"], duel(
        "Whether torchvision's and timm's networks start from pretrained weights. auto: if they can be had.",
        "They are fetched as the library does. Started from them, a network sees images of the size that it was "
        "pretrained with: --image-size 224 prepares them so large. Without, it sees them as they are prepared.",
    )] = "auto"
    seeds: Annotated[int, Meta(ge=1, le=10_000), duel("Train every contender with seeds 0 to N−1.", metavar="N")] = 1
    controls: Annotated[bool, duel(
        "Compare each spiking contender with controls, which show what spiking adds.",
        "They are its ReLU twin, a quantised twin, itself with one time step and with its spikes shuffled in time, "
        "and a nearest neighbour. Trains three more networks for each.",
    )] = False

    convert: Annotated[bool, duel(
        "Convert each trained ReLU contender to a spiking network, as one more contender.",
        "Also your own and residual ones: torch.fx follows them. Integrate-and-fire neurons replace ReLU; the weights "
        "stay. Trains nothing. What cannot be converted is named. (Steps: --set conversion_steps=32)",
    )] = False
    conversion_steps: Annotated[Steps, about("Time steps of a converted network.")] = 32
    conversion_percentile: Annotated[float, Meta(gt=0.0, le=100.0), about(
        "Percentile of a ReLU layer's activations that a converted network's spikes can represent.",
    )] = 99.9

    equivalence_margin: Annotated[Fraction, about(
        "Differences in accuracy within ± this fraction count as equivalent.",
    )] = 0.005

    encoding: Annotated[Text, duel(
        "How a spiking contender sees an image: direct, rate or latency.",
        "direct: the same grey values at every step; rate: random spikes; latency: one spike a pixel, the earlier "
        "the brighter.", metavar="direct|rate|latency",
    )] = "direct"
    num_steps: Annotated[Steps, duel("Time steps of a spiking contender.", metavar="T", tunable="snn")] = 4
    neuron: Annotated[Text, about(
        "Neuron of the spiking contenders: lif, if, plif, alif; without spikes: relu, quantised-relu.",
    )] = "lif"
    beta: Annotated[Fraction, about("Membrane decay per step.", tunable="snn")] = 0.95
    threshold: Annotated[Positive, about("Membrane potential above which a neuron spikes.", tunable="snn")] = 1.0
    reset_mechanism: Annotated[Literal["subtract", "zero", "none"], about(
        "What a spike does to the membrane.",
    )] = "subtract"
    surrogate: Annotated[Text, about(
        "Gradient of the spike: atan, fast_sigmoid, sigmoid, triangular, straight_through_estimator.",
        "Or module:function.",
    )] = "atan"
    surrogate_alpha: Annotated[Positive | None, about(
        "Width of the surrogate. Unset: its usual value.", tunable="snn",
    )] = None
    hidden: Annotated[Million, about("Width of the hidden layers.")] = 256
    pooling: Annotated[Literal["max", "avg"], about("How the matched convolutional networks pool.")] = "max"

    adaptation_decay: Annotated[Fraction, about(
        "Neuron alif: decay per step of the threshold's rise.", tunable="snn",
    )] = 0.9
    adaptation_gain: Annotated[NotNegative, about(
        "Neuron alif: how much a spike raises the threshold.", tunable="snn",
    )] = 0.1
    activation_bits: Annotated[int, Meta(ge=1, le=16), about("Neuron quantised-relu: bits of its activations.")] = 3

    epochs: Annotated[Million | None, duel(
        f"At most this many epochs. Unset: {EPOCHS}, or more on a small set, for {FEWEST_STEPS} training steps.",
        "On the embedded set: recipe twins 3, baseline 4.", metavar="N",
    )] = None
    batch_size: Annotated[Million, about("Images per training step.")] = 128
    chunk_steps: Annotated[Count | None, about(
        "Save memory: keep this many time steps for the backward pass, and recompute the others.",
    )] = None
    augmentation: Annotated[Text, about(
        "Augmentation of the training images, for all contenders: none, shift, flip or shift-flip.",
    )] = "none"
    learning_rate: Annotated[Positive, about("Adam's learning rate.", tunable="any")] = 1e-3
    patience: Annotated[Count | None, about(
        "Stop after this many epochs without an improvement of min_delta. Unset: never stop early.",
    )] = None
    min_delta: Annotated[NotNegative, about("Smallest improvement of the validation loss that counts.")] = 0.0

    split: Annotated[Literal["default", "published"], data(
        "How images are split. published: the study's random split of SOCOFing, leakage included.",
    )] = "default"
    folds: Annotated[TwoOrMore | None, data(
        "Cross-validation: train K times, each time with another K-th of the images as the test set.",
        "Tests every image once. For data without a test set of their own, of which a tenth would be too small.",
        metavar="K",
    )] = None
    split_seed: Annotated[int, Meta(ge=0, le=2**32 - 1), about(
        "Seed of the split and of --limit, common to all trials.",
    )] = 0
    limit: Annotated[TwoOrMore | None, data(
        "Use only N images for training and validation; the test set stays whole.", metavar="N",
    )] = None
    data_dir: Annotated[Text | None, data(
        "Folder or zip file with files that you already have.",
        "idx files (gzipped or not) of an MNIST-like set, or SOCOFing's folder or zip file.", metavar="PATH",
    )] = None
    group_by: Annotated[Text | None, data(
        "For a folder: which images belong together, and must stay on one side of the split.",
        "For example those of one person. A regular expression whose one pair of parentheses captures the group in "
        r"an image's path, as in '(\\d+)_\\d+\\.png'; or a CSV file with the columns path and group.",
        metavar="REGEX|FILE.csv",
    )] = None
    image_size: Annotated[Annotated[int, Meta(ge=4, le=4096)] | None, data(
        "Side of the prepared images, for data that have no size of their own.", metavar="N",
        default="for a folder 64, or less if all images are smaller",
    )] = None
    alterations: Annotated[tuple[Literal["Easy", "Medium", "Hard"], ...], about(
        "SOCOFing's altered images to use.",
    )] = ("Easy",)
    near_duplicate_ratio: Annotated[float, Meta(gt=0.0, le=1.0), data(
        "Audit: near-duplicates are images nearer than this share of the usual distance.", metavar="SHARE",
        option="--near",
    )] = 0.33

    robustness: Annotated[bool, duel(
        "Test on corrupted images too: seven corruptions at five severities.",
        "They are noise, blur, contrast, occlusion, rotation, translation and JPEG; and SOCOFing's Medium and Hard "
        "alterations, if they are present. Takes as long as 40 plain evaluations of each model, which are slowest "
        "with rate encoding.", option="--robustness",
    )] = False

    optimism: Annotated[bool, duel(
        "Also report what the best test accuracy over all epochs would have been, as many papers report it.",
        "Evaluates the test images after every epoch, into files that nothing reads before all choices are made. What "
        "the store holds without these files is trained again, to the same numbers.", option="--optimism",
    )] = False

    device: Annotated[Literal["auto", "cpu", "cuda"], machine("Where to compute.")] = "auto"
    precision: Annotated[Literal["auto", "32", "bf16"], machine(
        "Precision of training's matrix products and convolutions. auto: bf16 where the hardware has it, else 32.",
        "What is judged, and `predict`, are in float32 in any case.",
    )] = "auto"

    per_contender: Annotated[dict[str, dict[str, Any]] | None, Meta(
        title="a table of settings by contender, or unset",
    ), about(
        "Settings of single contenders in place of the common ones; `tune` finds and writes them.",
    )] = field(default=None, hash=False)
    # fmt: on

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            object.__setattr__(self, each.name, checked(each.name, getattr(self, each.name), each.type))
        if not self.contenders:
            raise InputError("contenders is empty: name at least one.")
        if len(set(self.contenders)) < len(self.contenders):
            raise InputError(f"a contender is named twice: {', '.join(self.contenders)}.")
        object.__setattr__(self, "family", tuple(self._with_contender(text) for text in self.family))
        if self.per_contender is not None:
            object.__setattr__(self, "per_contender", self._settings_by_contender(self.per_contender) or None)

    def for_contender(self, contender: str) -> "Experiment":
        """The experiment as `contender` runs it: its own settings in place of the common ones."""
        return replace(self, per_contender=None, **(self.per_contender or {}).get(contender, {}))

    def num_epochs(self, num_train: int) -> int:
        """At most how many epochs are trained on `num_train` images."""
        return self.epochs or max(EPOCHS, math.ceil(FEWEST_STEPS / math.ceil(num_train / self.batch_size)))

    def given_family(self, contender: str) -> Family | None:
        """What `family` declares of `contender`, None where it declares nothing."""
        given = dict(text.rsplit("=", 1) for text in self.family).get(contender)
        return next((family for family in FAMILIES if family == given), None)

    @property
    def own_code(self) -> tuple[str, ...]:
        """The `module:attribute` names among its settings: the user's own code. (A data set may be `C:\\images`.)"""
        named = (*self.contenders, self.encoding, self.neuron, self.surrogate, self.augmentation)
        if not files.is_folder(self.dataset):
            named = (*named, self.dataset)
        return tuple(filter(is_own_code, named))

    def _with_contender(self, text: str) -> str:
        contender, _, family = text.rpartition("=")
        candidates = list(filter(is_own_code, self.contenders))
        if not contender and len(candidates) != 1:
            raise InputError(
                f"family: '{text}' must be CONTENDER={'|'.join(FAMILIES)}, for a network of "
                f"your own among the contenders ({', '.join(candidates) or 'there is none'})."
            )
        return f"{contender or candidates[0]}={family}"

    def _settings_by_contender(self, given: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Those of `given` that are set, checked."""
        by_contender = {}
        for contender, settings in given.items():
            if contender not in self.contenders:
                known = ", ".join(self.contenders)
                raise InputError(f"per_contender: '{contender}' is not among the contenders ({known}). Name it there.")
            for name in settings:
                if name not in TUNABLE:
                    raise unknown(f"setting of a single contender ({contender})", name, TUNABLE)
            with naming(f"per_contender: {contender}"):
                changed = replace(self, per_contender=None, **settings)
            if kept := {name: getattr(changed, name) for name, value in settings.items() if value is not None}:
                by_contender[contender] = kept
        return by_contender


TUNABLE: dict[str, str] = {
    f.name: whose for f in dataclasses.fields(Experiment) if (whose := setting_of(f.type).tunable)
}
"""The settings that a contender may have to itself, and whose: those of "any" contender, or of a spiking one ("snn").

All others are common to all contenders, or the duel would not be fair.
"""

RENAMED = {"near": "near_duplicate_ratio"}
"""Settings by the names that earlier versions gave them; files and `--set` may still use these."""


def with_settings(experiment: Experiment, assignments: Mapping[str, str]) -> Experiment:
    """`experiment` with settings given as text, as `--set name=value` gives them. Raises `InputError`."""
    kinds = {f.name: f.type for f in dataclasses.fields(Experiment)}
    given = _by_present_names(assignments, "setting")
    return replace(experiment, **{name: parsed(name, text, kinds[name]) for name, text in given.items()})


def read_experiment(path: Path) -> Experiment:
    """The experiment in a TOML file, as `compare --out` writes it. Raises `InputError` naming file and setting.

    Reading runs nothing. Comparing runs the code that `own_code` lists: look at that of a file from someone else first.
    """
    content = typed.read_toml(path, dict[str, Any])
    settings = _by_present_names(content, f"setting in {path}")
    with naming(path):
        return Experiment(**settings)


def write_experiment(path: Path, experiment: Experiment) -> None:
    """Writes `experiment` as TOML; what is unset is left out."""
    content = {name: value for name, value in asdict(experiment).items() if value is not None}
    files.write_text(path, tomli_w.dumps(content))


def digest(value: Any) -> str:
    """A hash of any JSON-like `value`, the same on every machine: 64 hex digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _by_present_names(given: Mapping[str, Any], what: str) -> dict[str, Any]:
    present = {RENAMED.get(name, name): value for name, value in given.items()}
    known = {f.name for f in dataclasses.fields(Experiment)}
    for name in present:
        if name not in known:
            raise unknown(what, name, known)
    return present
