import torch

from spikeduel.spiking import ConstantInput, over_time


def test_over_time_applies_a_layer_to_every_step():
    layer = torch.nn.Linear(3, 2)
    x = torch.randn(4, 5, 3)
    expected = torch.stack([layer(step) for step in x])
    torch.testing.assert_close(over_time(layer, x), expected)


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


def test_expand_is_a_view_of_the_shape_it_claims():
    constant = ConstantInput(torch.arange(6.0).view(2, 3), 4)
    assert constant.shape == constant.expand().shape == (4, 2, 3)
    assert constant.expand().data_ptr() == constant.value.data_ptr()
