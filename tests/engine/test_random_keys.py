import random

import numpy as np
import pytest
import torch

from spikeduel.engine.encoders import ENCODERS
from spikeduel.engine.random_keys import RandomKeys, seeded

INDICES = np.arange(6)


@pytest.fixture
def images():
    return torch.randint(
        0, 256, (6, 1, 5, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def test_levels_for_encoders_of_ones_own(images):
    draw = RandomKeys.for_evaluation(INDICES)
    levels = draw.levels(7, images)
    assert levels.shape == (7, 6, 1, 5, 4)
    assert levels.max() <= 254
    assert torch.equal((levels < images).float(), ENCODERS["rate"](images, 7, draw))


def test_integers_of_an_image_depend_on_no_other():
    whole = RandomKeys.for_augmentation(3, 1, INDICES).integers(10, 1000)
    assert (whole.shape, whole.dtype) == ((6, 2), torch.int64)
    part = RandomKeys.for_augmentation(3, 1, INDICES[[4, 1]]).integers(10, 1000)
    assert torch.equal(part, whole[[4, 1]])


def test_integers_are_uniform_and_their_columns_independent():
    drawn = RandomKeys.for_augmentation(0, 0, np.arange(50_000)).integers(5, 5)
    counts = torch.zeros(5, 5).index_put_(tuple(drawn.unbind(1)), torch.ones(()), accumulate=True)
    # 2000 in each of 25 cells, with a standard deviation of 44; chi-square with 24 degrees of
    # freedom below 52 (0.1 %).
    assert ((counts - 2000) ** 2 / 2000).sum() < 52


@pytest.mark.parametrize("count", [2, 3, 7, 1 << 31])
def test_integers_keep_below_their_stop(count):
    drawn, zeros = RandomKeys.for_augmentation(0, 0, np.arange(10_000)).integers(count, 1).T
    assert 0 <= drawn.min() <= drawn.max() < count
    assert drawn.float().mean() == pytest.approx((count - 1) / 2, rel=0.05)
    assert not zeros.any()


def test_every_purpose_seed_epoch_and_image_has_its_own_integers():
    indices = np.arange(4000)
    pixels = torch.from_numpy(indices.astype(np.uint16).view(np.uint8).reshape(4000, 1, 1, 2))
    augmentation = RandomKeys.for_augmentation(0, 0, indices)
    draws = [
        augmentation,
        augmentation.another(),
        augmentation.another().another(),
        RandomKeys.for_augmentation(1, 0, indices),
        RandomKeys.for_augmentation(0, 1, indices),
        *(RandomKeys.for_training(*run, indices) for run in ((0, 0), (1, 0), (0, 1))),
        RandomKeys.for_training(0, 0, indices + 1),
        RandomKeys.for_evaluation(indices),
        RandomKeys.for_evaluation(indices, 1),
        RandomKeys.for_content(pixels),
        RandomKeys.for_corruption("noise", indices),
        RandomKeys.for_corruption("blur", indices),
        RandomKeys.for_events(0, 0, indices),
    ]
    drawn = torch.stack([draw.integers(2)[:, 0] for draw in draws])
    agreement = (drawn[:, None] == drawn[None]).float().mean(2).fill_diagonal_(0.5)
    # 4000 fair coins agree on half of the tosses, with a standard deviation of 0.008.
    assert ((agreement - 0.5).abs() < 0.035).all()


def seed_all():
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    random.seed(7)


def drawn():
    return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()  # noqa: NPY002


def test_seeded_others_draw_the_same_and_nothing_is_changed_outside():
    seed_all()
    expected = drawn()
    seed_all()
    with pytest.raises(RuntimeError), seeded(3):
        first = drawn()
        raise RuntimeError
    with seeded(3):
        assert drawn() == first != drawn()
    with seeded(4):
        other = drawn()
    assert not any(one == another for one, another in zip(first, other, strict=True))
    assert drawn() == expected


def test_every_image_alternates_from_epoch_to_epoch():
    indices = np.arange(2000)
    turns = torch.stack(
        [RandomKeys.for_augmentation(3, epoch, indices).alternating() for epoch in range(4)]
    )
    assert turns.dtype == torch.bool
    assert torch.equal(turns[1], ~turns[0])
    assert torch.equal(turns[2:], turns[:2])
    # Half of them in each epoch, other ones with another seed, and an image by itself.
    assert 900 < turns[0].sum() < 1100
    other = RandomKeys.for_augmentation(4, 0, indices).alternating()
    assert 900 < (other == turns[0]).sum() < 1100
    assert torch.equal(
        RandomKeys.for_augmentation(3, 0, indices[[7, 3]]).alternating(), turns[0, [7, 3]]
    )
    # For a second purpose, too.
    assert torch.equal(RandomKeys.for_augmentation(3, 1, indices).another().alternating(), turns[1])
