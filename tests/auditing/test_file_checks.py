"""Names that look as if they name people or objects, and names that do not."""

import re

import numpy as np
import pytest

from spikeduel.auditing.file_checks import suggested

CLASSES = ("cat", "dog")


def files(form, numbers=range(60), classes=CLASSES):
    """Paths by `form`, a function of a class and a number."""
    return [f"{name}/{form(name, number)}" for name in classes for number in numbers]


def suggestion_for(names):
    classes = sorted({name.partition("/")[0] for name in names})
    return suggested(names, np.array([classes.index(name.partition("/")[0]) for name in names]))


@pytest.mark.parametrize(
    ("form", "num_groups"),
    [
        (lambda c, n: f"s{n // 10 + 1:02}_{n % 10}.png", 6),
        (lambda c, n: f"{n // 5}__M_Left_finger{n % 5}_CR.BMP", 12),
        (lambda c, n: f"patient {n // 10} scan {n}.tif", 6),
        (lambda c, n: f"clip{n // 12}.frame{n:05}.jpg", 5),
        # The same people in both classes, or others in each.
        (lambda c, n: f"P{n // 10 + 6 * (c == 'dog')}_{n}.png", 12),
        # One picture of each person in a class.
        (lambda c, n: f"subject{n:02}.{c}.gif", 60),
        (lambda c, n: f"IMG_{n // 3:04}_{n % 3}.png", 20),  # crops of one picture
        (lambda c, n: f"obj{n // 10}/view_{n % 10}.png", 6),
    ],
)
def test_names_of_people_and_objects(form, num_groups):
    names = files(form)
    guess = suggestion_for(names)
    assert guess is not None
    assert guess.groups == num_groups
    groups = {name: re.search(guess.pattern, name)[1] for name in names}
    assert len(set(groups.values())) == num_groups
    assert groups[guess.alike[0]] == groups[guess.alike[1]]


@pytest.mark.parametrize(
    "form",
    [
        lambda c, n: f"{n}.png",
        lambda c, n: f"img_{n:04}.png",
        lambda c, n: f"{c}_{n}.png",
        lambda c, n: f"{n:03}_{c}.png",  # numbered anew in each class
        lambda c, n: f"{CLASSES.index(c)}_{n:05}.png",
        lambda c, n: f"n0208{CLASSES.index(c)}_{n}.JPEG",
        lambda c, n: (
            f"{('siamese', 'persian', 'poodle', 'pug')[2 * (c == 'dog') + n % 2]}_{n}.jpg"
        ),  # breeds
        lambda c, n: f"batch{n // 10}_{n}.png",
        lambda c, n: f"{hash((c, n)) % 16**8:08x}-{n:04x}-{hash((n, c)) % 16**8:08x}.png",
        lambda c, n: f"IMG_202305{n // 10 + 1:02}_1234{n:02}.jpg",
        lambda c, n: f"2023-05-{n // 10 + 1:02} 12.34.{n:02}.jpg",
        lambda c, n: f"12-{n // 10 + 10}-{n % 10 + 10}.png",
        lambda c, n: f"photo ({n}).jpg",
        lambda c, n: f"{n}_of_60.png",
        lambda c, n: f"part{n // 30}/{n:04}.png",
        lambda c, n: f"s{n // 30}_{n}.png",  # too few groups to be people
        lambda c, n: f"s{n}_0.png" if c == "cat" else f"t{n}_0.png",  # each alone
        lambda c, n: "s1_1.png" if n == 0 else f"{n}.png",
    ],
)
def test_numbered_files_do_not_alarm(form):
    assert suggestion_for(files(form)) is None


def test_folders_of_a_split_are_no_objects():
    names = [f"{split}/{k // 9}/{k}.png" for split in ("train", "test") for k in range(18)]
    assert suggested(names, np.tile(np.repeat([0, 1], 9), 2)) is None


def test_files_without_folders_as_a_csv_may_list_them():
    names = [f"s{n // 10}_{n % 10}.png" for n in range(60)]
    assert suggested(names, np.arange(60) % 2).groups == 6
    assert suggested([f"{n}.png" for n in range(60)], np.arange(60) % 2) is None
