"""What a comparison says before it trains anything."""

from collections.abc import Sequence

from spikeduel.data import Prepared, Split
from spikeduel.networks.models import ModelCard
from spikeduel.results.words.numbers import counted
from spikeduel.settings import Experiment


def announcement(
    experiment: Experiment, prepared: Prepared, splits: Sequence[Split], cards: Sequence[ModelCard]
) -> str:
    """The data, the contenders and how they are trained, in two sentences and a line for each foreign network."""
    split, folds = splits[0], f", in the first of {len(splits)} folds" if len(splits) > 1 else ""
    lines = "".join(f"\n{line}" for line in foreign_lines(experiment, cards))
    channels, height, width = prepared.image_shape
    colour = "grey" if channels == 1 else "colour"
    spiking = [card for card in cards if card.num_steps]
    steps = sorted({card.num_steps for card in spiking if card.num_steps}) or [experiment.num_steps]
    encodings = sorted({card.encoding for card in spiking if card.encoding}) or [experiment.encoding]
    return (
        f"{prepared.name}: {len(split.train):,} training, {len(split.val):,} validation and {len(split.test):,} test "
        f"images{folds}, {height}×{width} {colour}, {len(prepared.classes)} classes.\n"
        f"{' against '.join(experiment.contenders)}, {counted(experiment.seeds, 'seed')}, at most "
        f"{counted(experiment.num_epochs(len(split.train)), 'epoch')}; spiking contenders see "
        f"{' or '.join(encodings)} encoding over {' or '.join(map(str, steps))} step{'s' if steps[-1] > 1 else ''}."
        f"{lines}"
    )


def foreign_lines(experiment: Experiment, cards: Sequence[ModelCard]) -> list[str]:
    """What to say beforehand of the networks that were not made for spikeduel, a line each."""
    lines = {}
    for card in cards:
        if card.foreign is None:
            continue
        if card.family != "snn":
            said = "called as any other network that does not spike"
        elif card.foreign.way == "loop":
            said = f"makes its own {card.num_steps} time steps, and gets the analogue image for them (direct encoding)"
        else:
            said = f"called over {card.num_steps} time steps with {card.encoding} encoding, its state reset before"
        at_32 = card.family == "snn" and card.precision == "32" and experiment.precision == "auto"
        lines[card.contender] = f"{card.contender}: {said}{'; in float32, as in its own library' if at_32 else ''}."
    return list(lines.values())
