import numpy as np
import onnxruntime
import torch
from hypothesis import example, given, settings, strategies as st
from PIL import Image

from spikeduel.exporters.preparing import PREPARED, preparing, unprepared
from spikeduel.inputs.preprocessing import Preprocessing

edges, crops = st.integers(4, 40), st.tuples(*[st.integers(0, 3)] * 4)


def prepared(preprocessing, images):
    session = onnxruntime.InferenceSession(preparing(preprocessing).SerializeToString())
    return session.run([PREPARED], {"images": images})[0]


@settings(max_examples=40, deadline=None)
@given(
    channels=st.sampled_from([1, 3]),
    size=st.tuples(edges, edges),
    to=st.tuples(edges, edges) | edges.map(lambda edge: (edge, edge)),
    crop=crops,
    invert=st.booleans(),
    enlarge=st.booleans(),
    seed=st.integers(0, 99),
)
@example(1, (7, 200), (28, 28), (0, 0, 0, 0), False, True, 0)
@example(3, (480, 640), (64, 64), (0, 0, 0, 0), False, True, 0)
@example(1, (9, 9), (40, 30), (1, 0, 2, 0), True, False, 0)
def test_the_graph_prepares_a_picture_as_pillow_does(
    channels, size, to, crop, invert, enlarge, seed
):
    left, top, right, bottom = crop
    height, width = size[0] + top + bottom, size[1] + left + right
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    preprocessing = Preprocessing(channels, *to, crop=crop, invert=invert, enlarge=enlarge)
    expected = preprocessing(Image.fromarray(picture.squeeze(2) if channels == 1 else picture))
    (result,) = prepared(preprocessing, picture.transpose(2, 0, 1)[None])
    assert np.array_equal(result, np.rint(result * 255) / np.float32(255))
    differences = np.abs(np.rint(result * 255) - expected)
    # Pillow 13 takes some pictures that are not square rows first.
    assert differences.max() <= (to[0] != to[1])


@given(crop=crops, invert=st.booleans(), enlarge=st.booleans())
@settings(max_examples=10, deadline=None)
def test_an_image_that_is_prepared_comes_from_one_that_is_not(crop, invert, enlarge):
    preprocessing = Preprocessing(3, 9, 12, crop=crop, invert=invert, enlarge=enlarge)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 9, 12), np.uint8))
    result = prepared(preprocessing, unprepared(images, preprocessing).numpy())
    np.testing.assert_array_equal(result, images.numpy().astype(np.float32) / 255)
