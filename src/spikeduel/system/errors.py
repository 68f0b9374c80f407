"""Errors for people, and harmless text."""

import copyreg
import difflib
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MAX_LISTED = 8
"""Choices that an error lists beside the nearest one."""


class SpikeduelError(Exception):
    """Base class of spikeduel's errors. The text is one line for the user.

    Examples
    --------
    >>> issubclass(InputError, SpikeduelError)
    True
    """

    exit_code = 1

    def __reduce__(self) -> Any:
        """Rebuild the error in another process, without `__init__`."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class InputError(SpikeduelError, ValueError):
    """An unusable name, file, setting or folder. The text says what to do.

    Examples
    --------
    >>> import spikeduel as sd
    >>> sd.load_model("mnist-vgg-lfi")
    Traceback (most recent call last):
        ...
    spikeduel.system.errors.InputError: mnist-vgg-lfi: no such model file...
    """

    exit_code = 2


class UnreadableFiles(InputError):
    """Pictures that cannot be decoded: `files` maps names to reasons."""

    def __init__(self, files: dict[str, str], of: str = "") -> None:
        self.files = files
        name, reason = next(iter(files.items()))
        text = f"{name}: {reason}. Remove or replace it, or leave it out by --skip-unreadable."
        if len(files) > 1:
            named = f" {shlex.quote(visible(of)[:300])}" if of else ""
            text = (
                f"{len(files):,} files cannot be used. The first is {name}: {reason}. "
                f"`spikeduel audit{named} --json` lists all. Remove or replace them, or leave them "
                "out by --skip-unreadable."
            )
        super().__init__(text)


class AuditFailed(SpikeduelError):
    """The audit found a problem, with `--strict`."""


class MissingExtra(InputError):
    """A needed optional dependency that is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'spikeduel[{extra}]'")


@contextmanager
def needing_extra(packages: Collection[str], extra: str) -> Iterator[None]:
    """Raise `MissingExtra` where one of `packages` is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package not in packages:
            raise
        raise MissingExtra(package, extra) from None


@contextmanager
def refusing(described: Callable[[BaseException], InputError]) -> Iterator[None]:
    """Turn any error of a library or of a user's code into the `InputError` that `described`
    returns. An `InputError` stays as it is.
    """
    try:
        yield
    except InputError:
        raise
    except BaseException as error:
        # Panics of libraries in Rust are no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise described(error) from None


@contextmanager
def naming(place: Path | str) -> Iterator[None]:
    """Put `place` before the text of an `InputError` or `AuditFailed`."""
    try:
        yield
    except (InputError, AuditFailed) as error:
        kind = AuditFailed if isinstance(error, AuditFailed) else InputError
        raise kind(f"{place}: {error}") from None


def unknown(kind: str, name: str, choices: Iterable[str], hint: str = "") -> InputError:
    """Return the error for an unknown `name`, with the nearest of `choices` (all if few)."""
    choices = sorted(choices)
    nearest = difflib.get_close_matches(name.lower(), choices, n=1)
    offers = [f"did you mean '{nearest[0]}'?"] if nearest else []
    if not nearest or 2 < len(choices) <= MAX_LISTED:
        offers.append(f"{'Choose' if nearest else 'choose'} from {', '.join(choices)}.")
    offer = " ".join(offers)
    return InputError(f"unknown {kind} '{name}': {offer}{' ' + hint if hint else ''}")


def visible(text: str) -> str:
    r"""Return `text` with unprintable characters escaped, such as `\n`, `\x1b` or `\u202e`: it can
    neither break a line nor command a terminal.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
