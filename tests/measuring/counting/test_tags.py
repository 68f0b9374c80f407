from dataclasses import replace

from spikeduel.measuring.counting.tags import SPIKES, Tag

TIMED = Tag(SPIKES, first_step=2, steps=3)


def test_a_view_keeps_steps_apart_while_rows_belong_to_one():
    assert TIMED.viewed((3, 4, 5), (12, 5)) is TIMED
    assert TIMED.viewed((12, 5), (3, 20)) is TIMED
    assert TIMED.viewed((12, 5), (60,)) is TIMED
    lost = TIMED.viewed((12, 5), (4, 15))
    assert (lost.steps, lost.first_step) == (1, 4)


def test_a_view_of_the_axes_behind_time_leaves_it():
    moved = replace(TIMED, time_dim=1)
    assert moved.viewed((4, 3, 5), (4, 3, 5, 1)) is moved
    assert moved.viewed((4, 3, 6), (12, 6)).steps == 1


def test_axes_put_in_and_taken_out():
    assert TIMED.inserted(0).time_dim == 1
    assert TIMED.inserted(1).time_dim == 0
    assert TIMED.removed([2]).time_dim == 0
    assert TIMED.inserted(0).removed([0]) == TIMED
    assert TIMED.removed([0]).steps == 1


def test_a_part_of_time():
    part = TIMED.cut(0, 3, 1, 3)
    assert (part.first_step, part.steps, part.last_step) == (3, 2, 4)
    assert TIMED.cut(1, 9, 0, 2) is TIMED
    # Of [T·B, …], a cut goes through images as well.
    assert TIMED.cut(0, 6, 0, 2).steps == 1


def test_broadcasting():
    assert TIMED.elementwise((3, 4), (2, 3, 4)).time_dim == 1
    assert TIMED.elementwise((3, 4), (3, 9)) == TIMED
    assert TIMED.elementwise((3, 4), (1, 4)).steps == 1


def test_repeated_along_time_it_is_alike_at_all_steps():
    found = Tag("image", copies=4).spread(4)
    assert (found.steps, found.same, found.copies) == (4, 4, 1)
