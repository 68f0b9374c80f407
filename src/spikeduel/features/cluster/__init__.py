"""Training on a Ray cluster."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import lazy_loader

from spikeduel.experiment.fields import setting
from spikeduel.system.errors import InputError

if TYPE_CHECKING:
    from spikeduel.features.cluster.ray_cluster import Cluster

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"ray_cluster": ["Cluster"]}
)
PUBLIC = ("Cluster",)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the feature."""

    ray: Annotated[
        str | None,
        setting(
            "Train on a Ray cluster: auto finds the one that runs here, local starts one. Data go "
            "there, and trained models come back (pip install 'spikeduel[cluster]'). Each "
            "training has one thread by default.",
            metavar="auto|ADDRESS|local",
        ),
    ] = None


def workers(options: Options, jobs: int | None, threads: int | None) -> "Cluster | None":
    """Return the cluster that the user names. Raises `InputError` with `jobs`."""
    if options.ray is None:
        return None
    if jobs is not None:
        raise InputError(
            "--jobs is for this machine, and --ray for a cluster, which says itself how many train "
            "at once."
        )
    from spikeduel.features.cluster.ray_cluster import Cluster

    return Cluster(options.ray, 1 if threads is None else threads)
