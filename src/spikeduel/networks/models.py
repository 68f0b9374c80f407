"""Trained networks: predict labels, step through a stream, look inside."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikeduel.networks.cards import ModelCard
from spikeduel.spiking import ConstantInput, as_sequence
from spikeduel.spiking.encoders import OF_RECORDINGS, Encoder, analogue, encoder_of
from spikeduel.spiking.neurons import Neuron, State, carried_state
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.spiking.readouts import LogitReadout, Readout, SpikingReadout
from spikeduel.system import notebook
from spikeduel.system.errors import InputError, visible
from spikeduel.system.hardware import Compute
from spikeduel.system.registry import Precision

MOST_IMAGES, MOST_VALUES = 256, 2**28
"""Most images answered at once, and numbers in their largest layer over all time steps (1 GiB)."""
CHANNELS_LAST_ON = {"cpu", "cuda", "meta"}
"""Device types on which networks are channels-last."""


@dataclass(frozen=True, eq=False)
class Trace:
    """The inside of a spiking network, step by step.

    `encoded` `[T, B, C, H, W]` is the input; `current`, `spk` and `mem` map layers of neurons to
    `[T, B, …]`. All are float32, on the CPU.
    """

    encoded: Tensor
    current: dict[str, Tensor] = field(default_factory=dict)
    spk: dict[str, Tensor] = field(default_factory=dict)
    mem: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class StreamState:
    """State of a stream: neurons by layer, the readout's sum `[…, B, K]`, and the number of
    steps.
    """

    neurons: dict[str, State] = field(default_factory=dict)
    total: Tensor | None = None
    num_steps: int = 0


class Model:
    """A network and its card, computing in `precision`, whatever it was trained in.

    Input are prepared images, uint8 `[N, C, H, W]`, as `card.preprocessing` makes them; there are K
    = `len(card.classes)` classes. A spiking network takes them encoded, over T = `card.num_steps`
    time steps. `file` is the model file, if there is one.
    """

    def __init__(
        self,
        module: nn.Module,
        card: ModelCard,
        precision: Precision = "32",
        file: Path | None = None,
    ) -> None:
        # Convolutions are faster channels-last. A foreign network may call view(), which fails
        # then. On Apple's GPUs batch norm has wrong gradients (pytorch/pytorch#175189).
        lies_on = {each.device.type for each in module.parameters()}
        as_is = card.foreign is not None or not lies_on <= CHANNELS_LAST_ON
        self.module = module if as_is else module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.card = card
        self.precision = precision
        self.file = file

    def __repr__(self) -> str:
        facts = ", ".join(f"{name} {value}" for name, value in self._facts().items())
        return f"<Model {visible(self.card.title)}: {visible(facts)}>"

    def _repr_html_(self) -> str:
        """Return the facts and the layers as HTML, for notebooks."""
        layers = [
            {"layer": name, "type": type(layer).__name__, "parameters": _parameters(layer)}
            for name, layer in self.module.named_children()
        ]
        facts = [{"fact": name, "value": value} for name, value in self._facts().items()]
        return notebook.page(f"Model {self.card.title}", facts, layers)

    def _facts(self) -> dict[str, str]:
        card, binning = self.card, self.card.preprocessing.binning
        facts = {
            "family": card.family,
            "encoding": card.encoding,
            "time steps": card.num_steps,
            "frames": binning and binning.num_frames,
            "image": "×".join(map(str, card.image_shape)),
            "parameters": _parameters(self.module),
            "classes": len(card.classes),
            "trained on": card.dataset,
            "file": self.file,
        }
        return {name: str(value) for name, value in facts.items() if value}

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.module.parameters()).device

    @property
    def readout(self) -> Readout:
        """Readout of the network's output; plain modules return logits."""
        return getattr(self.module, "readout", LogitReadout())

    @property
    def images_at_once(self) -> int:
        """Images to answer at once: fewer if all time steps of a layer are large."""
        largest = getattr(self.module, "largest", 1) * (self.card.num_steps or 1)
        return max(1, min(MOST_IMAGES, MOST_VALUES // largest))

    @property
    def encoder(self) -> Encoder | None:
        """Encoder of the images; None for a network that takes the analogue image."""
        if self.card.encoding is None:
            return None
        return OF_RECORDINGS if self.card.preprocessing.binning else encoder_of(self.card.encoding)

    def encode(self, images: Tensor, keys: RandomKeys) -> Tensor | ConstantInput:
        """Return the network's input for prepared images uint8 `[B, C, H, W]`.

        Float `[B, C, H, W]`; for a spiking network `[T, B, C, H, W]` or a `ConstantInput`.
        """
        encoder, num_steps = self.encoder, self.card.num_steps
        with self.autocast():
            if encoder is None or num_steps is None:
                return (
                    analogue(images) if self.card.preprocessing.binning is None else images.float()
                )
            return encoder(images, num_steps, keys)

    def run(self, x: Tensor | ConstantInput) -> Any:
        """Return the network's output for the result of `encode`, in the model's precision."""
        with self.autocast():
            return self.module(x)

    def autocast(self) -> AbstractContextManager[Any]:
        """Compute in the model's precision within this context."""
        return Compute(self.device.type, self.precision).autocast()

    @torch.inference_mode()
    def predict(
        self,
        images: Tensor | np.ndarray,
        keys: RandomKeys | None = None,
        batch_size: int | None = None,
        calibrated: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return class indices int64 `[N]` and probabilities float32 `[N, K]` (see
        `probabilities`).

        `images` are prepared: uint8 `[N, C, H, W]` or `[N, H, W]`. Random encodings draw from
        `keys`, by default from the images' content, so that an image always gets the same answer.
        Raises `InputError`.
        """
        prepared = self._checked(images)
        keys = keys or RandomKeys.for_content(prepared)
        self.module.eval()
        scores, at_once = (
            [torch.empty(0, len(self.card.classes))],
            batch_size or self.images_at_once,
        )
        for start in range(0, len(prepared), at_once):
            part = slice(start, start + at_once)
            x = self.encode(prepared[part].to(self.device), RandomKeys(keys.values[part]))
            scores.append(self.readout.scores(self.run(x)).cpu())
        joined = torch.cat(scores)
        return joined.argmax(1).numpy(), self.probabilities(joined, calibrated).numpy()

    def probabilities(self, scores: Tensor, calibrated: bool = True) -> Tensor:
        """Return the softmax of `scores` `[…, K]`, divided by the card's temperature if
        `calibrated`.
        """
        temperature = self.card.temperature if calibrated else None
        return (scores / (temperature or 1.0)).softmax(-1)

    def frames(
        self, images: Tensor | np.ndarray, keys: RandomKeys | None = None
    ) -> Iterator[Tensor]:
        """Yield the network's input for prepared images step by step: T times float `[B, C, H, W]`.

        Raises `InputError` for a network without time steps.
        """
        prepared = self._checked(images).to(self.device)
        self._require_steps()
        yield from as_sequence(
            self.encode(prepared, keys or RandomKeys.for_content(prepared))
        ).unbind(0)

    @torch.inference_mode()
    def step(self, frame: Tensor, state: StreamState | None = None) -> tuple[Tensor, StreamState]:
        """Take one time step of a stream; return the scores so far `[B, K]` and the next state.

        `frame` is float32 `[B, C, H, W]`: a step of `frames`, or of a sensor. Without a state a
        stream begins. After `num_steps` frames of an image, the scores are those of `predict`.
        Raises `InputError` for a network without time steps, or whose readout needs all steps at
        once.
        """
        self._require_steps(
            "it cannot stream, since spikeduel can neither take out its state nor put it back"
        )
        readout = self.readout
        if not isinstance(readout, SpikingReadout):
            raise InputError(
                f"{self.card.contender} gives its answer for all time steps at once: it cannot "
                f"stream."
            )
        hint = "model.frames(images) makes the frames of prepared images."
        self._require(
            frame, frame.is_floating_point(), "frames, float32 [B", self.card.input_shape, hint
        )
        before = state or StreamState()
        self.module.eval()
        with carried_state(self.module, before.neurons) as after:
            output = self.run(frame.to(self.device).unsqueeze(0))
        now = readout.accumulate(output)
        total = now if before.total is None else before.total + now
        num_steps = before.num_steps + 1
        return readout.scores_of(total, num_steps), StreamState(after, total, num_steps)

    @torch.no_grad()
    def trace(
        self,
        images: Tensor | np.ndarray,
        keys: RandomKeys | None = None,
        num_steps: int | None = None,
    ) -> Trace:
        """Return the inside of each layer of neurons for a few images, over `num_steps` steps.

        Raises `InputError` for networks without spikes, and for foreign ones.
        """
        self._require_steps("spikeduel cannot look into its layers")
        prepared = self._checked(images).to(self.device)
        as_long = Model(
            self.module,
            replace(self.card, num_steps=num_steps or self.card.num_steps),
            self.precision,
        )
        x = as_long.encode(prepared, keys or RandomKeys.for_content(prepared))
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
        hint = "Use model.card.preprocessing(sd.data.open_picture(file)) on each file."
        is_right = prepared.dtype == torch.uint8
        self._require(prepared, is_right, "prepared images, uint8 [N", self.card.image_shape, hint)
        return prepared

    def _require(
        self, given: Tensor, has_type: bool, wanted: str, shape: tuple[int, int, int], hint: str
    ) -> None:
        if not has_type or tuple(given.shape[1:]) != shape:
            got = f"{str(given.dtype).removeprefix('torch.')} {list(given.shape)}"
            raise InputError(
                f"{self.card.contender} takes {wanted}, {', '.join(map(str, shape))}]; got {got}. "
                f"{hint}"
            )


def by_name(models: Sequence[Model]) -> dict[str, Model]:
    """Return `models` by the shortest distinct names: contender, seed and fold, file, path, or
    number.
    """
    ways: tuple[Callable[[Model], str], ...] = (
        lambda model: model.card.contender,
        lambda model: model.card.title,
        lambda model: model.file.stem if model.file else "",
        lambda model: str(model.file),
    )
    for called in ways:
        if len(named := {called(model): model for model in models}) == len(models):
            return named
    return {f"{number}: {model.card.title}": model for number, model in enumerate(models, 1)}


@contextmanager
def neurons_watched(
    module: nn.Module, with_mem: bool = False
) -> Iterator[dict[str, tuple[Any, Tensor, Tensor]]]:
    """Collect `(current, spk, mem)` of each layer of neurons that runs within, by name.

    Without `with_mem`, membranes may be left out; see `Neuron.forward`.
    """
    seen: dict[str, tuple[Any, Tensor, Tensor]] = {}

    def note(
        name: str, neuron: nn.Module, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]
    ) -> None:
        seen[name] = (inputs[0], *output)

    def ask(neuron: nn.Module, inputs: Any, settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return inputs, {**settings, "with_mem": True}

    neurons = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, Neuron)]
    hooks = [neuron.register_forward_hook(partial(note, name)) for name, neuron in neurons]
    if with_mem:
        hooks += [neuron.register_forward_pre_hook(ask, with_kwargs=True) for _, neuron in neurons]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _parameters(module: nn.Module) -> str:
    return f"{sum(each.numel() for each in module.parameters()):,}"
