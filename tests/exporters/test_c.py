import re
import subprocess
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from factories import export, page_of
from made_models import make, make_recorded, varied
from spikeduel.data import Preprocessing
from spikeduel.engine.networks.models import Model, save_model
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.exporters import c, exporting
from spikeduel.exporters.integers import (
    MAX_MEMBRANE,
    IntegerLayer,
    IntegerNetwork,
    Levels,
    Pooling,
    Spiking,
    integer_network,
)
from spikeduel.system import typed
from spikeduel.system.errors import InputError, SpikeduelError
from telling import Telling

SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover")
SPIKING = {"kind": "snn", "encoding": "direct", "num_steps": 4}
LIF = {"neuron": "lif", "beta": 0.9, "threshold": 0.5}
NO_POOLING = Pooling("max", 1, 1)


def images_of(model, number=12, seed=0):
    shape = (number, *model.card.image_shape)
    images = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    if model.card.preprocessing.binning:
        images //= 100
    return images


def written(model, path, labels=np.arange(12) % 3, **more):
    """Export the model to C, fitted to other images than those it is checked on."""
    shown = images_of(model, seed=1), labels
    return export(model, path, "c", images=images_of(model), labels=labels, examples=shown, **more)


def compiled(network, folder):
    for name, content in c.sources(network).items():
        (folder / name).write_text(content)
    return c.Program("cc", folder, c.identifier(network.card.contender), SANITIZED)


def scores_in_c(network, images, folder):
    return compiled(network, folder).run(torch.from_numpy(images)).scores


def spiking(
    contender="dense-lif", image_shape=(1, 10, 10), encoding="direct", num_steps=4, **network
):
    card = {**SPIKING, "encoding": encoding, "num_steps": num_steps, "image_shape": image_shape}
    return make(contender, **card, network={**LIF, **network})


def without_time(contender, kind, image_shape=(1, 10, 10), **network):
    return make(contender, kind=kind, image_shape=image_shape, network=network)


MODELS = {
    "vgg-lif": lambda: spiking("vgg-lif", width=4),
    "vgg-lif zero avg": lambda: spiking(
        "vgg-lif", (3, 15, 19), width=4, pooling="avg", reset_mechanism="zero"
    ),
    "vgg-relu": lambda: without_time("vgg-relu", "cnn", width=4),
    "conv-lif 20 steps": lambda: spiking(
        "conv-lif", (1, 11, 13), num_steps=20, hidden=7, neuron="plif"
    ),
    "conv-lif avg": lambda: spiking("conv-lif", hidden=7, pooling="avg"),
    "conv-relu avg": lambda: without_time("conv-relu", "cnn", (3, 9, 6), hidden=7, pooling="avg"),
    "dense-lif no reset": lambda: spiking(hidden=9, reset_mechanism="none"),
    "dense-relu": lambda: without_time("dense-relu", "ann", hidden=9),
    "quantised twin": lambda: make(
        "dense-lif",
        **{**SPIKING, "num_steps": 1},
        network={"hidden": 9, "neuron": "quantised-relu", "activation_bits": 3},
    ),
    "vgg-integer": lambda: spiking("vgg-integer", width=4),
    "few levels of activations": lambda: without_time(
        "vgg-relu", "cnn", width=4, activation_bits=4
    ),
    "dense-snn rate": lambda: spiking("dense-snn", encoding="rate", num_steps=9, hidden=8),
    "dense-snn latency": lambda: spiking("dense-snn", encoding="latency", hidden=8),
    "dense-lif in colour": lambda: spiking(image_shape=(3, 5, 4), hidden=9),
    # More inputs than a byte numbers.
    "dense-snn rate in colour": lambda: spiking("dense-snn", (3, 10, 10), "rate", 9, hidden=8),
    "linear over a map": lambda: Model(
        Chain(nn.Conv2d(2, 5, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(45, 3)).eval(),
        without_time("dense-relu", "ann", (2, 7, 8)).card,
    ),
    "small-cnn": lambda: without_time("small-cnn", "cnn", hidden=9),
    "recordings": lambda: make_recorded("vgg-lif", width=4)[0],
}


@pytest.mark.parametrize("name", MODELS)
def test_c_gives_the_scores_of_int8_in_python_which_are_near_the_models(name, tmp_path):
    model = varied(MODELS[name]())
    images = images_of(model)
    network = integer_network(model, images)
    keys = RandomKeys(c.content_keys(images))
    expected = network.predict(images, keys).scores
    assert (scores_in_c(network, images, tmp_path) == expected).all()
    in_floats, _ = model.predict(images, keys)
    assert (expected.argmax(1) == in_floats).mean() > 0.7
    assert len(np.unique(expected, axis=0)) > 1


def by_hand(layer, image, num_steps):
    """Return the scores of one layer over an image `[C][H][W]`, in Python's whole numbers."""
    (channels, rows, columns), (above, left, _, _) = layer.weight.shape[1:], layer.padding
    made = []
    for channel, row, column in product(*map(range, layer.out)):
        pooled = []
        for i, j in product(range(layer.pool_after.rows), range(layer.pool_after.columns)):
            total = 0
            for k, y, x in product(range(channels), range(rows), range(columns)):
                at = (row * layer.pool_after.rows + i) * layer.stride + y - above
                beside = (column * layer.pool_after.columns + j) * layer.stride + x - left
                if 0 <= at < image.shape[1] and 0 <= beside < image.shape[2]:
                    total += int(layer.weight[channel, k, y, x]) * int(image[k, at, beside])
            pooled.append(total)
        total = max(pooled) if layer.pool_after.kind == "max" else sum(pooled)
        current = (total * int(layer.multiplier[channel]) + int(layer.offset[channel])) >> (
            layer.shift
        )
        mem = score = 0
        for _ in range(num_steps):
            spiked = mem > layer.activation.threshold
            mem = 0 if spiked and layer.activation.reset_mechanism == "zero" else mem
            mem = (mem * layer.activation.beta + 2**14) // 2**15 + current
            if spiked and layer.activation.reset_mechanism == "subtract":
                mem -= layer.activation.threshold
            mem = min(max(mem, -MAX_MEMBRANE), MAX_MEMBRANE)
            score += (mem > layer.activation.threshold) * 2**32 + mem
        made.append(score)
    return made


@pytest.mark.parametrize("reset_mechanism", ["subtract", "zero", "none"])
@pytest.mark.parametrize("kind", ["max", "sum"])
def test_a_layer_is_what_integers_give_by_hand(kind, reset_mechanism, tmp_path):
    drawn = np.random.default_rng(5)
    layer = IntegerLayer(
        name="only",
        shape=(2, 7, 8),
        pool_before=NO_POOLING,
        weight=drawn.integers(-127, 128, (3, 2, 3, 3), np.int8),
        stride=2,
        padding=(1, 0, 1, 1),
        pool_after=Pooling(kind, 4, 4),
        # The last channel's membranes reach the end of 16 bits.
        multiplier=np.array([1_500_000, -1_200_000, 900_000_000]),
        offset=np.array([2**25, -(2**28), 2**20]),
        shift=26,
        most_value=255,
        most_sum=2**24,
        activation=Spiking(20_000, 900, reset_mechanism),
        is_last=True,
    )
    card = make("dense-snn", **{**SPIKING, "num_steps": 5}, image_shape=(2, 7, 8)).card
    network = IntegerNetwork(card, (layer,))
    images = drawn.integers(0, 256, (4, 2, 7, 8), np.uint8)
    expected = [by_hand(layer, image, 5) for image in images]
    assert network.predict(images).scores.tolist() == expected
    assert scores_in_c(network, images, tmp_path).tolist() == expected


def test_levels_are_clamped_and_of_equal_scores_the_first_wins(tmp_path):
    card = make("dense-relu", kind="ann", image_shape=(1, 2, 2)).card
    weight = np.array([[[[1, 0], [0, 0]]], [[[0, 1], [0, 0]]], [[[0, 0], [1, 0]]]], np.int8)
    plain = {
        "pool_before": NO_POOLING,
        "pool_after": NO_POOLING,
        "stride": 1,
        "padding": (0, 0, 0, 0),
        "multiplier": np.array([2, 2, -2]),
        "offset": np.zeros(3, np.int64),
        "shift": 1,
        "most_value": 255,
        "most_sum": 255,
    }
    first = IntegerLayer("a", (1, 2, 2), weight=weight, activation=Levels(100), **plain)
    last_weight = np.eye(3, dtype=np.int8).reshape(3, 3, 1, 1)
    last = IntegerLayer("b", (3, 1, 1), weight=last_weight, activation=None, is_last=True, **plain)
    network = IntegerNetwork(card, (first, last))
    images = np.array([[[[255, 101], [7, 0]]], [[[99, 100], [0, 0]]]], np.uint8)
    assert network.predict(images).scores.tolist() == [[100, 100, 0], [99, 100, 0]]
    assert scores_in_c(network, images, tmp_path).argmax(1).tolist() == [0, 1]


class Chain(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.chain = nn.Sequential(*layers)

    def forward(self, x):
        return self.chain(x)


@pytest.mark.parametrize(
    ("layers", "output"),
    [
        ([nn.Flatten(), nn.Linear(100, 4), nn.Linear(4, 3)], "two layers of weights"),
        ([nn.Flatten(), nn.Linear(100, 4), nn.GELU(), nn.Linear(4, 3)], "gelu|GELU"),
        ([nn.MaxPool2d(2), nn.Flatten(), nn.Linear(25, 3)], "pools the image itself"),
        ([nn.Conv2d(1, 4, 3, dilation=2), nn.Flatten(), nn.Linear(144, 3)], "dilation"),
        ([nn.Conv2d(1, 4, 3), nn.AvgPool2d(3, 2), nn.Flatten(), nn.Linear(36, 3)], "overlap"),
    ],
)
def test_a_layer_without_a_form_in_int8_is_named_with_the_remedy(layers, output):
    model = make("dense-relu", kind="ann")
    foreign = Model(Chain(*layers).eval(), model.card)
    with pytest.raises(InputError, match=output) as error:
        integer_network(foreign, images_of(model))
    assert "chain." in str(error.value) or "gelu" in str(error.value)


@pytest.mark.parametrize(
    ("name", "settings", "output"),
    [
        ("resnet-silu", {"kind": "cnn"}, "silu|SiLU"),
        ("dense-lif", {**SPIKING, "network": {"neuron": "alif"}}, r"lif1 \(ALIF\).*--neuron lif"),
    ],
)
def test_nothing_is_written_of_a_network_that_c_cannot_hold(name, settings, output, tmp_path):
    progress = Telling()
    with pytest.raises(InputError, match=output) as error:
        written(make(name, **settings), tmp_path / "out", progress=progress)
    assert str(error.value).count(name) == 1
    assert not list(tmp_path.iterdir())
    assert progress.lines == []


def test_a_folder_is_written_whose_makefile_labels_the_examples(tmp_path):
    model = varied(MODELS["vgg-lif"]())
    examples, images = images_of(model, seed=1), images_of(model)
    network = integer_network(model, examples)
    scores, shown = (network.predict(some).scores for some in (images, examples))
    labels, folder = shown.argmax(1), tmp_path / "out"
    check = written(model, folder, labels)
    (program,) = check.programs.values()
    assert (program.same_label, program.largest_score_difference) == (1, 0)
    assert program.accuracy == check.accuracy == (scores.argmax(1) == labels).mean()
    assert typed.read_json(tmp_path / "out.check.json", exporting.ExportCheck) == check
    assert check.flash == sum(
        layer.weight.size + 12 * len(layer.weight) for layer in network.layers
    )
    output = subprocess.run(
        ["make", "-C", folder, "predictions"], capture_output=True, text=True, check=True
    ).stdout
    labelled = [line.split(": ")[1] for line in output.splitlines() if line.startswith("examples/")]
    # A picture of each class, named by it, of those that are answered right.
    assert labelled == [model.card.classes[label] for label in np.unique(labels)]
    scale = float((folder / "vgg_lif.h").read_text().partition("score * ")[2].partition(";")[0])
    _, probabilities = model.predict(images)
    shares = torch.from_numpy(scores * scale).softmax(1).numpy()
    assert np.abs(shares - probabilities).max() < 0.1
    # The header's factor is of whole numbers: the model's own formula does not hold for them.
    assert exporting.probabilities_of(model.card) not in " ".join(exporting.lines(check))


def test_the_program_labels_a_picture_prepared_as_the_docs_say_grey_or_in_colour(
    tmp_path, monkeypatch, random
):
    page = page_of("export")
    code = next(
        block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if ".pnm" in block
    )
    monkeypatch.chdir(tmp_path)
    pixels = random.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("shoe.png")
    for channels in (1, 3):
        model = varied(spiking(image_shape=(channels, 10, 10), hidden=9))
        model.card = replace(model.card, preprocessing=Preprocessing(channels, 10, 10))
        save_model(Path(f"{channels}.safetensors"), model)
        exec(code.replace("fashion-mnist-vgg-lif", f"{channels}.safetensors"), {})
        examples = images_of(model, seed=1)
        written(model, tmp_path / f"c{channels}")
        program = c.Program("cc", tmp_path / f"c{channels}", "dense_lif")
        asked = [str(program.path), "shoe.pnm"]
        output = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        inverted = Image.fromarray(255 - pixels)
        image = model.card.preprocessing(inverted)[None]
        with Image.open("shoe.pnm") as picture:
            assert np.array_equal(np.asarray(picture), image[0].transpose(1, 2, 0).squeeze())
        label = integer_network(model, examples).predict(image).scores.argmax()
        assert output == f"shoe.pnm: {model.card.classes[label]}\n"


def test_nothing_of_the_users_is_replaced(tmp_path):
    model = MODELS["dense-relu"]()
    (tmp_path / "notes.txt").write_text("mine")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(InputError, match="Name a new folder"):
            written(model, path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    written(model, tmp_path / "empty")
    assert (tmp_path / "empty" / "main.c").is_file()


PICTURE = b"P5\n10 10\n255\n" + bytes(100)


@pytest.mark.parametrize(
    "content", [b"", b"P5\n9 9\n255\n", PICTURE[:-1], PICTURE + b"x", b"P2" + PICTURE[2:], b"abc"]
)
def test_the_program_refuses_other_pictures(content, tmp_path):
    model = MODELS["dense-relu"]()
    program = compiled(integer_network(model, images_of(model)), tmp_path)
    (tmp_path / "picture").write_bytes(content)
    done = subprocess.run(
        [program.path, tmp_path / "picture"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "no binary PGM of 10 x 10 pixels" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("named", "output"),
    [
        ("", r"no C compiler is installed \(cc, gcc, clang\)"),
        (" ", r"no C compiler is installed \(cc, gcc, clang\)"),
        ("clang", "CC names clang, .* unset CC"),
        ("clang -O1", "CC names clang, .* unset CC"),
        ("clang '-O1", "CC names clang '-O1, .* unset CC"),
    ],
)
def test_without_a_compiler_nothing_is_written(named, output, tmp_path, monkeypatch):
    monkeypatch.setattr(c.shutil, "which", lambda name: None)
    monkeypatch.setenv("CC", named)
    with pytest.raises(InputError, match=output):
        written(MODELS["dense-relu"](), tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """Let CC name a script."""

    def script(text):
        (tmp_path / "own-cc").write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "own-cc").chmod(0o755)
        monkeypatch.setenv("CC", str(tmp_path / "own-cc"))

    return script


def test_cc_may_be_a_launcher_and_have_options_as_in_make(compiler, tmp_path, monkeypatch):
    compiler('echo "$@" >> "$0.log"; exec "$@"')
    monkeypatch.setenv("CC", f"{tmp_path / 'own-cc'} cc -O1")
    (name,) = written(MODELS["dense-relu"](), tmp_path / "out").programs
    assert "own-cc" in name
    calls = (tmp_path / "own-cc.log").read_text().splitlines()
    assert {call.split()[0] for call in calls} == {"cc"}
    assert all("-O1" in call for call in calls)


FOR_ANOTHER_MACHINE = """
for last; do :; done
[ "$last" = -dumpversion ] || { echo another > "$last"; chmod +x "$last"; }"""


@pytest.mark.parametrize("fault", ["echo no such option >&2; exit 1", FOR_ANOTHER_MACHINE])
def test_a_compiler_that_fails_is_named(fault, compiler, tmp_path):
    compiler(fault)
    with pytest.raises(SpikeduelError, match="own-cc"):
        written(MODELS["dense-relu"](), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["own-cc"]
