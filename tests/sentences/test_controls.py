from made_controls import BETTER, EQUAL, UNKNOWN, WORSE, controlled, row
from spikeduel.sentences.columns import control_columns, text_rows
from spikeduel.sentences.verdict import asked, what_it_means


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


def test_what_they_mean_together(golden):
    cases = {
        "one missing": {
            "relu_twin": WORSE,
            "quantised_twin": BETTER,
            "one_step": EQUAL,
            "shuffled": BETTER,
            "nearest_neighbour": None,
        },
        "better": {"relu_twin": BETTER, "quantised_twin": BETTER},
        "equal": {"relu_twin": EQUAL},
        "in time": {"shuffled": EQUAL},
        "one seed": {"seeds": 1, "relu_twin": BETTER, "one_step": WORSE, "shuffled": BETTER},
    }
    golden({name: what_it_means(controlled(**case)) for name, case in cases.items()})


def test_one_seed_describes_and_does_not_conclude():
    contender = controlled(seeds=1, relu_twin=BETTER, one_step=WORSE, shuffled=BETTER)
    assert set(conclusions(contender)) == {"takes 4 seeds"}


def test_a_control_that_takes_more_seeds_than_the_others_says_so():
    paired = row("shuffled", UNKNOWN, seeds=4, paired=True)
    contender = controlled(seeds=4, relu_twin=BETTER)
    assert text_rows(control_columns(contender), [paired])[0]["conclusion"] == (
        "takes 6 seeds, compared seed by seed"
    )
