"""Data: named sets and folders of images, prepared as uint8 arrays, split without leaks, batched."""

from spikeduel.data.alterations import altered
from spikeduel.data.cache import CachedSet, cached
from spikeduel.data.catalogue import DATASETS, describe, listing, load, prepare, resolve
from spikeduel.data.loader import evaluation_batches, on_device, training_batches
from spikeduel.data.pictures import open_picture, picture_files
from spikeduel.data.prepared import TEST, TRAIN, VALIDATION, DataOptions, Prepared, RawDataset
from spikeduel.data.preprocessing import Preprocessing
from spikeduel.data.splits import Split, split

__all__ = [
    "DATASETS",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "CachedSet",
    "DataOptions",
    "Prepared",
    "Preprocessing",
    "RawDataset",
    "Split",
    "altered",
    "cached",
    "describe",
    "evaluation_batches",
    "listing",
    "load",
    "on_device",
    "open_picture",
    "picture_files",
    "prepare",
    "resolve",
    "split",
    "training_batches",
]
