"""Numbers of each recording that say nothing of what was seen, and what they tell of class and
side.
"""

from typing import Literal

from spikeduel.system.typed import Count, Frozen, Share

Name = Literal[
    "length",
    "events",
    "event rate",
    "brighter events",
    "pixels in use",
    "columns",
    "rows",
    "at hot pixels",
]


class Statistic(Frozen):
    """One number of each recording: its median by side of the split and by class; what a classifier
    scores by it alone.

    `length` is in milliseconds, `event rate` in events a second, `columns` and `rows` count to the
    last with an event; `brighter events` and `at hot pixels` are shares of the events, `pixels in
    use` of the sensor's pixels.
    """

    name: Name
    sides: dict[str, float]
    classes: dict[str, float]
    class_accuracy: Share | None
    side_accuracy: Share | None


class Statistics(Frozen):
    """What a small classifier scores by all `statistics` together, without any frame.

    `class_accuracy`: of naming the class of the `num_tested` test recordings, after training on the
    training side (at most a sample of it); `class_chance`: of always naming training's most
    frequent class. `side_accuracy`: of telling training from test recordings, as many of each, half
    of which a coin would get right; those of one of the `num_groups` groups are never both trained
    on and asked. Null where there are too few. `hot_pixels` (x, y) have many times the events of
    other pixels, in most recordings of a side or of a class.
    """

    statistics: tuple[Statistic, ...]
    hot_pixels: tuple[tuple[Count, Count], ...]
    class_accuracy: Share | None
    class_chance: Share | None
    num_tested: Count
    side_accuracy: Share | None
    num_groups: Count
