"""The plan of a study, in a table and sentences."""

from msgspec import structs

from spikeduel.results.study_plan import DuelPlan, StudyPlan, TrialPlan
from spikeduel.results.words import study_plan as words


def trial(key, stored=False, seconds=20.0):
    return TrialPlan(
        contender=key,
        title=f"{key}, seed 0",
        key=key,
        stored=stored,
        seconds=seconds,
        bytes=1_000_000,
    )


def duel(label, *trials, leads=(0.01, 0.02), source="assumed", dataset=None, seeds=4):
    return DuelPlan(
        label=label,
        dataset=dataset or label,
        test_images=1000,
        seeds=seeds,
        trials=list(trials),
        source=source,
        leads=leads,
        spreads=(0.003, 0.004),
    )


def test_shared_trials_count_once_in_the_whole_and_in_each_row():
    plan = StudyPlan(
        name="s",
        at_once=2,
        duels=[duel("a", trial("x"), trial("y")), duel("b", trial("x"), trial("z"))],
    )
    assert list(plan.trials) == ["x", "y", "z"]
    assert (plan.seconds, plan.bytes) == (60.0, 3_000_000)
    assert [row["trials"] for row in words.rows(plan)] == ["2", "2"]
    text = " ".join(words.sentences(plan))
    assert "3 trials of 2 duels on 2 data sets; 3 are to be trained." in text
    assert "2 at a time, at best 30 s" in text


def test_what_is_stored_takes_nothing():
    plan = StudyPlan(name="s", at_once=1, duels=[duel("a", trial("x", stored=True, seconds=None))])
    assert (plan.seconds, plan.bytes, plan.missing) == (0, 0, [])
    assert words.rows(plan)[0]["training"] == "–"


def test_an_unknown_time_is_not_a_short_one():
    plan = StudyPlan(name="s", at_once=1, duels=[duel("a", trial("x"), trial("y", seconds=None))])
    assert plan.seconds is None
    assert words.rows(plan)[0]["training"] == "?"
    assert "unknown" in " ".join(words.sentences(plan))


def test_it_says_what_cannot_be_shown():
    plan = StudyPlan(
        name="s", at_once=1, duels=[duel("a", trial("x"), trial("y"), leads=None, seeds=2)]
    )
    text = " ".join(words.sentences(plan))
    assert "fewer than 4 seeds" in text
    assert "at least 6 data sets" in text
    assert words.rows(plan)[0]["smallest lead"] == "–"
    many = StudyPlan(
        name="s", at_once=1, duels=[duel(str(n), trial("x"), trial("y")) for n in range(6)]
    )
    assert "at least" not in " ".join(words.sentences(many))


def test_a_single_variant_is_compared_with_nothing():
    plan = StudyPlan(name="s", at_once=1, duels=[duel(str(n), trial("x")) for n in range(6)])
    assert (plan.pairs, plan.leads) == (0, None)
    assert "at least" not in " ".join(words.sentences(plan))


def test_networks_of_controls_are_not_forgotten():
    plan = StudyPlan(
        name="s", at_once=1, duels=[structs.replace(duel("a", trial("x")), controls=3)]
    )
    assert "Controls may train 3 networks more" in " ".join(words.sentences(plan))


def test_variants_are_what_shares_no_trials():
    one = [duel(f"{n}, rate", trial("x"), trial("y"), dataset=str(n)) for n in range(6)]
    other = [duel(f"{n}, direct", trial("z"), trial("y"), dataset=str(n)) for n in range(6)]
    pair, three = (StudyPlan(name="s", at_once=1, duels=duels) for duels in (one, [*one, *other]))
    assert (pair.pairs, three.pairs) == (1, 3)
    assert three.leads is None
    best, worst = pair.leads
    assert 0.005 < best < worst < 0.03


def test_more_seeds_make_no_other_variant():
    few, more = [], []
    for n in range(6):
        few.append(duel(f"{n}, 4 seeds", trial("x"), trial("y"), dataset=str(n)))
        seeds = (structs.replace(trial(key), contender=key[0]) for key in ("x", "y", "x1", "y1"))
        more.append(
            structs.replace(
                duel(f"{n}, 8 seeds", *seeds, dataset=str(n), seeds=8), spreads=(0.001, 0.002)
            )
        )
    alone, *both = (
        StudyPlan(name="s", at_once=1, duels=duels)
        for duels in (more, [*few, *more], [*more, *few])
    )
    assert [each.pairs for each in both] == [1, 1]
    assert [each.leads for each in both] == [alone.leads] * 2
