"""Trials as results.json has them, as much of them as words need."""


def trial(contender, accuracy=None, *, seed=0, seconds=(), **changes):
    made = {
        "contender": contender,
        "family": "cnn" if "cnn" in contender else "snn",
        "seed": seed,
        "status": "failed" if accuracy is None else "done",
        "epochs": 2,
        "stopped": "early",
        "epoch_seconds": list(seconds),
        "test": None if accuracy is None else {"n": 2000, "accuracy": accuracy, "per_class": [{"support": 200}] * 10},
    }
    return {**made, **changes}


DENSE, CONV = {"linear.weight": [10, 64]}, {"block.weight": [8, 1, 3, 3], "linear.weight": [10, 64]}
FOUR = [
    trial("dense-snn", 0.5, weights=DENSE, seconds=[2.0] * 3),
    trial("dense-cnn", 0.5, weights=DENSE, seconds=[1.0] * 3),
    trial("conv-snn", 0.5, weights=CONV, seconds=[9.0] * 3),
    trial("conv-cnn", 0.5, weights=CONV, seconds=[3.0] * 3),
]
