from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import factories
from factories import small_twins
from spikeduel import data
from spikeduel.comparing import compare, prepare
from spikeduel.data import Split
from spikeduel.data.events.recordings import Recordings
from spikeduel.experiment.recipes import strong
from spikeduel.experiment.settings import read_experiment
from spikeduel.features import FEATURES
from spikeduel.inputs.preprocessing import Binning, Events
from spikeduel.results.run import Budget, SetRules
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.training import auto_settings, contenders, plan, timing
from spikeduel.training.auto_settings import epochs_within
from spikeduel.training.store import Store
from telling import Telling

SECONDS = {"vgg-lif": 3.0, "vgg-relu": 1.0}


@pytest.fixture
def quick():
    """Networks that train in a moment; batch size, dropout and epochs are left open."""
    return small_twins(limit=100)


@pytest.fixture
def timed(monkeypatch, machine):
    """An epoch takes `SECONDS`; gives the contenders whose epochs were timed."""
    asked = []

    def seconds_of_an_epoch(trial, prepared):
        asked.append(trial.card.contender)
        return SECONDS[trial.card.contender]

    monkeypatch.setattr(timing, "seconds_of_an_epoch", seconds_of_an_epoch)
    return asked


def fitted(experiment, store="s", progress=None):
    prepared = data.load(experiment)
    split = data.splits(prepared, experiment)[0]
    return auto_settings.resolve(experiment, prepared, split, Store(store), progress or Progress())


def decided(resolved):
    return resolved.experiment, resolved.rules, resolved.budget


def split_of(num_train, num_others=4):
    others = np.arange(num_train, num_train + num_others)
    return Split(np.arange(num_train), others[::2], others[1::2], "stratified")


# ---- by the set


@pytest.mark.parametrize(
    ("num_train", "batch_size", "dropout"),
    [
        (10, 32, 0.2),
        (1_999, 32, 0.2),
        (2_000, 64, 0.2),
        (9_999, 64, 0.2),
        (10_000, 128, 0.0),
        (60_000, 128, 0.0),
    ],
)
def test_batch_size_and_dropout_follow_from_the_number_of_training_images(
    num_train, batch_size, dropout, monkeypatch
):
    monkeypatch.setattr(auto_settings, "missing", lambda experiment, contenders, prepared: {})
    given = strong("digits", epochs=1, augmentation="none")
    _, prepared, _ = plan.loaded(given, Progress())
    resolved = auto_settings.resolve(given, prepared, split_of(num_train), None, None)
    assert resolved.rules == SetRules(
        num_train=num_train, chosen={"batch_size": batch_size, "dropout": dropout}
    )


def test_what_is_given_is_not_chosen(known_data):
    given = strong("digits", limit=100, epochs=1, batch_size=7, dropout=0.0, augmentation="cutout")
    assert fitted(given).rules is None
    assert fitted(replace(given, dropout=None)).rules.chosen == {"dropout": 0.2}
    assert set(fitted(replace(given, augmentation="auto")).rules.chosen) == {"augmentation"}


def chosen_of(prepared, num_train=None, epochs=1, **changes):
    """The rules chosen by the looks of `prepared`, all or the first of it, for contenders that
    train for so long.
    """
    num_train = num_train or len(prepared.images)
    rules, experiment = SetRules(num_train=num_train), strong("pets", epochs=epochs, **changes)
    return auto_settings._by_looks(rules, experiment, prepared, split_of(num_train), Progress())


def pictures(random, motifs, copies, mirrored):
    """Drawings of few things, each as often as `copies`, and turned around as often where they are
    `mirrored`.
    """
    things = (random.random((motifs, 1, 16, 16)) < 0.3) * 200
    things[..., 8:] //= 4  # the left is brighter
    things = np.repeat(things, copies, 0)
    both = np.concatenate([things, things[..., ::-1]]) if mirrored else things
    return np.clip(both + random.integers(-12, 13, both.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("mirrored", "labels", "share", "augmentation"),
    [
        (True, 0, pytest.approx(0.5, abs=0.15), "affine-flip"),
        (False, 0, pytest.approx(0, abs=0.02), "affine"),
        (True, np.repeat([0, 1], 72), pytest.approx(0, abs=0.02), "affine"),
    ],
    ids=["mirror images", "none", "left and right are classes"],
)
def test_images_are_flipped_where_mirror_images_of_a_class_occur(
    mirrored, labels, share, augmentation, random
):
    prepared = factories.prepared(pictures(random, 12, 6, mirrored))
    rules = chosen_of(replace(prepared, labels=prepared.labels + labels))
    assert rules.chosen == {"augmentation": augmentation}
    assert rules.mirrored == share


def moving(random, count, edge=16):
    """Recordings of a bar of some height that goes to the right, and of as many that go to the
    left.
    """
    packed = []
    for number in range(2 * count):
        top = int(random.integers(0, edge - 5))
        t = np.arange(600) * 500
        x, y = t * edge // (t[-1] + 1), top + random.integers(0, 5, len(t))
        x = edge - 1 - x if number >= count else x
        packed.append(Events(x, y, t, random.integers(0, 2, len(t))).packed())
    offsets = np.cumsum([0, *map(len, packed)])
    return Recordings(np.concatenate(packed), offsets, Binning(4, (edge, edge)))


@pytest.mark.parametrize("differs", [True, False])
def test_recordings_are_flipped_unless_what_moves_the_other_way_is_another_class(differs, random):
    recordings = moving(random, 60)
    labels = np.repeat([0, 1], 60) if differs else np.zeros(120, np.int64)
    rules = chosen_of(replace(factories.prepared(recordings), labels=labels))
    assert rules.chosen == {"augmentation": "affine" if differs else "affine-flip"}
    # Their pictures alone do not tell.
    assert auto_settings.alike(recordings.pictures, labels, np.arange(120), None).mirrored > 0.15


@pytest.mark.parametrize(
    ("size", "epochs", "augmentation"),
    [(0, 1, "affine"), (1, 5, "none"), (1, 6, "translate"), (2, 29, "none"), (2, 30, "translate")],
)
def test_images_that_lie_alike_are_moved_in_long_training(
    size, epochs, augmentation, random, monkeypatch
):
    monkeypatch.setattr(auto_settings, "_size", lambda num_train: size)
    prepared = factories.prepared(pictures(random, 12, 6, False))
    rules = chosen_of(prepared, epochs=epochs)
    assert rules.chosen == {"augmentation": augmentation}
    assert (rules.moved, rules.epochs) == (pytest.approx(0, abs=0.05), epochs)
    # Who trains for the shortest time decides for all.
    rules = chosen_of(prepared, epochs=99, per_contender={"vgg-lif": {"epochs": epochs}})
    assert (rules.chosen, rules.epochs) == ({"augmentation": augmentation}, epochs)


def test_images_that_lie_anywhere_are_moved(random, monkeypatch):
    monkeypatch.setattr(auto_settings, "_size", lambda num_train: 2)
    images = pictures(random, 6, 20, False)
    moves = random.integers(-2, 3, (len(images), 2))
    anywhere = np.stack(
        [np.roll(image, move, (1, 2)) for image, move in zip(images, moves, strict=True)]
    )
    rules = chosen_of(factories.prepared(anywhere))
    assert rules.moved > auto_settings.ALIKE
    assert rules.chosen == {"augmentation": "translate"}


@pytest.mark.parametrize("num_train", [50, 100, 540])
def test_letters_are_not_flipped_nor_few_of_them_by_chance(num_train):
    experiment = strong("digits", limit=round(num_train / 0.9), epochs=1, batch_size=7, dropout=0.0)
    assert fitted(experiment).rules.chosen == {"augmentation": "affine"}


@pytest.mark.numeric
@pytest.mark.parametrize(
    ("groups", "mirrored"),
    [(None, 1.0), (np.tile(np.arange(30), 2), 0.0)],
    ids=["alone", "grouped"],
)
def test_what_belongs_together_is_not_compared(groups, mirrored, random):
    """A picture and its own mirror image, taken of one thing, do not show that mirror images
    occur.
    """
    some = pictures(random, 1, 30, False)
    images, labels = np.concatenate([some, some[..., ::-1]]), np.zeros(60, np.int64)
    assert auto_settings.alike(images, labels, np.arange(60), groups).mirrored == mirrored


def test_training_images_alone_decide(random):
    images = pictures(random, 12, 6, False)
    turned = np.concatenate([images, images[..., ::-1]])
    rules = chosen_of(factories.prepared(turned), 72)
    assert rules.mirrored == pytest.approx(0, abs=0.02)
    assert rules.chosen["augmentation"] == "affine"
    turned[72:] = 0
    assert chosen_of(factories.prepared(turned), 72) == rules


# ---- by the minutes


def test_what_was_timed_while_the_machine_was_busy_is_timed_again_until_all_is_trained(
    quick, timed, machine, monkeypatch
):
    quick = replace(quick, minutes=0.1, limit=90, augmentation="auto")
    machine.load = 1000.0
    busy = decided(fitted(quick))
    assert decided(fitted(quick)) == busy  # still busy
    assert len(timed) == 2
    machine.load = 0.0
    prepared = data.load(quick)
    (split,) = data.splits(prepared, quick)
    trained = {trial.key for trial in contenders.trials_of(busy[0], prepared, split)}
    record = Store.record
    monkeypatch.setattr(Store, "record", lambda store, key: key in trained)
    assert decided(fitted(quick)) == busy
    monkeypatch.setattr(Store, "record", record)
    assert not fitted(quick).budget.busy
    assert len(timed) == 4


def taken(**seconds):
    """Records of one training each, with these seconds an epoch."""
    return [
        SimpleNamespace(settings={"contender": name.replace("_", "-")}, epoch_seconds=[second] * 4)
        for name, second in seconds.items()
    ]


def test_epochs_that_were_timed_as_too_long_are_planned_anew(quick, timed):
    log, resolved = Telling(), fitted(replace(quick, minutes=1.0))
    again = auto_settings.replanned(resolved, taken(vgg_lif=1.5, vgg_relu=0.5), log)
    assert again.budget.epochs == {"vgg-lif": 20, "vgg-relu": 60}
    assert again.experiment.for_contender("vgg-lif").epochs == 20
    assert "  vgg-lif: an epoch took 1.5 s, and 3 s when it was timed" in log.messages[0]
    # And so it stays.
    assert fitted(replace(quick, minutes=1.0)).budget == again.budget
    # Once: a longer training has shorter epochs on the mean.
    resolved = fitted(replace(quick, minutes=1.0))
    assert auto_settings.replanned(resolved, taken(vgg_lif=0.5, vgg_relu=0.1), log) is None


@pytest.mark.skipif("optimism" not in FEATURES, reason="nothing else tests each epoch")
def test_trainings_that_were_tested_are_not_planned_anew(quick, timed):
    resolved = fitted(replace(quick, minutes=1.0, optimism=True))
    log = Telling()
    assert auto_settings.replanned(resolved, taken(vgg_lif=1.5, vgg_relu=0.5), log) is None
    assert log.lines == []


@pytest.mark.parametrize("seconds", [{"vgg_lif": 2.1, "vgg_relu": 0.7}, {"vgg_lif": 30.0}])
def test_epochs_stay_that_took_about_as_long_or_longer(quick, timed, seconds):
    resolved = fitted(replace(quick, minutes=1.0))
    assert auto_settings.replanned(resolved, taken(**seconds), Progress()) is None


def test_all_contenders_get_the_same_time(quick, timed):
    own = {"vgg-lif": {"beta": 0.7}}
    resolved = fitted(replace(quick, minutes=1.0, per_contender=own))
    # Each has 30 seconds.
    epochs = {"vgg-lif": 10, "vgg-relu": 30}
    assert resolved.budget == Budget(minutes=1.0, given=True, epoch_seconds=SECONDS, epochs=epochs)
    assert timed == ["vgg-lif", "vgg-relu"]
    assert resolved.experiment.epochs == 30
    assert resolved.experiment.per_contender == {
        "vgg-lif": {"beta": 0.7, "epochs": 10},
        "vgg-relu": {"epochs": 30},
    }
    assert resolved.experiment.own_settings == own
    # So it is what is trained.
    prepared = data.load(quick)
    planned = contenders.trials_of(resolved.experiment, prepared, data.split(prepared, quick))
    assert [trial.settings["training"]["epochs"] for trial in planned] == [10, 30]


def test_epochs_that_an_earlier_budget_gave_do_not_outlive_it(quick, timed):
    own = {"vgg-lif": {"beta": 0.7}}
    left = {"vgg-lif": {"beta": 0.7, "epochs": 5}, "vgg-relu": {"epochs": 6}}
    fresh, again = (
        decided(fitted(replace(quick, minutes=1.0, per_contender=settings)))
        for settings in (own, left)
    )
    assert again == fresh
    # Not timed again, either.
    assert timed == ["vgg-lif", "vgg-relu"]


def test_without_minutes_no_more_epochs_than_are_of_use(quick, timed, monkeypatch):
    monkeypatch.setitem(SECONDS, "vgg-lif", 0.01)
    monkeypatch.setitem(SECONDS, "vgg-relu", 0.01)
    budget = fitted(quick).budget
    assert (budget.minutes, budget.given) == (2.0, False)
    assert budget.epochs == {"vgg-lif": 200, "vgg-relu": 200}
    assert fitted(replace(quick, minutes=1.0)).budget.epochs == {"vgg-lif": 3000, "vgg-relu": 3000}
    # Nor more than the setting takes.
    assert fitted(replace(quick, minutes=1000.0)).experiment.epochs == 1_000_000


@pytest.mark.parametrize(
    ("minutes", "large", "given", "width"),
    [
        (1.5, 50, None, None),
        (1.6, 50, None, 32),
        (4.0, 50, None, 48),
        (60.0, 50, None, 64),
        (60.0, 50, 3, None),
        (60.0, 1000, None, None),
    ],
)
def test_a_large_set_with_time_has_wider_networks(
    minutes, large, given, width, quick, timed, monkeypatch
):
    monkeypatch.setattr(auto_settings, "LARGE", large)
    resolved = fitted(replace(quick, minutes=minutes, width=given))
    assert resolved.rules.chosen.get("width") == width
    assert resolved.experiment.width == (width or given or auto_settings.USUAL_WIDTH)
    # Those of the usual width are timed, and then those that train.
    assert timed == ["vgg-lif", "vgg-relu"] * (1 if width is None else 2)
    # Whoever has no width, and is slower, does not count.
    monkeypatch.setitem(SECONDS, "small-cnn", 1000.0)
    others = fitted(
        replace(
            quick, contenders=("small-cnn", *quick.contenders), minutes=1.5 * minutes, width=given
        )
    )
    assert others.rules.chosen.get("width") == width


def test_epochs_that_are_given_are_trained_and_nothing_is_timed(quick, timed):
    resolved = fitted(replace(quick, epochs=3))
    assert (resolved.experiment.epochs, resolved.budget, timed) == (3, None, [])
    assert resolved.rules.chosen == {"batch_size": 32, "dropout": 0.2}
    whole = replace(resolved.experiment, seeds=2)
    assert decided(fitted(whole)) == (whole, None, None)
    assert not Store("s").root.exists()


def test_epochs_and_minutes_cannot_both_decide(quick):
    with pytest.raises(
        InputError, match=r"both epochs \(3\) and minutes \(0\.5\) would decide .* Leave out one"
    ):
        contenders.check(replace(quick, epochs=3, minutes=0.5))
    contenders.check(replace(quick, epochs=3))


def test_the_same_experiment_gets_the_same_epochs_however_fast_the_machine_is(
    quick, timed, monkeypatch
):
    first = fitted(replace(quick, minutes=1.0))
    monkeypatch.setitem(SECONDS, "vgg-lif", 5.0)
    assert decided(fitted(replace(quick, minutes=1.0))) == decided(first)
    # More seeds are no other experiment.
    assert fitted(replace(quick, minutes=1.0, seeds=3)).budget == first.budget
    assert len(timed) == 2
    for other in (
        {"minutes": 2.0},
        {"width": 4},
        {"limit": 90},
        {"minutes": None},
    ):
        assert fitted(replace(quick, **{"minutes": 1.0, **other})).budget != first.budget


# ---- all together


def test_run_twice_it_trains_once(quick, timed, known_data, unreported):
    experiment = replace(quick, minutes=0.1)
    first = compare(experiment, "run", "s", progress=(log := Telling())).results
    # An epoch of vgg-relu takes far less than the second that was timed.
    epochs = {trial.contender: trial.epochs for trial in first.trials}
    assert epochs["vgg-relu"] > 3
    assert "  vgg-relu: an epoch took " in "".join(log.lines)
    assert first.budget.epochs == epochs
    assert first.rules.chosen == {"batch_size": 32, "dropout": 0.2}
    assert sum("(0.1 min a seed)" in line for line in log.lines) == 1
    timed.clear()
    again = compare(experiment, "again", "s", progress=(log := Telling())).results
    assert (timed, log.found) == ([], 2)
    assert [trial.key for trial in again.trials] == [trial.key for trial in first.trials]
    assert again.budget == first.budget
    # Its settings, as they were written, say all: nothing has to be fitted again.
    written = read_experiment("run/experiment.toml")
    assert written == first.experiment
    reread = compare(written, "reread", "s", progress=(log := Telling())).results
    assert log.found == 2
    assert [trial.key for trial in reread.trials] == [trial.key for trial in first.trials]
    assert (reread.rules, reread.budget, timed) == (None, None, [])


def test_a_plan_is_of_as_many_epochs_and_times_nothing_twice(quick, timed, known_data):
    experiment = replace(quick, minutes=1.0)
    planned = prepare(experiment, None, Store(Path("s")), Progress(), timed={}).plan
    times = {time.contender: time for time in planned.times}
    assert {name: time.epochs for name, time in times.items()} == {"vgg-lif": 10, "vgg-relu": 30}
    assert {name: time.epoch_seconds for name, time in times.items()} == SECONDS


@pytest.mark.parametrize(
    ("minutes", "seconds_of", "epochs"),
    [
        # Two epochs of the slower network take 40 of its 50 seconds: the other one has 40, too.
        (100 / 60, {"slow": 20.0, "fast": 1.0}, {"slow": 2, "fast": 40}),
        (0.7, {"slow": 5.3, "fast": 1.9}, {"slow": 3, "fast": 8}),
        # Not even one epoch fits: the other one keeps to the minutes.
        (100 / 60, {"slow": 60.0, "fast": 1.0}, {"slow": 1, "fast": 50}),
    ],
)
def test_whole_epochs_of_the_slowest_contender_set_the_time_of_all(minutes, seconds_of, epochs):
    assert epochs_within(minutes, seconds_of, replace(strong(), minutes=minutes)) == epochs
