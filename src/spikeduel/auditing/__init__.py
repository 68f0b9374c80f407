"""Audit of images and their split: leaks, duplicates, wrong labels, telling files.

The package needs `spikeduel.system` alone, and no other part of spikeduel. Public names, listed in
`__init__.pyi`, are loaded when first used. Each module is a check, or a part of one.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
