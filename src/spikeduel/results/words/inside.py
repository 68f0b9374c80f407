"""What is said of what happens inside networks."""

from spikeduel.results.inside import Inside
from spikeduel.system.sentences import listed


def title(inside: Inside) -> str:
    """The heading of a page of its own."""
    return f"Inside {listed([each.name for each in inside.models])}"


def answers(inside: Inside) -> str:
    """Who answers what, and whether that is right."""
    said = [f"{each.name} answers {inside.classes[each.answer]}" for each in inside.models]
    truth = "" if inside.truth is None else f" The true class is {inside.classes[inside.truth]}."
    return f"{'; '.join(said)}.{truth}"


def introduction(inside: Inside) -> str:
    """What a reader sees, before the pictures."""
    spiking = any(each.spiking for each in inside.models)
    steps = (
        " A spiking network works in time steps: move the slider, or press play." if spiking else ""
    )
    return f"One {inside.noun}, and what goes on in each network that sees it. {answers(inside)}{steps}"


def how_found(inside: Inside) -> str:
    """How the attribution and the energies come about."""
    surrogate = (
        " The gradient of a spike is that of its surrogate."
        if any(e.spiking for e in inside.models)
        else ""
    )
    return (
        "Attribution: integrated gradients (Sundararajan et al. 2017), from an empty input to this "
        "one, for the "
        f"network's own answer.{surrogate} Energy: an estimate from counted operations "
        f"({inside.energy}), without "
        "memory, the low end. Of a layer, at most 40 neurons and 6 channels are shown."
    )
