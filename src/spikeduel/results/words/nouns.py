"""What is said of images, said of recordings: one place, rather than a noun in each of some hundred
sentences.
"""

import re

_IMAGE = re.compile(
    r"(?<![\w/.:<-])(?:(an|one|grey) )?(image)(s?)(?![\w-]|/png|/gif|/svg|[.:]\w)", re.IGNORECASE
)


def said_of(text: str, noun: str) -> str:
    """`text`, in which a thing that is learned from is an image, with another `noun` for it
    ("recording").
    """
    if noun == "image":
        return text

    def other(found: re.Match[str]) -> str:
        before, image, plural = found.groups()
        if (
            before and before.lower() == "grey"
        ):  # of a recording, too, a small grey version is a picture
            return f"{before} picture{plural}"
        said = noun.capitalize() if image[0].isupper() else noun
        article = {"an": "a ", "An": "A ", None: ""}.get(before, f"{before} ")
        return f"{article}{said}{plural}"

    return _IMAGE.sub(other, text)
