"""Data in three steps: inventory of files, prepared arrays, then splits and batches."""

from spikeduel.data.catalogue import (
    DATASETS,
    absolute,
    datasets,
    home,
    is_at_hand,
    is_packed,
    listing,
    load,
    prepare,
    resolve,
)
from spikeduel.data.loader import on_device, training_batches
from spikeduel.data.pictures import open_picture, prepared_picture
from spikeduel.data.prepared import (
    NO_TEST_SET,
    TEST,
    TRAIN,
    VALIDATION,
    DataOptions,
    Prepared,
    RawDataset,
    regrouped,
)
from spikeduel.data.splits import Split, can_fold, read_splits, split, splits, write_splits
from spikeduel.inputs.preprocessing import Preprocessing

__all__ = [
    "DATASETS",
    "NO_TEST_SET",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "DataOptions",
    "Prepared",
    "Preprocessing",
    "RawDataset",
    "Split",
    "absolute",
    "can_fold",
    "datasets",
    "home",
    "is_at_hand",
    "is_packed",
    "listing",
    "load",
    "on_device",
    "open_picture",
    "prepare",
    "prepared_picture",
    "read_splits",
    "regrouped",
    "resolve",
    "split",
    "splits",
    "training_batches",
    "write_splits",
]
