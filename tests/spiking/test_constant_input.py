import torch

from spikeduel.spiking import ConstantInput, over_time


def test_over_time_computes_a_constant_once():
    calls = []

    def layer(x):
        calls.append(x.shape)
        return x + 1

    mapped = over_time(layer, ConstantInput(torch.zeros(5, 3), 7))
    assert isinstance(mapped, ConstantInput)
    assert mapped.num_steps == 7
    assert calls == [torch.Size([5, 3])]
    assert torch.equal(mapped.expand(), torch.ones(7, 5, 3))
