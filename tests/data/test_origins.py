import numpy as np
import pytest
from PIL import Image

from spikeduel import data
from spikeduel.data import origins
from spikeduel.settings import Experiment
from spikeduel.system.errors import InputError, UnreadableFiles
from spikeduel.system.progress import Progress
from synthetic_files import write_pictures, write_socofing

TRACK = Progress().track


def test_names_and_formats_lie_in_the_order_of_the_images(image_folder):
    Image.open(image_folder / "dog" / "002.png").convert("RGB").save(image_folder / "dog" / "extra.jpg")
    experiment = Experiment(dataset=str(image_folder))
    prepared, unreadable = origins.load_readable(experiment, TRACK)
    found = origins.origins(experiment, unreadable, TRACK)
    assert unreadable == {}
    assert len(found.names) == len(found.formats) == len(prepared)
    assert [prepared.classes[label] for label in prepared.labels] == [name.split("/")[0] for name in found.names]
    assert found.formats[found.names.index("dog/extra.jpg")] == ("JPEG", "RGB", 20, 16)
    assert found.formats[0] == ("PNG", "L", 20, 16)


def test_socofings_subjects_are_its_own_groups(tmp_path):
    write_socofing(tmp_path / "SOCOFing", 3)
    experiment = Experiment(dataset="socofing", data_dir=str(tmp_path / "SOCOFing"))
    found = origins.origins(experiment, (), TRACK)
    assert [int(name.split("/")[-1].split("__")[0]) for name in found.names] == found.groups.tolist()
    prepared = data.load(experiment)
    for name, label in zip(found.names, prepared.labels, strict=True):
        assert prepared.classes[label].replace(" ", "_") in name.lower()


def test_broken_files_are_left_out_wherever_they_break(image_folder):
    (image_folder / "cat" / "000.png").write_bytes(b"nothing")  # already its header
    whole = (image_folder / "dog" / "004.png").read_bytes()
    (image_folder / "dog" / "004.png").write_bytes(whole[:-200])  # only its pixels
    experiment = Experiment(dataset=str(image_folder))
    with pytest.raises(UnreadableFiles):
        data.load(experiment)
    prepared, unreadable = origins.load_readable(experiment, TRACK)
    assert sorted(name[-11:] for name in unreadable) == ["cat/000.png", "dog/004.png"]
    names = origins.origins(experiment, unreadable, TRACK).names
    assert len(prepared) == len(names) == 10
    assert not {"cat/000.png", "dog/004.png"} & set(names)
    assert (np.bincount(prepared.labels) == 5).all()


def test_a_broken_print_of_socofing_is_left_out(tmp_path):
    write_socofing(tmp_path / "SOCOFing", 2)
    path = tmp_path / "SOCOFing" / "Real" / "1__F_Left_index_finger.BMP"
    assert path.is_file()
    path.write_bytes(path.read_bytes()[:50])
    experiment = Experiment(dataset="socofing", data_dir=str(tmp_path / "SOCOFing"))
    prepared, unreadable = origins.load_readable(experiment, TRACK)
    assert [name.split("/")[-1] for name in unreadable] == [path.name]
    assert len(prepared) == len(origins.origins(experiment, unreadable, TRACK).names) == 39


def test_where_nothing_can_be_read_the_user_is_told(tmp_path):
    for label in ("cat", "dog"):
        for path in write_pictures(tmp_path / "all" / label, 2):
            path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="none of its images can be read"):
        origins.load_readable(Experiment(dataset=str(tmp_path / "all")), TRACK)


def test_a_set_without_files_has_no_origins():
    assert origins.origins(Experiment(dataset="digits"), (), TRACK) is None


def test_the_state_tells_when_a_file_changes(image_folder):
    experiment = Experiment(dataset=str(image_folder))
    before = origins.state(experiment)
    assert origins.state(experiment) == before
    (image_folder / "cat" / "000.png").write_bytes(b"longer or shorter")
    assert origins.state(experiment) != before
    assert origins.state(Experiment(dataset="digits")) == ""
