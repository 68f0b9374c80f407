"""What a model computes for an image: the operations that energy is estimated from."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from spikeduel.measuring.counting import Counter, NotCounted
from spikeduel.networks.foreign import Foreign
from spikeduel.networks.models import Model
from spikeduel.spiking.constant_input import ConstantInput
from spikeduel.spiking.encoders import ENCODERS, SPIKING
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system import registry


def operations(model: Model, batches: Iterable[Any]) -> dict[str, Any]:
    """Means per image, layer by layer and in total (see `counting`). Random encodings draw by image index.

    Of a network with something in it that is not known to the counter, `layers` and `totals` are null and `reason` says
    what that is.
    """
    model.module.eval()
    encoding = model.card.encoding
    spiking = encoding is not None and _gives_spikes(encoding)
    # By the names that it has itself.
    counted = model.module.module if isinstance(model.module, Foreign) else model.module
    counter = Counter(counted, model.card.num_steps)
    try:
        for images, _, indices in batches:
            x = model.encode(images.to(model.device), RandomKeys.for_evaluation(indices))
            steps = 1 if encoding is None or isinstance(x, ConstantInput) else model.card.num_steps or 1
            # A network of another library makes its steps itself, or is called for each: the counter sees them.
            given = x.value if isinstance(x, ConstantInput) and model.card.foreign is not None else x
            counter.run(partial(model.run, x), given, len(images), "spikes" if spiking else "image", steps)
    except NotCounted as error:
        return {"encoding": encoding, "layers": None, "totals": None, "reason": str(error)}
    return {"encoding": encoding, **counter.operations(), "reason": None}


def _gives_spikes(encoding: str) -> bool:
    """Whether an encoder gives events; one of the user's own says so by an attribute `spikes`."""
    if encoding in ENCODERS:
        return encoding in SPIKING
    return bool(getattr(registry.resolve("encoding", encoding, ENCODERS), "spikes", False))
