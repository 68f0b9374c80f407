"""Trained networks as people use them: asked for labels, stepped through a stream, looked into."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from spikeduel.networks.cards import ModelCard
from spikeduel.networks.plain import as_sequence
from spikeduel.spiking import ConstantInput
from spikeduel.spiking.encoders import OF_RECORDINGS, Encoder, analogue, encoder_of
from spikeduel.spiking.neurons import Neuron, State, carried_state
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.spiking.readouts import LogitReadout, Readout, SpikingReadout
from spikeduel.system import notebook
from spikeduel.system.errors import InputError, visible
from spikeduel.system.hardware import Compute
from spikeduel.system.registry import Precision

MOST_IMAGES, MOST_VALUES = 256, 2**28
"""Images answered at once, and numbers in the largest of their layers over all time steps (1
GiB).
"""
CHANNELS_LAST_ON = {"cpu", "cuda", "meta"}
"""Where networks keep the channels of a pixel side by side."""


@dataclass(frozen=True, eq=False)
class Trace:
    """What happened inside a spiking network, step by step.

    `encoded` `[T, B, C, H, W]` is its input; `current`, `spk` and `mem` map each layer of neurons
    to `[T, B, …]`. All are float32, on the CPU.
    """

    encoded: Tensor
    current: dict[str, Tensor] = field(default_factory=dict)
    spk: dict[str, Tensor] = field(default_factory=dict)
    mem: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class StreamState:
    """Where a stream is: each layer's neurons, what the readout summed up `[…, B, K]`, the steps
    taken so far.
    """

    neurons: dict[str, State] = field(default_factory=dict)
    total: Tensor | None = None
    num_steps: int = 0


class Model:
    """A network and its card. It computes in `precision`: float32 unless set otherwise, whatever it
    was trained in.

    It takes prepared images, uint8 `[N, C, H, W]`, as `card.preprocessing` makes them, and has K =
    `len(card.classes)` classes. A spiking network sees them encoded, over T = `card.num_steps` time
    steps. `file` is the one that it was loaded from, None where there is none.
    """

    def __init__(
        self,
        module: nn.Module,
        card: ModelCard,
        precision: Precision = "32",
        file: Path | None = None,
    ) -> None:
        # Convolutions are faster, and neurons do not mind; a foreign network may, which calls
        # view(). On Apple's GPUs a batch norm has wrong gradients then (pytorch/pytorch#175189).
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
        """Where its weights lie."""
        return next(self.module.parameters()).device

    @property
    def readout(self) -> Readout:
        """What turns the network's output into a loss and scores; plain modules return logits."""
        return getattr(self.module, "readout", LogitReadout())

    @property
    def images_at_once(self) -> int:
        """How many images it should answer at once: fewer than usual where all time steps of a
        layer are too large.
        """
        largest = getattr(self.module, "largest", 1) * (self.card.num_steps or 1)
        return max(1, min(MOST_IMAGES, MOST_VALUES // largest))

    @property
    def encoder(self) -> Encoder | None:
        """What encodes its images; None for a network that takes the analogue image."""
        if self.card.encoding is None:
            return None
        return OF_RECORDINGS if self.card.preprocessing.binning else encoder_of(self.card.encoding)

    def encode(self, images: Tensor, keys: RandomKeys) -> Tensor | ConstantInput:
        """What the network takes, for prepared images uint8 `[B, C, H, W]`: float `[B, C, H, W]`,
        for a spiking one `[T, B, C, H, W]` or a `ConstantInput`.
        """
        encoder, num_steps = self.encoder, self.card.num_steps
        with self.autocast():
            if encoder is None or num_steps is None:
                return (
                    analogue(images) if self.card.preprocessing.binning is None else images.float()
                )
            return encoder(images, num_steps, keys)

    def run(self, x: Tensor | ConstantInput, weights: dict[str, Tensor] | None = None) -> Any:
        """The network's output for what `encode` gives, in the model's precision: what `readout`
        takes.

        `weights` stand for those of the same names.
        """
        with self.autocast():
            return functional_call(self.module, weights, (x,)) if weights else self.module(x)

    def autocast(self) -> AbstractContextManager[Any]:
        """Within, torch computes in the model's precision."""
        return Compute(self.device.type, self.precision).autocast()

    @torch.inference_mode()
    def predict(
        self,
        images: Tensor | np.ndarray,
        keys: RandomKeys | None = None,
        batch_size: int | None = None,
        calibrated: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Class indices int64 `[N]` and probabilities float32 `[N, K]` (see `probabilities`).

        `images` are prepared: uint8 `[N, C, H, W]` or `[N, H, W]`. Random encodings draw from
        `keys`; without, from the images' content, so that the same image always gets the same
        answer. Raises `InputError`.
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
        """The softmax of `scores` `[…, K]`, those of `step` too, divided by the card's temperature
        if `calibrated`.
        """
        temperature = self.card.temperature if calibrated else None
        return (scores / (temperature or 1.0)).softmax(-1)

    def frames(
        self, images: Tensor | np.ndarray, keys: RandomKeys | None = None
    ) -> Iterator[Tensor]:
        """What the network sees of prepared images (see `predict`), step by step: T times float
        `[B, C, H, W]`.

        Raises `InputError` for a network that does not spike.
        """
        prepared = self._checked(images).to(self.device)
        self._require_steps()
        yield from as_sequence(
            self.encode(prepared, keys or RandomKeys.for_content(prepared))
        ).unbind(0)

    @torch.inference_mode()
    def step(self, frame: Tensor, state: StreamState | None = None) -> tuple[Tensor, StreamState]:
        """One time step of a stream: `(scores so far [B, K], state)`, for what the network sees
        now.

        `frame` is float32 `[B, C, H, W]`: an encoded step of `frames`, or what comes from a sensor.
        Without a state a new stream begins. After the model's `num_steps` frames of an image, the
        scores are those of `predict`. Raises `InputError` for a network that does not spike, or
        whose readout needs all steps at once.
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
        """What each layer of neurons received and did, for a few images (see `predict`) over
        `num_steps` steps.

        Raises `InputError` for a network that does not spike, and for a foreign one.
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
    """`models` by the shortest name that tells them apart: the contender, also its seed and fold,
    the file, its path, or else a number.
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
    """Within, a dict that gets `(current, spk, mem)` of each layer of neurons in `module` that
    runs, by its name.

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
