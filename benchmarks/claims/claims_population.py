"""snnTorch's tutorial on population codes, in snnTorch and with its own loss.

    python -m benchmarks.claims.claims_population [--seeds 6] [--data-dir PATH]

Fashion-MNIST in one time step: 784-128-10 and 784-128-500, trained on the squared error of counted
spikes and tested after every epoch, as `claims/snntorch-population.toml` says. Where two classes
have as many spikes, the tutorial takes the first class; beside that, the result has the accuracy
with the membrane deciding between such classes, and the share of images where it has to. Needs the
extra `bench`. The result goes to benchmarks/results/claim-snntorch-population-mse.json.
"""

from typing import Any

import numpy as np
import snntorch
import torch
from snntorch import functional, surrogate, utils
from torch import Tensor, nn

from benchmarks import shared
from spikeduel import recipes

RESULT = "claim-snntorch-population-mse.json"
CLASSES, HIDDEN, BETA = 10, 128, 0.9
LEARNING_RATE, BATCH, EPOCHS = 2e-3, 128, 5
OUTPUTS = {"10 outputs": 10, "500 outputs": 500}


def network(num_outputs: int) -> nn.Module:
    """Return the tutorial's network of two layers."""
    gradient = surrogate.fast_sigmoid()
    return nn.Sequential(
        nn.Flatten(),
        *(nn.Linear(28 * 28, HIDDEN), leaky(gradient)),
        *(nn.Linear(HIDDEN, num_outputs), leaky(gradient, output=True)),
    )


def leaky(gradient: Any, output: bool = False) -> nn.Module:
    return snntorch.Leaky(beta=BETA, spike_grad=gradient, init_hidden=True, output=output)


def by_class(outputs: Tensor) -> Tensor:
    """Sum the outputs `[B, N]` of each class, which lie side by side: `[B, CLASSES]`."""
    return outputs.unflatten(1, (CLASSES, -1)).sum(2)


def accuracies(counts: Tensor, membranes: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the accuracy with the first of the classes that have most spikes, the accuracy with
    the one of them that has the highest membrane, and the share of images that have several.

    `counts` and `membranes` are `[B, CLASSES]`.
    """
    most = counts == counts.amax(1, keepdim=True)
    first = most.int().argmax(1)
    highest = membranes.masked_fill(~most, -torch.inf).argmax(1)
    return {
        "accuracy": (first == labels).double().mean().item(),
        "by_membrane": (highest == labels).double().mean().item(),
        "tied": (most.sum(1) > 1).double().mean().item(),
    }


def train(
    num_outputs: int, images: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], seed: int
) -> list[dict[str, float]]:
    """Return the `accuracies` on `test` after every epoch; both are (images in [0, 1], labels)."""
    torch.manual_seed(seed)
    net = network(num_outputs)
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    population = {"population_code": True, "num_classes": CLASSES} if num_outputs > CLASSES else {}
    loss_of = functional.mse_count_loss(correct_rate=1.0, incorrect_rate=0.0, **population)
    history = []
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images[1])).split(BATCH):
            utils.reset(net)
            spikes, _ = net(images[0][batch])
            loss = loss_of(spikes[None], images[1][batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        utils.reset(net)
        with torch.no_grad():
            spikes, membranes = net(test[0])
        history.append(accuracies(by_class(spikes), by_class(membranes), test[1]))
    return history


def main() -> None:
    parser = shared.parser(__doc__, seeds=6, data_dir=str)
    options = parser.parse_args()
    experiment = recipes.baseline("fashion-mnist", data_dir=options.data_dir)
    prepared, split = shared.loaded(experiment)
    pixels = torch.as_tensor(np.asarray(prepared.images)).float() / 255
    labels = torch.as_tensor(np.asarray(prepared.labels)).long()
    chosen = np.concatenate([split.train, split.val])
    images, test = ((pixels[part], labels[part]) for part in (chosen, split.test))
    contenders = {}
    for name, num_outputs in OUTPUTS.items():
        histories = [train(num_outputs, images, test, seed) for seed in range(options.seeds)]
        contenders[name] = {
            measure: {
                epoch + 1: [history[epoch][measure] for history in histories]
                for epoch in range(EPOCHS)
            }
            for measure in ("accuracy", "by_membrane", "tied")
        }
        print(name, contenders[name]["accuracy"])
    result = {
        "command": f"python -m benchmarks.claims.claims_population --seeds {options.seeds}",
        "settings": {"learning_rate": LEARNING_RATE, "batch_size": BATCH, "beta": BETA},
        "snntorch": snntorch.__version__,
        "images": {"train": len(chosen), "test": len(split.test)},
        "contenders": contenders,
    }
    shared.write(RESULT, result)


if __name__ == "__main__":
    main()
