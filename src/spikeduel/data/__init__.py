"""Data in three steps.

1. Inventory: which files there are, every one accounted for: `inventory`, `folder` (classes and
   CSVs), `fetching`, `hub`, `catalogue` (sets by name).
2. Arrays: images or recordings, prepared once and cached, larger than memory if need be:
   `pictures`, `events`, `preparing`, `prepared`, `cache`, `disk_arrays`.
3. Splits and batches: `splits`, which never cut a group, and `loader`.
"""

from spikeduel.data.catalogue import (
    DATASETS,
    absolute,
    home,
    is_at_hand,
    is_packed,
    listing,
    load,
    prepare,
    resolve,
)
from spikeduel.data.folder import files_to_answer
from spikeduel.data.loader import on_device, training_batches
from spikeduel.data.pictures import open_picture, prepared_picture
from spikeduel.data.prepared import (
    TEST,
    TRAIN,
    VALIDATION,
    DataOptions,
    Prepared,
    RawDataset,
    regrouped,
)
from spikeduel.data.splits import Split, split, splits, write_splits
from spikeduel.networks.preprocessing import Preprocessing

__all__ = [
    "DATASETS",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "DataOptions",
    "Prepared",
    "Preprocessing",
    "RawDataset",
    "Split",
    "absolute",
    "files_to_answer",
    "home",
    "is_at_hand",
    "is_packed",
    "listing",
    "load",
    "on_device",
    "open_picture",
    "prepare",
    "prepared_picture",
    "regrouped",
    "resolve",
    "split",
    "splits",
    "training_batches",
    "write_splits",
]
