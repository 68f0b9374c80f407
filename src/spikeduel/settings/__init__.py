"""What defines an experiment: each setting's type, limits, meaning and option in one place; and
experiments as text.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from msgspec import Meta

from spikeduel.networks.binning import Change
from spikeduel.settings.fields import (
    Count,
    DeclaredFamily,
    Device,
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
    setting_of,
    without_epochs,
)
from spikeduel.system import files
from spikeduel.system.errors import InputError, naming, unknown
from spikeduel.system.registry import FAMILIES, Family, is_own_code

NUMERICS_VERSION = 6
"""Raised by hand when the same settings would give other numbers; part of every trial's key."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A whole comparison: data, contenders, training. Every field can be set by `--set name=value`.

    A field's type says all there is about a setting: its values, its meaning, its option. Raises
    `InputError` for a value that is not allowed. Names are checked by `spikeduel.compare`, before
    anything runs.
    """

    dataset: Annotated[
        Text,
        about(
            "A data set's name, a folder with one sub-folder a class, or a CSV of file and label "
            "(and group, and split).",
            "`spikeduel data list` shows the names. Also WebDataset's shards, and hf:owner/name.",
            metavar="DATASET",
        ),
    ] = "fashion-mnist-mini"
    recipe: Annotated[
        Text,
        duel(
            "The named experiment to start from.",
            "strong: a convolutional network as good as the time allows, with spiking neurons and "
            "with ReLU, and the same weights, and a residual one without spikes. events: for "
            "recordings of event cameras. baseline: the study's two networks. matched: a small "
            "dense and a small convolutional shape, each with both.",
            metavar="strong|events|baseline|matched",
            default="that of the contenders named, else strong",
        ),
    ] = "strong"
    contenders: Annotated[
        tuple[Text, ...],
        duel(
            "The networks to train, by name; torchvision:NAME, timm:NAME, or module:function.",
            "With spikes: vgg-lif, conv-lif, dense-lif, dense-snn. Without: vgg-relu, "
            "resnet-silu, conv-relu, dense-relu, small-cnn; of recordings also vgg-sum, vgg-gru. "
            "Repeatable. Those of torchvision and timm get a new head and are fine-tuned "
            "(--pretrained). Each brings the settings of its recipe, unless they are given.",
            metavar="NAME",
            option="--contender",
            default="those of the recipe; of strong vgg-lif, vgg-relu, resnet-silu",
        ),
    ] = ("vgg-lif", "vgg-relu", "resnet-silu")
    family: Annotated[
        tuple[DeclaredFamily, ...],
        duel(
            "Declare your own network spiking (snn) or not (cnn, ann), if that cannot be detected.",
            "NAME= may be omitted if the contenders include one such network. Repeatable.",
            metavar=f"[NAME=]{'|'.join(FAMILIES)}",
        ),
    ] = ()
    pretrained: Annotated[
        Literal["auto", "yes", "no"],
        duel(
            "Whether torchvision's and timm's networks start from pretrained weights. auto: if "
            "they can be had.",
            "They are fetched as the library does. Started from them, a network sees images of "
            "the size that it was pretrained with: --image-size 224 prepares them so large. "
            "Without, it sees them as they are prepared.",
        ),
    ] = "auto"
    seeds: Annotated[
        int, Meta(ge=1, le=10_000), duel("Train every contender with seeds 0 to N−1.", metavar="N")
    ] = 1
    controls: Annotated[
        bool,
        duel(
            "Compare contenders with controls: on images what spiking adds, on recordings what "
            "time adds.",
            "Of a spiking one: its ReLU twin, a quantised twin, one time step, spikes shuffled in "
            "time; a nearest neighbour; trains three. On recordings, of all: without time, "
            "shuffled, reversed; trains two for each.",
        ),
    ] = False

    convert: Annotated[
        bool,
        duel(
            "Convert each trained ReLU contender to a spiking network, as one more contender.",
            "Also your own and residual ones: torch.fx follows them. Integrate-and-fire neurons "
            "replace ReLU; the weights stay. Trains nothing. What cannot be converted is named. "
            "(Steps: --set conversion_steps=32)",
        ),
    ] = False
    conversion_steps: Annotated[Steps, about("Time steps of a converted network.")] = 32
    conversion_percentile: Annotated[
        float,
        Meta(gt=0.0, le=100.0),
        about(
            "Percentile of a ReLU layer's activations that a converted network's spikes can "
            "represent.",
        ),
    ] = 99.9

    equivalence_margin: Annotated[
        Fraction,
        about(
            "Differences in accuracy within ± this fraction count as equivalent.",
        ),
    ] = 0.005

    encoding: Annotated[
        Text,
        duel(
            "How a spiking contender sees an image: direct, rate or latency. Recordings are seen "
            "as they are.",
            "direct: the same grey values at every step; rate: random spikes; latency: one spike "
            "a pixel, the earlier the brighter.",
            metavar="direct|rate|latency",
        ),
    ] = "direct"
    num_steps: Annotated[
        Steps, duel("Time steps of a spiking contender.", metavar="T", tunable="snn")
    ] = 4
    neuron: Annotated[
        Text,
        about(
            "Neuron of the spiking contenders: lif, if, plif, alif; without spikes: relu, "
            "quantised-relu.",
        ),
    ] = "lif"
    beta: Annotated[Fraction, about("Membrane decay per step.", tunable="snn")] = 0.5
    threshold: Annotated[
        Positive, about("Membrane potential above which a neuron spikes.", tunable="snn")
    ] = 0.5
    reset_mechanism: Annotated[
        Literal["subtract", "zero", "none"],
        about(
            "What a spike does to the membrane.",
        ),
    ] = "subtract"
    surrogate: Annotated[
        Text,
        about(
            "Gradient of the spike: atan, fast_sigmoid, sigmoid, triangular, "
            "straight_through_estimator.",
            "Or module:function.",
        ),
    ] = "atan"
    surrogate_alpha: Annotated[
        Positive | None,
        about(
            "Width of the surrogate. Unset: its usual value.",
            tunable="snn",
        ),
    ] = None
    hidden: Annotated[Million, about("Width of the hidden linear layers.")] = 256
    width: Annotated[
        Count | None,
        about(
            "The strong networks: channels of the first convolution; deeper ones have more. "
            "Unset: 24, or by the minutes.",
        ),
    ] = None
    pooling: Annotated[
        Literal["max", "avg"],
        about(
            "How the convolutional networks pool: conv-lif, conv-relu, vgg-lif, vgg-relu.",
        ),
    ] = "max"
    readout: Annotated[
        Literal["mean", "membrane"],
        about(
            "How the output of dense-lif, conv-lif and vgg-lif becomes scores: its mean over the "
            "steps, or by membranes.",
            "membrane: of neurons that leak by beta and never spike, so that later steps count "
            "for more.",
        ),
    ] = "mean"
    dropout: Annotated[
        Fraction | None,
        about(
            "The strong networks: share of the last layer's inputs that training leaves out. "
            "Unset: by size of the set.",
        ),
    ] = None

    adaptation_decay: Annotated[
        Fraction,
        about(
            "Neuron alif: decay per step of the threshold's rise.",
            tunable="snn",
        ),
    ] = 0.9
    adaptation_gain: Annotated[
        NotNegative,
        about(
            "Neuron alif: how much a spike raises the threshold.",
            tunable="snn",
        ),
    ] = 0.1
    activation_bits: Annotated[
        int, Meta(ge=1, le=16), about("Neuron quantised-relu: bits of its activations.")
    ] = 3

    epochs: Annotated[
        Million | None,
        duel(
            "At most this many epochs, for all contenders. Unset: as many as `minutes` allow.",
            "On the embedded set, recipe baseline: 4.",
            metavar="N",
        ),
    ] = None
    minutes: Annotated[
        Positive | None,
        duel(
            "Minutes that all contenders train together, in each seed, fold or tuning trial. "
            "Unset: by size of the set.",
            "Some steps of each are timed first, and decide how many epochs each gets. It is said "
            "beforehand when it will be done. The numbers of epochs are kept: the same command "
            "trains once.",
            metavar="M",
        ),
    ] = None
    equal: Annotated[
        Literal["epochs", "time"],
        duel(
            "Within the minutes, give all contenders the same number of epochs, or the same time.",
            "Where epochs are given, all have these.",
        ),
    ] = "time"
    batch_size: Annotated[
        Million | None,
        about(
            "Images per training step. Unset: by the size of the set, as the report says.",
        ),
    ] = None
    chunk_steps: Annotated[
        Count | None,
        about(
            "Save memory: keep this many time steps for the backward pass, and recompute the "
            "others.",
        ),
    ] = None
    augmentation: Annotated[
        Text,
        about(
            "none, or shift, translate, affine, flip, cutout, mixup, joined by hyphens; auto: "
            "what suits the set.",
            "Of recordings also droptime, dropplace, droprandom, eventdrop (one of these or none) "
            "and jitter. For all contenders, on training images only. The report says what was "
            "chosen, and why.",
        ),
    ] = "auto"
    optimizer: Annotated[
        Literal["adam", "adamw", "muon"],
        about(
            "adam, as in the study; adamw, with decoupled weight decay; muon in hidden layers, "
            "adamw for the rest.",
        ),
    ] = "muon"
    learning_rate: Annotated[
        Positive, about("The optimizer's learning rate, at its highest.", tunable="any")
    ] = 0.01
    weight_decay: Annotated[
        NotNegative, about("Decoupled weight decay, of adamw and muon.", tunable="any")
    ] = 0.05
    schedule: Annotated[
        Literal["constant", "linear"],
        about(
            "Learning rate over the training: linear rises for the first fifth and falls to 0 at "
            "the end.",
        ),
    ] = "linear"
    label_smoothing: Annotated[
        Fraction, about("Share of a label that is spread over all classes in training.")
    ] = 0.1
    whitening: Annotated[
        bool,
        about(
            "Begin with a first convolution that whitens patches of the training images.",
        ),
    ] = False
    averaging: Annotated[
        Fraction,
        about(
            "Weight averaging: every 5 steps, weights go back to where they came from by this "
            "share. 0: off.",
        ),
    ] = 0.0
    start: Annotated[
        Literal["fresh", "twin"],
        about(
            "A spiking contender starts fresh, or at the trained weights of its twin, if that is "
            "a contender too.",
        ),
    ] = "twin"
    distillation: Annotated[
        Fraction,
        about(
            "Share of a spiking contender's targets that are its trained twin's answers; the rest "
            "are labels.",
        ),
    ] = 0.0
    first_steps: Annotated[
        tuple[Steps, ...],
        about(
            "Fewer time steps earlier in training: with 1,2 and num_steps 4 it is 1, 2 and 4, "
            "each for a third.",
        ),
    ] = ()
    first_surrogate_alpha: Annotated[
        Positive | None,
        about(
            "Width of the surrogate when training starts; it goes evenly to surrogate_alpha. "
            "Unset: that all along.",
        ),
    ] = None
    per_step_loss: Annotated[
        Fraction,
        about(
            "Share of the loss that is each time step's own; the rest is that of the answer after "
            "all steps.",
        ),
    ] = 0.0
    patience: Annotated[
        Count | None,
        about(
            "Stop after this many epochs without an improvement of min_delta. Unset: never stop "
            "early.",
        ),
    ] = None
    min_delta: Annotated[
        NotNegative, about("Smallest improvement of the validation loss that counts.")
    ] = 0.0

    split: Annotated[
        Literal["default", "published"],
        data(
            "How images are split. published: the study's random split of SOCOFing, leakage "
            "included.",
        ),
    ] = "default"
    folds: Annotated[
        TwoOrMore | None,
        data(
            "Cross-validation: train K times, each time with another K-th of the images as the "
            "test set.",
            "Tests every image once. For data without a test set of their own, of which a tenth "
            "would be too small.",
            metavar="K",
        ),
    ] = None
    split_seed: Annotated[
        int,
        Meta(ge=0, le=2**32 - 1),
        about(
            "Seed of the split and of --limit, common to all trials.",
        ),
    ] = 0
    limit: Annotated[
        TwoOrMore | None,
        data(
            "Use only N images for training and validation; the test set stays whole.",
            metavar="N",
        ),
    ] = None
    data_dir: Annotated[
        Text | None,
        data(
            "Folder or zip file with files that you already have.",
            "idx files (gzipped or not) of an MNIST-like set, or SOCOFing's folder or zip file.",
            metavar="PATH",
        ),
    ] = None
    group_by: Annotated[
        Text | None,
        data(
            "For a folder: which images belong together, and must stay on one side of the split.",
            "For example those of one person. A regular expression whose one pair of parentheses "
            "captures the group in "
            r"an image's path, as in '(\\d+)_\\d+\\.png'; or a CSV file with the columns path and "
            r"group.",
            metavar="REGEX|FILE.csv",
        ),
    ] = None
    image_size: Annotated[
        Annotated[int, Meta(ge=4, le=4096)] | None,
        data(
            "Side of the prepared images, for data that have no size of their own.",
            metavar="N",
            default="for a folder 64, or less if all images are smaller",
        ),
    ] = None
    bin_by: Annotated[
        Literal["time", "events"], data("Recordings: frames of equal time, or of equal events.")
    ] = "time"
    bin_ms: Annotated[
        Positive | None,
        data(
            "Recordings: milliseconds of a frame. What comes after num_steps frames is left out.",
            metavar="MS",
            default="the recording's length, divided by num_steps",
        ),
    ] = None
    first_ms: Annotated[
        NotNegative, about("Recordings: where to begin, in milliseconds from the first event.")
    ] = 0.0
    last_ms: Annotated[
        Positive | None, about("Recordings: where to end. Unset: at the last event.")
    ] = None
    binary_frames: Annotated[
        bool, about("Recordings: pixels are 1 where there are events, not counts.")
    ] = False
    recording_change: Annotated[
        Change,
        Meta(title="none or a change"),
        about(
            "Recordings: none, or time collapsed, reversed, shuffled or redrawn, or polarities "
            "merged.",
        ),
    ] = "none"
    alterations: Annotated[
        tuple[Literal["Easy", "Medium", "Hard"], ...], about("SOCOFing's alterations.")
    ] = ("Easy",)
    near_duplicate_ratio: Annotated[
        float,
        Meta(gt=0.0, le=1.0),
        data(
            "Audit: near-duplicates are images nearer than this share of the usual distance.",
            metavar="SHARE",
            option="--near",
        ),
    ] = 0.33

    robustness: Annotated[
        bool,
        duel(
            "Test on corrupted images too: seven corruptions at five severities.",
            "They are noise, blur, contrast, occlusion, rotation, translation and JPEG; and "
            "SOCOFing's Medium and Hard alterations, if they are present. Takes as long as 40 "
            "plain evaluations of each model, which are slowest with rate encoding.",
            option="--robustness",
        ),
    ] = False

    optimism: Annotated[
        bool,
        duel(
            "Also report what the best test accuracy over all epochs would have been, as many "
            "papers report it.",
            "Evaluates the test images after every epoch, into files that nothing reads before "
            "all choices are made. What the store holds without these files is trained again, to "
            "the same numbers.",
            option="--optimism",
        ),
    ] = False

    device: Device = "auto"
    precision: Annotated[
        Literal["auto", "32", "bf16"],
        machine(
            "Precision of training's matrix products and convolutions. auto: bf16 where the "
            "hardware has it, else 32.",
            "What is judged, and `predict`, are in float32 in any case.",
        ),
    ] = "auto"

    per_contender: Annotated[
        dict[str, dict[str, Any]] | None,
        Meta(
            title="a table of settings by contender, or unset",
        ),
        about(
            "Settings of single contenders in place of the common ones; `tune` finds and writes "
            "them.",
        ),
    ] = field(default=None, hash=False)

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            object.__setattr__(
                self, each.name, checked(each.name, getattr(self, each.name), each.type)
            )
        if not self.contenders:
            raise InputError("contenders is empty: name at least one.")
        if len(set(self.contenders)) < len(self.contenders):
            raise InputError(f"a contender is named twice: {', '.join(self.contenders)}.")
        object.__setattr__(
            self, "family", tuple(self._with_contender(text) for text in self.family)
        )
        if self.per_contender is not None:
            object.__setattr__(
                self, "per_contender", self._settings_by_contender(self.per_contender) or None
            )

    def for_contender(self, contender: str) -> "Experiment":
        """The experiment as `contender` runs it: its own settings in place of the common ones."""
        return replace(self, per_contender=None, **(self.per_contender or {}).get(contender, {}))

    @property
    def own_settings(self) -> dict[str, dict[str, Any]]:
        """What single contenders have in place of the common settings; epochs, which equal times
        decide, left out.
        """
        return without_epochs(self.per_contender or {})

    @property
    def num_epochs(self) -> int:
        """At most how many epochs are trained. Raises `InputError` before `minutes` have
        decided.
        """
        if self.epochs is None:
            raise InputError(
                "epochs: not decided yet. Give them, or let `spikeduel.compare` fit them to the "
                "minutes."
            )
        return self.epochs

    @property
    def images_a_step(self) -> int:
        """The batch size. Raises `InputError` before the size of the set has decided."""
        if self.batch_size is None:
            raise InputError(
                "batch_size: not decided yet. Give one, or let `spikeduel.compare` fit it to the "
                "set."
            )
        return self.batch_size

    def given_family(self, contender: str) -> Family | None:
        """What `family` declares of `contender`, None where it declares nothing."""
        given = dict(text.rsplit("=", 1) for text in self.family).get(contender)
        return next((family for family in FAMILIES if family == given), None)

    @property
    def own_code(self) -> tuple[str, ...]:
        """The `module:attribute` names among its settings: the user's own code. (A data set may be
        `C:\\images`.)
        """
        named = (*self.contenders, self.encoding, self.neuron, self.surrogate, self.augmentation)
        if not files.is_folder(self.dataset) and not files.is_file(self.dataset):
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

    def _settings_by_contender(
        self, given: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, dict[str, Any]]:
        """Those of `given` that are set, checked."""
        by_contender = {}
        for contender, settings in given.items():
            if contender not in self.contenders:
                known = ", ".join(self.contenders)
                raise InputError(
                    f"per_contender: '{contender}' is not among the contenders ({known}). Name it "
                    f"there."
                )
            for name in settings:
                if name not in TUNABLE and name != "epochs":  # which equal times decide
                    raise unknown(f"setting of a single contender ({contender})", name, TUNABLE)
            with naming(f"per_contender: {contender}"):
                changed = replace(self, per_contender=None, **settings)
            if kept := {
                name: getattr(changed, name)
                for name, value in settings.items()
                if value is not None
            }:
                by_contender[contender] = kept
        return by_contender


TUNABLE: dict[str, str] = {
    f.name: whose for f in dataclasses.fields(Experiment) if (whose := setting_of(f.type).tunable)
}
"""The settings that a contender may have to itself, and whose: those of "any" contender, or of a
spiking one ("snn").

All others are common to all contenders, or the duel would not be fair.
"""
