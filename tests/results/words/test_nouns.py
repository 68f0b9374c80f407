import pytest

from spikeduel.results.words.nouns import said_of


@pytest.mark.parametrize(
    ("text", "said"),
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
def test_what_is_said_of_images_is_said_of_recordings_and_names_stay(text, said):
    assert said_of(text, "recording") == (said or text)
    assert said_of(text, "image") == text
