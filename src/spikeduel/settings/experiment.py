"""What defines an experiment: frozen, typed, read from and written to TOML, hashed."""

import hashlib
import json
import math
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import tomli_w

from spikeduel.system import files
from spikeduel.system.errors import InputError, unknown
from spikeduel.system.visible import visible

NUMERICS_VERSION = 2
"""Raised by hand when the same settings would give other numbers; part of every trial's key."""

MOST_BYTES = 1 << 20
"""Larger experiment files are refused."""
LONGEST = 4096
"""Characters of a setting that is text."""
EPOCHS, FEWEST_STEPS = 10, 400
"""How long is trained where `epochs` is unset: so many epochs, and on a small set so many steps."""


def _setting(default: Any, help: str, **rules: Any) -> Any:
    return field(default=default, metadata={"help": help, **rules})


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A whole comparison: data, contenders, training. Every field can be set by `--set name=value`.

    Names are checked by `spikeduel.compare`, before anything runs; values here. Raises `InputError`.
    """

    dataset: str = _setting("fashion-mnist-mini", "a data set's name, or a folder of images")
    recipe: str = _setting("twins", "the named experiment that this one started from")
    contenders: tuple[str, ...] = _setting(("conv-lif", "conv-relu"), "architectures, by name or module:function")
    family: tuple[str, ...] = _setting(
        (), "what one's own networks are, where their layers do not show it: module:name=snn or module:name=cnn"
    )
    seeds: int = _setting(1, "number of seeds: 0 … N−1", at_least=1, at_most=10_000)
    controls: bool = _setting(False, "set each spiking contender against controls that need no spikes: true or false")

    convert: bool = _setting(False, "convert trained ReLU contenders to spiking networks too: true or false")
    conversion_steps: int = _setting(32, "time steps of a converted network", at_least=1, at_most=100_000)
    conversion_percentile: float = _setting(
        99.9,
        "per cent of a layer's activations that a converted network's spikes can tell apart",
        above=0.0,
        at_most=100.0,
    )

    equivalence_margin: float = _setting(
        0.005, "differences in accuracy inside ± this fraction count as none: equivalent", at_least=0.0, at_most=1.0
    )

    encoding: str = _setting("direct", "how a spiking contender sees an image: direct, rate or latency")
    num_steps: int = _setting(4, "time steps T of a spiking contender", at_least=1, at_most=100_000, tunable="snn")
    neuron: str = _setting(
        "lif", "the spiking contenders' neuron: lif, if, plif, alif; without spikes: relu, quantised-relu"
    )
    beta: float = _setting(0.95, "membrane decay per step", at_least=0.0, at_most=1.0, tunable="snn")
    threshold: float = _setting(1.0, "membrane potential above which a neuron spikes", above=0.0, tunable="snn")
    reset_mechanism: str = _setting(
        "subtract", "what a spike does to the membrane", choices=("subtract", "zero", "none")
    )
    surrogate: str = _setting(
        "atan", "gradient of the spike: atan, fast_sigmoid, sigmoid, triangular or straight_through_estimator"
    )
    surrogate_alpha: float | None = _setting(
        None, "width of the surrogate; unset: its customary value", above=0.0, tunable="snn"
    )
    hidden: int = _setting(256, "width of the hidden layers", at_least=1, at_most=1_000_000)
    pooling: str = _setting("max", "how the matched convolutional twins pool: max or avg", choices=("max", "avg"))

    adaptation_decay: float = _setting(
        0.9,
        "neuron alif: what is left after a step of the level that spikes raised",
        at_least=0.0,
        at_most=1.0,
        tunable="snn",
    )
    adaptation_gain: float = _setting(
        0.1, "neuron alif: how far a spike raises the level for the next", at_least=0.0, tunable="snn"
    )
    activation_bits: int = _setting(3, "neuron quantised-relu: bits of its activations", at_least=1, at_most=16)

    epochs: int | None = _setting(
        None,
        f"at most this many epochs; unset: {EPOCHS}, or on a small set as many as {FEWEST_STEPS} training steps take",
        at_least=1,
        at_most=1_000_000,
    )
    batch_size: int = _setting(128, "images a training step", at_least=1, at_most=1_000_000)
    chunk_steps: int | None = _setting(
        None, "less memory, more time: keep this many time steps for the backward pass, redo the others", at_least=1
    )
    augmentation: str = _setting(
        "none", "what training does to every contender's images: none, shift, flip or shift-flip"
    )
    learning_rate: float = _setting(1e-3, "Adam's learning rate", above=0.0, tunable="any")
    patience: int | None = _setting(
        None, "stop after this many epochs without min_delta of improvement; unset: train to the end", at_least=1
    )
    min_delta: float = _setting(0.0, "improvement of the validation loss that counts", at_least=0.0)

    split: str = _setting("default", "how images are split where there is a choice", choices=("default", "published"))
    folds: int | None = _setting(
        None, "test every image once: train with each of this many parts as the test set in turn", at_least=2
    )
    split_seed: int = _setting(
        0, "seed of the split and of --limit, common to all trials", at_least=0, at_most=2**32 - 1
    )
    limit: int | None = _setting(None, "use only this many training and validation images in all", at_least=2)
    data_dir: str | None = _setting(None, "folder (or zip) with files that one already has")
    group_by: str | None = _setting(
        None,
        "what a split of a folder must not cut: an expression on an image's path, or a CSV of path and group",
    )
    image_size: int | None = _setting(
        None, "side of the prepared images, for data with no size of its own", at_least=4, at_most=4096
    )
    alterations: tuple[str, ...] = _setting(
        ("Easy",), "SOCOFing's altered images to use", each=("Easy", "Medium", "Hard")
    )
    near: float = _setting(
        0.33, "audit: near duplicates are nearer than this share of the usual distance", above=0.0, at_most=1.0
    )

    robustness: bool = _setting(
        False, "measure accuracy on worse images too: seven corruptions, and SOCOFing's Medium and Hard if present"
    )

    device: str = _setting("auto", "where to compute", choices=("auto", "cpu", "cuda"))
    precision: str = _setting(
        "auto", "32, bf16 or auto: bf16 where the hardware has it", choices=("auto", "32", "bf16")
    )

    per_contender: dict[str, dict[str, Any]] | None = field(
        default=None,
        hash=False,
        metadata={"help": "what single contenders have instead of the common settings; `tune` finds and writes it"},
    )

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, list):
                value = tuple(value)
                object.__setattr__(self, f.name, value)
            if isinstance(value, int) and abs(value) >= 2**63:
                raise InputError(f"{f.name} is a number beyond all reason: it has more than 18 digits.")
            if isinstance(value, int) and not isinstance(value, bool) and f.type in (float, float | None):
                value = float(value)
                object.__setattr__(self, f.name, value)
            _check(f.name, value, f.type, f.metadata)
        if not self.contenders:
            raise InputError("contenders is empty: name at least one.")
        if len(set(self.contenders)) < len(self.contenders):
            raise InputError(f"a contender is named twice: {', '.join(self.contenders)}.")
        if self.family:
            object.__setattr__(self, "family", tuple(self._family_of_one(text) for text in self.family))
        if self.per_contender is not None:
            object.__setattr__(self, "per_contender", self._own_settings(self.per_contender) or None)

    def for_contender(self, contender: str) -> "Experiment":
        """The experiment as `contender` runs it: its own settings in the place of the common ones."""
        own = (self.per_contender or {}).get(contender, {})
        return replace(self, per_contender=None, **own)

    def num_epochs(self, num_train: int) -> int:
        """At most how many epochs are trained on `num_train` images."""
        return self.epochs or max(EPOCHS, math.ceil(FEWEST_STEPS / math.ceil(num_train / self.batch_size)))

    def given_family(self, contender: str) -> str | None:
        """ "snn" or "cnn" where `family` says so of `contender`, else None."""
        return dict(text.rsplit("=", 1) for text in self.family).get(contender)

    def _family_of_one(self, text: str) -> str:
        contender, _, family = text.rpartition("=")
        own = [name for name in self.contenders if ":" in name]
        if not contender and len(own) == 1:
            contender = own[0]
        if family not in ("snn", "cnn") or not contender:
            raise InputError(
                f"family: '{text}' must be CONTENDER=snn or CONTENDER=cnn, for a network of your own among the "
                f"contenders ({', '.join(own) or 'there is none'})."
            )
        return f"{contender}={family}"

    def _own_settings(self, given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        checked = {}
        for contender, settings in given.items():
            if contender not in self.contenders:
                raise InputError(
                    f"per_contender: '{contender}' is not among the contenders ({', '.join(self.contenders)}). Name it "
                    "there, or take its settings out."
                )
            if not isinstance(settings, dict):
                raise InputError(f"per_contender: {contender} must have a table of settings, not {settings!r}.")
            for name in settings:
                if name not in TUNABLE:
                    raise unknown(f"setting of a single contender ({contender})", name, TUNABLE)
            try:
                own = replace(self, per_contender=None, **settings)
            except InputError as error:
                raise InputError(f"per_contender: {contender}: {error}") from None
            checked[contender] = {name: getattr(own, name) for name in settings if settings[name] is not None}
        return {contender: settings for contender, settings in checked.items() if settings}

    @property
    def own_code(self) -> tuple[str, ...]:
        """The `module:attribute` names among its settings: the user's own code. (A data set may be `C:\\images`.)"""
        named = (*self.contenders, self.encoding, self.neuron, self.augmentation)
        if not files.is_folder(self.dataset):
            named = (*named, self.dataset)
        return tuple(name for name in named if ":" in name)


TUNABLE: dict[str, str] = {f.name: f.metadata["tunable"] for f in fields(Experiment) if "tunable" in f.metadata}
"""The settings that a contender may have to itself, and whose: those of "any" contender, or of a spiking one ("snn").

All others are common to all contenders, or the duel would not be fair.
"""


def _check(name: str, value: Any, kind: Any, rules: Mapping[str, Any]) -> None:
    if not _is_of(value, kind):
        raise InputError(f"{name} must be {_describe(kind)}, not {_shown(value)}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name} must be a finite number, not {value}.")
    if value is None:
        return
    if "choices" in rules and value not in rules["choices"]:
        raise unknown(name, value, rules["choices"])
    if "each" in rules and (bad := [v for v in value if v not in rules["each"]]):
        raise unknown(name, bad[0], rules["each"])
    if "at_least" in rules and value < rules["at_least"]:
        raise InputError(f"{name} must be at least {rules['at_least']}, not {value}.")
    if "above" in rules and not value > rules["above"]:
        raise InputError(f"{name} must be greater than {rules['above']:g}, not {value}.")
    if "at_most" in rules and value > rules["at_most"]:
        raise InputError(f"{name} must be at most {rules['at_most']:,}, not {value:,}.")
    for text in value if isinstance(value, tuple) else (value,):
        if isinstance(text, str) and (len(text) > LONGEST or not _can_be_written(text)):
            raise InputError(
                f"{name} must be text of at most {LONGEST:,} characters, without control characters and bytes that are "
                f"not UTF-8, not '{visible(text[:60])}'. Rename what is called so."
            )


def _shown(value: Any) -> str:
    try:
        text = visible(repr(value))
    except ValueError:  # Python does not write out numbers of thousands of digits
        return "something with a number beyond all reason"
    return text if len(text) <= 80 else f"{text[:80]}…"


def _can_be_written(text: str) -> bool:
    """Whether TOML, JSON and HTML can say `text` again, and a path may be called so."""
    return not any(c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in text)


def _is_of(value: Any, kind: Any) -> bool:
    if isinstance(kind, types.UnionType):
        return any(_is_of(value, k) for k in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_is_of(v, typing.get_args(kind)[0]) for v in value)
    if typing.get_origin(kind) is dict:
        return isinstance(value, dict)
    return isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool)


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", types.NoneType: "unset"}


def _describe(kind: Any) -> str:
    if isinstance(kind, types.UnionType):
        return " or ".join(_describe(k) for k in typing.get_args(kind))
    if typing.get_origin(kind) is dict:
        return "a table of settings by contender"
    return "a list of text" if typing.get_origin(kind) is tuple else _WORDS[kind]


def with_settings(experiment: Experiment, assignments: Mapping[str, str]) -> Experiment:
    """`experiment` with settings given as text, as `--set name=value` gives them. Raises `InputError`."""
    kinds = {f.name: f.type for f in fields(Experiment)}
    changes = {}
    for name, text in assignments.items():
        if name not in kinds:
            raise unknown("setting", name, kinds)
        changes[name] = _parse(name, text, kinds[name])
    return replace(experiment, **changes)


def _parse(name: str, text: str, kind: Any) -> Any:
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if types.NoneType in options and text.lower() in ("", "none"):
        return None
    if typing.get_origin(kind) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if any(typing.get_origin(option) is dict for option in options):
        raise InputError(f"{name} cannot be set by --set: write it into a file for --experiment, as `tune` does.")
    for convert in options:
        if convert is types.NoneType:
            continue
        if convert is bool:
            if text.lower() in ("true", "false"):
                return text.lower() == "true"
            continue
        try:
            return convert(text)
        except ValueError:
            continue
    raise InputError(f"{name} must be {_describe(kind)}, not '{text}'.")


def read_experiment(path: Path) -> Experiment:
    """The experiment in a TOML file, as `compare --out` writes it. Raises `InputError` naming file and setting.

    Reading runs nothing. Comparing runs the code that `own_code` lists: look at that of a file from someone else first.
    """
    text = files.read_bytes(path, MOST_BYTES)
    try:
        content = tomllib.loads(text.decode("utf-8"))
    except RecursionError:
        raise InputError(f"{path}: not a TOML file that can be read (nested too deeply).") from None
    except ValueError as error:
        raise InputError(f"{path}: not a TOML file ({error}).") from None
    known = {f.name for f in fields(Experiment)}
    for name in content:
        if name not in known:
            raise unknown(f"setting in {path}", name, known)
    try:
        return Experiment(**content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def write_experiment(path: Path, experiment: Experiment) -> None:
    """Writes `experiment` as TOML; what is unset is left out."""
    content = {name: value for name, value in asdict(experiment).items() if value is not None}
    files.write_text(path, tomli_w.dumps(content))


def digest(value: Any) -> str:
    """A hash of any JSON-like `value`, the same on every machine: 64 hex digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
