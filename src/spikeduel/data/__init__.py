"""Data: named sets and folders of images, prepared as uint8 arrays, split without leaks, batched."""

from spikeduel.data.alterations import altered
from spikeduel.data.cache import CachedSet, cached
from spikeduel.data.catalogue import DATASETS, describe, listing, load, prepare, resolve
from spikeduel.data.grouping import names_a_file
from spikeduel.data.loader import evaluation_batches, on_device, training_batches
from spikeduel.data.pictures import open_picture, picture_files, prepared_picture
from spikeduel.data.prepared import TEST, TRAIN, VALIDATION, DataOptions, Prepared, RawDataset, regrouped
from spikeduel.data.preprocessing import Preprocessing
from spikeduel.data.splits import Split, split, splits, write_splits

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
    "names_a_file",
    "on_device",
    "open_picture",
    "picture_files",
    "prepare",
    "prepared_picture",
    "regrouped",
    "resolve",
    "split",
    "splits",
    "training_batches",
    "write_splits",
]
