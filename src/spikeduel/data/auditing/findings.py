"""What the numbers of an audit mean: problems, which invalidate a result, and notes, which are worth knowing."""

from typing import Any

SMALL_SHARE = 0.001
"""Equal images and conflicting labels up to this share of the images move no result by a tenth of a point."""
SIBLING_SHARE = 0.05
"""Natural sets stay far below it: 0.6 % of Fashion-MNIST's test images have a near duplicate in training."""
GAP = 0.05
"""How much the probe may lose without siblings; and what a file's format may tell about the class."""
FEWEST = 3
"""Near duplicates and gaps of fewer test images than this are not called a problem: near is a judgement."""
IMBALANCE = 10
FEW_IMAGES = 10
ASSOCIATION = 0.3
MOST_NAMED = 6

PIXELS_ARE_NOT_ALL = (
    "Pixels cannot show every leak: two pictures of one person or object that look different are found only if groups "
    "are given."
)


def problems(found: dict[str, Any]) -> list[str]:
    """What would invalidate a result on this data and split: what, how many, why it matters, what to do."""
    said = []
    exact, probe, num_test = found["exact_duplicates"], found["probe"], found["counts"]["test"]
    if exact["test_in_training"] > SMALL_SHARE * num_test:
        said.append(_equal_across(exact["test_in_training"], num_test, found["split"]))
    if exact["conflicting_images"] > SMALL_SHARE * sum(found["counts"].values()):
        said.append(_conflicting(exact))
    if cut := found["groups_cut_test_images"]:
        said.append(
            f"The split cuts {_counted(found['groups_cut'], 'group')}: {_share(cut, num_test)} of the test images have "
            "relatives in training, which show the same person or thing. Scores then measure memory, not recognition. "
            + _keep_groups(found["split"])
        )
    said += _siblings(probe, cut > 0, found["split"])
    if found["unreadable"]:
        images, they_are = ("an image", "it is") if len(found["unreadable"]) == 1 else ("images", "they are")
        said.append(
            f"{_counted(len(found['unreadable']), 'file')} cannot be read as {images}, "
            f"and nothing can be trained before {they_are} removed or replaced: {_some(found['unreadable'])}."
        )
    return said


def notes(found: dict[str, Any]) -> list[str]:
    """What is worth knowing and invalidates nothing."""
    said = []
    exact, near, num_test = found["exact_duplicates"], found["near_duplicates"], found["counts"]["test"]
    if 0 < exact["test_in_training"] <= SMALL_SHARE * num_test:
        said.append(_equal_across(exact["test_in_training"], num_test, found["split"]))
    if 0 < exact["conflicting_images"] <= SMALL_SHARE * sum(found["counts"].values()):
        said.append(_conflicting(exact))
    if exact["across_groups"]:
        said.append(
            f"{_counted(exact['across_groups'], 'set')} of equal images "
            f"{'lies' if exact['across_groups'] == 1 else 'lie'} in several groups, such as under several people: "
            "these groups are joined, so that no split cuts them."
        )
    elsewhere = exact["across"] - exact["test_in_training"]
    if elsewhere:
        said.append(
            f"{_counted(elsewhere, 'further copy')} of an image {'lies' if elsewhere == 1 else 'lie'} in validation, "
            "or in test of an image of validation: what is chosen on validation is chosen a little too kindly."
        )
    if exact["within"]:
        said.append(
            f"{_counted(exact['within'], 'image')} {'is an exact copy' if exact['within'] == 1 else 'are exact copies'}"
            " of another on the same side of the split: there is less to learn from, or to test on, than it seems."
        )
    if near["across"] > SMALL_SHARE * (num_test + found["counts"]["val"]):
        said.append(
            f"{_counted(near['across'], 'image')} of validation or test have a near duplicate on another side "
            f"({near['test_in_training']:,} of the {num_test:,} test images in training): look at the pairs in the "
            "report."
        )
    if found["groups_cut"] and not found["groups_cut_test_images"]:
        said.append(
            f"{_counted(found['groups_cut'], 'group')} lie on two sides, but none of them on training and test: "
            "validation scores may be too good."
        )
    return said + _balance(found["class_sides"]) + _formats(found["formats"]) + _sampled(found)


def rows(found: dict[str, Any]) -> list[dict[str, str]]:
    """The numbers of an audit, as rows of a table."""
    exact, near, probe, counts = (found[key] for key in ("exact_duplicates", "near_duplicates", "probe", "counts"))

    def share(value: float | None) -> str:
        return "not measured" if value is None else f"{value:.1%}"

    table = {
        "images": f"{counts['train']:,} training, {counts['val']:,} validation, {counts['test']:,} test",
        "classes": f"{len(found['classes'])}",
        "split": found["split"],
        "exact copies": f"{exact['within']:,} within a side, {exact['across']:,} across sides",
        "equal images with different labels": f"{exact['conflicting']:,}",
        "near duplicates": f"{near['within']:,} images within a side, {near['across']:,} across sides",
        "groups": _groups(found),
        "unreadable files": f"{len(found['unreadable']):,}",
        "nearest neighbour on small grey versions": f"{share(probe['accuracy'])} right, nothing trained",
        "  without siblings in training": share(probe["accuracy_if_grouped"]),
        "  on a split over files": share(probe["accuracy_if_ungrouped"]),
        "  chance: always naming training's most frequent class": share(probe["chance"]),
        "test images with a sibling in training": share(probe["siblings_in_train"]),
    }
    if exact["across_groups"] is not None:
        table["equal images in several groups"] = f"{exact['across_groups']:,} sets"
    if probe["accuracy_if_ungrouped"] is None:
        del table["  on a split over files"]
    for row in found["formats"]:
        values = ", ".join(f"{value} ({count:,})" for value, count in list(row["values"].items())[:3])
        more = f" and {row['num_values'] - 3:,} more" if row["num_values"] > 3 else ""
        table[row["property"]] = f"{values}{more}"
    return [{"what": what, "found": value} for what, value in table.items()]


def _groups(found: dict[str, Any]) -> str:
    if found["groups"] is None:
        return "none known"
    joined = " (those that share copies are joined into one)" if found["exact_duplicates"]["across_groups"] else ""
    return f"{found['groups']:,}{joined}, {found['groups_cut']:,} cut"


def _siblings(probe: dict[str, Any], cut: bool, split: str) -> list[str]:
    if not probe["n"]:
        return []
    gap = probe["accuracy"] - probe["accuracy_if_grouped"]
    share = probe["siblings_in_train"]
    if gap > GAP and gap * probe["n"] >= FEWEST:
        return [
            f"Leakage: an untrained nearest neighbour on small pixels is right on {probe['accuracy']:.1%} of the test "
            f"images, and on {probe['accuracy_if_grouped']:.1%} once each test image's siblings (same group, or "
            f"nearly the same picture) are taken out of training; always naming training's most frequent class "
            f"is right on {probe['chance']:.1%}. "
            f"{share:.1%} of the test images have such a sibling. A network can answer them from memory. "
            + _keep_groups(split)
        ]
    if share > SIBLING_SHARE and share * probe["n"] >= FEWEST and not cut:
        return [
            f"{share:.1%} of the test images have a near duplicate in training: scores on them show memory as much as "
            f"recognition. {_keep_groups(split)}"
        ]
    return []


def _keep_groups(split: str) -> str:
    if split == "published":
        return "Use --split default, which keeps groups whole."
    if split == "official":
        return "Move relatives to one side of train/ and test/, or judge on other test images."
    return "Say which images belong together, so that the split keeps them on one side."


def _equal_across(number: int, num_test: int, split: str) -> str:
    is_one = number == 1
    remedy = (
        "Remove the copies from train/ or test/."
        if split == "official"
        else "Use --split default, which keeps copies on one side."
        if split == "published"
        else "Remove the copies."
    )
    return (
        f"{_counted(number, 'test image')} ({_share(number, num_test)}) {'equals a' if is_one else 'equal'} training "
        f"image{'' if is_one else 's'}, pixel for pixel: a network that remembers {'it' if is_one else 'them'} is "
        f"right without recognising anything. {remedy}"
    )


def _conflicting(exact: dict[str, Any]) -> str:
    return (
        f"{_counted(exact['conflicting'], 'set')} of equal images ({exact['conflicting_images']:,} images in all) "
        f"{'has' if exact['conflicting'] == 1 else 'have'} different labels: at least one label is wrong, and no "
        f"network can be right on all of them{_named(exact.get('conflicting_files') or [])}. Correct the labels, or "
        "remove the images."
    )


def _named(files: list[str]) -> str:
    """The first of the files, where images are files."""
    if not files:
        return ""
    more = f" and {len(files) - MOST_NAMED:,} more" if len(files) > MOST_NAMED else ""
    return f": {', '.join(files[:MOST_NAMED])}{more}"


def _balance(sides: dict[str, dict[str, int]]) -> list[str]:
    said = []
    totals = {name: sum(counts.values()) for name, counts in sides.items()}
    most, least = max(totals, key=totals.__getitem__), min(totals, key=totals.__getitem__)
    if totals[most] > IMBALANCE * totals[least]:
        said.append(
            f"Classes are unbalanced: {totals[most]:,} images of {most}, {totals[least]:,} of {least}. Look at F1 and "
            "the scores by class, not at accuracy alone."
        )
    if few := [name for name, counts in sides.items() if counts["test"] < FEW_IMAGES]:
        said.append(
            f"{_counted(len(few), 'class')} {'has' if len(few) == 1 else 'have'} fewer than {FEW_IMAGES} test images "
            f"({_some(few)}): little can be said of {'it' if len(few) == 1 else 'them'}."
        )
    shares = {
        side: {name: counts[side] / max(1, sum(c[side] for c in sides.values())) for name, counts in sides.items()}
        for side in ("train", "test")
    }
    worst = max(sides, key=lambda name: abs(shares["train"][name] - shares["test"][name]))
    if abs(shares["train"][worst] - shares["test"][worst]) > GAP:
        said.append(
            f"Training and test differ in their classes: {worst} is {shares['train'][worst]:.1%} of the training "
            f"images and {shares['test'][worst]:.1%} of the test images."
        )
    return said


def _formats(rows: list[dict[str, Any]]) -> list[str]:
    said = []
    for row in rows:
        accuracy, chance = row["class_accuracy"], row["class_chance"]
        if accuracy is not None and accuracy - chance > GAP:
            said.append(
                f"The {row['property']} of a file tells its class: guessing by it alone is right on {accuracy:.1%} of "
                f"the test images (always naming the most frequent class: {chance:.1%}). What comes with it, such as "
                "borders or traces of compression, may be what a network learns."
            )
        if row["split_association"] > ASSOCIATION:
            said.append(
                f"The {row['property']} of files differs between the sides of the split (Cramér's V "
                f"{row['split_association']:.2f}): test images are of another kind than training images."
            )
    return said


def _sampled(found: dict[str, Any]) -> list[str]:
    parts = [
        f"{searched:,} of {found['counts'][side]:,} {name}"
        for side, name in (("train", "training"), ("val", "validation"), ("test", "test"))
        if (searched := found["searched"][side]) < found["counts"][side]
    ]
    if not parts:
        return []
    return [
        f"Near duplicates and distances are those of a sample, always the same: {', '.join(parts)} images; each was "
        "compared with all training images."
    ]


def _counted(number: int, thing: str) -> str:
    plural = f"{thing}es" if thing.endswith("s") else f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}s"
    return f"{number:,} {thing if number == 1 else plural}"


def _share(number: int, total: int) -> str:
    share = number / max(1, total)
    return f"{share:.1%}" if share >= SMALL_SHARE else f"{share:.2%}"


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")
