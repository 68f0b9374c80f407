"""Errors for people: which file or setting, what is wrong, what to do; and text from outside, made
harmless to show.
"""

import copyreg
import difflib
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MOST_LISTED = 8
"""So many choices are listed beside the nearest one."""


class SpikeduelError(Exception):
    """Base of all errors that spikeduel raises on purpose; its text is one line for the user."""

    exit_code = 1

    def __reduce__(self) -> Any:
        """For another process it is made of its text, whatever its kind is made of here."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class InputError(SpikeduelError, ValueError):
    """What the user gave (a name, a file, a setting, a folder) cannot be used. The text says what
    to do.
    """

    exit_code = 2


class UnreadableFiles(InputError):
    """Picture files, of the data set `of`, that cannot be decoded. `files` maps the name of each to
    the reason.
    """

    def __init__(self, files: dict[str, str], of: str = "") -> None:
        self.files = files
        name, reason = next(iter(files.items()))
        text = f"{name}: {reason}. Remove or replace it."
        if len(files) > 1:
            lists = f"`spikeduel audit{f' {shlex.quote(visible(of)[:300])}' * bool(of)} --json` lists all."
            text = f"{len(files):,} files cannot be used. The first is {name}: {reason}. {lists} Remove or replace them."
        super().__init__(text)


class AuditFailed(SpikeduelError):
    """The audit found what would invalidate a result, and the user asked not to go on then."""


class MissingExtra(InputError):
    """An optional dependency is needed and not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'spikeduel[{extra}]'")


@contextmanager
def naming(place: Path | str) -> Iterator[None]:
    """Puts `place` (a file, a setting) before the text of an `InputError` or `AuditFailed` that is
    raised within.
    """
    try:
        yield
    except (InputError, AuditFailed) as error:
        kind = AuditFailed if isinstance(error, AuditFailed) else InputError
        raise kind(f"{place}: {error}") from None


def unknown(kind: str, name: str, choices: Iterable[str], hint: str = "") -> InputError:
    """The error for an unknown `name`, offering the nearest of `choices` where there is one, and
    them all where few.
    """
    choices = sorted(choices)
    nearest = difflib.get_close_matches(name.lower(), choices, n=1)
    offers = [f"did you mean '{nearest[0]}'?"] if nearest else []
    if not nearest or 2 < len(choices) <= MOST_LISTED:
        offers.append(f"{'Choose' if nearest else 'choose'} from {', '.join(choices)}.")
    offer = " ".join(offers)
    return InputError(f"unknown {kind} '{name}': {offer}{' ' + hint if hint else ''}")


def visible(text: str) -> str:
    """`text` on one line, with what is not printable written as an escape, such as `\\n`, `\\x1b` or `\\u202e`.

    So a name can neither break a line, nor send commands to a terminal, nor turn the writing direction around.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )
