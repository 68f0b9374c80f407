"""What a model computes for an image: the operations that energy is estimated from."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from spikeduel.measuring.counting import Counter, NotCounted
from spikeduel.networks.foreign import Foreign
from spikeduel.networks.models import Model
from spikeduel.results.costs import Counted
from spikeduel.spiking.constant_input import ConstantInput
from spikeduel.spiking.random_keys import RandomKeys


def operations(model: Model, batches: Iterable[Any]) -> Counted:
    """What was counted over `batches` of (images uint8 `[B, C, H, W]`, labels `[B]`, indices `[B]`).

    Random encodings draw by image index. `reason` says what in the network is not known to the counter.
    """
    model.module.eval()
    encoding, encoder = model.card.encoding, model.encoder
    spiking = encoder is not None and encoder.spikes
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
        return Counted(operations=counter.operations(encoding))
    except NotCounted as error:
        return Counted(operations=None, reason=str(error))
