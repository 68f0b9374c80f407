"""Files of recordings, written bit by bit as their formats say."""

import io
import re
import struct

import numpy as np
import pytest

import made_events
from damage import problem
from spikeduel.inputs.preprocessing import Binning, Events

DAT_HEADER = b"% Data file containing CD events.\n% Version 2\n% Width 640\n% Height 480\n"


def some_events(*arguments, **options):
    """`made_events.some_events` as `Events`."""
    return Events(*made_events.some_events(*arguments, **options))


def part(events, first, last):
    """`made_events.part` as `Events`."""
    return Events(*made_events.part(events, first, last))


def rows(events):
    """The events as tuples (x, y, t, p)."""
    columns = (events.x, events.y, events.t, events.p)
    return list(zip(*(np.asarray(column).astype(int).tolist() for column in columns), strict=True))


def numpy_file(events):
    """A NumPy array with named columns. If the feature that reads it was deleted, the test is
    skipped.
    """
    pytest.importorskip("spikeduel.features.event_cameras")
    file = io.BytesIO()
    np.save(file, np.array(rows(events), [("x", "u2"), ("y", "u2"), ("t", "i8"), ("p", "u1")]))
    return file.getvalue()


def five_bytes(events):
    """N-MNIST's and SLAYER's layout."""
    return b"".join(
        bytes([x, y, (p << 7) | (t >> 16), (t >> 8) & 255, t & 255]) for x, y, t, p in rows(events)
    )


def dat(events, header=DAT_HEADER):
    """Prophesee's DAT, version 2."""
    return (
        header
        + b"\x0c\x08"
        + b"".join(struct.pack("<II", t, x | (y << 14) | (p << 28)) for x, y, t, p in rows(events))
    )


def dat_1(events):
    """Prophesee's DAT, version 1."""
    words = b"".join(struct.pack("<II", t, x | (y << 9) | (p << 17)) for x, y, t, p in rows(events))
    return b"% Data file containing Events.\n% Version 1\n\x00\x08" + words


def evt2(events):
    """Prophesee's RAW, EVT 2.0: a TIME_HIGH before each event."""
    words = b"".join(
        struct.pack("<II", (8 << 28) | (t >> 6), (p << 28) | ((t & 63) << 22) | (x << 11) | y)
        for x, y, t, p in rows(events)
    )
    return b"% evt 2.0\n% geometry 640x480\n% end\n" + words


def evt21(events, swapped=False):
    """Prophesee's RAW, EVT 2.1: a word of 32 pixels for each event, of which one is set."""
    content = b"% format EVT21;height=480;width=640\n% end\n"
    for x, y, t, p in rows(events):
        for word in (
            (8 << 60) | ((t >> 6) << 32),
            (p << 60) | ((t & 63) << 54) | ((x & ~31) << 43) | (y << 32) | 1 << (x & 31),
        ):
            packed = struct.pack("<Q", word)
            content += packed[4:] + packed[:4] if swapped else packed
    return content


def evt3(events):
    """Prophesee's RAW, EVT 3.0, one word for each part of an event."""
    content = b"% evt 3.0\n% geometry 640x480\n% end\n"
    for x, y, t, p in rows(events):
        words = (0x8000 | (t >> 12) & 0xFFF, 0x6000 | t & 0xFFF, y, 0x2000 | (p << 11) | x)
        content += struct.pack("<4H", *words)
    return content


def aedat2(events, chip="DVS128", height=128):
    """iniVation's AEDAT 2.0: a word of address and one of time, the highest byte first; y counts
    from below.
    """
    content = f"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.{chip}\r\n".encode()
    for x, y, t, p in rows(events):
        below = height - 1 - y
        address = (
            (below << 8) | (x << 1) | p
            if chip == "DVS128"
            else (below << 22) | (x << 12) | (p << 11)
        )
        content += struct.pack(">II", address, t)
    return content


def aedat3(events, overflow=0):
    """iniVation's AEDAT 3.1: a packet of frames, which is passed over, and one of polarity
    events.
    """
    other = struct.pack("<hhiiiiii", 2, 0, 4, 0, 0, 1, 1, 1) + b"abcd"
    polarity = struct.pack(
        "<hhiiiiii", 1, 0, 8, 4, overflow, len(events.t), len(events.t), len(events.t)
    )
    body = b"".join(
        struct.pack("<II", (x << 17) | (y << 2) | (p << 1) | 1, t) for x, y, t, p in rows(events)
    )
    return (
        b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
        + other
        + polarity
        + body
    )


_STREAM = """<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">
<node name="0" path="/mainloop/Recorder/outInfo/0/"><attr key="compression" type="string">NONE</attr>
<attr key="originalModuleName" type="string">capture</attr><attr key="originalOutputName" type="string">events</attr>
<attr key="typeDescription" type="string">Array of events.</attr><attr key="typeIdentifier" type="string">EVTS</attr>
<node name="info" path="/mainloop/Recorder/outInfo/0/info/"><attr key="sizeX" type="int">34</attr>
<attr key="sizeY" type="int">34</attr><attr key="source" type="string">made</attr></node></node></node></dv>"""


def aedat4(events):
    """iniVation's AEDAT 4.0: two flatbuffers, each a table of one field: a header of a text, a
    packet of events.
    """

    def with_size(content):
        return struct.pack("<I", len(content)) + content

    text = _STREAM.encode()
    # Where the table is, what it is, its fields' places (the third is the text's), the table, the
    # text.
    header = (
        struct.pack("<I4s5HxxiII", 20, b"IOHE", 10, 8, 0, 0, 4, 12, 4, len(text)) + text + b"\0"
    )
    header += bytes(-len(header) % 4)
    packet = with_size(
        struct.pack("<I4s3HxxiI4xI", 16, b"EVTS", 6, 8, 4, 8, 8, len(events.t))
        + b"".join(struct.pack("<qhh?3x", t, x, y, p) for x, y, t, p in rows(events))
    )
    return b"#!AER-DAT4.0\r\n" + with_size(header) + struct.pack("<ii", 0, len(packet)) + packet


def directions(folder, count=60, size=12, seed=0):
    """Writes recordings of a bar that goes down to `folder`/down, and the same backwards in time to
    `folder`/up: only the order of events tells the two apart.
    """
    rng = np.random.default_rng(seed)
    for number in range(count):
        t = np.arange(size * 40) * 500
        y, x = t * size // (t[-1] + 1), rng.integers(0, size, len(t))
        noise = rng.integers(0, size, (2, 40))
        t, y, x = (
            np.concatenate(columns)
            for columns in ((t, rng.integers(0, t[-1], 40)), (y, noise[0]), (x, noise[1]))
        )
        p = rng.integers(0, 2, len(t))
        for name, when in (("down", t), ("up", t.max() - t)):
            order = np.argsort(when, kind="stable")
            path = folder / name / f"{number}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(numpy_file(Events(x[order], y[order], when[order], p[order])))


def as_recordings(recorded, sensor, num_frames=4):
    """`Recordings` of events."""
    from spikeduel.data.events.recordings import Recordings

    packed = [events.packed() for events in recorded]
    return Recordings(
        np.concatenate(packed), np.cumsum([0, *map(len, packed)]), Binning(num_frames, sensor)
    )


def as_distributed(name, folder, count=4):
    """Write a small set of that `name` as its makers lay it out, `count` recordings a class (and
    split).
    """
    if name == "dvs-gesture":
        gestures(folder, count)
        return
    numbers = range(count)
    animals = ("bird", "cat", "deer", "dog", "frog", "horse")
    labels = ("airplane", "automobile", *animals, "ship", "truck")
    things = ("BACKGROUND_Google", "accordion", "yin_yang")
    paths = {
        "n-mnist": [
            (f"{split}/{7 * k % 10}/{k + 1:05}.bin", five_bytes)
            for split in ("Train", "Test")
            for k in range(10 * count)
        ],
        "cifar10-dvs": [
            (f"{label}/cifar10_{label}_{k}.aedat", aedat2) for label in labels for k in numbers
        ],
        "n-caltech101": [
            part
            for thing in things
            for part in (
                *((f"Caltech101/{thing}/image_{k + 1:04}.bin", five_bytes) for k in numbers),
                (f"Caltech101_annotations/{thing}/annotation_0001.bin", lambda _: b"no recording"),
            )
        ],
        "n-cars": [
            (f"n-cars_{split}/{label}/obj_{k:06}_td.dat", dat)
            for split in ("train", "test")
            for label in ("background", "cars")
            for k in numbers
        ],
    }
    for seed, (path, make) in enumerate(paths[name]):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(make(some_events(50, seed=seed)))


def gestures(folder, count=4):
    """DVS Gesture's layout: `count` people for training and as many for test, each with all
    gestures in one file.

    A gesture takes from its number in tenths of a second until 50,000 microseconds later.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for first, split in ((1, "train"), (24, "test")):
        trials = [f"user{first + k:02}_led" for k in range(count)]
        (folder / f"trials_to_{split}.txt").write_text(
            "".join(f"{trial}.aedat\n" for trial in trials)
        )
        for k, trial in enumerate(trials):
            events = some_events(3000, last=1_300_000, seed=100 * first + k)
            (folder / f"{trial}.aedat").write_bytes(aedat3(events))
            lines = [f"{n},{100_000 * n},{100_000 * n + 50_000}\n" for n in range(1, 12)]
            (folder / f"{trial}_labels.csv").write_text(
                "".join(["class,startTime_usec,endTime_usec\n", *lines])
            )


def read_at_most(path, count):
    """Read a recording, and fail if it has more than `count` events."""
    from spikeduel.data.events.recording_files import read

    assert len(read(path).t) <= count


def require_error_or_fewer_events(path, content, place):
    """Cut `content` off in many places: reading gives fewer events, or an error in one line that
    matches `place`.
    """
    from spikeduel.data.events.recording_files import read

    path.write_bytes(content)
    count, size = len(read(path).t), len(content)
    inside = range(80, size, max(1, size // 10))
    for cut in [*range(0, min(80, size), 3), *inside, *range(size - 9, size)]:
        path.write_bytes(content[:cut])
        error = problem(read_at_most, path, count)
        assert error is None or re.search(f"^.*({place}).*$", error), (cut, error)


def read_packed(path):
    """Read and check a recording."""
    from spikeduel.data.events.recording_files import read

    read(path).packed()


def require_error_or_events(path, content):
    """Change bytes of headers and first events: reading gives events or an `InputError`."""
    random = np.random.default_rng(0)
    for _ in range(25):
        changed = bytearray(content)
        for place in random.integers(0, min(len(content), 800), 20):
            changed[place] = random.integers(256)
        path.write_bytes(changed)
        # No other error, and no panic of a library.
        problem(read_packed, path)
