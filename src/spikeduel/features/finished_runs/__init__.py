"""List finished runs, compare two of them, and test contenders of one or two runs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "finished_runs_commands": ["commands"],
        "run_comparison": ["compare_runs"],
    },
)
PUBLIC = ("compare_runs",)
