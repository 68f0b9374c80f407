"""Describe a run's folder for machines: ro-crate-metadata.json names its files with their hashes.

An RO-Crate (https://w3id.org/ro/crate/1.1), which archives and search engines for data read.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spikeduel.results.comparison import Comparison, load_run
from spikeduel.results.trials import is_inside
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError

FILE, PAGE, PRICES = "ro-crate-metadata.json", "report.html", "prices.json"
KINDS = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".safetensors": "application/octet-stream",
    ".svg": "image/svg+xml",
    ".tex": "text/x-tex",
    ".toml": "application/toml",
}
"""Media types by ending."""
PARTS = (
    "experiment.toml",
    "results.json",
    "split.csv",
    "predictions.json",
    "labels.csv",
    "tuning.json",
    PAGE,
    PRICES,
    "models/*.safetensors",
)
"""Files of a run that its crate names."""


Part = tuple[str, int]
"""Hash (SHA-256, hexadecimal) and bytes of a file."""


def metadata(comparison: Comparison, parts: Mapping[str, Part]) -> dict[str, Any]:
    """Return the description of a run's `parts`, by path."""
    results, data = comparison.results, comparison.results.dataset
    run, program, images = {"@id": "#compare"}, {"@id": "#spikeduel"}, {"@id": "#data"}
    names = [{"@id": name} for name in sorted(parts)]
    return {
        "@context": [
            "https://w3id.org/ro/crate/1.1/context",
            {"sha256": "https://schema.org/sha256"},
        ],
        "@graph": [
            {
                "@id": FILE,
                "@type": "CreativeWork",
                "about": {"@id": "./"},
                "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
            },
            {
                "@id": "./",
                "@type": "Dataset",
                "name": f"{' against '.join(results.contenders)} on {data.name}",
                "description": comparison.headline(),
                "datePublished": results.created,
                "license": {"@id": "#licence"},
                "hasPart": names,
                "mentions": run,
            },
            {
                **run,
                "@type": "CreateAction",
                "endTime": results.created,
                "instrument": program,
                "object": images,
                "result": names,
            },
            {
                **program,
                "@type": "SoftwareApplication",
                "name": "spikeduel",
                "softwareVersion": results.spikeduel,
            },
            {
                **images,
                "@type": "Dataset",
                "name": data.name,
                "identifier": data.fingerprint,
            },
            {
                "@id": "#licence",
                "@type": "CreativeWork",
                "name": "No licence stated",
                "description": "Whoever publishes this run states its licence at that place.",
            },
            *_entities(parts),
        ],
    }


def _entities(parts: Mapping[str, Part]) -> list[dict[str, str]]:
    return [
        {
            "@id": name,
            "@type": "File",
            "encodingFormat": KINDS.get(Path(name).suffix, "application/octet-stream"),
            "contentSize": str(size),
            "sha256": sha256,
        }
        for name, (sha256, size) in sorted(parts.items())
    ]


def found(folder: Path, patterns: Iterable[str] = PARTS) -> dict[str, Part]:
    """Return hash and bytes of the files of `folder`, by path."""
    return {
        path.relative_to(folder).as_posix(): (files.checksum(path), path.stat().st_size)
        for pattern in patterns
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    }


def read(folder: Path) -> dict[str, Part]:
    """Return the parts that the file names. Raises `InputError` if it is absent or damaged."""
    path = folder / FILE
    content = typed.read_json(path, dict)
    try:
        parts = {
            entity["@id"]: (entity["sha256"], int(entity["contentSize"]))
            for entity in content["@graph"]
            if entity["@type"] == "File"
        }
        if all(is_inside(name) for name in parts):
            return parts
    except (KeyError, TypeError, ValueError):
        pass
    raise InputError(f"{path}: damaged, or not written by spikeduel.")


def text(comparison: Comparison, parts: Mapping[str, Part]) -> str:
    return json.dumps(metadata(comparison, parts), indent=1) + "\n"


def write(comparison: Comparison) -> None:
    """Describe the files of a run's folder."""
    files.write_text(comparison.out / FILE, text(comparison, found(comparison.out)))


def written(comparison: Comparison, content: Mapping[str, bytes]) -> bytes:
    """Return the file for a run's files that are elsewhere, by path."""
    parts = {name: (hashlib.sha256(data).hexdigest(), len(data)) for name, data in content.items()}
    return text(comparison, parts).encode()


def renew(folder: Path, patterns: Iterable[str]) -> None:
    """Describe a described folder anew; only files that match `patterns` get another hash."""
    if (folder / FILE).is_file():
        others = {name: part for name, part in read(folder).items() if name not in patterns}
        parts = others | found(folder, patterns)
        files.write_text(folder / FILE, text(load_run(folder), parts))
