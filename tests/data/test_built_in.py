import time
from pathlib import Path

import numpy as np
import pytest

import spikeduel.data
from spikeduel.data import idx, prepare
from spikeduel.data.built_in import EMBEDDED, digits, fashion_mnist_mini
from spikeduel.data.prepared import TEST, TRAIN, DataOptions
from spikeduel.system.errors import InputError

FULL = Path("/usr/share/datasets/fashion-mnist")


def test_embedded_set_is_stratified() -> None:
    raw = fashion_mnist_mini(DataOptions())
    assert raw.images.shape == (12_000, 1, 28, 28)
    assert raw.official is not None
    for side, per_class in ((TRAIN, 1000), (TEST, 200)):
        np.testing.assert_array_equal(np.bincount(raw.labels[raw.official == side]), [per_class] * 10)
    assert raw.classes[9] == "Ankle boot"
    assert len(raw.samples) == 10


def test_embedded_set_is_small_and_quick() -> None:
    path = Path(spikeduel.data.__file__).parent / EMBEDDED
    assert path.stat().st_size <= 5_000_000
    start = time.perf_counter()
    fashion_mnist_mini(DataOptions())
    assert time.perf_counter() - start < 5


@pytest.mark.skipif(not FULL.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_embedded_set_equals_the_rows_of_the_full_one() -> None:
    with np.load(Path(spikeduel.data.__file__).parent / EMBEDDED) as stored:
        rows, num_test = stored["rows"].astype(int), int(stored["num_test"])
    raw = fashion_mnist_mini(DataOptions())
    start = 0
    for side, picked in (("train", rows[:-num_test]), ("t10k", rows[-num_test:])):
        part = slice(start, start + len(picked))
        images = idx.read(FULL / f"{side}-images-idx3-ubyte.gz", 3)
        labels = idx.read(FULL / f"{side}-labels-idx1-ubyte.gz", 1)
        assert len(np.unique(picked)) == len(picked)
        np.testing.assert_array_equal(raw.images[part, 0], images[picked])
        np.testing.assert_array_equal(raw.labels[part], labels[picked])
        start += len(picked)


def test_digits_span_the_whole_range() -> None:
    raw = digits(DataOptions())
    assert raw.images.shape == (1797, 1, 8, 8)
    assert raw.images.dtype == np.uint8
    assert (raw.images.min(), raw.images.max()) == (0, 255)
    np.testing.assert_array_equal(np.unique(raw.images), np.rint(np.arange(17) * 255 / 16))
    assert raw.official is None


@pytest.mark.parametrize("name", ["digits", "fashion-mnist-mini"])
def test_built_in_sets_need_no_cache(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SPIKEDUEL_CACHE", str(tmp_path / "file"))
    assert len(prepare(name)) > 1000


@pytest.mark.parametrize("dataset", [digits, fashion_mnist_mini])
def test_options_that_do_not_apply(dataset) -> None:
    with pytest.raises(InputError, match="data_dir"):
        dataset(DataOptions(data_dir="/tmp"))
    with pytest.raises(InputError, match="image_size"):
        dataset(DataOptions(image_size=99))
