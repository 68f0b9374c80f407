"""Trained networks as people use them: saved, loaded, asked for labels, looked into."""

import inspect
import json
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from spikeduel import files, registry
from spikeduel.architectures import ARCHITECTURES
from spikeduel.constant import Constant
from spikeduel.data.prepared import Preprocessing
from spikeduel.draws import Draw
from spikeduel.encoders import ENCODERS, STEPWISE, analogue
from spikeduel.errors import InputError
from spikeduel.hardware import Compute, has_bf16
from spikeduel.neurons import NEURONS, Neuron, State, carried
from spikeduel.readouts import Logits, Readout, SpikingReadout

FORMAT = 1
"""Version of the metadata in a model file."""


@dataclass(frozen=True)
class ModelCard:
    """What a model is and how it wants its images: the metadata of a model file.

    `network` holds what its architecture was built with: `hidden`, and for a spiking one `neuron` and its settings.
    `encoding` and `num_steps` are None for a network that takes the analogue image. `precision` is the one that it was
    trained and tested in ("32" or "bf16"). `trained_on` identifies the data
    (`fingerprint`) and its split (`split`, `split_seed`, `limit`), so that it is never tested on what it has seen.
    """

    contender: str
    family: str
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    network: dict[str, Any]
    encoding: str | None = None
    num_steps: int | None = None
    precision: str = "32"
    seed: int = 0
    dataset: str = ""
    trained_on: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trace:
    """What happened inside a spiking network, step by step.

    `encoded` `[T, B, C, H, W]` is its input; `current`, `spk` and `mem` map each layer of neurons to
    `[T, B, …]`. All are float32, on the CPU.
    """

    encoded: Tensor
    current: dict[str, Tensor] = field(default_factory=dict)
    spk: dict[str, Tensor] = field(default_factory=dict)
    mem: dict[str, Tensor] = field(default_factory=dict)

    @property
    def output_layer(self) -> str:
        """The name of the last layer of neurons."""
        return list(self.spk)[-1]


@dataclass(frozen=True)
class StreamState:
    """Where a stream is: each layer's neurons, what the readout summed up `[…, B, K]`, the steps taken so far."""

    neurons: dict[str, State] = field(default_factory=dict)
    total: Tensor | None = None
    num_steps: int = 0


class Model:
    """A network and its card. It computes in `precision`: the card's, unless set otherwise."""

    def __init__(self, module: nn.Module, card: ModelCard) -> None:
        # Convolutions are faster, and neurons do not mind.
        self.module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.card = card
        self.precision = card.precision

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return next(self.module.parameters()).device

    @property
    def readout(self) -> Readout:
        """What turns the network's output into a loss and scores; plain modules return logits."""
        return getattr(self.module, "readout", Logits())

    def encode(self, images: Tensor, draw: Draw, window: range | None = None) -> Tensor | Constant:
        """What the network takes, for prepared images uint8 `[B, C, H, W]`; of a spiking one's time steps, `window`."""
        with self.autocast():
            return self._encode(images, draw, window)

    def _encode(self, images: Tensor, draw: Draw, window: range | None) -> Tensor | Constant:
        if self.card.encoding is None or self.card.num_steps is None:
            return analogue(images)
        encoder = registry.resolve("encoding", self.card.encoding, ENCODERS)
        if window is None:
            return encoder(images, self.card.num_steps, draw)
        if self.card.encoding in STEPWISE:
            return encoder(images, len(window), draw.starting_at(window.start))
        encoded = encoder(images, self.card.num_steps, draw)
        if isinstance(encoded, Constant):
            return Constant(encoded.value, len(window))
        return encoded[window.start : window.stop]

    def run(self, x: Tensor | Constant) -> Any:
        """The network's output for what `encode` gives, computed in the model's precision."""
        with self.autocast():
            return self.module(x)

    def autocast(self) -> AbstractContextManager[Any]:
        """Within, torch computes in the model's precision."""
        return Compute(self.device.type, self.precision).autocast()

    @torch.inference_mode()
    def predict(
        self, images: Tensor | np.ndarray, draw: Draw | None = None, batch_size: int = 256
    ) -> tuple[np.ndarray, np.ndarray]:
        """Class indices int64 `[N]` and probabilities float32 `[N, K]`.

        `images` are prepared: uint8 `[N, C, H, W]` or `[N, H, W]`. Random encodings draw by `draw`, or by the
        images' content, so that the same image always gets the same answer. Raises `InputError`.
        """
        prepared = self._checked(images)
        draw = draw or Draw.for_content(prepared)
        self.module.eval()
        scores = [torch.empty(0, len(self.card.classes))]
        for start in range(0, len(prepared), batch_size):
            part = slice(start, start + batch_size)
            x = self.encode(prepared[part].to(self.device), Draw(draw.keys[part]))
            scores.append(self.readout.scores(self.run(x)).cpu())
        probabilities = torch.cat(scores).softmax(1)
        return probabilities.argmax(1).numpy(), probabilities.numpy()

    def frames(self, images: Tensor | np.ndarray, draw: Draw | None = None) -> Iterator[Tensor]:
        """What the network sees of prepared images (see `predict`), step by step: `[B, C, H, W]` each, for `step`.

        Raises `InputError` for a network that does not spike.
        """
        prepared = self._checked(images).to(self.device)
        self._require_steps()
        yield from _as_sequence(self.encode(prepared, draw or Draw.for_content(prepared))).unbind(0)

    @torch.inference_mode()
    def step(self, frame: Tensor, state: StreamState | None = None) -> tuple[Tensor, StreamState]:
        """One time step of a stream: `(scores so far [B, K], state)`, for what the network sees now.

        `frame` is float32 `[B, C, H, W]`: an encoded step of `frames`, or what comes from a sensor. Without a state a
        new stream begins. After the model's `num_steps` frames of an image, the scores are those of `predict`. Raises
        `InputError` for a network that does not spike, or whose readout needs all steps at once.
        """
        self._require_steps()
        readout = self.readout
        if not isinstance(readout, SpikingReadout):
            raise InputError(f"{self.card.contender} gives its answer for all time steps at once: it cannot stream.")
        if not frame.is_floating_point() or tuple(frame.shape[1:]) != self.card.image_shape:
            channels, height, width = self.card.image_shape
            raise InputError(
                f"a frame is float32 [B, {channels}, {height}, {width}], not {str(frame.dtype).removeprefix('torch.')} "
                f"{list(frame.shape)}. model.frames(images) makes the frames of prepared images."
            )
        before = state or StreamState()
        self.module.eval()
        with carried(self.module, before.neurons) as after:
            output = self.run(frame.to(self.device).unsqueeze(0))
        now = readout.accumulate(output)
        total = now if before.total is None else before.total + now
        num_steps = before.num_steps + 1
        return readout.scores_of(total, num_steps), StreamState(after, total, num_steps)

    @torch.no_grad()
    def trace(self, images: Tensor | np.ndarray, draw: Draw | None = None, num_steps: int | None = None) -> Trace:
        """What each layer of neurons received and did, for a few images (see `predict`) over `num_steps` steps.

        Raises `InputError` for a network that does not spike.
        """
        self._require_steps()
        prepared = self._checked(images).to(self.device)
        as_long = Model(self.module, replace(self.card, num_steps=num_steps or self.card.num_steps))
        as_long.precision = self.precision
        x = as_long.encode(prepared, draw or Draw.for_content(prepared))
        trace = Trace(_as_sequence(x).float().cpu())

        def keep(name: str, module: nn.Module, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
            trace.current[name] = _as_sequence(inputs[0]).float().cpu()
            trace.spk[name], trace.mem[name] = (part.float().cpu() for part in output)

        def with_mem(module: nn.Module, inputs: Any, settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            return inputs, {**settings, "with_mem": True}

        neurons = [(name, module) for name, module in self.module.named_modules() if isinstance(module, Neuron)]
        hooks = [module.register_forward_hook(partial(keep, name)) for name, module in neurons]
        hooks += [module.register_forward_pre_hook(with_mem, with_kwargs=True) for _, module in neurons]
        try:
            self.module.eval()
            self.run(x)
        finally:
            for hook in hooks:
                hook.remove()
        return trace

    def _require_steps(self) -> None:
        if self.card.encoding is None:
            raise InputError(f"{self.card.contender} does not spike: it has no time steps to look at.")

    def _checked(self, images: Tensor | np.ndarray) -> Tensor:
        try:
            prepared = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
        except (TypeError, ValueError):
            prepared = torch.empty(0)
        if prepared.ndim == 3:
            prepared = prepared.unsqueeze(1)
        if prepared.dtype != torch.uint8 or tuple(prepared.shape[1:]) != self.card.image_shape:
            channels, height, width = self.card.image_shape
            raise InputError(
                f"{self.card.contender} takes prepared images, uint8 [N, {channels}, {height}, {width}]; got "
                f"{str(prepared.dtype).removeprefix('torch.')} {list(prepared.shape)}. "
                "Use model.card.preprocessing(sd.data.open_picture(file)) on each file."
            )
        return prepared


def _as_sequence(x: Tensor | Constant) -> Tensor:
    return x.expand() if isinstance(x, Constant) else x


def build(card: ModelCard) -> nn.Module:
    """A fresh network as `card` describes it, its weights drawn from torch's generator. Raises `InputError`."""
    architecture = registry.resolve("contender", card.contender, ARCHITECTURES)
    settings = dict(card.network)
    name = settings.pop("neuron", None)
    if name is not None:
        neuron_settings = {key: settings.pop(key) for key in NEURON_SETTINGS if key in settings}
        settings["neuron"] = partial(registry.resolve("neuron", name, NEURONS), **neuron_settings)
    return architecture(card.image_shape, len(card.classes), card.num_steps, **settings)


NEURON_SETTINGS = (
    "beta", "threshold", "reset_mechanism", "surrogate", "surrogate_alpha", "adaptation_decay", "adaptation_gain",
    "activation_bits",
)  # fmt: skip
"""The settings that go to the neuron, not to the architecture."""


def neuron_settings(neuron: str) -> tuple[str, ...]:
    """Those of `NEURON_SETTINGS` that the neuron of this name takes. Raises `InputError`."""
    try:
        taken = inspect.signature(registry.resolve("neuron", neuron, NEURONS)).parameters
    except (TypeError, ValueError):  # something of the user's that says nothing about itself
        return ()
    return tuple(name for name in NEURON_SETTINGS if name in taken)


def family_of(module: nn.Module) -> str:
    """ "snn" or "cnn", as the network says; a plain module counts as "cnn"."""
    return getattr(module, "family", "cnn")


def num_parameters(module: nn.Module) -> int:
    """The number of trainable numbers."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def save_model(path: Path, model: Model) -> None:
    """Writes weights and card to a safetensors file, atomically."""
    metadata = {"spikeduel": json.dumps({"format": FORMAT, **asdict(model.card)})}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.module.state_dict().items()}
    with files.atomic_path(Path(path)) as temporary:
        save_file(weights, temporary, metadata)


def load_model(path: Path | str, device: str | torch.device = "cpu", own_code: Collection[str] = ()) -> Model:
    """The model in a file that spikeduel wrote. Raises `InputError`.

    Opening a file runs no code but spikeduel's own. A model of one's own architecture, neuron or encoder needs that
    code: `own_code` lists the `module:attribute` names that may be imported for it. A model trained in bfloat16
    computes in float32 where `device` has no hardware for it.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: a folder; a run's models are the .safetensors files in its models/.")
    if not path.is_file():
        raise InputError(f"{path}: no such model file. `spikeduel runs` lists the models at hand.")
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        card = _card(json.loads(metadata["spikeduel"]))
        _require_known(card, own_code)
        weights = load_file(path, device=str(device))
    except (safetensors.SafetensorError, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        if isinstance(error, InputError):
            raise InputError(f"{path}: {error}") from None
        raise InputError(f"{path}: not a model file of spikeduel, or a damaged one ({error}).") from None
    try:
        # Without memory first, so that a card cannot ask for more than its file holds.
        with torch.device("meta"):
            shapes = {name: value.shape for name, value in build(card).state_dict().items()}
        if shapes != {name: value.shape for name, value in weights.items()}:
            raise InputError(f"its weights do not fit {card.contender}. Was it written by other code?")
        with torch.random.fork_rng():
            module = build(card).to(device)
        module.load_state_dict(weights)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (RuntimeError, AttributeError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: {card.contender} cannot be built from it ({error}).") from None
    model = Model(module.eval(), card)
    if not has_bf16(model.device.type):
        model.precision = "32"
    return model


def _require_known(card: ModelCard, own_code: Collection[str]) -> None:
    for name in (card.contender, card.network.get("neuron"), card.encoding):
        if name is not None and ":" in name and name not in own_code:
            raise InputError(
                f"this model needs the code {name}, which is not spikeduel's. If you trust it, add --own-code {name} "
                "(in Python: own_code=[…])."
            )


def _card(content: dict[str, Any]) -> ModelCard:
    if content.pop("format") != FORMAT:
        raise InputError("written by another version of spikeduel: train it again, or use that version.")
    content["preprocessing"] = Preprocessing.from_dict(content["preprocessing"])
    content["image_shape"] = tuple(_whole(number) for number in content["image_shape"])
    content["classes"] = tuple(str(name) for name in content["classes"])
    content["num_steps"] = content["num_steps"] and _whole(content["num_steps"])
    if len(content["image_shape"]) != 3 or len(content["classes"]) < 2:
        raise InputError("its card names no image shape (C, H, W), or fewer than two classes.")
    return ModelCard(**{f.name: content[f.name] for f in fields(ModelCard) if f.name in content})


def _whole(number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise InputError(f"its card says {number!r} where a whole number above 0 belongs.")
    return number
