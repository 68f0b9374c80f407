"""Trained networks (prediction, streams, a look inside) and their safetensors files, opened without
running code.
"""

import json
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import safetensors
import torch
from msgspec import Meta
from safetensors.torch import load_file, save
from torch import Tensor, nn

from spikeduel.engine import ConstantInput, as_sequence
from spikeduel.engine.encoders import OF_RECORDINGS, Encoder, analogue, encoder_of
from spikeduel.engine.networks import shipped
from spikeduel.engine.networks.building import build, num_parameters, outlined
from spikeduel.engine.networks.cards import ModelCard
from spikeduel.engine.networks.foreign import ExternalNetwork, kind_of
from spikeduel.engine.neurons import LIF, IntegerIF, Neuron, ReLU, State, carried_state
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.engine.readouts import LogitReadout, Readout, SpikingReadout
from spikeduel.inputs.preprocessing import Binning, Events, Preprocessing
from spikeduel.system import files, registry, typed
from spikeduel.system.errors import InputError, unknown, visible
from spikeduel.system.hardware import Compute
from spikeduel.system.registry import Precision
from spikeduel.system.typed import Frozen

MAX_IMAGES, MAX_VALUES = 256, 2**28
"""Most images computed at once, and numbers in their largest layer over all time steps (1 GiB)."""
CHANNELS_LAST_ON = {"cpu", "cuda", "meta"}
"""Device types of channels-last networks."""


@dataclass(frozen=True, eq=False)
class Trace:
    """Inner signals of a spiking network, as `Model.trace` returns them.

    All tensors are float32 on the CPU.

    Parameters
    ----------
    encoded : Tensor, shape [T, B, C, H, W]
        Input of the network.
    current, spk, mem : dict of Tensor, shape [T, B, ...]
        Currents, spikes and membranes, by name of the layer of neurons.

    Examples
    --------
    >>> model = load_model("mnist-vgg-lif")
    >>> trace = model.trace(np.zeros((1, 1, 28, 28), np.uint8))
    >>> trace.encoded.shape
    torch.Size([4, 1, 1, 28, 28])
    """

    encoded: Tensor
    current: dict[str, Tensor] = field(default_factory=dict)
    spk: dict[str, Tensor] = field(default_factory=dict)
    mem: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class StreamState:
    """State of a network between two time steps of a stream, as `Model.step` returns it.

    Parameters
    ----------
    neurons : dict
        States of neurons, by layer name.
    total : Tensor, shape [..., B, K], optional
        Sum of the outputs so far.
    num_steps : int
        Number of time steps so far.

    Examples
    --------
    >>> model = load_model("mnist-vgg-lif")
    >>> state = None
    >>> for frame in model.frames(np.zeros((1, 28, 28), np.uint8)):
    ...     scores, state = model.step(frame, state)
    >>> state.num_steps
    4
    """

    neurons: dict[str, State] = field(default_factory=dict)
    total: Tensor | None = None
    num_steps: int = 0


class Model:
    """A trained network with its card: it predicts, streams and shows its inside.

    Inputs are prepared images, uint8 `[N, C, H, W]`, as `model.card.preprocessing` makes them.

    Parameters
    ----------
    module : Module
        Network.
    card : ModelCard
        Description of the network and its images.
    precision : {"32", "bf16"}
        Number format of computations.
    file : Path, optional
        File that the model was read from.

    Examples
    --------
    >>> model = load_model("mnist-vgg-lif")
    >>> labels, probabilities = model.predict(np.zeros((5, 28, 28), np.uint8))
    >>> labels.shape, probabilities.shape
    ((5,), (5, 10))
    """

    def __init__(
        self,
        module: nn.Module,
        card: ModelCard,
        precision: Precision = "32",
        file: Path | None = None,
    ) -> None:
        self.module, self.card, self.precision, self.file = module, card, precision, file
        # Convolutions are faster channels-last. Foreign networks may call view(), which fails then;
        # Apple's GPUs give batch norm wrong gradients (pytorch/pytorch#175189).
        kinds = {weights.device.type for weights in module.parameters()}
        if card.foreign is None and kinds <= CHANNELS_LAST_ON:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __repr__(self) -> str:
        card, binning = self.card, self.card.preprocessing.binning
        facts = {
            "kind": card.kind,
            "encoding": card.encoding,
            "time steps": card.num_steps,
            "frames": binning and binning.num_frames,
            "image": "×".join(map(str, card.image_shape)),
            "parameters": f"{num_parameters(self.module):,}",
            "classes": len(card.classes),
            "trained on": card.dataset,
            "file": self.file,
        }
        listed = ", ".join(f"{name} {value}" for name, value in facts.items() if value)
        return f"<Model {visible(f'{card.title}: {listed}')}>"

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    @property
    def readout(self) -> Readout:
        return getattr(self.module, "readout", LogitReadout())

    @property
    def images_at_once(self) -> int:
        largest = getattr(self.module, "largest", 1) * (self.card.num_steps or 1)
        return max(1, min(MAX_IMAGES, MAX_VALUES // largest))

    @property
    def encoder(self) -> Encoder | None:
        if self.card.encoding is None:
            return None
        return OF_RECORDINGS if self.card.preprocessing.binning else encoder_of(self.card.encoding)

    def encode(self, images: Tensor, keys: RandomKeys) -> Tensor | ConstantInput:
        """Return the network's input for images uint8 `[B, C, H, W]`: float `[B, C, H, W]`, or, if
        it spikes, `[T, B, C, H, W]` or a `ConstantInput`.
        """
        encoder, num_steps = self.encoder, self.card.num_steps
        with self.autocast():
            if encoder is not None and num_steps is not None:
                return encoder(images, num_steps, keys)
            return images.float() if self.card.preprocessing.binning else analogue(images)

    def run(self, x: Tensor | ConstantInput) -> Any:
        with self.autocast():
            return self.module(x)

    def autocast(self) -> AbstractContextManager[Any]:
        return Compute(self.device.type, self.precision).autocast()

    @torch.inference_mode()
    def predict(
        self,
        images: Tensor | np.ndarray,
        keys: RandomKeys | None = None,
        batch_size: int | None = None,
        calibrated: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict the classes of prepared images.

        Parameters
        ----------
        images : Tensor or ndarray of uint8, shape [N, C, H, W] or [N, H, W]
            Prepared images.
        keys : RandomKeys, optional
            Keys of random encodings. Default: keys that follow from the pixels.
        batch_size : int, optional
            Images at a time. Default: as many as fit into about 1 GiB.
        calibrated : bool
            Whether probabilities are calibrated by the card's temperature.

        Returns
        -------
        labels : ndarray of int64, shape [N]
            Class indices.
        probabilities : ndarray of float32, shape [N, K]
            Probabilities of the K classes.

        Raises
        ------
        InputError
            If the images have another shape or type.
        """
        scores = self.scores(images, keys, batch_size)
        return scores.argmax(1).numpy(), self.probabilities(scores, calibrated).numpy()

    @torch.inference_mode()
    def scores(
        self,
        images: Tensor | np.ndarray,
        keys: RandomKeys | None = None,
        batch_size: int | None = None,
    ) -> Tensor:
        """Return the scores of `predict`, float32 `[N, K]`. Raises `InputError`."""
        prepared = self._checked(images)
        keys = keys or RandomKeys.for_content(prepared)
        self.module.eval()
        scores = [torch.empty(0, len(self.card.classes))]
        for start in range(0, len(prepared), at_once := batch_size or self.images_at_once):
            part = slice(start, start + at_once)
            x = self.encode(prepared[part].to(self.device), RandomKeys(keys.values[part]))
            scores.append(self.readout.scores(self.run(x)).cpu())
        return torch.cat(scores)

    @torch.inference_mode()
    def predict_with_early_exit(
        self, image: Tensor | np.ndarray, threshold: float, calibrated: bool = True
    ) -> tuple[np.ndarray, int]:
        """Predict the class of one image with as few time steps as needed.

        Parameters
        ----------
        image : Tensor or ndarray of uint8, shape [C, H, W]
            Prepared image.
        threshold : float
            Calibrated probability of the predicted class at which the network stops.
        calibrated : bool
            Whether the returned probabilities are calibrated. The threshold always is.

        Returns
        -------
        probabilities : ndarray of float64, shape [K]
            Probabilities of the K classes.
        num_steps : int
            Time steps that were computed: all if the threshold was never reached.

        Raises
        ------
        InputError
            If the model cannot stream.
        """
        state = StreamState()
        for frame in self.frames(image[None]):
            on_device, state = self.step(frame, state)
            scores = on_device[0].cpu().double()
            if float(self.confidence(scores, state.num_steps)) >= threshold:
                break
        return self.probabilities(scores, calibrated, state.num_steps).numpy(), state.num_steps

    def probabilities(
        self, scores: Tensor, calibrated: bool = True, num_steps: int | Tensor | None = None
    ) -> Tensor:
        """Return the softmax of `scores` `[…, K]`, at the card's temperature if `calibrated`.

        `num_steps`: time steps that the scores are of, one number or `[…]` (None: all). The
        temperature was fitted after all steps; where scores are counts, it grows with the steps as
        they do.
        """
        temperature: float | Tensor | None = self.card.temperature if calibrated else None
        if temperature is None:
            return scores.softmax(-1)
        if num_steps is not None and getattr(self.readout, "grows", False):
            steps = torch.as_tensor(num_steps, dtype=scores.dtype, device=scores.device)
            temperature = temperature * steps[..., None] / (self.card.num_steps or 1)
        return (scores / temperature).softmax(-1)

    def confidence(self, scores: Tensor, num_steps: int | Tensor | None = None) -> Tensor:
        """Return the highest calibrated probability by `scores` `[…, K]`, float64 `[…]`: what
        thresholds of early exits are compared with.

        Four digits, so that batches of other sizes give the same.
        """
        shares = self.probabilities(scores.double(), num_steps=num_steps)
        return shares.amax(-1).round(decimals=4)

    def frames(
        self, images: Tensor | np.ndarray, keys: RandomKeys | None = None
    ) -> Iterator[Tensor]:
        """Yield T inputs float `[B, C, H, W]` for prepared images. Raises `InputError`."""
        prepared = self._checked(images).to(self.device)
        self._require_steps()
        keys = keys or RandomKeys.for_content(prepared)
        yield from as_sequence(self.encode(prepared, keys)).unbind(0)

    @torch.inference_mode()
    def step(self, frame: Tensor, state: StreamState | None = None) -> tuple[Tensor, StreamState]:
        """Take a time step with `frame` float32 `[B, C, H, W]`; return the scores so far `[B, K]`
        and the next state.

        An image's last scores are those of `predict`. Raises `InputError`.
        """
        self._require_steps(
            "it cannot stream, since spikeduel can neither take out its state nor put it back"
        )
        readout = self.readout
        if not isinstance(readout, SpikingReadout):
            raise InputError(
                f"{self.card.contender} gives its scores for all time steps at once: it cannot "
                f"stream."
            )
        if not frame.is_floating_point() or tuple(frame.shape[1:]) != self.card.input_shape:
            hint = "model.frames(images) makes the frames of prepared images."
            raise self._wrong(frame, "frames, float32 [B", self.card.input_shape, hint)
        before = state or StreamState()
        self.module.eval()
        with carried_state(self.module, before.neurons) as after:
            now = readout.accumulate(self.run(frame.to(self.device).unsqueeze(0)))
        total = now if before.total is None else before.total + now
        num_steps = before.num_steps + 1
        return readout.scores_of(total, num_steps), StreamState(after, total, num_steps)

    @torch.no_grad()
    def trace(self, images: Tensor | np.ndarray, keys: RandomKeys | None = None) -> Trace:
        """Return the inside of each layer of neurons. Raises `InputError` without spikes and for
        foreign networks.
        """
        self._require_steps("spikeduel cannot look into its layers")
        prepared = self._checked(images).to(self.device)
        x = self.encode(prepared, keys or RandomKeys.for_content(prepared))
        with neurons_watched(self.module.eval(), with_mem=True) as seen:
            self.run(x)
        current, spk, mem = (
            {name: as_sequence(parts[i]).float().cpu() for name, parts in seen.items()}
            for i in range(3)
        )
        return Trace(as_sequence(x).float().cpu(), current, spk, mem)

    def _require_steps(self, cannot_if_foreign: str | None = None) -> None:
        if self.card.encoding is None:
            raise InputError(
                f"{self.card.contender} does not spike: it has no time steps to look at."
            )
        if self.card.foreign is not None and cannot_if_foreign:
            raise InputError(
                f"{self.card.contender} was not made of spikeduel's neurons: {cannot_if_foreign}."
            )

    def _checked(self, images: Tensor | np.ndarray) -> Tensor:
        try:
            prepared = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
        except (TypeError, ValueError):
            prepared = torch.empty(0)
        if prepared.ndim == 3:
            prepared = prepared.unsqueeze(1)
        if prepared.dtype != torch.uint8 or tuple(prepared.shape[1:]) != self.card.image_shape:
            hint = "Use model.card.preprocessing(sd.data.open_picture(file)) on each file."
            raise self._wrong(prepared, "prepared images, uint8 [N", self.card.image_shape, hint)
        return prepared

    def _wrong(self, tensor: Tensor, wanted: str, shape: tuple[int, ...], hint: str) -> InputError:
        got = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
        return InputError(
            f"{self.card.contender} takes {wanted}, {', '.join(map(str, shape))}]; got {got}. "
            f"{hint}"
        )


class WithoutSpikes(Model):
    """A spiking model that computes with ReLU for its neurons, once, on its mean input over time.

    The network's weights and neurons stay as they are.
    """

    @cached_property
    def places(self) -> list[tuple[nn.Module, str, Neuron]]:
        return neuron_places(self.module)

    def encode(self, images: Tensor, keys: RandomKeys) -> Tensor:
        """Return the mean input float `[1, B, C, H, W]` for images uint8 `[B, C, H, W]`."""
        return as_sequence(super().encode(images, keys)).mean(0, keepdim=True)

    def run(self, x: Tensor | ConstantInput) -> Any:
        for parent, name, _ in self.places:
            setattr(parent, name, ReLU())
        try:
            return super().run(x)
        finally:
            for parent, name, neuron in self.places:
                setattr(parent, name, neuron)


def computed_once(model: Model) -> Model:
    """Let `IntegerIF` neurons of a model on constant inputs send numbers in one step in place of
    spikes; return a model with the same predictions, which is a CNN with T + 1 levels of
    activations. Other models are returned as they are.
    """
    layers = [layer for layer in model.module.modules() if isinstance(layer, IntegerIF)]
    if not layers or model.card.encoding != "direct":
        return model
    for layer in layers:
        layer.levels = model.card.num_steps
    return Model(model.module, replace(model.card, num_steps=1), model.precision, model.file)


def neuron_places(module: nn.Module) -> list[tuple[nn.Module, str, Neuron]]:
    """Return the neurons that ReLU can replace, each with its parent module and its name there;
    none of a network of another library. `IntegerIF` learns without spikes as it is.
    """
    if isinstance(module, ExternalNetwork):
        return []
    return [
        (parent, name, layer)
        for parent in module.modules()
        for name, layer in parent.named_children()
        if isinstance(layer, Neuron)
        and type(layer) not in (ReLU, IntegerIF)
        and not (isinstance(layer, LIF) and layer.threshold == math.inf)
    ]


def by_name(models: Sequence[Model]) -> dict[str, Model]:
    """Return `models` by the shortest distinct names: contender, title, file, path, or number."""
    for names in (
        [model.card.contender for model in models],
        [model.card.title for model in models],
        [model.file.stem if model.file else "" for model in models],
        [str(model.file) for model in models],
        [f"{number}: {model.card.title}" for number, model in enumerate(models, 1)],
    ):
        if len(set(names)) == len(models):
            break
    return dict(zip(names, models, strict=True))


def alike(models: Sequence[Model]) -> dict[str, Model]:
    """Return `models` by name. Raises `InputError` unless all prepare images in the same way and
    know the same classes.
    """
    named, card = by_name(models), models[0].card
    first, *_ = named
    for name, model in named.items():
        if model.card.preprocessing != card.preprocessing:
            raise InputError(
                f"{name} prepares images in another way than {first}: they cannot take the same "
                "images. Name models of one run, or of one image size."
            )
        if model.card.classes != card.classes:
            raise InputError(
                f"{name} knows other classes than {first}: name models of one data set."
            )
    return named


@contextmanager
def neurons_watched(
    module: nn.Module, with_mem: bool = False
) -> Iterator[dict[str, tuple[Any, Tensor, Tensor]]]:
    """Collect `(current, spk, mem)` of each layer of neurons that runs within, by name."""
    seen: dict[str, tuple[Any, Tensor, Tensor]] = {}

    def note(
        name: str, neuron: nn.Module, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]
    ) -> None:
        seen[name] = (inputs[0], *output)

    def ask(neuron: nn.Module, inputs: Any, settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return inputs, {**settings, "with_mem": True}

    neurons = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, Neuron)]
    with ExitStack() as hooks:
        for name, neuron in neurons:
            hooks.enter_context(neuron.register_forward_hook(partial(note, name)))
            if with_mem:
                hooks.enter_context(neuron.register_forward_pre_hook(ask, with_kwargs=True))
        yield seen


FORMAT = 1
"""Version of a model file's metadata."""
MAX_HEADER_BYTES = 8 << 20
"""Larger headers are refused: a few bytes can claim any size, which would be read into memory."""


def save_model(path: Path, model: Model) -> None:
    """Write a model to a safetensors file, atomically.

    Parameters
    ----------
    path : Path
        File to write.
    model : Model
        Model, on any device.

    Returns
    -------
    None

    Examples
    --------
    >>> import spikeduel as sd
    >>> sd.save_model("copy.safetensors", sd.load_model("mnist-vgg-lif"))
    """
    card = json.dumps({"format": FORMAT, **typed.plain(model.card)})
    weights = {name: x.cpu().contiguous() for name, x in model.module.state_dict().items()}
    # Python's errors name what is wrong with the disk.
    with files.atomic_path(Path(path)) as temporary:
        temporary.write_bytes(save(weights, {"spikeduel": card}))


def load_model(
    path: Path | str,
    device: str | torch.device = "cpu",
    own_code: Collection[str] = (),
    precision: str = "32",
) -> Model:
    """Load a model from a file, or one that comes with the package.

    Parameters
    ----------
    path : Path or str
        A .safetensors file from a run's models/, or a name that `spikeduel models` lists.
    device : str or torch.device
        Device of the network.
    own_code : collection of str
        Names `module:attribute` of your own code that may run. No other code of the file runs.
    precision : {"32", "bf16"}
        Number format of computations. bf16 is faster on some hardware. It changes up to a few
        labels in a hundred of a spiking network.

    Returns
    -------
    Model
        The model, in evaluation mode.

    Raises
    ------
    InputError
        If the file is missing, damaged, or needs code that `own_code` does not list.

    Examples
    --------
    >>> import spikeduel as sd
    >>> sd.load_model("mnist-vgg-lif").card.num_steps
    4
    """
    path = shipped.located(Path(path))
    if precision not in get_args(Precision):
        raise unknown("precision", precision, get_args(Precision))
    if files.is_folder(path):
        raise InputError(
            f"{path}: a folder; a run's models are the .safetensors files in its models/."
        )
    if not files.is_file(path):
        raise InputError(
            f"{path}: no such model file. Each run has its models in its folder models/; "
            f"`spikeduel models` lists those that come with the package.{shipped.hint(path)}"
        )
    try:
        with path.open("rb") as file:
            # The first eight bytes are the header's size.
            size = int.from_bytes(file.read(8), "little")
        if size > MAX_HEADER_BYTES:
            raise InputError(
                f"not a model file of spikeduel, or a damaged one: it claims a header of {size:,} "
                "bytes. Opening it could run code: give the .safetensors file from a run's models/."
            )
        with safetensors.safe_open(path, "pt") as opened:
            card = _card((opened.metadata() or {}).get("spikeduel"))
            shapes = {name: opened.get_slice(name).get_shape() for name in opened.keys()}  # noqa: SIM118
        _require_fitting(card, shapes, own_code)
        weights = load_file(path)
        with torch.random.fork_rng():
            module = build(card).to(device)
        _require_usable(module, weights, card)
        module.load_state_dict(weights)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(
            f"{path}: not a model file of spikeduel, or a damaged one ({error})."
        ) from None
    # Wrong settings raise in torch, or in the user's code.
    except Exception as error:
        raise InputError(
            f"{path}: no model can be built from it ({type(error).__name__}: {error})."
        ) from None
    return Model(module.eval(), card, precision, path)  # type: ignore[arg-type]


def _require_fitting(
    card: ModelCard, shapes: dict[str, list[int]], own_code: Collection[str]
) -> None:
    """Raise `InputError` for code that may not run, another kind, or weights of other shapes."""
    named = (card.network.get("neuron"), card.network.get("surrogate"), card.encoding)
    for name in (card.contender, *named):
        if name is not None and registry.is_own_code(name) and name not in own_code:
            raise InputError(
                f"this model needs the code {visible(name)}, which is not spikeduel's. If you "
                f"trust it, add --own-code {visible(name)} (in Python: own_code=[…])."
            )
    module = outlined(card)
    if kind_of(module) != card.kind:
        raise InputError(
            f"its card says {card.kind}, and {card.contender} is of kind {kind_of(module)}."
        )
    if shapes != {name: list(value.shape) for name, value in module.state_dict().items()}:
        raise InputError(f"its weights do not fit {card.contender}. Was it written by other code?")


def _require_usable(module: nn.Module, weights: dict[str, Tensor], card: ModelCard) -> None:
    """Raise `InputError` for weights of another type, or that are not numbers."""
    trained = dict(module.named_parameters())
    for name, built in module.state_dict().items():
        stored = weights[name]
        if stored.dtype != built.dtype:
            dtype, wanted = (str(tensor.dtype).removeprefix("torch.") for tensor in (stored, built))
            raise InputError(f"its weights {name} are {dtype}, and {card.contender} has {wanted}.")
        # Untrained entries, such as a mask, may be infinite.
        if not bool(stored.isfinite().all() if name in trained else ~stored.isnan().any()):
            raise InputError(
                f"its weights {name} are not all numbers (NaN or infinite): train it again."
            )


class _Network(Frozen):
    neuron: str | None = None
    surrogate: str | None = None


class _TrainedOn(Frozen):
    fingerprint: str
    limit: Annotated[int, Meta(ge=0)] | None


class _Dicts(Frozen):
    network: _Network
    trained_on: _TrainedOn | None


def _card(text: str | None) -> ModelCard:
    """Return the card in a file's metadata. Raises `InputError` for one that cannot be right."""
    if text is None:
        raise InputError(
            "not a model file of spikeduel: its weights are there, but nothing says what they are."
        )
    try:
        content = typed.parse_json(text, dict[str, Any])
        if content.get("format") != FORMAT:
            raise InputError(
                "written by another version of spikeduel: train it again, or use that version."
            )
        typed.converted({**content, "trained_on": content.get("trained_on") or None}, _Dicts)
        card = typed.converted(content, ModelCard)
        how = Preprocessing.from_dict(content["preprocessing"])  # refuses impossible preprocessing
        if card.foreign is not None and not registry.is_own_code(card.contender):
            raise InputError(
                f"it calls {visible(card.contender)} foreign, which is spikeduel's own."
            )
        if card.image_shape != how.shape:
            raise InputError(
                f"it takes images {list(card.image_shape)}, and its preprocessing makes others."
            )
        if len(card.classes) < 2 or len(set(card.classes)) < len(card.classes):
            raise InputError("it names fewer than two classes, or one twice.")
        is_spiking = card.kind == "snn"
        if (card.encoding is not None, card.num_steps is not None) != (is_spiking, is_spiking):
            raise InputError(
                "a spiking network has an encoding and a number of steps, and no other has."
            )
        if card.encoding is not None and ":" not in card.encoding and how.binning is None:
            encoder_of(card.encoding)
    except InputError as error:
        raise InputError(f"what it says about itself is wrong: {error}") from None
    return card


@dataclass(frozen=True, eq=False)
class StreamPrediction:
    """Prediction after a frame: `milliseconds` and `events` since the beginning, `probabilities`
    float32 `[K]`.
    """

    milliseconds: float
    events: int
    probabilities: np.ndarray


def predict_recording(
    model: Model, packed: np.ndarray, calibrated: bool = True
) -> Iterator[StreamPrediction]:
    """Predict the class of a recording after each of its frames.

    Parameters
    ----------
    model : Model
        Spiking model that was trained on recordings.
    packed : ndarray, shape [N]
        Events of the recording, as `Events.packed` returns them.
    calibrated : bool
        Whether probabilities are calibrated.

    Yields
    ------
    StreamPrediction
        Time in milliseconds, number of events, and probabilities so far. The last one equals
        `Model.predict`.

    Raises
    ------
    InputError
        If the model takes images.

    Examples
    --------
    >>> import spikeduel as sd
    >>> next(sd.predict_recording(sd.load_model("mnist-vgg-lif"), np.empty(0)))
    Traceback (most recent call last):
        ...
    spikeduel.system.errors.InputError: vgg-lif takes images, and no events of a camera.
    """
    binning = _binning(model)
    recording = packed, np.array([0, len(packed)]), np.array([0])
    ends, counts = binning.received(*recording)
    state = None
    frames = model.frames(binning.frames(*recording))
    for frame, end, count in zip(frames, ends[0], counts[0], strict=True):
        scores, state = model.step(frame, state)
        probabilities = model.probabilities(scores[0], calibrated, state.num_steps).cpu().numpy()
        yield StreamPrediction(end / 1e3, int(count), probabilities)


def predict_stream(
    model: Model, chunks: Iterable[Events], calibrated: bool = True
) -> Iterator[StreamPrediction]:
    """Predict the class of a stream of events after each frame.

    A frame ends when a later event arrives, or the stream ends. After as many frames as in
    training, the model starts anew.

    Parameters
    ----------
    model : Model
        Spiking model that was trained on recordings with `bin_ms`.
    chunks : iterable of Events
        Events in order of time.
    calibrated : bool
        Whether probabilities are calibrated.

    Yields
    ------
    StreamPrediction
        Time in milliseconds, number of events, and probabilities so far.

    Raises
    ------
    InputError
        If the model cannot stream, or time runs backwards.

    Examples
    --------
    >>> import spikeduel as sd
    >>> next(sd.predict_stream(sd.load_model("mnist-vgg-lif"), []))
    Traceback (most recent call last):
        ...
    spikeduel.system.errors.InputError: vgg-lif takes images, and no events of a camera.
    """
    binning = _binning(model)
    if not (frame_us := binning.frame_us):
        raise InputError(
            f"{model.card.contender} was trained on frames that are a part of each recording's "
            f"length, which a stream does not have. Train with --bin-ms."
        )
    whole = replace(binning, num_frames=1, frame_us=None)
    state, seen = StreamState(), 0
    for x, y, t, p in _frames_of_stream(chunks, frame_us):
        frames = np.zeros((1, *whole.shape), np.uint8)
        if len(t):
            packed = Events(x, y, t, p, binning.sensor).packed()
            frames = whole.frames(packed, np.array([0, len(packed)]), np.array([0]))
        scores, state = model.step(torch.from_numpy(frames).float(), state)
        seen += len(t)
        probabilities = model.probabilities(scores[0], calibrated, state.num_steps).cpu().numpy()
        yield StreamPrediction(state.num_steps * frame_us / 1e3, seen, probabilities)
        if state.num_steps == model.card.num_steps:
            state, seen = StreamState(), 0


def _frames_of_stream(chunks: Iterable[Events], frame_us: int) -> Iterator[np.ndarray]:
    """Yield the events of each frame, int64 `[4, N]`: x, y, t, p."""
    waiting, end = np.empty((4, 0), np.int64), None
    for events in chunks:
        waiting = np.hstack([waiting, np.stack([events.x, events.y, events.t, events.p])])
        times = waiting[2]
        if (backwards := np.diff(times) < 0).any():
            row = int(backwards.argmax())
            raise InputError(
                f"time runs backwards, from {times[row]:,} to {times[row + 1]:,} µs; a "
                'line is "t x y p"'
            )
        while waiting.size:
            end = int(waiting[2, 0]) + frame_us if end is None else end
            if waiting[2, -1] < end:
                break
            count = int(np.searchsorted(waiting[2], end))
            yield waiting[:, :count]
            waiting, end = waiting[:, count:], end + frame_us
    if waiting.size:
        yield waiting


def _binning(model: Model) -> Binning:
    if (binning := model.card.preprocessing.binning) is None:
        raise InputError(f"{model.card.contender} takes images, and no events of a camera.")
    return binning
