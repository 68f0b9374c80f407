from factories import pair, results, trial
from features.ablations.made_ablations import BETTER, EQUAL, UNKNOWN, WORSE, ablated, row
from spikeduel.features.ablations.ablation_results import Conclusion, WithoutTime
from spikeduel.features.ablations.ablation_sentences import (
    ablation_columns,
    asked,
    on_time,
    what_it_means,
)
from spikeduel.sentences.columns import text_rows


def conclusions(contender):
    return [cells["conclusion"] for cells in text_rows(ablation_columns(contender), contender.rows)]


def test_the_rows_and_the_sentences():
    contender = ablated(
        relu_twin=WORSE,
        quantised_twin=BETTER,
        one_step=EQUAL,
        shuffled=None,
    )
    assert asked(contender) == "What spiking adds to conv-lif (T = 4, mean over 6 seeds)"
    rows = text_rows(ablation_columns(contender), contender.rows)
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
            "shuffled": None,
        },
        "better": {"relu_twin": BETTER, "quantised_twin": BETTER},
        "equal": {"relu_twin": EQUAL},
        "in time": {"shuffled": EQUAL},
        "one seed": {"seeds": 1, "relu_twin": BETTER, "one_step": WORSE, "shuffled": BETTER},
    }
    golden({name: what_it_means(ablated(**case)) for name, case in cases.items()})


def test_one_seed_describes_and_does_not_conclude():
    contender = ablated(seeds=1, relu_twin=BETTER, one_step=WORSE, shuffled=BETTER)
    assert set(conclusions(contender)) == {"takes 4 seeds"}


def test_an_ablation_that_takes_more_seeds_than_the_others_says_so():
    paired = row("shuffled", UNKNOWN, seeds=4, paired=True)
    contender = ablated(seeds=4, relu_twin=BETTER)
    assert text_rows(ablation_columns(contender), [paired])[0]["conclusion"] == (
        "takes 6 seeds, compared seed by seed"
    )


def test_few_trainings_say_nothing_of_the_data_set(golden):
    def sentences(seeds):
        found = pair(0.02, seeds=seeds)
        without = WithoutTime(
            contender="snn",
            accuracy=0.9,
            without="cnn",
            accuracy_without=0.88,
            trained_without=True,
            comparison=found,
            lost="some",
        )
        return on_time(results([trial("snn")]), Conclusion(without_time=without))

    golden({f"seeds: {seeds}": sentences(seeds) for seeds in (1, 3, 6)})
