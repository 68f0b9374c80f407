"""Say before training how many seeds a difference takes, and how long they train."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"plan_command": ["commands"], "forecasting": ["forecast"]}
)
PUBLIC = ("forecast",)
