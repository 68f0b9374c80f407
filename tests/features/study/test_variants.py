"""Which settings of a grid make variants of a contender, and which do not concern it."""

from dataclasses import replace

from msgspec import structs

from factories import with_trials
from features.study.made_studies import OTHER, SPIKING, make_duel
from spikeduel.features.study.study_results import variants_of

SCORES = {SPIKING: [0.8, 0.81], OTHER: [0.9, 0.91]}


def names(duels):
    """The variants of each contender."""
    variants_by_contender = {SPIKING: [], OTHER: []}
    for entry in variants_of(duels):
        variants_by_contender[entry.contender].append(entry.variant)
    return {
        contender: list(dict.fromkeys(variants))
        for contender, variants in variants_by_contender.items()
    }


def test_a_network_without_spikes_is_one_variant_whatever_the_encoding_and_steps():
    duels = [
        make_duel(data, SCORES, encoding=encoding, num_steps=steps)
        for data in ("x", "y")
        for encoding in ("rate", "direct")
        for steps in ("4", "8")
    ]
    assert names(duels) == {
        SPIKING: [
            f"{SPIKING} ({encoding}, T = {steps})"
            for encoding in ("rate", "direct")
            for steps in ("4", "8")
        ],
        OTHER: [OTHER],
    }


def test_what_does_not_vary_is_not_in_a_name():
    assert names([make_duel("x", SCORES), make_duel("y", SCORES)]) == {
        SPIKING: [SPIKING],
        OTHER: [OTHER],
    }
    duels = [
        make_duel(data, SCORES, encoding="rate", num_steps=steps) for data in "xy" for steps in "48"
    ]
    assert names(duels)[SPIKING] == [f"{SPIKING} (T = 4)", f"{SPIKING} (T = 8)"]


def test_settings_that_change_trials_make_variants_of_all_contenders():
    duels = [make_duel("x", SCORES, recipe=recipe) for recipe in ("strong", "baseline")]
    changed = with_trials(duels[1].results, key=lambda trial: f"{trial.key} otherwise")
    duels[1] = replace(duels[1], results=changed)
    assert names(duels)[OTHER] == [f"{OTHER} (recipe strong)", f"{OTHER} (recipe baseline)"]


def test_exclusions_do_not_make_variants_of_a_network_without_spikes():
    # Of no data set are there two encodings, so that no keys can be compared.
    duels = [make_duel("x", SCORES, encoding="rate"), make_duel("y", SCORES, encoding="direct")]
    assert names(duels) == {SPIKING: [f"{SPIKING} (rate)", f"{SPIKING} (direct)"], OTHER: [OTHER]}


def test_more_seeds_of_the_same_training_are_the_same_variant():
    fewer = make_duel("x", SCORES, encoding="rate")
    more = make_duel(
        "x", {name: [*scores, 0.7] for name, scores in SCORES.items()}, encoding="direct"
    )
    assert names([fewer, more])[OTHER] == [OTHER]
    assert len({trial.key for trial in more.results.of(OTHER)}) == 3
    assert structs.asdict(fewer.results.of(OTHER)[0])["key"] == more.results.of(OTHER)[0].key
