"""The twins at equal precision: accuracy in int8 over seeds, on the whole test set.

    python -m benchmarks.export.equal_precision [--dataset fashion-mnist] [--data-dir PATH] [--seeds 4]
        [--epochs 3] [--threads N] [--runs DIR]

Two comparisons of vgg-lif and vgg-relu, trained for the same epochs: by the recipe strong, whose
networks are rounded after training, and by the recipe int8, whose weights are whole numbers in
training. Each asks its networks in int8 of 8 bits (`--int8`). What the store holds is not
trained again. The result goes to benchmarks/results/equal-precision.json under the data set's name.
"""

from pathlib import Path

from benchmarks import shared
from spikeduel.comparing import compare
from spikeduel.experiment.recipes import RECIPES
from spikeduel.system.hardware import compute_on
from spikeduel.system.progress import TerminalProgress
from spikeduel.system.typed import plain

RESULT = "equal-precision.json"
TWINS = ("vgg-lif", "vgg-relu")


def main() -> None:
    parser = shared.parser(
        __doc__,
        dataset="fashion-mnist",
        data_dir=str,
        seeds=4,
        epochs=3,
        threads=int,
        runs=Path("runs/equal-precision"),
    )
    options = parser.parse_args()
    if options.threads:
        compute_on(options.threads)

    rows = {}
    for recipe in ("strong", "int8"):
        settings = {"epochs": options.epochs, "seeds": options.seeds, "contenders": TWINS}
        experiment = RECIPES[recipe](
            options.dataset, data_dir=options.data_dir, int8=True, device="cpu", **settings
        )
        out = options.runs / f"{options.dataset}-{recipe}"
        made = compare(experiment, out, options.runs / "store", TerminalProgress())
        tests = [(trial.contender, trial.test) for trial in made.results.trials]
        rows[recipe] = {
            **settings,
            "environment": plain(made.results.environment),
            "accuracy": {
                name: [test.accuracy for contender, test in tests if test and contender == name]
                for name in TWINS
            },
            "in_whole_numbers": plain(made.results.features["int8"]),
        }
        known = shared.read(RESULT, {})
        shared.write(RESULT, {**known, options.dataset: rows}, as_it_is=True)


if __name__ == "__main__":
    main()
