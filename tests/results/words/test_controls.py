import pytest

from made_controls import BETTER, EQUAL, UNKNOWN, WORSE, controlled, row
from spikeduel.results.columns import control_columns, text_rows
from spikeduel.results.words.verdict import asked, what_it_means

ALONE = "Accuracy does not show what energy it may save."


def conclusions(contender):
    return [cells["conclusion"] for cells in text_rows(control_columns(contender), contender.rows)]


def test_the_rows_and_the_sentences():
    contender = controlled(
        relu_twin=WORSE,
        quantised_twin=BETTER,
        one_step=EQUAL,
        shuffled=BETTER,
        nearest_neighbour=None,
    )
    assert asked(contender) == "What spiking adds to conv-lif (T = 4, mean over 6 seeds)"
    rows = text_rows(control_columns(contender), contender.rows)
    assert list(rows[1].values()) == [
        *("quantised twin (3 bits)", "", "88.00", "+2.00", "+1.00 to +3.00", "conv-lif is better")
    ]
    assert list(rows[-1].values())[2:] == ["–", "–", "–", "it broke."]
    assert what_it_means(contender) == (
        "Left out: it broke. "
        "conv-lif is more accurate than its quantised twin, and less than its ReLU twin, at these "
        "settings. Its 4 steps add nothing: trained with a single one, it is as accurate (within "
        "±0.5 points). The order of its spikes in time matters to this trained network. " + ALONE
    )


@pytest.mark.parametrize(
    ("controls", "text"),
    [
        (
            {"relu_twin": BETTER, "quantised_twin": BETTER},
            "Spiking over 4 steps gains conv-lif accuracy over its ReLU twin and quantised twin, "
            "at these settings.",
        ),
        (
            {"relu_twin": EQUAL},
            "conv-lif is as accurate as its ReLU twin (within ±0.5 points), at these settings.",
        ),
        (
            {"shuffled": EQUAL},
            "The order of its spikes in time does not matter to it (within ±0.5 points).",
        ),
    ],
)
def test_what_they_mean_together(controls, text):
    assert what_it_means(controlled(**controls)) == f"{text} {ALONE}"


def test_one_seed_describes_and_does_not_conclude():
    contender = controlled(seeds=1, relu_twin=BETTER, one_step=WORSE, shuffled=BETTER)
    assert what_it_means(contender) == (
        "1 seed cannot show what spiking, time steps or the order of spikes do: these numbers "
        f"describe these models only. Use --seeds 6. {ALONE}"
    )
    assert set(conclusions(contender)) == {"takes 4 seeds"}


def test_a_control_that_takes_more_seeds_than_the_others_says_so():
    paired = row("shuffled", UNKNOWN, seeds=4, paired=True)
    contender = controlled(seeds=4, relu_twin=BETTER)
    assert text_rows(control_columns(contender), [paired])[0]["conclusion"] == (
        "takes 6 seeds, compared seed by seed"
    )
