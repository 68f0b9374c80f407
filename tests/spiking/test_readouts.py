import pytest
import torch

from spikeduel.spiking.readouts import LogitReadout, MeanReadout, SpikeCountReadout


def test_spike_count_by_hand():
    spk = torch.tensor([[[1.0, 0, 0]], [[0, 1.0, 0]]])
    mem = torch.tensor([[[2.0, 1.0, 0.0]], [[0.0, 2.0, 0.5]]])
    readout = SpikeCountReadout()
    # Counts 1, 1, 0; summed membranes 2, 3, 0.5 have ranks 1, 2, 0: class 1 wins the tie.
    assert readout.scores((spk, mem)).tolist() == [
        [pytest.approx(1 + 1 / 6), pytest.approx(1 + 2 / 6), 0]
    ]
    assert readout.ties((spk, mem)).tolist() == [True]
    labels = torch.tensor([1])
    per_step = torch.nn.functional.cross_entropy
    expected = (per_step(mem[0], labels) + per_step(mem[1], labels)) / 2
    torch.testing.assert_close(readout.loss((spk, mem), labels), expected)


def test_a_spike_outweighs_every_membrane():
    spk = torch.zeros(1, 1, 4)
    spk[0, 0, 2] = 1
    mem = torch.tensor([[[9.0, 8.0, -50.0, 7.0]]])
    assert SpikeCountReadout().scores((spk, mem)).argmax(1).tolist() == [2]
    assert SpikeCountReadout().ties((spk, mem)).tolist() == [False]


def test_the_mean_over_steps_is_the_score():
    output = torch.tensor([[[0.0, 4.0]], [[2.0, 0.0]]], dtype=torch.bfloat16)
    readout = MeanReadout()
    assert readout.scores(output).tolist() == [[1, 2]]
    assert readout.ties(output).tolist() == [False]
    expected = torch.nn.functional.cross_entropy(torch.tensor([[1.0, 2.0]]), torch.tensor([1]))
    assert readout.loss(output, torch.tensor([1])) == expected


OVER_TIME = [
    SpikeCountReadout(),
    MeanReadout(),
]


@pytest.mark.parametrize("readout", OVER_TIME, ids=lambda r: type(r).__name__)
def test_scores_can_be_summed_up_step_by_step(readout, generator):
    mem = torch.randn(6, 4, 3, generator=generator)
    output = ((mem > 0).float(), mem) if isinstance(readout, SpikeCountReadout) else mem
    total = readout.accumulate(readout.steps(output)[0])
    for now in readout.steps(output)[1:]:
        total = total + readout.accumulate(now)
    torch.testing.assert_close(readout.scores_of(total, 6), readout.scores(output))


def test_bfloat16_spikes_are_counted_beyond_256():
    spk, mem = torch.ones(300, 1, 2, dtype=torch.bfloat16), torch.zeros(300, 1, 2)
    spk[299, 0, 0] = 0
    assert SpikeCountReadout().scores((spk, mem)).tolist() == [[299, 300.25]]


@pytest.mark.parametrize("readout", OVER_TIME, ids=lambda r: type(r).__name__)
def test_running_scores_are_those_of_the_steps_so_far(readout, generator):
    mem = torch.randn(6, 4, 3, generator=generator)
    output = ((mem > 0).float(), mem) if isinstance(readout, SpikeCountReadout) else mem
    running = readout.running_scores(output)
    assert running.shape == (6, 4, 3)
    for t in range(1, 6):
        so_far = tuple(part[:t] for part in output) if isinstance(output, tuple) else output[:t]
        torch.testing.assert_close(running[t - 1], readout.scores(so_far))
    assert torch.equal(running[-1], readout.scores(output))


READOUTS = [*OVER_TIME, LogitReadout()]


@pytest.mark.parametrize("readout", READOUTS, ids=lambda r: type(r).__name__)
def test_the_loss_of_probabilities_is_that_of_the_labels_weighed_by_them(readout, generator):
    mem = torch.randn(6, 4, 3, generator=generator)
    single = {"LogitReadout": mem[0], "SpikeCountReadout": ((mem > 0).float(), mem)}
    output = single.get(type(readout).__name__, mem)
    shares = torch.rand(4, 3, generator=generator)
    shares /= shares.sum(1, keepdim=True)
    # Each image's label in turn, the others' as they are.
    certain = torch.eye(3)
    labels = torch.tensor([0, 2, 1, 1])
    torch.testing.assert_close(readout.loss(output, certain[labels]), readout.loss(output, labels))
    by_class = [readout.loss(output, torch.full((4,), k)) for k in range(3)]
    for_all = shares[0]
    expected = sum(share * loss for share, loss in zip(for_all, by_class, strict=True))
    torch.testing.assert_close(readout.loss(output, for_all.expand(4, -1)), expected)
    assert not torch.allclose(readout.loss(output, shares), expected)
