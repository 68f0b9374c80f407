import statistics

import numpy as np
import pytest
from hypothesis import given, strategies as st

from factories import pair
from spikeduel.sentences.verdict import margin
from spikeduel.system.numbers import (
    as_text,
    duration,
    hundredths,
    p_number,
    p_value,
    per_cent,
    points,
    signed,
    with_noun,
)
from spikeduel.system.sentences import counted, listed


@pytest.mark.parametrize(
    ("p", "number"),
    [(1.0, "1"), (0.9994, "0.999"), (0.031, "0.031"), (0.0004, "< 0.001"), (0.0, "< 0.001")],
)
def test_p_values(p, number):
    assert p_number(p) == number
    assert p_value(p) == (f"p {number}" if "<" in number else f"p = {number}")


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0065, "+0.65"),
        (-0.0048, "−0.48"),
        (0.00001, "0.00"),
        (-0.00001, "0.00"),
        (0.0, "0.00"),
        (-0.00005, "−0.01"),
    ],
)
def test_signed_points(share, text):
    assert signed(share) == text


def test_equal_means_look_equal_however_they_were_summed():
    # Six accuracies on 2,000 images, whose mean is 94.275 %.
    accuracies = [right / 2000 for right in (1887, 1889, 1885, 1886, 1885, 1881)]
    means = (
        statistics.fmean(accuracies),
        sum(accuracies) / 6,
        float(np.mean(accuracies)),
        11313 / 12000,
    )
    assert len({f"{100 * mean:.2f}" for mean in means}) == 2
    assert {hundredths(mean) for mean in means} == {"94.28"}
    assert {per_cent(mean, 2) for mean in means} == {"94.28 %"}
    assert {points(-mean) for mean in means} == {"-94.28 points"}
    assert margin(pair(0.0, margin=0.0025)) == "±0.25 points"


@given(st.integers(-100_000, 100_000))
def test_whole_hundredths_are_written_as_they_are(number):
    assert hundredths(number / 10_000) == f"{number / 100:.2f}"


@pytest.mark.parametrize(
    ("names", "limit", "text"),
    [
        ("", (), ""),
        ("a", (), "a"),
        ("abc", (), "a, b and c"),
        ("abcdefg", (), "a, b, c, d, e, f and 1 more"),
        ("abc", (2,), "a, b and 1 more"),
    ],
)
def test_lists(names, limit, text):
    assert listed(list(names), *limit) == text


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "seed", "0 seeds"),
        (1, "seed", "1 seed"),
        (6000, "seed", "6,000 seeds"),
        (2, "class", "2 classes"),
        (2, "study", "2 studies"),
        (1, "study", "1 study"),
    ],
)
def test_counts(number, noun, text):
    assert counted(number, noun) == text


@pytest.mark.parametrize(
    ("text", "of_recordings"),
    [
        (
            "An image a step, 12 test images, one image.",
            "A recording a step, 12 test recordings, one recording.",
        ),
        ("Images of an image/s.", "Recordings of a recording/s."),
        ("small grey images", "small grey pictures"),
        (
            "--image-size, image_0001.bin, my/image, data:image/png;base64, images.zip, <image>",
            None,
        ),
    ],
)
def test_sentences_about_images_become_sentences_about_recordings(text, of_recordings):
    assert with_noun(text, "recording") == (of_recordings or text)
    assert with_noun(text, "image") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (True, "yes"),
        (0.25, "0.25"),
        (3.0, "3"),
        ((1, 2), "1, 2"),
        ((), "none"),
        ({"snn": {"beta": 0.5}}, "snn: beta 0.5"),
        ("x", "x"),
    ],
)
def test_settings_as_text(value, text):
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.4, "4.4 s"), (89, "89 s"), (600, "10 min"), (9000, "2.5 h"), (200_000, "2.3 days")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
