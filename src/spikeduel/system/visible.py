"""Text from outside (names of files, classes, settings) that cannot disturb where it is shown."""


def visible(text: str) -> str:
    """`text` on one line, with what is not printable written as an escape, such as `\\n`, `\\x1b` or `\\u202e`.

    So a name can neither break a line, nor send commands to a terminal, nor turn the writing direction around.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
