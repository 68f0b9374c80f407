"""Public names, and the modules that they come from."""

from .constant_input import (
    ConstantInput as ConstantInput,
    as_sequence as as_sequence,
    over_time as over_time,
)
