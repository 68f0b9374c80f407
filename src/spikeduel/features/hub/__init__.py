"""Data sets of the Hugging Face hub, and of WebDataset's shards."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"hub_dataset": ["DATASETS"]}
)
