"""What the words of a report mean, each in a sentence or two: shown where a word is hovered over or
tapped.
"""

from spikeduel.results.words.answer import MEANINGS, RULE
from spikeduel.results.words.costs import LEAST, ZEROS
from spikeduel.results.words.tables import TWO_WAYS

DEFINITIONS: dict[str, str] = {
    **{str(quantity): text for quantity, text in MEANINGS.items()},
    "the rule": RULE.removeprefix("The rule: "),
    "precision": "Share of the answers with a class that are correct; over classes, each counts alike (macro average).",
    "recall": "Share of a class's images that are answered correctly; over classes, each counts alike (macro average).",
    "F1": "The harmonic mean of precision and recall; over classes, each counts alike (macro average).",
    "s / epoch": "Median seconds of training an epoch, on the machine named under Reproduce.",
    "difference": "In accuracy: the first minus the second, in points. The one with the higher accuracy stands first.",
    "95 % interval": "Where the true difference lies, with 95 % confidence.",
    "p": "How often chance alone would make a difference at least as large. A p of 1 is no evidence, neither of a "
    "difference nor of none.",
    "confusion matrix": "Rows: true classes. Columns: answers. Correct answers lie on the diagonal; a dark cell off it "
    "is a pair of classes that is often confused.",
    "worst first": "Those that the most trainings of all contenders get wrong come first.",
    "MAC": "A multiply-accumulate: multiplies a number by a weight and adds it up.",
    "AC": "An accumulate: adds up the weight of a spike.",
    "hoisted": TWO_WAYS,
    "range of energy": ZEROS,
    "least": f"“{LEAST}”: less than every other by this counting, whatever the range.",
    "Pareto front": "No other network is better for less.",
    "early exit": "An image leaves once the network is sure enough, by a threshold chosen on validation images.",
    "confidence": "The probability that a network gives to its answer.",
    "ECE": "Expected calibration error: the gap between confidence and accuracy, averaged over the images in 15 bins "
    "of equal width (Guo et al. 2017).",
    "by chance": "The ECE that a perfectly calibrated network with the same confidences has on as many images, on "
    "average.",
    "NLL": "Negative log-likelihood: the mean of −log of the true class's probability.",
    "Brier": "The mean squared distance of the probabilities from the truth, 0 to 2.",
    "temperature": "Divides all scores before the softmax. It is chosen on validation images and changes no answer; "
    "predict, the API and ONNX exports use it.",
    "as most count": "Every multiplication, and of spikes only those that come, so that spiking networks alone skip "
    "zeros; with memory, numbers are computed whole and spikes one by one.",
    "changes at": "The nearest value at which the answer becomes another, all else as it is: spike rates up to 100 %, "
    "T up to 128, bits and memory within the limits of the accounting; – : none of them changes "
    "it.",
    "siblings": "Images of one group, equal ones and near duplicates; of recordings also those that share a stretch.",
    "expected best": "The mean over all orders of the trials, ± standard deviation (Dodge et al. 2019, “Show "
    "your work”).",
}
