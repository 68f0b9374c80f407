"""What a training step needs at least: operations, bytes, and the time that this machine needs for them."""

from dataclasses import dataclass

from spikeduel.measuring.bench.workloads import CNN_CHANNELS, CONV_SNN_CHANNELS, NUM_CLASSES, Workload

BYTES_PER_PARAMETER = 36
"""float32: the forward pass reads a weight (4), the backward pass writes its gradient (4); Adam reads both and its two
moments (16) and writes weight and moments (12)."""

RULE = (
    "Roofline: max(FLOP / rate, bytes / bandwidth), the same for all contenders of a workload. FLOP: the matrix "
    "products of its best form, dense (forward, weight gradient, and input gradient but for the first layer; a first "
    "layer under direct encoding once, not T times). Bytes: 36 a parameter (weight, gradient and Adam's two moments in "
    "float32) and the input of each layer once (images 1 byte a pixel, spikes and activations 2 where bf16 is the "
    "faster, else 4). Rate: the higher of bf16 and float32. What fits into the caches can be faster than that."
)


@dataclass(frozen=True)
class Layer:
    """A matrix product `[rows, fan_in]` by `[fan_in, fan_out]`; a convolution has a row for each pixel that it makes.

    `inputs` are the numbers that it reads, `affine` the parameters other than weights (biases, batch norm).
    """

    rows: int
    fan_in: int
    fan_out: int
    inputs: int
    affine: int

    @property
    def parameters(self) -> int:
        """Weights and what is added to them."""
        return self.fan_in * self.fan_out + self.affine


@dataclass(frozen=True)
class Needs:
    """The least work of one training step: floating-point operations, and bytes to or from memory."""

    flop: int
    bytes: int

    def milliseconds(self, gflops: float, bandwidth_gbs: float) -> float:
        """The roofline: the longer of computing at `gflops` and moving bytes at `bandwidth_gbs`."""
        return 1e3 * max(self.flop / (gflops * 1e9), self.bytes / (bandwidth_gbs * 1e9))


def layers(workload: Workload) -> list[Layer]:
    """The matrix products of `workload`'s network in its best form, first to last."""
    if workload.shape == "cnn":
        return _cnn(workload)
    return _conv_snn(workload) if workload.shape == "conv" else _dense_snn(workload)


def needs(workload: Workload, operand_bytes: int) -> Needs:
    """What one training step needs; see `RULE`. `operand_bytes`: size of a number in a matrix product."""
    first, *others = layers(workload)
    flop = 2 * 2 * first.rows * first.fan_in * first.fan_out
    flop += sum(3 * 2 * layer.rows * layer.fan_in * layer.fan_out for layer in others)
    parameters = first.parameters + sum(layer.parameters for layer in others)
    images = workload.batch_size * workload.num_inputs
    spikes = first.inputs if workload.encoding == "rate" else 0
    activations = spikes + sum(layer.inputs for layer in others)
    return Needs(flop, BYTES_PER_PARAMETER * parameters + images + operand_bytes * activations)


def _dense_snn(workload: Workload) -> list[Layer]:
    rows, first_rows = _rows(workload)
    hidden = workload.hidden
    return [
        Layer(first_rows, workload.num_inputs, hidden, first_rows * workload.num_inputs, hidden),
        Layer(rows, hidden, NUM_CLASSES, rows * hidden, NUM_CLASSES),
    ]


def _conv_snn(workload: Workload) -> list[Layer]:
    rows, first_rows = _rows(workload)
    first, second = CONV_SNN_CHANNELS
    pixels, half, quarter = workload.num_inputs, (workload.side // 2) ** 2, (workload.side // 4) ** 2
    return [
        Layer(first_rows * pixels, 9, first, first_rows * pixels, 2 * first),
        Layer(rows * half, 9 * first, second, rows * half * first, 2 * second),
        Layer(rows, second * quarter, workload.hidden, rows * second * quarter, workload.hidden),
        Layer(rows, workload.hidden, NUM_CLASSES, rows * workload.hidden, NUM_CLASSES),
    ]


def _cnn(workload: Workload) -> list[Layer]:
    images, hidden = workload.batch_size, workload.hidden
    first, second = CNN_CHANNELS
    made = workload.side - 2
    seen = made // 2
    made_second = seen - 2
    features = second * (made_second // 2) ** 2
    return [
        Layer(images * made**2, 9, first, images * workload.num_inputs, first),
        Layer(images * made_second**2, 9 * first, second, images * seen**2 * first, second),
        Layer(images, features, hidden, images * features, hidden),
        Layer(images, hidden, NUM_CLASSES, images * hidden, NUM_CLASSES),
    ]


def _rows(workload: Workload) -> tuple[int, int]:
    """Images times steps, and the same for the first layer: a constant input passes it once."""
    rows = workload.batch_size * (workload.num_steps or 1)
    return rows, workload.batch_size if workload.encoding == "direct" else rows
