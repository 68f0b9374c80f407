from spikeduel.measuring.counting import tags
from spikeduel.measuring.counting.tags import SPIKES, Tag
from spikeduel.spiking import ConstantInput

TIMED = Tag(SPIKES, first_step=2, steps=3)


def test_a_view_keeps_steps_apart_while_rows_belong_to_one():
    assert tags.viewed(TIMED, (3, 4, 5), (12, 5)) is TIMED
    assert tags.viewed(TIMED, (12, 5), (3, 20)) is TIMED
    assert tags.viewed(TIMED, (12, 5), (60,)) is TIMED
    lost = tags.viewed(TIMED, (12, 5), (4, 15))
    assert (lost.steps, lost.first_step) == (1, 4)


def test_a_view_of_the_axes_behind_time_leaves_it():
    moved = tags.permuted(TIMED, (1, 0, 2))
    assert moved.time_dim == 1
    assert tags.viewed(moved, (4, 3, 5), (4, 3, 5, 1)) is moved
    assert tags.viewed(moved, (4, 3, 6), (12, 6)).steps == 1


def test_axes_put_in_and_taken_out():
    assert tags.inserted(TIMED, 0).time_dim == 1
    assert tags.inserted(TIMED, 1).time_dim == 0
    assert tags.removed(TIMED, [2]).time_dim == 0
    assert tags.removed(tags.inserted(TIMED, 0), [0]) == TIMED
    assert tags.removed(TIMED, [0]).steps == 1


def test_a_part_of_time():
    part = tags.cut(TIMED, 0, 3, 1, 3)
    assert (part.first_step, part.steps, part.last_step) == (3, 2, 4)
    assert tags.cut(TIMED, 1, 9, 0, 2) is TIMED
    # Of [T·B, …], a cut goes through images as well.
    assert tags.cut(TIMED, 0, 6, 0, 2).steps == 1


def test_broadcasting():
    assert tags.elementwise(TIMED, (3, 4), (2, 3, 4)).time_dim == 1
    assert tags.elementwise(TIMED, (3, 4), (3, 9)) == TIMED
    assert tags.elementwise(TIMED, (3, 4), (1, 4)).steps == 1


def test_repeated_along_time_it_is_alike_at_all_steps():
    found = tags.spread(Tag("image", copies=4), 4)
    assert (found.steps, found.same, found.copies) == (4, 4, 1)


def test_what_nested_arguments_hold():
    value = object()
    assert tags.flat([1, (2, {"a": value}), []]) == [1, 2, value]
    assert tags.flat(ConstantInput(value, 3)) == [value]
