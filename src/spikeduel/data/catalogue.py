"""The data sets by name, and the way from a name to prepared arrays."""

import difflib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from spikeduel.data import cache, folder, grouping, mnist_like, socofing
from spikeduel.data.prepared import DataOptions, Prepared, RawDataset, Track, from_raw, regrouped
from spikeduel.data.preprocessing import Preprocessing
from spikeduel.settings import Experiment
from spikeduel.system import files, registry
from spikeduel.system.errors import InputError, unknown
from spikeduel.system.progress import Progress

Source = Callable[[DataOptions], RawDataset]

DATASETS: dict[str, Source] = {
    "fashion-mnist": mnist_like.fashion_mnist,
    "emnist-digits": mnist_like.emnist_digits,
    "mnist": mnist_like.mnist,
    "socofing": socofing.socofing,
    "digits": mnist_like.digits,
    "fashion-mnist-mini": mnist_like.fashion_mnist_mini,
}

BUILT_IN = ("digits", "fashion-mnist-mini")
"""Sets that are read faster than a cache would be, and so need none."""

_HINT = "A folder of images or your own module:function can be named too."


def load(
    experiment: Experiment,
    track: Track | None = None,
    preprocessing: Preprocessing | None = None,
    say: Callable[[str], None] | None = None,
) -> Prepared:
    """The data set that `experiment` names, prepared; `track` shows progress and `say` tells news. See `prepare`.

    A `preprocessing` (of a model that is already trained) takes the place of what a folder would choose by itself.
    With `group_by`, images are grouped by their files' paths. Raises `InputError`.
    """
    if experiment.group_by is not None:
        _require_file_names(experiment.dataset)
        # Before hours of decoding.
        grouping.rule(experiment.group_by)
    silent = Progress()
    options = DataOptions(
        data_dir=experiment.data_dir,
        image_size=experiment.image_size,
        alterations=experiment.alterations,
        preprocessing=preprocessing,
        track=track or silent.track,
        say=say or silent.say,
    )
    prepared = prepare(experiment.dataset, options)
    return regrouped(prepared, experiment.group_by)


def prepare(name: str, options: DataOptions | None = None) -> Prepared:
    """The prepared set `name`: from the cache, or made and cached. Raises `InputError`.

    `name` is one of `DATASETS`, else an existing folder of images, else the user's `module:function`, which
    is given a `DataOptions` and returns a `RawDataset`. A set is made anew when its options, its source
    files (path, size, time of change) or the user's code have changed.
    """
    options = options or DataOptions()
    if options.data_dir is not None:
        options = replace(options, data_dir=str(files.located(options.data_dir)))
    if name in BUILT_IN:
        return from_raw(name, DATASETS[name](options))
    if name in DATASETS:
        return _fetched(name, DATASETS[name], options, "")
    if files.is_folder(name):
        if options.data_dir is not None:
            raise InputError(f"data_dir: the data set {name} is a folder already; leave data_dir unset.")
        path = files.located(name)
        options = replace(options, data_dir=str(path))
        return _fetched(path.name or "images", folder.folder, options, "")
    source = resolve(name)
    return _fetched(name, _watching_data_dir(source), options, registry.source_hash(source))


def resolve(name: str) -> Source:
    """The function behind `name`, not run: a check of names before anything runs. Raises `InputError`."""
    if name in DATASETS:
        return DATASETS[name]
    if files.is_folder(name):
        return folder.folder
    if files.is_file(name):
        raise InputError(f"data set '{name}': is a file; name a folder of images, or a set and --data-dir {name}.")
    if "/" in name or os.sep in name or name.startswith((".", "~")):
        raise InputError(f"data set '{name}': no such folder. Known sets: {', '.join(sorted(DATASETS))}.")
    if ":" not in name:
        raise unknown("data set", name, DATASETS, f"{_no_such_folder(name)} {_HINT}")
    source = registry.resolve("data set", name, DATASETS, _HINT)
    if not callable(source):
        raise InputError(f"data set '{name}': is not a function that takes DataOptions and returns a RawDataset.")
    return source


def _no_such_folder(name: str) -> str:
    """That no folder has this name either, with those of the current folder that are called much like it."""
    try:
        here = [path.name for path in Path.cwd().iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError:
        here = []
    alike = difflib.get_close_matches(name, here, n=3, cutoff=0.5)
    near = f" (there is {', '.join(f'{other}/' for other in alike)})" if alike else ""
    return f"No folder of that name is here either{near}."


def describe(name: str) -> str:
    """One line about the data set `name`: the first of its function's docstring."""
    lines = (resolve(name).__doc__ or "").strip().splitlines()
    return lines[0].strip() if lines else ""


def listing() -> list[dict[str, str]]:
    """The known data sets, then the prepared folders: name, whether it is prepared here, description."""
    about = {name: describe(name) for name in DATASETS}
    state = {name: "comes with the package" if name in BUILT_IN else "no" for name in DATASETS}
    for prepared in cache.cached():
        about.setdefault(prepared.name, f"from {prepared.source}")
        state[prepared.name] = f"{prepared.created[:10]}, {prepared.count:,} images, {prepared.size / 1e6:,.0f} MB"
    return [{"name": name, "prepared": state[name], "description": about[name]} for name in about]


def _require_file_names(dataset: str) -> None:
    if resolve(dataset) is folder.folder:
        return
    if dataset == "socofing":
        reason = "socofing is grouped by person as it is"
    elif dataset in DATASETS:
        reason = f"{dataset} has no files to group by"
    else:
        reason = f"{dataset} groups its images itself, by the groups of the RawDataset that it returns"
    raise InputError(f"group_by: {reason}, and --group-by is for folders of images; leave it out.")


def _watching_data_dir(source: Source) -> Source:
    """`source`, whose set depends on all of `data_dir` unless it says on what it depends."""

    def watched(options: DataOptions) -> RawDataset:
        raw = source(options)
        if isinstance(raw, RawDataset) and not raw.sources and options.data_dir is not None:
            return replace(raw, sources=(Path(options.data_dir),))
        return raw

    return watched


def _fetched(name: str, source: Source, options: DataOptions, code: str) -> Prepared:
    identity = {
        "data_dir": options.data_dir,
        "image_size": options.image_size,
        "alterations": list(options.alterations),
        "preprocessing": options.preprocessing and options.preprocessing.to_dict(),
        "code": code,
    }
    origin = options.data_dir or "downloaded or installed"
    return cache.fetch(name, identity, origin, lambda: source(options), options.say)
