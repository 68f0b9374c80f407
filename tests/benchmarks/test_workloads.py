from dataclasses import replace

import pytest
import torch

from benchmarks.speed.step.workloads import (
    WORKLOADS,
    Limits,
    Workload,
    batch,
    last_level_cache_bytes,
    needs,
    stages,
)
from small_workloads import TINY
from spikeduel.engine.networks.architectures import SmallCNN


def test_every_contender_sees_the_same_images_about_as_bright_as_fashion_mnist():
    images, labels = batch(WORKLOADS["snn-28-rate"])
    assert torch.equal(images, batch(WORKLOADS["snn-28-direct"])[0])
    assert (images.shape, images.dtype) == ((128, 1, 28, 28), torch.uint8)
    assert 0.27 < images.float().mean() / 255 < 0.30
    assert (labels.shape, labels.dtype) == ((128,), torch.int64)
    assert set(labels.tolist()) == set(range(10))


def test_the_cnn_is_the_studys():
    torch.manual_seed(0)
    plain = stages(WORKLOADS["cnn-28"])[0]
    torch.manual_seed(0)
    ours = SmallCNN((1, 28, 28), 10)
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(plain(x), ours.eval()(x))
    torch.testing.assert_close(plain(x), ours.train()(x))  # its sums come in another order


# ---- the roofline


def test_the_needs_of_a_dense_network_by_hand():
    # 16 pixels, 5 neurons, 10 classes, 3 steps, 2 images: 2·2·(2·16·5) + 3·2·(3·2·5·10) operations.
    # Bytes: 36 for each of 16·5 + 5 + 5·10 + 10 parameters, 32 pixels, 30 spikes of 2 bytes.
    assert needs(TINY, 2) == (640 + 1800, 36 * 145 + 32 + 60)
    # Rate: the first layer at each of 3 steps, on 96 spikes that also have to be moved.
    assert needs(replace(TINY, encoding="rate"), 2) == (1920 + 1800, 36 * 145 + 32 + 192 + 60)
    assert needs(replace(TINY, encoding="rate"), 4) == (1920 + 1800, 36 * 145 + 32 + 384 + 120)


def test_the_needs_of_convolutions_by_hand():
    # 10 pixels to 8, pooled to 4; 4 to 2, pooled to 1: 4·64·9·16 and 6·4·144·32, then 32 to 7 to 10
    # numbers.
    flop, moved = needs(Workload("cnn", "cnn", side=10, batch_size=1, hidden=7), 2)
    assert flop == 4 * 64 * 9 * 16 + 6 * (4 * 144 * 32 + 32 * 7 + 7 * 10)
    parameters = 9 * 16 + 16 + 144 * 32 + 32 + 32 * 7 + 7 + 7 * 10 + 10
    assert moved == 36 * parameters + 100 + 2 * (256 + 32 + 7)
    # 4×4 pixels once, because the input is constant; 2×2 pixels, then one, at 3 steps.
    flop, moved = needs(
        Workload("conv", "conv", side=4, encoding="direct", num_steps=3, batch_size=1, hidden=7), 4
    )
    assert flop == 4 * 16 * 9 * 32 + 6 * (12 * 288 * 64 + 3 * 64 * 7 + 3 * 7 * 10)
    parameters = 9 * 32 + 64 + 288 * 64 + 128 + 64 * 7 + 7 + 7 * 10 + 10
    assert moved == 36 * parameters + 16 + 4 * (384 + 192 + 21)


def test_the_roofline_is_the_longer_of_computing_at_the_faster_precision_and_moving():
    bf16, float32 = Limits(300, 100, 10), Limits(20, 100, 10)
    assert (bf16.faster, float32.faster) == ("bf16", "float32")
    assert bf16.roofline_ms(3_000_000_000, 1_000_000) == pytest.approx(10)
    assert float32.roofline_ms(3_000_000_000, 1_000_000) == pytest.approx(30)
    assert bf16.roofline_ms(3_000_000_000, 500_000_000) == pytest.approx(50)


def test_the_largest_cache(tmp_path):
    for number, size in enumerate(("32K", "32768K", "1024K")):
        (tmp_path / f"index{number}").mkdir()
        (tmp_path / f"index{number}" / "size").write_text(f"{size}\n")
    assert last_level_cache_bytes(tmp_path) == 32 << 20
    assert last_level_cache_bytes(tmp_path / "none") is None
