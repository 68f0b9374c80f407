import pytest
import torch
from torch import nn

LAYERS = {
    "convolution": nn.Conv2d(3, 4, 3),
    "linear": nn.Sequential(nn.Flatten(), nn.Linear(243, 4)),
    "linear without bias": nn.Sequential(nn.Flatten(), nn.Linear(243, 4, bias=False)),
}


@pytest.mark.numeric
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_the_last_bits_depend_on_the_size_of_the_batch_alone(layer, generator, pytestconfig):
    if not pytestconfig.getoption("--rounding"):
        pytest.skip("is about --rounding")
    images = torch.rand(8, 3, 9, 9, generator=generator)
    eight, three = layer(images), layer(images[:3])
    assert not torch.equal(eight[:3], three)
    torch.testing.assert_close(eight[:3], three, rtol=1e-5, atol=1e-6)
    assert torch.equal(layer(images[:3]), three)


@pytest.mark.numeric
def test_sums_of_spikes_are_exact(generator):
    spikes = torch.randint(0, 2, (8, 30), generator=generator).float()
    weights = torch.randint(-3, 4, (5, 30), generator=generator).float()
    eight, three = (nn.functional.linear(part, weights) for part in (spikes, spikes[:3]))
    assert torch.equal(eight[:3], three)
