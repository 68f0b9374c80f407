import pytest
import torch

from spikeduel.measuring import energy
from spikeduel.measuring.counting import Counter
from spikeduel.networks.architectures import DenseSNN
from spikeduel.reporting.estimates import break_even
from spikeduel.results.costs import MEMORIES
from spikeduel.spiking import ConstantInput
from spikeduel.spiking.neurons import LIF


def counted(encoded):
    torch.manual_seed(0)
    module, counter = DenseSNN((64,), 4, lambda: LIF(0.9, threshold=0.1), 16), None
    counter = Counter(module, 4)
    images = torch.rand(8, 1, 8, 8)
    x = (torch.rand(4, 8, 1, 8, 8) < images).float() if encoded else ConstantInput(images, 4)
    counter.run(lambda: module(x), x, 8, "spikes" if encoded else "image", 4 if encoded else 1)
    return counter.operations()


@pytest.fixture(scope="module")
def operations():
    return counted(encoded=False)


def test_a_panel_for_each_memory_a_line_for_each_table_and_the_network(operations):
    figure = break_even(operations, "net", "red")
    assert [axes.get_title("left") for axes in figure.axes] == [
        "arithmetic alone", "with memory on the chip", "with weights off the chip",
    ]  # fmt: skip
    for axes, memory in zip(figure.axes, MEMORIES, strict=True):
        *borders, network = axes.lines
        # Loihi multiplies nothing: it has no border here.
        assert len(borders) == 3
        for line, name in zip(borders, energy.NAMES, strict=False):
            steps, rates = line.get_data()
            for t, rate in list(zip(steps, rates, strict=True))[::50]:
                expected = energy.break_even_rate(
                    operations, energy.relu_twin(operations), energy.read(name), t, memory
                )
                assert rate == pytest.approx(max(expected, 1e-5))
        assert network.get_xdata()[0] == 4
        assert network.get_ydata()[0] == operations.totals.spikes_per_neuron_and_step


def test_a_network_that_even_silence_does_not_save_says_so():
    figure = break_even(counted(encoded=True), "net", "red")
    assert any("even without a spike" in text.get_text() for text in figure.axes[2].texts)


def test_strange_names(operations):
    break_even(operations, "a $name$ " + 60 * "x", "red").canvas.draw()
