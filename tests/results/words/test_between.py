from spikeduel.results.between import ContenderCompared, Reached, RunsCompared, RunSummary
from spikeduel.results.costs import Range
from spikeduel.results.words import between


def summary(name="images-strong-85380ed6", **settings):
    return RunSummary(
        run=f"runs/{name}",
        created="2001-02-03T04:05:06+00:00",
        dataset="images",
        encoding="direct",
        seeds=2,
        epochs=3,
        contenders=["vgg-lif", "vgg-relu", "broken"],
        # Folds of unequal size count by their images, as in every other table.
        accuracy={"vgg-lif": [0.5, 0.75], "vgg-relu": [0.5]},
        images={"vgg-lif": [300, 100], "vgg-relu": [400]},
        models=[],
        settings=settings,
    )


def test_a_run_has_a_line_for_each_contender():
    text, others = between.table([summary(image_size=32, folds=None)])
    assert others == ""
    assert [line.split() for line in text.splitlines()[2:]] == [
        ["images-strong-85380ed6", "32", "–", "vgg-lif", "56.25", "±", "17.68"],
        ["2001-02-03", "04:05", "vgg-relu", "50.00"],
        ["broken", "failed"],
    ]


def test_a_duel_says_where_its_study_lies():
    text, _ = between.table([summary("study-x/duels/digits-1a")])
    assert [line.split()[0] for line in text.splitlines()[2:4]] == ["digits-1a", "2001-02-03"]
    assert "study-x/duels" in text


def test_only_settings_that_fit_have_a_column_and_the_others_are_named():
    many = {f"setting_{number}": "a value" for number in range(9)}
    own = {"vgg-lif": {"threshold": 0.7, "beta": 0.9}}
    table, note = between.table([summary(own_settings=own, image_size=32, **many)])
    assert max(map(len, table.splitlines())) <= 100
    assert "image size" in table
    assert "own settings" in note
    assert "setting 0" in table
    assert "setting 8" not in table


def test_values_as_text():
    assert [
        between.value(each)
        for each in (None, True, 0.25, 3.0, (1, 2), (), {"snn": {"beta": 0.5}}, "x")
    ] == [
        "–",
        "yes",
        "0.25",
        "3",
        "1, 2",
        "–",
        "snn: beta 0.5",
        "x",
    ]


def test_two_runs_in_words():
    reached = Reached(
        accuracy=0.5, interval=(0.4, 0.6), seeds=1, training=Range(low=60.0, high=60.0)
    )
    compared = RunsCompared(
        a="runs/a",
        b="runs/b",
        created=("", ""),
        settings={"num_steps": (4, 8)},
        why_not="the two runs differ.",
        contenders=[
            ContenderCompared(contender="snn", a=reached, b=None, why_not="the two runs differ.")
        ],
        times_compare=False,
    )
    assert between.setting_rows(compared) == [{"setting": "num steps", "A": "4", "B": "8"}]
    assert between.contender_rows(compared) == [
        {
            "contender": "snn",
            "run": "A",
            "accuracy, %": "50.00",
            "95 % interval": "40.00 to 60.00",
            "seeds": "1",
            "training": "60 s",
            "answer": "",
            "energy": "",
        }
    ]
    why_not, times = between.sentences(compared)
    assert "the two runs differ." in why_not
    assert "Times do not compare" in times
