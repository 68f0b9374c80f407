"""Spiking networks: neurons, encoders, readouts, architectures, kernels, counts of operations.

Public names, listed in `__init__.pyi`, are loaded when first used: the types of counts are read
without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
