"""Tune the settings of each contender on validation images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import lazy_loader

from spikeduel.experiment.fields import setting

if TYPE_CHECKING:
    from spikeduel.cli.inputs import CommandInput
    from spikeduel.experiment.settings import Experiment

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "tuning_results": ["Conclusion", "Range"],
        "tuning": ["RANGES", "Tuning", "read_ranges", "tune"],
        "tuning_section": ["section"],
        "tune_command": ["commands"],
    },
)
PUBLIC = ("RANGES", "Range", "Tuning", "read_ranges", "tune")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the feature."""

    tune: Annotated[
        int | None,
        setting(
            "First tune every contender with N trials, judged on validation images.", metavar="N"
        ),
    ] = None


def before_training(
    options: Options, experiment: "Experiment", inputs: "CommandInput"
) -> tuple["Experiment", Any]:
    """Return the experiment with tuned settings and its `Tuning`: with --tune a new one, else the
    one beside the experiment file, None if there is none.
    """
    if options.tune is not None:
        from spikeduel.features.tuning.tune_command import search_settings

        tuned = search_settings(experiment, options.tune, None, inputs, inputs.out)
        return tuned.experiment, tuned
    file = inputs.experiment_file
    if file is None:
        return experiment, None
    from spikeduel.features.tuning.tuning import read_tuning

    return experiment, read_tuning(file if file.is_dir() else file.parent, experiment)
