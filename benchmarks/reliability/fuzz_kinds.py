"""A valid file of every kind that spikeduel reads, and what reads it: what `fuzz.py` damages."""

import contextlib
import gzip
import io
import json
import struct
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import shared
from spikeduel.experiment.recipes import baseline
from spikeduel.experiment.settings import Experiment
from spikeduel.system.errors import InputError

sys.path.append(str(shared.ROOT / "tests"))
import made_recordings

EXPERIMENT = baseline("digits", hidden=8, num_steps=2, epochs=1, limit=120, device="cpu")


@dataclass(frozen=True)
class Kind:
    """A kind of file: a valid one, its name, what reads it, and how it is damaged beyond its
    bytes.
    """

    valid: bytes
    name: str
    read: Callable[[Path], Any]
    is_json: bool = False


def idx_file(packed: bool) -> Kind:
    from spikeduel.data import mnist_like

    content = struct.pack(">BBBBIII", 0, 0, 8, 3, 6, 5, 4) + bytes(range(120))
    return Kind(
        gzip.compress(content) if packed else content,
        "images-idx3-ubyte",
        lambda path: mnist_like.read(path, 3),
    )


def picture(suffix: str, mode: str) -> Kind:
    from spikeduel.data import Preprocessing, prepared_picture

    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    made = Image.fromarray(pixels).convert(mode)
    exif = made.getexif()
    exif[0x0112] = 6
    file = io.BytesIO()
    extra: dict[str, Any] = {"exif": exif} if suffix in ("jpg", "png", "webp", "tiff") else {}
    if suffix == "gif":
        extra = {"save_all": True, "append_images": [made.rotate(90), made], "transparency": 3}
    made.save(file, {"jpg": "JPEG", "pgm": "PPM"}.get(suffix, suffix.upper()), **extra)
    preprocessing = Preprocessing(3, 16, 16)
    return Kind(
        file.getvalue(), f"picture.{suffix}", lambda path: prepared_picture(path, preprocessing)
    )


def toml() -> Kind:
    from spikeduel.experiment.settings import read_experiment, write_experiment
    from spikeduel.training import contenders

    with TemporaryDirectory() as folder:
        write_experiment(Path(folder, "e.toml"), Experiment(limit=50, threshold=2.0, image_size=8))
        content = Path(folder, "e.toml").read_bytes()

    def read(path: Path) -> None:
        experiment = read_experiment(path)
        if not experiment.own_code:  # what the user would first be asked about
            contenders.check(experiment)

    return Kind(content, "experiment.toml", read)


def model(contender: str) -> Kind:
    import torch

    from spikeduel.data import Preprocessing
    from spikeduel.engine.networks.building import build
    from spikeduel.engine.networks.cards import ModelCard
    from spikeduel.engine.networks.models import Model, load_model, save_model

    spiking = contender == "dense-snn"
    card = ModelCard(
        contender=contender,
        kind="snn" if spiking else "cnn",
        image_shape=(1, 10, 10),
        classes=("a", "b"),
        preprocessing=Preprocessing(1, 10, 10),
        network={"hidden": 4} | ({"neuron": "lif"} if spiking else {}),
        encoding="rate" if spiking else None,
        num_steps=3 if spiking else None,
    )
    with TemporaryDirectory() as folder:
        torch.manual_seed(0)
        save_model(Path(folder, "m"), Model(build(card), card))
        content = Path(folder, "m").read_bytes()

    def read(path: Path) -> None:
        loaded = load_model(path)
        channels, height, width = loaded.card.image_shape
        if loaded.card.num_steps is None or loaded.card.num_steps < 1000:
            loaded.predict(np.zeros((1, channels, height, width), np.uint8))

    return Kind(content, "model.safetensors", read)


def finished() -> tuple[dict[str, Any], str, str]:
    """results.json, a trial's record and a measure, of a real run of a second."""
    from spikeduel.comparing import compare
    from spikeduel.training.store import Store

    with TemporaryDirectory() as folder:
        run = compare(EXPERIMENT, Path(folder, "run"), Path(folder, "store"))
        kept = Store(Path(folder, "store")).folder(str(run.results.trials[0].key))
        return (
            json.loads((run.out / "results.json").read_text()),
            (kept / "trial.json").read_text(),
            (kept / "measures" / "classification.json").read_text(),
        )


def results(page: bool) -> Kind:
    """results.json as it is read, and with `page` as a report is made of it, which takes
    seconds.
    """
    from spikeduel import reporting
    from spikeduel.experiment.settings import write_experiment
    from spikeduel.sentences import comparison

    content, _, _ = finished()
    # The figures of images take a second each, and read nothing from the file.
    content["dataset"]["fingerprint"] = "other"

    def read(path: Path) -> None:
        write_experiment(path.parent / "experiment.toml", EXPERIMENT)
        if page:
            reporting.report_again(path.parent)
            return
        run = comparison.load_run(path.parent)
        run.table(), run.document(), run.to_latex()

    return Kind(json.dumps(content).encode(), "results.json", read, is_json=True)


def stored(which: str) -> Kind:
    from spikeduel.results.trials import Classification
    from spikeduel.training.outcomes import TrialOutcome, trial_entry
    from spikeduel.training.store import Store

    _, trial, quality = finished()

    def read(path: Path) -> None:
        store, key = Store(path.parent), "k"
        folder = store.folder(key)
        (folder / "measures").mkdir(parents=True, exist_ok=True)
        (folder / "model.safetensors").touch()
        (folder / "trial.json").write_text(trial)
        (folder / "measures" / "classification.json").write_text(quality)
        target = folder / ("trial.json" if which == "trial" else "measures/classification.json")
        target.write_bytes(path.read_bytes())
        record, found = store.record(key), store.measure(key, "classification", Classification)
        if record is not None and found is not None and which != "trial":
            trial_entry(TrialOutcome(record, {"classification": found}))

    return Kind(
        (trial if which == "trial" else quality).encode(), f"{which}.json", read, is_json=True
    )


def manifest() -> Kind:
    from spikeduel.data import cache
    from spikeduel.data.mnist_like import digits
    from spikeduel.data.prepared import DataOptions, from_raw

    prepared = from_raw("digits", digits(DataOptions()))

    def read(path: Path) -> None:
        whole = path.parent / "prepared"
        if not whole.exists():
            cache.write(whole, prepared)
        (whole / "manifest.json").write_bytes(path.read_bytes())
        with contextlib.suppress(InputError):  # it would be prepared anew
            cache.read(whole)

    with TemporaryDirectory() as folder:
        cache.write(Path(folder, "set"), prepared)
        content = Path(folder, "set", "manifest.json").read_bytes()
    return Kind(content, "manifest.json", read, is_json=True)


def archive(which: str) -> Kind:
    from spikeduel.data import DataOptions, datasets
    from spikeduel.data.mnist_like import EMNIST_STEMS
    from spikeduel.data.socofing import FINGERS

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        if which == "socofing":
            bmp = io.BytesIO()
            Image.effect_noise((40, 40), 90).save(bmp, "BMP")
            for part, end in (("Real", ""), ("Altered/Altered-Easy", "_CR")):
                for hand in ("Left", "Right"):
                    for finger in FINGERS:
                        opened.writestr(
                            f"SOCOFing/{part}/1__M_{hand}_{finger}_finger{end}.BMP", bmp.getvalue()
                        )
        else:
            for stem, number in zip(EMNIST_STEMS, (20, 20, 20, 20), strict=True):
                shape = (number, 28, 28) if "images" in stem else (number,)
                head = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
                opened.writestr(
                    f"gzip/{stem}.gz",
                    gzip.compress(head + bytes(i % 10 for i in range(int(np.prod(shape))))),
                )
    return Kind(
        file.getvalue(),
        f"{which}.zip",
        lambda path: datasets()[which](DataOptions(data_dir=str(path))),
    )


def recording(name: str, content: Callable[[Any], bytes]) -> Kind:
    """A recording of 200 events, of which `content` makes the file: read, packed, binned, drawn."""
    from spikeduel.data.events import recording_files
    from spikeduel.data.events.recordings import Recordings
    from spikeduel.inputs.preprocessing import Binning, unpacked

    def read(path: Path) -> None:
        events = recording_files.read(path)
        packed = events.packed()
        used = unpacked(packed)
        sensor = events.sensor or (int(used.y.max()) + 1, int(used.x.max()) + 1)
        offsets = np.array([0, len(packed)])
        for binning in (Binning(4, sensor), Binning(4, sensor, frame_us=1000, factor=2)):
            recordings = Recordings(packed, offsets, binning)
            recordings[:], recordings.pictures

    return Kind(content(made_recordings.some_events()), name, read)


def arrays(events: Any, save: Callable[..., None]) -> bytes:
    file = io.BytesIO()
    save(file, x=events.x, y=events.y, t=events.t, p=events.p)
    return file.getvalue()


def array(events: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, np.stack([events.x, events.y, events.t, events.p], 1))
    return file.getvalue()


RECORDINGS: dict[str, Callable[[Any], bytes]] = {
    "evt2.raw": made_recordings.evt2,
    "evt21.raw": made_recordings.evt21,
    "evt3.raw": made_recordings.evt3,
    "events.aedat4": made_recordings.aedat4,
    "events3.aedat": made_recordings.aedat3,
    "events2.aedat": made_recordings.aedat2,
    "events.dat": made_recordings.dat,
    "events.bin": made_recordings.five_bytes,
    "events.npy": array,
    "events.npz": lambda events: arrays(events, np.savez_compressed),
}
"""Files of recordings by name."""


def kit(part: str | None) -> Kind:
    """A kit as a zip file, or a `part` of it, beside the others and with right hashes."""
    import spikeduel as sd
    from spikeduel.analysis import hashes
    from spikeduel.comparing import compare
    from spikeduel.features.verification.verifying import verify

    with TemporaryDirectory() as folder:
        run = compare(EXPERIMENT, Path(folder, "run"), Path(folder, "store")).out
        content = sd.write_kit(run, Path(folder, "kit.zip")).read_bytes()
    if part is None:
        return Kind(content, "kit.zip", verify)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}

    def read(path: Path) -> None:
        for name, content in files.items():
            if name != part:
                (path.parent / name).parent.mkdir(exist_ok=True)
                (path.parent / name).write_bytes(content)
        if part != hashes.FILE:
            hashes.write(path.parent)
        verify(path.parent)

    return Kind(files[part], part, read, is_json=part.endswith(".json"))


KINDS: dict[str, Callable[[], Kind]] = {
    "idx": lambda: idx_file(False),
    "idx.gz": lambda: idx_file(True),
    "png": lambda: picture("png", "RGBA"),
    "png-palette": lambda: picture("png", "P"),
    "png-16": lambda: picture("png", "I;16"),
    "jpg": lambda: picture("jpg", "RGB"),
    "jpg-cmyk": lambda: picture("jpg", "CMYK"),
    "gif": lambda: picture("gif", "P"),
    "bmp": lambda: picture("bmp", "RGB"),
    "tiff": lambda: picture("tiff", "RGB"),
    "webp": lambda: picture("webp", "RGB"),
    "pgm": lambda: picture("pgm", "L"),
    "toml": toml,
    "model-snn": lambda: model("dense-snn"),
    "model-cnn": lambda: model("small-cnn"),
    "results": lambda: results(page=False),
    "page": lambda: results(page=True),
    "trial": lambda: stored("trial"),
    "measure": lambda: stored("measure"),
    "manifest": manifest,
    "emnist-zip": lambda: archive("emnist-digits"),
    "socofing-zip": lambda: archive("socofing"),
    **{name: partial(recording, name, content) for name, content in RECORDINGS.items()},
    "kit": lambda: kit(None),
    "kit-results": lambda: kit("results.json"),
    "kit-predictions": lambda: kit("predictions.json"),
    "kit-split": lambda: kit("split.csv"),
    "kit-hashes": lambda: kit("sha256sums.txt"),
}
