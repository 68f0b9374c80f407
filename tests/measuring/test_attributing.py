import numpy as np
import pytest
import torch
from torch import nn

from made_models import make
from spikeduel.measuring.inside import attribution
from spikeduel.networks.models import Model
from spikeduel.spiking.readouts import LogitReadout


class Corner(nn.Module):
    """Looks only at the first 3×3 pixels, which speak for class 0 with the weights 1 … 9, and
    against class 1.
    """

    readout = LogitReadout()

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.arange(1.0, 10.0))

    def forward(self, x):
        found = x[:, 0, :3, :3].flatten(1) @ self.weight
        return torch.stack([found, -found, torch.zeros_like(found)], 1)


@pytest.fixture
def image(random):
    return random.integers(1, 256, (1, 10, 10), dtype=np.uint8)


@pytest.mark.parametrize(("label", "sign"), [(None, 1), (0, 1), (1, -1), (2, 0)])
def test_of_a_linear_network_it_is_weight_times_input(image, label, sign):
    found = attribution(Model(Corner(), make("small-cnn").card), image, label)

    expected = np.zeros((10, 10))
    expected[:3, :3] = sign * np.arange(1, 10).reshape(3, 3) * image[0, :3, :3] / 255
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("encoding", ["direct", "rate"])
def test_a_spiking_network_that_sees_one_corner_is_found_out(image, encoding):
    model = make(encoding=encoding)
    with torch.no_grad():
        seen = torch.zeros(1, 10, 10)
        seen[:, :4, :4] = 1
        model.module.linear1.weight *= 20 * seen.flatten()

    found = attribution(model, image)

    assert np.abs(found[:4, :4]).max() > 0
    found[:4, :4] = 0
    assert not found.any()


def test_it_adds_up_to_what_the_image_adds_to_the_score(image):
    model = make("small-cnn")
    black = np.zeros_like(image)

    found = attribution(model, image, 1, points=256)

    with torch.no_grad():
        scores = [
            model.module(torch.from_numpy(each[None] / 255).float())[0, 1]
            for each in (image, black)
        ]
    assert found.sum() == pytest.approx(float(scores[0] - scores[1]), rel=0.02)
