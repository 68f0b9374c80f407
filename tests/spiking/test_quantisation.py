import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeduel.spiking.quantisation import quantised


def test_by_hand():
    x = torch.tensor([-1.0, 0.2, 0.3, 0.6, 1.4, 2.0])
    # Two bits: 0, 0.5, 1 and 1.5.
    assert quantised(x, torch.tensor(0.5), 2).tolist() == [0, 0, 0.5, 0.5, 1.5, 1.5]


def test_the_gradients_are_those_of_learned_step_size_quantisation():
    x = torch.tensor([-1.0, 0.3, 0.6, 9.0], requires_grad=True)
    step = torch.tensor(0.5, requires_grad=True)
    quantised(x, step, 2).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 0]
    # Esser et al. 2020, equation 3: round(x/s) − x/s within the levels, 0 below them, the highest level above.
    assert step.grad.item() == pytest.approx(0 + (1 - 0.6) + (1 - 1.2) + 3)


@given(
    st.integers(1, 8),
    st.floats(0.01, 10),
    st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=300),
)
def test_there_are_at_most_two_to_the_bits_values(bits, step, values):
    x = torch.tensor(values)
    y = quantised(x, torch.tensor(step), bits)
    assert len(torch.unique(y)) <= 2**bits
    assert (y >= 0).all()
    # Where no level is exceeded, it rounds.
    inside = (x >= 0) & (x <= step * (2**bits - 1))
    assert ((y - x).abs()[inside] <= step / 2 * 1.001 + 1e-5).all()
