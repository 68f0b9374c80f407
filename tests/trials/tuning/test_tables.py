from spikeduel.trials.tuning import Range


def test_the_table_shows_every_trial_and_the_expected_best(experiment, made_up):
    ranges = {"learning_rate": Range(1e-4, 1e-3)}
    found, trained = made_up(experiment, lambda its: 0.75 if its.learning_rate == 5e-3 else 0.5, 6, ranges)
    text = found.table()
    lines = [line.split() for line in text.splitlines()]
    rows = [line for line in lines if line[:1] == ["dense-snn"] and "learning_rate" in line]
    assert [row[1:4] for row in rows][:2] == [["1", "75.00", "*"], ["2", "50.00", "1"]]
    assert len(rows) == 6
    assert all(
        float(row[-1]) == planned.experiment.learning_rate for row, planned in zip(rows, trained[::2], strict=True)
    )
    assert "of 1 of 2 of 4 of 6" in " ".join(text.split())
    assert ["small-cnn", *["75.00", "±", "0.00"] * 4] in lines


def test_a_failed_trial_says_so(experiment, made_up):
    found, _ = made_up(experiment, lambda its: None if its.learning_rate == 5e-3 else 0.5, 2)
    assert found.table().count("failed") == 2
