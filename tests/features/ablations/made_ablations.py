"""Ablations of a contender, made up: what may be concluded from each, and the rest customary."""

from msgspec import structs

from factories import pair
from spikeduel.features.ablations.ablation_results import AblatedContender, AblationRow, claims
from spikeduel.results.significance import Conclusion, Difference

BETTER, WORSE = Conclusion.A_BETTER, Conclusion.B_BETTER
EQUAL, UNKNOWN = Conclusion.EQUIVALENT, Conclusion.INCONCLUSIVE
TITLES = {
    "relu_twin": ("ReLU twin", None),
    "quantised_twin": ("quantised twin", 3),
    "one_step": ("one time step", None),
    "shuffled": ("shuffled in time", None),
    "collapsed": ("without time", None),
}


def row(ablation, conclusion, difference=0.02, seeds=6, **changes):
    """An ablation of which `conclusion` holds for the contender; one that is missing where that is
    None.
    """
    title, bits = TITLES[ablation]
    about = {
        "ablation": ablation,
        "title": title,
        "meaning": "",
        "spikes": ablation in ("one_step", "shuffled"),
    }
    if conclusion is None:
        return AblationRow(**about, reason="it broke.")
    shown = pair(difference, conclusion=conclusion, seeds=seeds, **changes)
    values = {name: getattr(shown, name) for name in Difference.__struct_fields__}
    return AblationRow(
        **about, bits=bits, accuracy=shown.accuracy_b, comparison=Difference(**values)
    )


def ablated(num_steps=4, seeds=6, **conclusions):
    """conv-lif and its ablations, by name."""
    rows = [row(name, conclusion, seeds=seeds) for name, conclusion in conclusions.items()]
    contender = AblatedContender(
        contender="conv-lif", num_steps=num_steps, seeds=seeds, accuracy=0.9, rows=rows
    )
    return structs.replace(contender, claims=claims(contender))
