"""The frames that an experiment, or a trained model, wants of recordings."""

from dataclasses import replace

from spikeduel.data.events.recordings import Recordings
from spikeduel.data.pictures import DEFAULT_SIZE
from spikeduel.data.prepared import Prepared
from spikeduel.networks.binning import Binning
from spikeduel.networks.preprocessing import Preprocessing
from spikeduel.settings import Experiment


def binned(
    prepared: Prepared, experiment: Experiment, preprocessing: Preprocessing | None
) -> Prepared:
    """`prepared`, if it has recordings with their frames as `experiment` says, or as a trained
    model wants them.
    """
    images = prepared.images
    if not isinstance(images, Recordings):
        return prepared
    if preprocessing is None or preprocessing.binning is None:
        binning = _binning(experiment, images.binning.sensor)
    else:
        binning = preprocessing.binning
    return replace(
        prepared, images=images.binned(binning), preprocessing=Preprocessing.of_recordings(binning)
    )


def _binning(experiment: Experiment, sensor: tuple[int, int]) -> Binning:
    def microseconds(milliseconds: float | None) -> int | None:
        return None if milliseconds is None else max(1, round(1000 * milliseconds))

    return Binning(
        num_frames=experiment.num_steps,
        sensor=sensor,
        by=experiment.bin_by,
        frame_us=microseconds(experiment.bin_ms),
        start_us=round(1000 * experiment.first_ms),
        stop_us=microseconds(experiment.last_ms),
        factor=-(-max(sensor) // (experiment.image_size or DEFAULT_SIZE)),
        binary=experiment.binary_frames,
        change=experiment.recording_change,
    )
