from spikeduel.results.words.tuning import in_words, tuning_caveats, tuning_limits
from spikeduel.settings.recipes import baseline


def tuning(num_trials=8, **gains):
    """A tuning's record; a contender's gain may come with its number of settings and failed trials."""
    return {
        "num_trials": num_trials,
        "experiment": {"epochs": 6},
        "contenders": [
            {
                "contender": name,
                "tuned": ["learning_rate"] * (2 if name == "snn" else 1),
                "best": None if gain is None else 0,
                "gain_of_last_doubling": gain or 0.0,
                "trials": [{"status": "failed" if gain is None else "done"}] * num_trials,
            }
            for name, gain in gains.items()
        ],
    }


def test_what_was_tuned_for_whom_is_said():
    assert tuning_caveats(baseline(), None) == [
        "Learning rate and all other settings are the same for every contender and tuned for none."
    ]
    own = baseline(per_contender={"dense-snn": {"beta": 0.5}})
    (unshown,) = tuning_caveats(own, None)
    assert unshown.startswith("Contenders have settings of their own (dense-snn: beta 0.5). Nothing here shows that")
    (tuned,) = tuning_caveats(own, tuning(a=0.0, b=0.0))
    assert tuned.startswith(
        "Each contender was tuned with 8 trials of at most 6 epochs, the first at the settings given"
    )


def test_where_more_trials_might_bring_more_is_said():
    assert tuning_limits(tuning(a=0.004, b=0.0)) == []
    assert tuning_limits(tuning(a=0.012, b=0.004)) == [
        "From 4 to 8 trials the expected best validation accuracy still rose, that of a by 1.2 points: more trials "
        "might bring more."
    ]
    assert "that of a by 1.2 and that of b by 2.0 points" in tuning_limits(tuning(a=0.012, b=0.02))[0]
    assert "From 2 to 5 trials" in tuning_limits(tuning(5, a=0.012))[0]


def test_thin_and_failed_tuning_is_said():
    assert tuning_limits(tuning(snn=0.0, cnn=None)) == [
        "The same number of trials covers the choices of some more thinly; settings tuned: snn 2, cnn 1.",
        "8 of the 8 tuning trials of cnn failed.",
        "cnn keeps the settings it had: none of its tuning trials was finished.",
    ]


def test_settings_in_words():
    assert in_words({"learning_rate": 8.5e-5, "num_steps": 25, "surrogate_alpha": None}) == (
        "learning_rate 8.5e-05, num_steps 25, surrogate_alpha customary"
    )
