"""A study's file: its grid, what is left out, and what is wrong with it."""

import itertools

import pytest

from factories import of_feature
from spikeduel.features import FEATURES
from spikeduel.features.study import study_files as studies
from spikeduel.system.errors import InputError

GRID = """
[grid]
dataset = ["digits", "fashion-mnist-mini"]
encoding = ["direct", "rate"]
[settings]
contenders = ["dense-lif", "dense-relu", "conv-relu"]
epochs = 2
"""


@pytest.fixture
def read(tmp_path):
    """Reads a study of this text."""

    def of(text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return studies.read_study(path)

    return of


def values(study):
    return [tuple(duel.values.values()) for duel in study.duels]


def test_every_combination_is_a_duel(read):
    study = read(GRID)
    datasets, encodings = ("digits", "fashion-mnist-mini"), ("direct", "rate")
    assert values(study) == list(itertools.product(datasets, encodings))
    assert (study.name, study.varied, study.tuning) == ("mine", ("dataset", "encoding"), None)
    first = study.duels[0].experiment
    assert (first.dataset, first.encoding, first.epochs) == ("digits", "direct", 2)
    assert first.contenders == ("dense-lif", "dense-relu", "conv-relu")
    # As on the command line, contenders bring what their recipe says.
    assert first.optimizer == "adam"
    assert [study.label(duel) for duel in study.duels][1] == "digits, encoding rate"


LISTS = '[grid]\ndataset = ["digits", "fashion-mnist-mini"]\ncontenders = [["m:a"], ["m:b"]]\n'


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (
            f'{GRID}[[exclude]]\ndataset = "digits"\nencoding = ["rate", "latency"]\n',
            ["digits direct", "fashion-mnist-mini direct", "fashion-mnist-mini rate"],
        ),
        (
            f'{LISTS}[[exclude]]\ndataset = "digits"\ncontenders = ["m:b"]\n',
            ["digits ['m:a']", "fashion-mnist-mini ['m:a']", "fashion-mnist-mini ['m:b']"],
        ),
        (
            f'{GRID}[[exclude]]\nepochs = 2\nencoding = "rate"\n',
            ["digits direct", "fashion-mnist-mini direct"],
        ),
    ],
    ids=["several values", "what is a list itself", "a setting that all share"],
)
def test_duels_can_be_left_out(read, text, left):
    assert ["{} {}".format(*names) for names in values(read(text))] == left


def test_recipes_contenders_and_steps_may_vary(read):
    study = read(
        '[grid]\nrecipe = ["baseline", "matched"]\nnum_steps = [2, 4]\n[settings]\ndataset = "digits"\nepochs = 1\n'
    )
    varied = [(duel.experiment.recipe, duel.experiment.num_steps) for duel in study.duels]
    assert varied == list(itertools.product(("baseline", "matched"), (2, 4)))
    pairs = read('[grid]\ncontenders = [["dense-lif", "dense-relu"], ["conv-lif", "conv-relu"]]\n')
    assert [duel.experiment.contenders[0] for duel in pairs.duels] == ["dense-lif", "conv-lif"]


@pytest.mark.skipif("tuning" not in FEATURES, reason="the feature was deleted")
def test_a_study_tunes_its_contenders(read):
    assert read(f"{GRID}[tuning]\ntrials = 3\n").tuning.trials == 3


def test_folders_beside_the_file_are_found_and_hide_no_set_of_their_name(
    read, tmp_path, monkeypatch
):
    for name in ("photos", "elsewhere", "digits"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    first, second = read('[grid]\ndataset = ["photos", "digits"]\n').duels
    assert first.experiment.dataset == str(tmp_path / "photos")
    assert second.experiment.dataset == "digits"


def test_recordings_get_their_recipe(read):
    of_feature("event_cameras.recording_sets")
    (duel,) = read('[grid]\ndataset = ["n-mnist"]\n').duels
    assert duel.experiment.recipe == "events"


def test_related_data_sets_are_a_family(read):
    study = read(f'{GRID}[families]\nfashion = ["fashion-mnist-mini"]\n')
    families = [duel.family for duel in study.duels]
    assert families == [None, None, "family fashion", "family fashion"]


WRONG = {
    "a family of no data set": (f"{GRID}[families]\nx = ['mnist']\n", "one of the data sets in"),
    "two families": (f"{GRID}[families]\nx = ['digits']\ny = ['digits']\n", "in one family"),
    "a family and no grid": ("[grid]\nnum_steps = [1]\n[families]\nx = ['digits']\n", "must be"),
    "no grid": ("[settings]\nepochs = 1\n", "grid"),
    "a setting that is none": ("[grid]\nencodng = ['rate']\n", "encoding"),
    "a common one that is none": ("[grid]\nencoding = ['rate']\n[settings]\nepoch = 1\n", "epochs"),
    "no values": ("[grid]\nencoding = []\n", "must be a list"),
    "one value twice": ("[grid]\nencoding = ['rate', 'rate']\n", "twice"),
    "no list": ("[grid]\nencoding = 'rate'\n", "[grid] encoding: must be a list"),
    "in both": ("[grid]\nepochs = [1, 2]\n[settings]\nepochs = 1\n", "Take it out"),
    "a value that is none": ("[grid]\nnum_steps = [0]\n", "num_steps = 0: num_steps must be"),
    "a data set that is none": ("[grid]\ndataset = [3]\n", "dataset must be"),
    "contenders that are none": (
        "[grid]\nencoding = ['rate']\n[settings]\ncontenders = 3\n",
        "contenders must be",
    ),
    "what is concluded": ("[grid]\ntolerance = [1.0, 2.0]\n", "[grid] tolerance"),
    "two places of one set": ("[grid]\ndata_dir = ['a', 'b']\n", "[grid] data_dir"),
    "an exclusion of what is no setting": (f"{GRID}[[exclude]]\ngrid = []\n", "grid"),
    "no duel": ("[grid]\nencoding = ['rate']\n[[exclude]]\nencoding = 'rate'\n", "no duel is left"),
    "an idle exclusion": (f"{GRID}[[exclude]]\nencoding = 'latency'\n", "encoding = latency"),
    "an exclusion that is none": (f"{GRID}[[exclude]]\ncontenders_ = 'vgg-lif'\n", "contenders"),
    "an option of the command": ("[grid]\nthreads = [2]\n", "option --threads"),
    "an unknown table": (f"{GRID}[[excluded]]\nencoding = 'rate'\n", "exclude"),
    "an unknown recipe": ("[grid]\nrecipe = ['strng']\n", "strong"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_named_with_its_place(read, name):
    text, problem = WRONG[name]
    with pytest.raises(InputError, match=r"mine\.toml") as error:
        read(text)
    assert problem in str(error.value)
