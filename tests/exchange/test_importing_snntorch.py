import io
import zipfile

import numpy as np
import pytest
import snntorch
import torch
from torch import nn

from spikeduel.system.errors import InputError
from spikeduel.trials.exchanging import import_model


class Study(nn.Module):
    """The study's network as it was written on snnTorch."""

    def __init__(self, num_inputs=36, hidden=20, num_classes=4, first=None, second=None):
        super().__init__()
        self.linear1 = nn.Linear(num_inputs, hidden)
        self.lif1 = snntorch.Leaky(**{"beta": 0.95, **(first or {})})
        self.linear2 = nn.Linear(hidden, num_classes)
        self.lif2 = snntorch.Leaky(**{"beta": 0.95, **(second or {})})

    def forward(self, x, num_steps):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        found = {"spk1": [], "mem1": [], "spk2": [], "mem2": []}
        for _ in range(num_steps):
            spk1, mem1 = self.lif1(self.linear1(x), mem1)
            spk2, mem2 = self.lif2(self.linear2(spk1), mem2)
            for name, value in (("spk1", spk1), ("mem1", mem1), ("spk2", spk2), ("mem2", mem2)):
                found[name].append(value)
        return {name: torch.stack(values) for name, values in found.items()}


def saved(network, path):
    torch.save(network.state_dict(), path)
    return path


SETTINGS = {
    "as the study has it": {},
    "two kinds of neurons": {"first": {"beta": 0.5, "threshold": 0.3, "reset_mechanism": "zero"}},
    "no reset, learned": {"second": {"beta": 0.8, "learn_beta": True, "reset_mechanism": "none"}},
    "beta beyond what snnTorch clamps": {"first": {"beta": 1.2, "threshold": 2.0}},
}


@pytest.mark.parametrize("settings", SETTINGS)
def test_spikes_and_membranes_are_snntorchs(settings, tmp_path):
    torch.manual_seed(0)
    network = Study(**SETTINGS[settings])
    with torch.no_grad():
        network.linear1.weight *= 4
        network.linear2.weight *= 4
    model = import_model(saved(network, tmp_path / "study.pt"), num_steps=12)
    assert model.card.image_shape == (1, 6, 6)
    assert model.card.classes == ("0", "1", "2", "3")
    assert (model.card.encoding, model.card.num_steps) == ("direct", 12)
    images = torch.randint(0, 256, (50, 1, 6, 6), dtype=torch.uint8)
    with torch.no_grad():
        theirs = network(images.flatten(1) / 255, 12)
    ours = model.trace(images)
    for layer, (spk, mem) in enumerate(
        zip(ours.spk.values(), ours.mem.values(), strict=True), start=1
    ):
        assert 0 < spk.mean() < 1
        torch.testing.assert_close(mem, theirs[f"mem{layer}"], atol=1e-5, rtol=1e-5)
        assert torch.equal(spk, theirs[f"spk{layer}"])
    counts = theirs["spk2"].sum(0)
    labels, _ = model.predict(images)
    # Where snnTorch's users would have a tie, the membranes decide.
    most = counts == counts.amax(1, keepdim=True)
    assert most[torch.arange(50), torch.from_numpy(labels)].all()


class Evil:
    def __reduce__(self):
        return (print, ("code has run",))


def test_code_in_the_file_does_not_run(tmp_path, capsys):
    torch.save({"linear1.weight": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(
        InputError, match=r"evil.pt: it holds more than tensors.*Save net.state_dict\(\)"
    ):
        import_model(tmp_path / "evil.pt")
    assert "code has run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda s: s.pop("lif1.beta"), "lacks lif1.beta"),
        (
            lambda s: s.update({"conv1.weight": torch.ones(1)}),
            "conv1.weight is not one of the study's.*NIR graph",
        ),
        (lambda s: s.update({"linear1.bias": torch.ones(3)}), "shapes of linear1 do not fit"),
        (
            lambda s: s.update({"linear2.weight": torch.ones(4, 3)}),
            r"layers\[3\] \(Linear\) .*does not fit",
        ),
        (
            lambda s: s.update({"lif1.beta": torch.tensor([0.1, 0.2])}),
            "differs from neuron to neuron",
        ),
        (lambda s: s.update({"lif2.graded_spikes_factor": torch.tensor(2.0)}), "graded spikes"),
        (
            lambda s: s.update({"lif2.reset_mechanism_val": torch.tensor(7)}),
            "snnTorch has 0, 1 and 2",
        ),
        (lambda s: s.update({"lif1.threshold": torch.tensor(-1.0)}), "must be above 0"),
        (lambda s: s["linear1.weight"].fill_(torch.nan), "not all numbers"),
    ],
)
def test_what_is_not_the_studys_network_is_named(change, problem, tmp_path):
    state = Study().state_dict()
    change(state)
    torch.save(state, tmp_path / "study.pt")
    with pytest.raises(InputError, match=problem):
        import_model(tmp_path / "study.pt")


def test_an_input_that_is_no_square_wants_its_data_set(tmp_path):
    with pytest.raises(InputError, match="--dataset"):
        import_model(saved(Study(num_inputs=35), tmp_path / "study.pt"))


def test_a_damaged_file(tmp_path):
    content = saved(Study(), tmp_path / "study.pt").read_bytes()
    for damaged in (content[:200], content[:-100], content[:60] + b"\xff" * 200 + content[260:]):
        (tmp_path / "study.pt").write_bytes(damaged)
        with pytest.raises(InputError, match=r"study\.pt"):
            import_model(tmp_path / "study.pt")
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("readme.txt", "nothing")
    (tmp_path / "study.pt").write_bytes(other.getvalue())
    with pytest.raises(InputError, match="not a state_dict"):
        import_model(tmp_path / "study.pt")


def test_trained_weights_of_the_study_can_be_saved_and_loaded(tmp_path):
    from spikeduel.networks.model_files import load_model, save_model

    torch.manual_seed(1)
    model = import_model(saved(Study(), tmp_path / "study.pt"))
    save_model(tmp_path / "study.safetensors", model)
    again = load_model(tmp_path / "study.safetensors")
    images = np.random.default_rng(0).integers(0, 256, (20, 1, 6, 6), np.uint8)
    assert np.array_equal(model.predict(images)[1], again.predict(images)[1])
