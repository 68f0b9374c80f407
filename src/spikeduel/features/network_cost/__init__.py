"""Operations and estimated energy of a network of any library, without training."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"network_cost": ["Cost", "cost"]}
)
PUBLIC = ("Cost", "cost")
