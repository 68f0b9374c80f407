"""What loggers have after a training with Lightning and with transformers, read back."""

import csv
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import spikeduel as sd
from spikeduel.energy import accounting
from spikeduel.features.callbacks.callbacks import PerInference
from spikeduel.system.errors import InputError, MissingExtra

# Warnings of the libraries.
pytestmark = pytest.mark.filterwarnings("ignore")

IMAGES = torch.rand(24, 1, 4, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(24) % 3
FEW, STEPS, EPOCHS = IMAGES[:5], 4, 3


class Spiking(nn.Module):
    """A network that makes its 4 time steps; with `noise`, it draws random numbers at each call."""

    def __init__(self, noise=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.hidden, self.outputs = nn.Linear(16, 8), nn.Linear(8, 3)
        self.lif, self.noise = sd.LIF(beta=0.9, threshold=0.2), noise

    def forward(self, images):
        images = images.flatten(1)
        if self.noise:
            images = images + self.noise * torch.rand_like(images)
        spikes, _ = self.lif(self.hidden(images.expand(STEPS, *images.shape)))
        return self.outputs(spikes).mean(0)


def by_hand(net):
    """Return MACs, ACs and the joules of `syops` for one of the few images."""
    with torch.no_grad():
        currents = net.hidden(FEW.flatten(1)).expand(STEPS, len(FEW), 8)
        spikes, _ = net.lif(currents)
    acs = float(spikes.sum()) / len(FEW) * 3
    assert acs > 0
    return 16 * 8, acs, 4.6e-12 * STEPS * 16 * 8 + 0.9e-12 * acs


# ---- Lightning


def fitted(folder, net, *callbacks):
    """Train `net` with Lightning; return the trainer."""
    lightning = pytest.importorskip("lightning.pytorch")
    loggers = pytest.importorskip("lightning.pytorch.loggers")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = net

        def training_step(self, batch, index):
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def validation_step(self, batch, index):
            self.log("val_loss", F.cross_entropy(self.net(batch[0]), batch[1]))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.5)

    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=loggers.CSVLogger(folder),
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
    )
    batches = DataLoader(TensorDataset(IMAGES, LABELS), batch_size=8)
    trainer.fit(Module(), batches, batches)
    return trainer


def logged_by_lightning(folder):
    (path,) = folder.rglob("metrics.csv")
    with path.open() as file:
        return [row for row in csv.DictReader(file) if row.get("val_macs")]


def test_lightning_logs_operations_after_each_validation(tmp_path):
    pytest.importorskip("lightning")
    net = Spiking()
    callback = sd.lightning_callback(FEW, accounting="syops", network="net")
    trainer = fitted(tmp_path, net, callback)
    rows = logged_by_lightning(tmp_path)
    assert len(rows) == EPOCHS
    macs, acs, joules = by_hand(net)
    # Lightning keeps float32.
    assert float(rows[-1]["val_macs"]) == macs
    assert float(rows[-1]["val_acs"]) == pytest.approx(acs, rel=1e-6)
    assert float(rows[-1]["val_energy_joules"]) == pytest.approx(joules, rel=1e-6)
    assert float(rows[-1]["val_loss"]) > 0
    # Others can monitor it.
    assert float(trainer.callback_metrics["val_acs"]) == pytest.approx(acs, rel=1e-6)


def test_lightning_trains_the_same_with_the_callback(tmp_path):
    pytest.importorskip("lightning")
    without, counted = Spiking(noise=1.0), Spiking(noise=1.0)
    for net, callbacks in (
        (without, []),
        (counted, [sd.lightning_callback(FEW, network="net")]),
    ):
        torch.manual_seed(1)
        fitted(tmp_path / str(len(callbacks)), net, *callbacks)
    assert logged_by_lightning(tmp_path / "1")
    for name, weights in without.state_dict().items():
        assert torch.equal(weights, counted.state_dict()[name]), name


# ---- transformers


class Classifier(nn.Module):
    """A network as the Trainer calls it."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, pixel_values, labels=None):
        scores = self.net(pixel_values)
        loss = None if labels is None else F.cross_entropy(scores, labels)
        return {"loss": loss, "logits": scores}


def trained(folder, net, with_callback=True, **settings):
    """Train `net` with the Trainer of transformers; return the trainer."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    samples = [
        {"pixel_values": image, "labels": label}
        for image, label in zip(IMAGES, LABELS, strict=True)
    ]
    trainer = transformers.Trainer(
        Classifier(net),
        transformers.TrainingArguments(
            str(folder),
            num_train_epochs=EPOCHS,
            per_device_train_batch_size=8,
            learning_rate=0.1,
            eval_strategy="epoch",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            **{"save_strategy": "no", **settings},
        ),
        train_dataset=samples,
        eval_dataset=samples,
    )
    if with_callback:
        trainer.add_callback(sd.trainer_callback(trainer, FEW, accounting="syops"))
    trainer.train()
    return trainer


def test_the_trainer_logs_operations_after_each_evaluation(tmp_path):
    net = Spiking()
    trainer = trained(tmp_path, net)
    entries = [entry for entry in trainer.state.log_history if "eval_macs" in entry]
    assert [entry["epoch"] for entry in entries] == [1, 2, 3]
    macs, acs, joules = by_hand(net)
    assert entries[-1]["eval_macs"] == macs
    assert entries[-1]["eval_acs"] == pytest.approx(acs)
    assert entries[-1]["eval_energy_joules"] == pytest.approx(joules)
    metrics = trainer.evaluate()
    assert metrics["eval_acs"] == pytest.approx(acs)
    assert metrics["eval_loss"] > 0


def test_the_trainer_keeps_the_model_of_the_fewest_operations(tmp_path):
    trainer = trained(
        tmp_path,
        Spiking(),
        save_strategy="epoch",
        metric_for_best_model="eval_acs",
        greater_is_better=False,
    )
    counts = [entry["eval_acs"] for entry in trainer.state.log_history if "eval_acs" in entry]
    assert trainer.state.best_metric == min(counts)


def test_the_trainer_trains_the_same_with_the_callback(tmp_path):
    nets = [Spiking(noise=1.0), Spiking(noise=1.0)]
    for net, with_callback in zip(nets, (False, True), strict=True):
        trained(tmp_path, net, with_callback)
    for name, weights in nets[0].state_dict().items():
        assert torch.equal(weights, nets[1].state_dict()[name]), name


# ---- the examples of the page


PAGE = Path(__file__).parents[3] / "docs" / "features" / "callbacks.md"
EXAMPLES = dict(re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```$", PAGE.read_text(), re.M | re.S))


@pytest.mark.parametrize(
    ("name", "libraries"),
    [
        ("with_lightning", ("lightning", "snntorch")),
        ("with_transformers", ("transformers", "accelerate")),
    ],
)
def test_the_examples_of_the_page_run(name, libraries, tmp_path, monkeypatch):
    for library in libraries:
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": name}
    exec(compile(EXAMPLES[name], f"{name}.py", "exec"), namespace)
    trainer, images = namespace["trainer"], namespace["images"][:16]
    if name == "with_lightning":
        logged, net = trainer.callback_metrics, trainer.lightning_module.net
        assert float(logged["val_macs"]) == 64 * 32
    else:
        logged, net = trainer.evaluate(), trainer.model
    for key, value in values(net, images=images, prefix=next(iter(logged)).split("_")[0]).items():
        assert float(logged[key]) == pytest.approx(value, rel=1e-6)


# ---- without the libraries


def values(net, name="memory", images=FEW, network="", prefix="val"):
    return PerInference(images, None, accounting.read(name), network, None).of(net, prefix)


def test_networks_without_spikes_have_their_own_formula():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    # 4.6 pJ a MAC, and 24.96 pJ a byte of the weights and biases that are read for them.
    operations, reads = 16 * 8 + 8 * 3, 16 * 8 + 8 * 3 + 8 + 3
    assert values(net) == {
        "val_macs": operations,
        "val_acs": 0,
        "val_energy_joules": pytest.approx((4.6 * operations + 24.96 * 4 * reads) * 1e-12),
    }
    # Yan: 8 bits a pixel, one in the other layer; 0.25 pJ a bit, and 1 sum or one for each bit.
    found = values(net, "yan")
    low = (128 * (8 * 0.25 + 0.05448) + 24 * (0.25 + 0.05448)) * 1e-12
    assert found["val_energy_joules_low"] == pytest.approx(low)
    assert found["val_energy_joules_high"] > low


def test_the_unit_of_an_accounting_without_joules_is_in_the_name():
    net = Spiking()
    found = values(net, "operations")
    assert found["val_operations"] == found["val_acs"] + STEPS * found["val_macs"]


def test_what_cannot_be_counted_is_named():
    with pytest.raises(InputError, match=r"has no module 'net'\. Name an attribute"):
        values(Spiking(), network="net")
    with pytest.raises(InputError, match="unknown accounting 'memroy': did you mean 'memory'"):
        sd.lightning_callback(FEW, accounting="memroy")


@pytest.mark.parametrize(
    ("library", "make"),
    [
        ("lightning", lambda: sd.lightning_callback(FEW)),
        ("transformers", lambda: sd.trainer_callback(None, FEW)),
    ],
)
def test_a_missing_library_is_named_with_its_extra(library, make, monkeypatch):
    for name in list(sys.modules):
        if name.partition(".")[0] == library:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'spikeduel\[{library}\]'"):
        make()
