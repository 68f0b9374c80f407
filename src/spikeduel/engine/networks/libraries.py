"""Classifiers of torchvision and timm as contenders: `torchvision:NAME` and `timm:NAME`.

They get a new head, and see images as in their pretraining (`plain.AsPretrained`).
"""

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from spikeduel.engine.networks.foreign import kind_of
from spikeduel.engine.networks.plain import AsPretrained
from spikeduel.engine.readouts import LogitReadout
from spikeduel.system.errors import InputError, needing_extra, refusing, unknown

Pretrained = Literal["auto", "yes", "no"]
MAX_SIZE = 4096


class LibraryNetwork(nn.Module):
    """A library's classifier for images `[B, C, H, W]` in [0, 1], random until `start`. Raises
    `InputError`.
    """

    readout = LogitReadout()

    def __init__(
        self,
        contender: str,
        image_shape: tuple[int, int, int],
        num_classes: int,
        size: int | None = None,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
        weights: str | None = None,
    ) -> None:
        super().__init__()
        fits = len(mean) == len(std) and image_shape[0] in (1, len(mean))
        if not fits or not (size is None or 1 <= size <= MAX_SIZE):
            raise InputError(
                f"{contender} cannot see images {list(image_shape)} with size {size} and mean "
                f"{mean}."
            )
        self.contender, self.num_classes, self.weights = contender, num_classes, weights
        self.front = AsPretrained(size, mean, std)
        library, name = _of(contender)
        self.net = library.make(name, num_classes=num_classes)
        self.kind = kind_of(self.net)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.front(x))

    def start(self) -> None:
        """Load the pretrained weights, except the head's. Raises `InputError`."""
        if self.weights is None:
            return
        library, name = _of(self.contender)
        with torch.device("meta"):
            other = library.make(name, num_classes=self.num_classes + 1).state_dict()
        state, pretrained = self.net.state_dict(), _fetched(self.contender)
        for key, value in state.items():
            # Weights whose shape depends on the classes are the head.
            if value.shape == other[key].shape:
                if key not in pretrained or pretrained[key].shape != value.shape:
                    raise InputError(f"{self.contender}: its pretrained weights lack {key}.")
                value.copy_(pretrained[key])


def architecture(contender: str) -> Callable[..., LibraryNetwork]:
    library, name = _of(contender)
    library.require(name)
    return partial(LibraryNetwork, contender)


def settings_of(
    contender: str, image_shape: tuple[int, int, int], pretrained: Pretrained
) -> dict[str, Any]:
    """Return the settings of `LibraryNetwork`, for images of this shape or the pretraining's.

    "auto" does without unavailable weights; "yes" raises `InputError`.
    """
    library, name = _of(contender)
    library.require(name)
    settings = library.seen(name)
    if settings["weights"] and why_not_pretrained(contender, pretrained) is None:
        return settings
    try:
        with torch.device("meta"), torch.no_grad():
            LibraryNetwork(contender, image_shape, 2).eval()(torch.empty(1, *image_shape))
    except Exception:  # some are made for one size; libraries raise many errors
        return {**settings, "weights": None}
    return {**settings, "weights": None, "size": None}


def why_not_pretrained(contender: str, pretrained: Pretrained) -> str | None:
    """Return why `contender` starts without pretrained weights; None if it has them."""
    if pretrained == "no":
        return "--pretrained no"
    reason = _unavailable(contender, torch.hub.get_dir())
    if reason is not None and pretrained == "yes":
        raise InputError(reason)
    return reason


@cache
def _unavailable(contender: str, where: str) -> str | None:
    try:
        _fetched(contender)
    except DamagedWeights:
        raise
    except InputError as error:
        return str(error)
    return None


class DamagedWeights(InputError):
    """Error: a file of weights is unreadable."""


def _fetched(contender: str) -> Mapping[str, Tensor]:
    library, name = _of(contender)

    def described(error: BaseException) -> InputError:
        return library.failure(name, f"{type(error).__name__}: {error}".partition("\n")[0])

    # The library, its network client and torch.load can raise anything; loading must not change
    # random numbers.
    with refusing(described), torch.random.fork_rng():
        return library.pretrained(name).state_dict()


def _require(library: str, name: str, names: Collection[str]) -> None:
    if name in names:
        return
    if near := difflib.get_close_matches(name.lower(), names, n=3):
        others = f"Or: {', '.join(near[1:])}." if near[1:] else ""
        raise unknown(f"classifier of {library}", name, names, others)
    raise InputError(
        f"unknown classifier of {library} '{name}'. Its documentation lists {len(names)}, such as "
        f"{', '.join(sorted(names)[:: max(1, len(names) // 4)][:4])}."
    )


_NORMALISING = ("googlenet", "inception_v3")
"""Networks of torchvision that normalise images once more."""


class Torchvision:
    """Classifiers of torchvision, by name."""

    def __init__(self) -> None:
        from torchvision import models

        self._models = models

    def require(self, name: str) -> None:
        """Raise `InputError` unless `name` is a classifier."""
        names = self._models.list_models(module=self._models)
        if name not in names and name in self._models.list_models():
            raise InputError(
                f"contender 'torchvision:{name}' is no classifier of images: it finds, outlines or "
                f"follows things, or is quantised. Name one that gives an image one class."
            )
        _require("torchvision", name, names)

    def seen(self, name: str) -> dict[str, Any]:
        """Return the pretraining's `size`, `mean`, `std` and name of `weights`."""
        weights = self._weights(name)
        how = weights.transforms()
        mean, std = ([0.5] * 3, [0.5] * 3) if name in _NORMALISING else (how.mean, how.std)
        return {
            "size": how.crop_size[0],
            "mean": list(mean),
            "std": list(std),
            "weights": str(weights),
        }

    def make(self, name: str, num_classes: int) -> nn.Module:
        """Return a network with random weights."""
        # Neither auxiliary heads nor a second normalisation.
        plainly = {"aux_logits": False, "init_weights": True, "transform_input": False}
        settings = plainly if name in _NORMALISING else {}
        return self._models.get_model(name, weights=None, num_classes=num_classes, **settings)

    def pretrained(self, name: str) -> nn.Module:
        return self._models.get_model(name, weights="DEFAULT", progress=False)

    def failure(self, name: str, reason: str) -> InputError:
        """Return the error, with the remedy, of `pretrained`."""
        url = self._weights(name).url
        path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
        if path.is_file():
            return DamagedWeights(
                f"torchvision:{name}: {path} is damaged, or holds other weights ({reason}). Remove "
                f"or replace it."
            )
        return InputError(
            f"torchvision:{name}: no pretrained weights at {path}, and none could be downloaded "
            f"({reason}). Put the file of {url} there (TORCH_HOME says where torch looks), or "
            f"start from nothing: --pretrained no."
        )

    def _weights(self, name: str) -> Any:
        return self._models.get_model_weights(name).DEFAULT


class Timm:
    """Classifiers of timm, by name; a tag names weights."""

    def __init__(self) -> None:
        with needing_extra(("timm",), "timm"):
            import timm
        self._timm: Any = timm

    def require(self, name: str) -> None:
        # hf-hub:… and the like are refused.
        base, _, tag = name.partition(".")
        _require("timm", base, self._timm.list_models())
        tagged = self._timm.list_pretrained(f"{base}.*") if tag else ()
        if tag and name not in tagged:
            tags = [name.partition(".")[2] for name in tagged]
            raise unknown(f"weights of timm:{base}", tag, tags)

    def seen(self, name: str) -> dict[str, Any]:
        how = self._timm.get_pretrained_cfg(name)
        return {
            "size": how.input_size[-1],
            "mean": list(how.mean),
            "std": list(how.std),
            "weights": f"{name.partition('.')[0]}.{how.tag}" if how.tag else None,
        }

    def make(self, name: str, num_classes: int) -> nn.Module:
        return self._timm.create_model(name, num_classes=num_classes)

    def pretrained(self, name: str) -> nn.Module:
        return self._timm.create_model(name, pretrained=True)

    def failure(self, name: str, reason: str) -> InputError:
        how = self._timm.get_pretrained_cfg(name)
        where = f"Hugging Face's {how.hf_hub_id}" if how.hf_hub_id else how.url or "anywhere"
        return InputError(
            f"timm:{name}: its pretrained weights could not be had from {where} ({reason}). Fetch "
            f"them once where there is a network, and copy that machine's folder of Hugging Face's "
            f"cache (HF_HOME says where it is), or start from nothing: --pretrained no."
        )


LIBRARIES: dict[str, Callable[[], Torchvision | Timm]] = {"torchvision": Torchvision, "timm": Timm}
"""Libraries as in `registry.LIBRARIES`."""


def _of(contender: str) -> tuple[Torchvision | Timm, str]:
    library, _, name = contender.partition(":")
    return LIBRARIES[library](), name
