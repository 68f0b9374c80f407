import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from PIL import Image

from made_models import SENSOR, of_recordings
from spikeduel.networks.models import Trace
from spikeduel.reporting import answer, gallery, inspect, probabilities
from spikeduel.reporting.gallery import predicted_class
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system.errors import InputError


@pytest.mark.parametrize("contender", ["dense-snn", "small-cnn"])
def test_examples_are_the_first_right_and_the_first_wrong_answer(make_prepared, make_model, contender):
    prepared = make_prepared(num_images=200)
    model = make_model(contender, prepared)
    test = np.arange(20, 200)

    found = gallery.examples(model, prepared, test)

    predicted = model.predict(prepared.images[test], RandomKeys.for_evaluation(test))[0]
    right = predicted == prepared.labels[test]
    assert found["right"] == test[right.argmax()]
    assert found["wrong"] == test[(~right).argmax()]
    assert not gallery._is_right(model, prepared, found["wrong"])


def test_a_model_that_is_always_right_has_no_wrong_example(make_prepared, make_model):
    prepared = make_prepared()
    model = make_model("small-cnn", prepared)
    test = np.arange(len(prepared))
    prepared.labels[:] = model.predict(prepared.images)[0]

    found = gallery.examples(model, prepared, test)

    assert found["right"] == 0
    assert found["wrong"] is None


def test_another_readout_is_shown_by_its_probabilities(make_prepared, make_model, tmp_path):
    prepared = make_prepared()
    model = make_model("dense-snn", prepared)
    model.module.readout = MeanMembrane()

    gallery.of_answer(model, prepared.images[0], 0, tmp_path / "answer.png")
    index = gallery.examples(model, prepared, np.arange(60))["wrong"]

    assert not gallery.spikes_decide(model)
    assert prepared.labels[index] != model.predict(prepared.images[[index]], RandomKeys.for_evaluation([index]))[0][0]


class MeanMembrane:
    def scores(self, output):
        return output[1].mean(0)


def test_the_telling_image_has_grey_on_its_diagonal(make_prepared):
    prepared = make_prepared()
    prepared.images[:] = 255
    prepared.images[9] = np.eye(8, dtype=np.uint8) * 127
    prepared.images[3, 0, 0] = 127

    assert gallery.telling_image(prepared, np.arange(60)) == 9


@pytest.mark.parametrize("encoding", ["rate", "direct", "latency"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 10)])
def test_a_spiking_model_is_shown_from_inside(make_prepared, make_model, tmp_path, encoding, shape):
    prepared = make_prepared(shape=shape)
    model = make_model("dense-snn", prepared, encoding)

    paths = inspect(model, prepared.images[4], tmp_path / "seen", truth="class 1")

    # Spikes that the model never gets are not shown.
    of_input = ["encoded.gif", "diagonal.png"] if encoding == "rate" else []
    assert [path.name for path in paths] == ["input.png", *of_input, "neuron.png", "answer.png"]
    for path in paths:
        with Image.open(path) as picture:
            assert np.ptp(np.asarray(picture.convert("L"))) > 0


@pytest.mark.parametrize(("contender", "more"), [("vgg-lif", ["neuron.png"]), ("vgg-gru", [])])
def test_a_recording_is_shown_frame_by_frame(tmp_path, contender, more):
    frames = np.random.default_rng(0).integers(0, 3, (10, *SENSOR)).astype(np.uint8)

    paths = inspect(of_recordings(contender), frames, tmp_path)

    assert [path.name for path in paths] == ["input.png", "recording.gif", *more, "answer.png"]
    with Image.open(paths[1]) as movie:
        assert movie.n_frames == 5
        movie.seek(0)
        first = np.asarray(movie.convert("L"), int)
        movie.seek(4)
        assert (np.asarray(movie.convert("L"), int) != first).any()


def test_any_other_model_is_shown_with_its_probabilities(make_prepared, make_model, tmp_path):
    prepared = make_prepared()

    paths = inspect(make_model("small-cnn", prepared), prepared.images[0], tmp_path)

    assert [path.name for path in paths] == ["input.png", "answer.png"]
    assert all(path.stat().st_size for path in paths)


@pytest.mark.parametrize(
    ("image", "truth", "words"),
    [
        (np.zeros((1, 9, 8), np.uint8), None, "prepared image"),
        (np.zeros((1, 8, 8), np.float32), None, "float32"),
        (np.zeros((1, 8, 8), np.uint8), "class 7", "unknown class"),
    ],
)
def test_what_cannot_be_shown_is_said(make_prepared, make_model, tmp_path, image, truth, words):
    model = make_model("dense-snn", make_prepared())

    with pytest.raises(InputError, match=words):
        inspect(model, image, tmp_path, truth)


IMAGE = np.zeros((1, 8, 8), np.uint8)


def trace_of(spk, mem=None):
    spk = torch.tensor(spk, dtype=torch.float32).unsqueeze(1)
    mem = torch.zeros_like(spk) if mem is None else torch.tensor(mem, dtype=torch.float32).unsqueeze(1)
    return Trace(
        torch.zeros(len(spk), 1, 1, 8, 8), {"out": mem}, {"hidden": spk, "out": spk}, {"hidden": mem, "out": mem}
    )


def marks_by_row(axes):
    rows = {}
    for part in axes.collections:
        if isinstance(part, LineCollection):
            for segment in part.get_segments():
                if segment[0][0] == segment[1][0]:
                    row = round(float(segment[:, 1].mean()))
                    rows[row] = rows.get(row, 0) + 1
    return rows


def test_every_output_spike_is_drawn_and_counted(random):
    spk = random.random((25, 5)) < np.array([0.1, 0.2, 0.9, 0.3, 0.0])
    names = ["a", "b", "c", "d", "e"]

    figure = answer(IMAGE, trace_of(spk), names, truth=1)
    figure.draw_without_rendering()

    picture, raster, counts = figure.axes
    assert marks_by_row(raster) == {k: spk[:, k].sum() for k in range(4)}
    assert [bar.get_width() for bar in counts.patches] == list(spk.sum(0))
    assert [text.get_text() for text in counts.texts] == [str(n) for n in spk.sum(0)]
    assert picture.get_title() == "answer: c"
    assert picture.get_xlabel() == "wrong: it is b"
    assert [label.get_text() for label in raster.get_yticklabels()] == names


def test_a_right_answer_and_an_unknown_truth():
    spk = [[0, 1], [0, 1]]

    assert answer(IMAGE, trace_of(spk), "ab", truth=1).axes[0].get_xlabel() == "right"
    assert answer(IMAGE, trace_of(spk), "ab").axes[0].get_xlabel() == ""


def test_a_tie_goes_to_the_higher_membrane_and_is_said():
    trace = trace_of([[1, 1, 0]], [[0.5, 2.0, 9.0]])

    figure = answer(IMAGE, trace, "abc")

    assert predicted_class(trace) == 1
    assert figure.axes[0].get_title() == "answer: b"
    assert "membrane decides" in figure.axes[1].get_xlabel()


def test_without_spikes_the_membranes_are_shown():
    mem = [[0.1, 0.5], [0.2, 0.9]]

    figure = answer(IMAGE, trace_of([[0, 0], [0, 0]], mem), "ab", truth=0)
    figure.draw_without_rendering()

    picture, membranes, sums = figure.axes
    assert picture.get_title() == "answer: b"
    assert sorted(tuple(np.round(line.get_ydata(), 3)) for line in membranes.lines) == [(0.1, 0.2), (0.5, 0.9)]
    assert [text.get_text() for text in sums.texts] == ["0.3", "1.4"]


def test_of_many_classes_the_best_are_shown_and_the_truth(random):
    spk = random.random((10, 60)) < np.linspace(0, 1, 60)
    names = [f"class number {k}" for k in range(60)]

    figure = answer(IMAGE, trace_of(spk), names, truth=0)

    labels = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert len(labels) == 12
    assert labels[-1] == "class number 0"
    assert spk.sum(0)[names.index(labels[0])] == spk.sum(0).max()


@pytest.mark.parametrize(("num_classes", "shown"), [(2, 2), (10, 10), (60, 12)])
def test_probabilities_are_bars(num_classes, shown, random):
    values = random.dirichlet(np.ones(num_classes))

    figure = probabilities(IMAGE, values, [f"c{k}" for k in range(num_classes)], truth=int(values.argmax()))
    figure.draw_without_rendering()

    picture, bars = figure.axes
    widths = [bar.get_width() for bar in bars.patches]
    assert len(widths) == shown
    assert max(widths) == values.max()
    assert picture.get_xlabel() == "right"
