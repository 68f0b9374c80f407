import torch

from spikeduel.measuring.bench.workloads import WORKLOADS, batch


def test_the_grid_is_the_studys_two_sizes_in_both_encodings_and_a_conv_network():
    dense = {(w.side, w.encoding, w.num_steps, w.hidden) for w in WORKLOADS.values() if w.shape == "dense"}
    assert dense == {(side, encoding, 25, 1024) for side in (28, 97) for encoding in ("direct", "rate")}
    assert {w.side for w in WORKLOADS.values() if w.shape == "cnn"} == {28, 97}
    (conv,) = [w for w in WORKLOADS.values() if w.shape == "conv"]
    assert (conv.side, conv.num_steps, conv.encoding, conv.hidden) == (28, 4, "direct", 256)
    assert {w.batch_size for w in WORKLOADS.values()} == {128}
    assert all(name == workload.name for name, workload in WORKLOADS.items())


def test_every_contender_sees_the_same_images_about_as_bright_as_fashion_mnist():
    images, labels = batch(WORKLOADS["snn-28-rate"])
    again, _ = batch(WORKLOADS["snn-28-direct"])
    assert torch.equal(images, again)
    assert (images.shape, images.dtype) == ((128, 1, 28, 28), torch.uint8)
    assert 0.27 < images.float().mean() / 255 < 0.30
    assert (labels.shape, labels.dtype) == ((128,), torch.int64)
    assert set(labels.tolist()) == set(range(10))
