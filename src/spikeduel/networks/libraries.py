"""Classifiers of torchvision and timm as contenders: `torchvision:NAME` and `timm:NAME`.

They get a new head for the data's classes, and see images as they were pretrained
(`plain.AsPretrained`). Pretrained weights come through the library; a model file has the weights of
its own.
"""

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from spikeduel.networks.foreign import family_of
from spikeduel.networks.plain import AsPretrained
from spikeduel.spiking.readouts import LogitReadout
from spikeduel.system.errors import InputError, MissingExtra, unknown
from spikeduel.system.registry import library_of

Pretrained = Literal["auto", "yes", "no"]
MOST_SIDE = 4096
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Seen:
    """Pretraining of a network: the name of its `weights`, and side, mean and spread of its
    images.
    """

    weights: str | None
    size: int
    mean: Sequence[float]
    std: Sequence[float]


class LibraryNetwork(nn.Module):
    """A classifier of a library, for images `[B, C, H, W]` in [0, 1].

    `size`, `mean` and `std` are those of `AsPretrained`. `weights` names the pretrained ones that
    `start` loads; until then the weights are random. Raises `InputError`.
    """

    readout = LogitReadout()

    def __init__(
        self,
        contender: str,
        image_shape: tuple[int, int, int],
        num_classes: int,
        size: int | None = None,
        mean: Sequence[float] = IMAGENET[0],
        std: Sequence[float] = IMAGENET[1],
        weights: str | None = None,
    ) -> None:
        super().__init__()
        fits = len(mean) == len(std) and image_shape[0] in (1, len(mean))
        if not fits or not (size is None or 1 <= size <= MOST_SIDE):
            raise InputError(
                f"{contender} cannot see images {list(image_shape)} with size {size} and mean "
                f"{mean}."
            )
        self.contender, self.num_classes, self.weights = contender, num_classes, weights
        self.front = AsPretrained(size, mean, std)
        library, name = _of(contender)
        self.net = library.make(name, num_classes)
        self.family = family_of(self.net)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores `[B, K]`."""
        return self.net(self.front(x))

    def start(self) -> None:
        """Load the pretrained weights, except the head's. Raises `InputError` if they are
        unavailable.
        """
        if self.weights is None:
            return
        library, name = _of(self.contender)
        with torch.device("meta"):
            other = library.make(name, self.num_classes + 1).state_dict()
        own, given = self.net.state_dict(), _fetched(self.contender)
        # Weights whose shape depends on the number of classes are the head.
        body = {
            key: given.get(key) for key, value in own.items() if value.shape == other[key].shape
        }
        if lacking := [
            key for key, value in body.items() if value is None or value.shape != own[key].shape
        ]:
            raise InputError(f"{self.contender}: its pretrained weights lack {lacking[0]}.")
        self.net.load_state_dict({**own, **body})


def architecture(contender: str) -> Callable[..., LibraryNetwork]:
    """Return the builder of a contender. Raises `InputError` for unknown names and missing
    libraries.
    """
    library, name = _of(contender)
    library.require(name)
    return partial(LibraryNetwork, contender)


def settings_of(
    contender: str, image_shape: tuple[int, int, int], pretrained: Pretrained
) -> dict[str, Any]:
    """Return the settings of `LibraryNetwork` for images of this shape.

    With pretrained weights, a network sees images of the size of its pretraining; without, as they
    are prepared, if it can. "auto" does without unavailable weights; "yes" raises `InputError`.
    """
    library, name = _of(contender)
    library.require(name)
    seen = library.seen(name)
    weights = seen.weights if why_not_pretrained(contender, pretrained) is None else None
    takes = weights is None and _takes(contender, image_shape)
    values = {"mean": list(seen.mean), "std": list(seen.std)}
    return {"size": None if takes else seen.size, **values, "weights": weights}


def why_not_pretrained(contender: str, pretrained: Pretrained) -> str | None:
    """Return the reason why `contender` starts without pretrained weights; None if it has them."""
    if pretrained == "no":
        return "--pretrained no"
    reason = _unavailable(contender, torch.hub.get_dir())
    if reason is not None and pretrained == "yes":
        raise InputError(reason)
    return reason


@cache
def _unavailable(contender: str, where: str) -> str | None:
    """Return the reason why pretrained weights are unavailable `where` torch keeps them. Cached."""
    try:
        _fetched(contender)
    except DamagedWeights:
        raise
    except InputError as error:
        return str(error)
    return None


class DamagedWeights(InputError):
    """Error: a file of weights cannot be read."""


def _fetched(contender: str) -> Mapping[str, Tensor]:
    """Return pretrained weights from the library's cache or by its download. Raises
    `InputError`.
    """
    library, name = _of(contender)
    try:
        return library.fetch(name)
    except InputError:
        raise
    except Exception as error:  # the library, its network client or torch.load can raise anything
        raise library.failure(name, error) from None


def _takes(contender: str, image_shape: tuple[int, int, int]) -> bool:
    """Return True if the network takes images of this size as they are."""
    try:
        with torch.device("meta"), torch.no_grad():
            network = LibraryNetwork(contender, image_shape, 2).eval()
            network(torch.empty(1, *image_shape))
    except Exception:  # libraries raise many errors here
        return False
    return True


def _of(contender: str) -> tuple["Library", str]:
    library = library_of(contender)
    assert library is not None
    return LIBRARIES[library], contender.partition(":")[2]


@dataclass(frozen=True)
class Library:
    """A library's functions: check a name, describe its pretraining, build, fetch weights, explain
    failure.
    """

    require: Callable[[str], None]
    seen: Callable[[str], Seen]
    make: Callable[[str, int], nn.Module]
    fetch: Callable[[str], Mapping[str, Tensor]]
    failure: Callable[[str, Exception], InputError]


def _known(library: str, name: str, names: Collection[str], others: Collection[str] = ()) -> None:
    """Raise `InputError` unless `name` is among the classifiers `names`."""
    if name in names:
        return
    if name in others:
        raise InputError(
            f"contender '{library}:{name}' is no classifier of images: it finds, outlines or "
            f"follows things, or is "
            "quantised. Name one that gives an image one class."
        )
    if near := difflib.get_close_matches(name.lower(), names, n=3):
        raise unknown(
            f"classifier of {library}",
            name,
            names,
            f"Or: {', '.join(near[1:])}." if near[1:] else "",
        )
    raise InputError(
        f"unknown classifier of {library} '{name}'. Its documentation lists {len(names)}, such as "
        f"{', '.join(sorted(names)[:: max(1, len(names) // 4)][:4])}."
    )


# ---- torchvision

_BUILT_WITH: dict[str, dict[str, Any]] = {
    # Without auxiliary heads and without a second normalisation.
    name: {"aux_logits": False, "init_weights": True, "transform_input": False}
    for name in ("googlenet", "inception_v3")
}


def _require_torchvision(name: str) -> None:
    from torchvision import models

    _known("torchvision", name, models.list_models(module=models), models.list_models())


def _seen_by_torchvision(name: str) -> Seen:
    from torchvision import models

    weights: Any = models.get_model_weights(name).DEFAULT
    how = weights.transforms()
    # The forward of these normalises otherwise.
    mean, std = ([0.5] * 3, [0.5] * 3) if name in _BUILT_WITH else (how.mean, how.std)
    return Seen(str(weights), how.crop_size[0], mean, std)


def _made_by_torchvision(name: str, num_classes: int) -> nn.Module:
    from torchvision import models

    made: nn.Module = models.get_model(
        name, weights=None, num_classes=num_classes, **_BUILT_WITH.get(name, {})
    )
    return made


def _fetched_by_torchvision(name: str) -> Mapping[str, Tensor]:
    from torchvision import models

    # Random numbers drawn before loading change nothing.
    with torch.random.fork_rng():
        return models.get_model(name, weights="DEFAULT", progress=False).state_dict()


def _torchvision_failed(name: str, error: Exception) -> InputError:
    from pathlib import Path

    from torchvision import models

    url = models.get_model_weights(name).DEFAULT.url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    reason = f"{type(error).__name__}: {error}".partition("\n")[0]
    if path.is_file():
        return DamagedWeights(
            f"torchvision:{name}: {path} is damaged, or holds other weights ({reason}). Remove or "
            f"replace it."
        )
    return InputError(
        f"torchvision:{name}: no pretrained weights at {path}, and none could be downloaded "
        f"({reason}). Put the file of {url} there (TORCH_HOME says where torch looks), or start "
        f"from nothing: --pretrained no."
    )


# ---- timm


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise MissingExtra("timm", "timm") from None
    return timm


def _require_timm(name: str) -> None:
    timm = _timm()
    # A tag names weights; prefixes such as hf-hub:… are refused.
    base, _, tag = name.partition(".")
    _known("timm", base, timm.list_models())
    if tag and name not in timm.list_pretrained(f"{base}.*"):
        raise unknown(
            f"weights of timm:{base}",
            tag,
            [n.partition(".")[2] for n in timm.list_pretrained(f"{base}.*")],
        )


def _seen_by_timm(name: str) -> Seen:
    found = _timm().get_pretrained_cfg(name)
    tag = found.tag and f"{name.partition('.')[0]}.{found.tag}"
    return Seen(tag or None, found.input_size[-1], found.mean, found.std)


def _made_by_timm(name: str, num_classes: int) -> nn.Module:
    made: nn.Module = _timm().create_model(name, pretrained=False, num_classes=num_classes)
    return made


def _fetched_by_timm(name: str) -> Mapping[str, Tensor]:
    with torch.random.fork_rng():
        state: Mapping[str, Tensor] = _timm().create_model(name, pretrained=True).state_dict()
        return state


def _timm_failed(name: str, error: Exception) -> InputError:
    reason = f"{type(error).__name__}: {error}".partition("\n")[0]
    found = _timm().get_pretrained_cfg(name)
    where = f"Hugging Face's {found.hf_hub_id}" if found.hf_hub_id else found.url or "anywhere"
    return InputError(
        f"timm:{name}: its pretrained weights could not be had from {where} ({reason}). Fetch them "
        f"once where there is "
        "a network, and copy that machine's folder of Hugging Face's cache (HF_HOME says where it "
        "is), or start from "
        "nothing: --pretrained no."
    )


LIBRARIES: dict[str, Library] = {
    "torchvision": Library(
        _require_torchvision,
        _seen_by_torchvision,
        _made_by_torchvision,
        _fetched_by_torchvision,
        _torchvision_failed,
    ),
    "timm": Library(_require_timm, _seen_by_timm, _made_by_timm, _fetched_by_timm, _timm_failed),
}
"""Libraries by the name before the colon; same names as `registry.LIBRARIES`."""
