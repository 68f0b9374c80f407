import numpy as np
import pytest
from PIL import Image
from scipy.stats.contingency import association

from spikeduel import data
from spikeduel.data.auditing import origins
from spikeduel.data.auditing.origins import cramers_v, file_properties
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


def test_a_type_that_gives_the_class_away():
    labels = np.tile([0, 1], 50)
    listed = tuple(("PNG", "L", 8, 8) if label else ("JPEG", "L", 8, 8) for label in labels)
    side = np.repeat([0, 2], 50)
    (row,) = file_properties(listed, labels, side)
    assert (row.property, row.class_accuracy, row.class_chance) == ("file type", 1.0, 0.5)
    assert row.values == {"JPEG": 50, "PNG": 50}
    assert row.split_association == 0.0


def test_sizes_never_seen_in_training_tell_nothing():
    labels = np.tile([0, 1, 1], 20)
    listed = tuple(("PNG", "L", k + 1, 5) for k in range(60))
    (row,) = file_properties(listed, labels, np.repeat([0, 2], 30))
    assert row.num_values == 60
    assert row.class_accuracy == row.class_chance == pytest.approx(2 / 3)


def test_one_format_has_nothing_to_tell():
    assert file_properties((("PNG", "L", 8, 8),) * 4, np.array([0, 1, 0, 1]), np.array([0, 0, 2, 2])) == ()


def test_cramers_v_is_one_where_one_decides_the_other_and_near_scipys():
    a = np.tile([0, 1, 2], 100)
    assert cramers_v(a, (a + 1) % 3) == pytest.approx(1)
    assert cramers_v(a, np.repeat([0, 1, 2], 100)) == 0
    assert cramers_v(a, np.zeros(300)) == 0
    random = np.random.default_rng(0)
    b = np.where(random.random(300) < 0.5, a, random.integers(0, 3, 300))
    table = np.zeros((3, 3), int)
    np.add.at(table, (a, b), 1)
    assert cramers_v(a, b) == pytest.approx(association(table), abs=0.02)
