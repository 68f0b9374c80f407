import pytest
import torch
from torch.nn import functional as F

from spikeduel.engine.readouts import LogitReadout, MeanReadout, SpikeCountReadout


def test_spike_count_by_hand():
    spk = torch.tensor([[[1.0, 0, 0]], [[0, 1.0, 0]]])
    mem = torch.tensor([[[2.0, 1.0, 0.0]], [[0.0, 2.0, 0.5]]])
    readout, labels = SpikeCountReadout(), torch.tensor([1])
    # Counts 1, 1, 0; summed membranes 2, 3, 0.5 have ranks 1, 2, 0: class 1 wins the tie.
    expected = torch.tensor([[1 + 1 / 6, 1 + 2 / 6, 0]])
    torch.testing.assert_close(readout.scores((spk, mem)), expected)
    assert readout.ties((spk, mem)).tolist() == [True]
    loss = (F.cross_entropy(mem[0], labels) + F.cross_entropy(mem[1], labels)) / 2
    torch.testing.assert_close(readout.loss((spk, mem), labels), loss)


def test_a_spike_outweighs_every_membrane():
    output = torch.tensor([[[0.0, 0, 1, 0]]]), torch.tensor([[[9.0, 8.0, -50.0, 7.0]]])
    assert SpikeCountReadout().scores(output).argmax(1).tolist() == [2]
    assert SpikeCountReadout().ties(output).tolist() == [False]


def test_the_mean_over_steps_is_the_score():
    output = torch.tensor([[[0.0, 4.0]], [[2.0, 0.0]]], dtype=torch.bfloat16)
    readout = MeanReadout()
    assert readout.scores(output).tolist() == [[1, 2]]
    assert readout.ties(output).tolist() == [False]
    expected = F.cross_entropy(torch.tensor([[1.0, 2.0]]), torch.tensor([1]))
    assert readout.loss(output, torch.tensor([1])) == expected


OVER_TIME = [SpikeCountReadout(), MeanReadout()]


@pytest.mark.parametrize("readout", OVER_TIME, ids=lambda r: type(r).__name__)
def test_scores_can_be_summed_up_and_followed_step_by_step(readout, generator):
    mem = torch.randn(6, 4, 3, generator=generator)
    output = ((mem > 0).float(), mem) if isinstance(readout, SpikeCountReadout) else mem
    total, running = 0, readout.running_scores(output)
    for num_steps, now in enumerate(readout.steps(output), 1):
        total = total + readout.accumulate(now)
        so_far = output[:num_steps] if output is mem else (output[0][:num_steps], mem[:num_steps])
        expected = readout.scores(so_far)
        torch.testing.assert_close(readout.scores_of(total, num_steps), expected)
        torch.testing.assert_close(running[num_steps - 1], expected)
    assert torch.equal(running[-1], readout.scores(output))


def test_bfloat16_spikes_are_counted_beyond_256():
    spk, mem = torch.ones(300, 1, 2, dtype=torch.bfloat16), torch.zeros(300, 1, 2)
    spk[299, 0, 0] = 0
    assert SpikeCountReadout().scores((spk, mem)).tolist() == [[299, 300.25]]


@pytest.mark.parametrize("readout", [*OVER_TIME, LogitReadout()], ids=lambda r: type(r).__name__)
def test_the_loss_of_probabilities_is_that_of_the_labels_weighed_by_them(readout, generator):
    mem = torch.randn(6, 4, 3, generator=generator)
    single = {"LogitReadout": mem[0], "SpikeCountReadout": ((mem > 0).float(), mem)}
    output = single.get(type(readout).__name__, mem)
    shares = torch.rand(4, 3, generator=generator)
    shares /= shares.sum(1, keepdim=True)
    labels = torch.tensor([0, 2, 1, 1])
    certain = torch.eye(3)[labels]
    torch.testing.assert_close(readout.loss(output, certain), readout.loss(output, labels))
    by_class = torch.stack([readout.loss(output, torch.full((4,), k)) for k in range(3)])
    expected = shares[0] @ by_class
    torch.testing.assert_close(readout.loss(output, shares[0].expand(4, -1)), expected)
    assert not torch.allclose(readout.loss(output, shares), expected)
