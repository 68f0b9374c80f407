"""Early exits."""

from spikeduel.results.trials import Anytime, EarlyExit, ExitChoice, Leaving


def leaving(threshold, accuracy, exit_steps):
    steps = sum(step * images for step, images in enumerate(exit_steps, 1)) / sum(exit_steps)
    return Leaving(threshold=threshold, mean_steps=steps, accuracy=accuracy, exit_steps=exit_steps)


def followed(accuracies, curve, chosen=0):
    """Accuracies by step, and an early exit at one of the thresholds of `curve`."""
    at = curve[chosen]
    exits = EarlyExit(
        **{name: getattr(at, name) for name in Leaving.__struct_fields__},
        tolerance=0.002,
        curve=curve,
        validation=ExitChoice(n=20, mean_steps=at.mean_steps, accuracy=at.accuracy),
    )
    return Anytime(num_steps=len(accuracies), n=20, accuracies=accuracies, early_exit=exits)
