"""Logs of runs for TensorBoard, MLflow, or in a CSV file."""

from dataclasses import dataclass
from typing import Annotated

import lazy_loader

from spikeduel.experiment.fields import setting
from spikeduel.system.progress import Progress

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"loggers": ["Logged"]})
PUBLIC = ("Logged",)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the feature."""

    logger: Annotated[
        tuple[str, ...],
        setting(
            "Log curves, settings and results: tensorboard and csv in the run's folder logs/, "
            "mlflow where MLFLOW_TRACKING_URI says; repeatable.",
            metavar="tensorboard|mlflow|csv",
        ),
    ] = ()


def progress(options: Options, inner: Progress) -> Progress:
    """Return `inner`, logged if the user names loggers."""
    if not options.logger:
        return inner
    from spikeduel.features.loggers.loggers import Logged

    return Logged(inner, options.logger)
