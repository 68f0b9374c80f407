"""Preprocessing of images as an ONNX graph.

Resizes as Pillow does: a new pixel is a weighted mean of old ones, first along a row of pixels,
then along a column, rounded each time. Weights are multiples of 2⁻²², from triangles around the
centre of the new pixel, as wide as it is if it is larger than an old one. The pixels are those of
`Preprocessing` bit for bit. Where height and width differ they can differ by one grey level, since
Pillow 13 begins with the columns of some images.
"""

from typing import Any

import numpy as np
from onnx import parser
from torch import Tensor
from torch.nn import functional as F

from spikeduel.inputs.preprocessing import Preprocessing

OPSET = 18
PREPARED = "prepared"
"""Name of the prepared pixels / 255, float32 `[B, C, H, W]`, within a graph."""
_LAST = np.iinfo(np.int64).max

_GRAPH = """<ir_version: 8, opset_import: ["" : {opset}]>
preparing (uint8[B, {channels}, H, W] images) => (float[B, {channels}, {height}, {width}] {name})
<
  int64[2] prepare_begin = {{{top}, {left}}}, int64[2] prepare_end = {{{below}, {beside}}},
  int64[2] prepare_axes = {{2, 3}}, int64[2] prepare_swapped = {{1, 0}},
  int64[2] prepare_none = {{0, 0}}, int64[1] prepare_last = {{1}},
  int64 prepare_row = {{0}}, int64 prepare_column = {{1}}, int64 prepare_two = {{2}},
  double[2] prepare_sides = {{{height}, {width}}}, double[2] prepare_other = {{{width}, {height}}},
  double prepare_0 = {{0}}, double prepare_half = {{0.5}}, double prepare_1 = {{1}},
  double prepare_sign = {{{sign}}}, double prepare_black = {{{black}}},
  double prepare_unit = {{{unit}}}, float prepare_white = {{255}},
  bool prepare_enlarges = {{{enlarge}}}
>
{{
  prepare_kept = Slice (images, prepare_begin, prepare_end, prepare_axes)
  prepare_pixels = Cast <to = 11> (prepare_kept)
  prepare_signed = Mul (prepare_sign, prepare_pixels)
  prepare_light = Add (prepare_black, prepare_signed)
  prepare_shape = Shape <start = 2> (prepare_light)
  prepare_size = Cast <to = 11> (prepare_shape)
  prepare_size_swapped = Gather (prepare_size, prepare_swapped)
  prepare_product = Mul (prepare_size_swapped, prepare_sides)
  prepare_ratio = Div (prepare_product, prepare_other)
  prepare_rounded = Round (prepare_ratio)
  prepare_room = Max (prepare_size, prepare_rounded)
  prepare_larger = Greater (prepare_room, prepare_sides)
  prepare_numbers = Cast <to = 7> (prepare_larger)
  prepare_most = ReduceMax <keepdims = 0> (prepare_numbers)
  prepare_shrinks = Cast <to = 9> (prepare_most)
  prepare_resizes = Or (prepare_shrinks, prepare_enlarges)
  prepare_goal = Where (prepare_resizes, prepare_sides, prepare_room)
  {whole}
  {column}
  {row}
  prepare_column_turned = Transpose (prepare_column_weights)
  prepare_columns = MatMul (prepare_whole, prepare_column_turned)
  {columns}
  prepare_rows = MatMul (prepare_row_weights, prepare_columns_rounded)
  {rows}
  {image}
  prepare_float = Cast <to = 1> (prepare_image)
  {name} = Div (prepare_float, prepare_white)
}}"""
_PADDED = """
  prepare_{x}_more = Sub (prepare_{into}, prepare_{size})
  prepare_{x}_border = Cast <to = 7> (prepare_{x}_more)
  prepare_{x}_before = Div (prepare_{x}_border, prepare_two)
  prepare_{x}_after = Sub (prepare_{x}_border, prepare_{x}_before)
  prepare_{x}_begins = Concat <axis = 0> (prepare_none, prepare_{x}_before)
  prepare_{x}_pads = Concat <axis = 0> (prepare_{x}_begins, prepare_none, prepare_{x}_after)
  prepare_{out} = Pad (prepare_{x}, prepare_{x}_pads)
"""
"""Zeros around x of `size`, up to the size `into`."""
_WEIGHTS = """
  prepare_{axis}_in = Gather (prepare_room, prepare_{axis})
  prepare_{axis}_out = Gather (prepare_goal, prepare_{axis})
  prepare_{axis}_scale = Div (prepare_{axis}_in, prepare_{axis}_out)
  prepare_{axis}_support = Max (prepare_{axis}_scale, prepare_1)
  prepare_{axis}_share = Div (prepare_1, prepare_{axis}_support)
  prepare_{axis}_old = Range (prepare_0, prepare_{axis}_in, prepare_1)
  prepare_{axis}_new = Range (prepare_0, prepare_{axis}_out, prepare_1)
  prepare_{axis}_middle = Add (prepare_{axis}_new, prepare_half)
  prepare_{axis}_centre = Mul (prepare_{axis}_middle, prepare_{axis}_scale)
  prepare_{axis}_centres = Unsqueeze (prepare_{axis}_centre, prepare_last)
  prepare_{axis}_offset = Sub (prepare_{axis}_old, prepare_{axis}_centres)
  prepare_{axis}_from_middle = Add (prepare_{axis}_offset, prepare_half)
  prepare_{axis}_scaled = Mul (prepare_{axis}_from_middle, prepare_{axis}_share)
  prepare_{axis}_distance = Abs (prepare_{axis}_scaled)
  prepare_{axis}_height = Sub (prepare_1, prepare_{axis}_distance)
  prepare_{axis}_triangle = Max (prepare_{axis}_height, prepare_0)
  prepare_{axis}_sum = ReduceSum (prepare_{axis}_triangle, prepare_last)
  prepare_{axis}_shares = Div (prepare_{axis}_triangle, prepare_{axis}_sum)
  prepare_{axis}_units = Mul (prepare_{axis}_shares, prepare_unit)
  prepare_{axis}_raised = Add (prepare_{axis}_units, prepare_half)
  prepare_{axis}_weights = Floor (prepare_{axis}_raised)
"""
"""Weights `[new, old]` of the pixels along an axis, in units of 2⁻²²."""
_ROUNDED = """
  prepare_{x}_value = Div (prepare_{x}, prepare_unit)
  prepare_{x}_raised = Add (prepare_{x}_value, prepare_half)
  prepare_{x}_rounded = Floor (prepare_{x}_raised)
"""


def preparing(preprocessing: Preprocessing) -> Any:
    """Return an ONNX model from `images` uint8 `[B, C, H, W]`, of any size, to `PREPARED`."""
    channels, height, width = preprocessing.shape
    left, top, right, bottom = preprocessing.crop
    return parser.parse_model(
        _GRAPH.format(
            opset=OPSET,
            channels=channels,
            height=height,
            width=width,
            name=PREPARED,
            top=top,
            left=left,
            below=-bottom or _LAST,
            beside=-right or _LAST,
            sign=-1 if preprocessing.invert else 1,
            black=255 if preprocessing.invert else 0,
            unit=1 << 22,
            enlarge=int(preprocessing.enlarge),
            whole=_PADDED.format(x="light", size="size", into="room", out="whole"),
            column=_WEIGHTS.format(axis="column"),
            row=_WEIGHTS.format(axis="row"),
            columns=_ROUNDED.format(x="columns"),
            rows=_ROUNDED.format(x="rows"),
            image=_PADDED.format(x="rows_rounded", size="goal", into="sides", out="image"),
        )
    )


def unprepared(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Return images uint8 of which `preprocessing` makes `images`: neither padded nor resized."""
    left, top, right, bottom = preprocessing.crop
    whole = 255 - images if preprocessing.invert else images
    return F.pad(whole, (left, right, top, bottom))
