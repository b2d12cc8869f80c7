"""A RadianceGenerator with all that stands around it, as one ONNX graph: a photo in, radiance out, at any size.

What `hdrgan.pipeline.Pipeline` does in arrays is written here in operators of ONNX: the look at the photo at a few
hundred pixels, the network, the light of clipped channels brought to the photo's own pixels, the response, the filter
of nearly white parts. Left to the caller is what a file says beside its pixels (profile, orientation, recorded light, a
camera's own response, its sensitivity), and the judgement that a picture was drawn or is a panorama.

The graph's inputs: ``photo`` uint8 (H, W, 3), sRGB, upright; ``response`` float32 (256,), linear light of each code,
the mean of measured cameras where it is not given. Its outputs: ``radiance`` float32 (H, W, 3), linear, 1.0 = the
photo's white; and ``curve``, the response that was used, with which exposures are encoded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from hdrgan.light.quiet import AT_ONCE, NEAR_WHITE
from hdrgan.models.radiance_generator import RadianceGenerator, clip_mask

OUTPUTS = ("radiance", "curve")
_LEAST = 1e-3  # as in `hdrgan.light.confine.extended`


class LightFactor(nn.Module):
    """The part of the graph that torch exports: sRGB (1, 3, H, W) to how many times as bright as white it is."""

    def __init__(self, network: RadianceGenerator):
        super().__init__()
        self.network = network
        self.size_multiple = network.size_multiple

    def forward(self, srgb: Tensor) -> Tensor:
        """(1, 3, H, W) with sides that are multiples of 64, to the same size."""
        factor: Tensor = self.network.light(srgb).factor()
        return factor


def photo_model(network: RadianceGenerator, exported: onnx.ModelProto, response: np.ndarray) -> onnx.ModelProto:
    """Put everything else around an exported `LightFactor`.

    Args:
        network: whose clipping is described.
        exported: ONNX model from "srgb" to "factor".
        response: (256,) float32, where none is given.
    """
    graph = _Graph()
    pixels, look, size = _look(graph, network)
    network_input = _padded(graph, look, network.size_multiple)
    for node in exported.graph.node:
        graph.nodes.append(_renamed(node, {"srgb": network_input, "factor": "network_factor"}))
    graph.initializers += exported.graph.initializer
    height, width = graph("Split", size, outputs=2, num_outputs=2)
    starts, ends = graph.constant([0, 0]), graph("Concat", height, width, axis=0)
    factor = graph("Slice", "network_factor", starts, ends, graph.constant([2, 3]))
    codes = torch.arange(256) / 255
    mask = graph.constant(clip_mask(codes, network.clip_start, network.clip_end).numpy())
    surely = _clip_mask(graph, look, network)
    most = graph("ReduceMax", surely, graph.constant([1]))
    weight = graph("Max", surely, graph("Mul", most, graph.constant(np.float32(0.01))))
    factor = _extended(graph, factor, weight, levels=math.ceil(math.log2(network.working_size)))
    # Only the mean camera lowers a channel; what has a curve of its own clips where that says.
    apart = graph("ReduceMax", graph("Abs", graph("Sub", "response", graph.constant(np.asarray(response, np.float32)))))
    factor = graph("Max", factor, graph("Squeeze", graph("Ceil", graph("Min", apart, graph.constant(np.float32(1))))))
    factor = _resized(graph, factor, graph("Shape", pixels, start=0, end=2))  # (1, 3, H, W)
    factor = graph("Squeeze", graph("Transpose", factor, perm=[0, 2, 3, 1]), graph.constant([0]))
    code = graph("Cast", "photo", to=TensorProto.INT32)
    # Below white nothing clipped, whatever the mask says: bright paper is no lamp.
    white = graph("Equal", graph("ReduceMax", code, keepdims=0), graph.constant(np.int32(255)))
    nothing = graph.constant(np.float32(0))
    raised = graph("And", graph("Greater", graph("Gather", mask, code), nothing), white)
    quiet = _near_white(graph, pixels)
    light = graph("Where", raised, _between(graph, "response", quiet), graph("Gather", "response", code))
    strength = graph("Where", raised, _clip_mask(graph, quiet, network), nothing)
    graph("Mul", light, graph("Pow", factor, strength), names=OUTPUTS[:1])
    graph("Identity", "response", names=OUTPUTS[1:])

    made = helper.make_graph(
        graph.nodes,
        "photo to radiance",
        [
            helper.make_tensor_value_info("photo", TensorProto.UINT8, ["height", "width", 3]),
            helper.make_tensor_value_info("response", TensorProto.FLOAT, [256]),
        ],
        [
            helper.make_tensor_value_info("radiance", TensorProto.FLOAT, ["height", "width", 3]),
            helper.make_tensor_value_info("curve", TensorProto.FLOAT, [256]),
        ],
        # An input that has a value already may be left out.
        [*graph.initializers, numpy_helper.from_array(np.asarray(response, np.float32), "response")],
    )
    model = helper.make_model(made, opset_imports=exported.opset_import, ir_version=exported.ir_version)
    model.functions.extend(exported.functions)
    return model


def _near_white(graph: _Graph, pixels: str) -> str:
    """`hdrgan.light.quiet.near_white` of (H, W, 3), up to the size at which the pipeline does it."""
    sides = graph("Shape", pixels, start=0, end=2)
    small = graph("LessOrEqual", graph("ReduceProd", sides, keepdims=0), graph.constant(np.int64(AT_ONCE)))
    branches = {}
    for name, work in (("then_branch", _smoothed), ("else_branch", lambda inside, given: inside("Identity", given))):
        inside = _Graph(name)
        given = work(inside, pixels)
        kind = helper.make_tensor_value_info(given, TensorProto.FLOAT, None)
        branches[name] = helper.make_graph(inside.nodes, name, [], [kind], inside.initializers)
    return str(graph("If", small, **branches))


def _smoothed(graph: _Graph, pixels: str) -> str:
    def box(field: str) -> str:
        return str(graph("AveragePool", field, kernel_shape=[3, 3]))

    padded = graph("Pad", pixels, graph.constant([1, 1, 0] * 2), mode="edge")
    around = graph("Unsqueeze", graph("Transpose", padded, perm=[2, 0, 1]), graph.constant([0]))
    own = graph("Unsqueeze", graph("Transpose", pixels, perm=[2, 0, 1]), graph.constant([0]))
    one = graph.constant([1])
    brightness, mean = graph("ReduceMean", around, one), box(around)
    level = box(brightness)
    variance = graph("Sub", box(graph("Mul", brightness, brightness)), graph("Mul", level, level))
    variance = graph(
        "Add", graph("Max", variance, graph.constant(np.float32(0))), graph.constant(np.float32(NEAR_WHITE**2))
    )
    slope = graph("Div", graph("Sub", box(graph("Mul", brightness, around)), graph("Mul", level, mean)), variance)
    quiet = graph("Add", mean, graph("Mul", slope, graph("Sub", graph("ReduceMean", own, one), level)))
    quiet = graph("Clip", quiet, graph.constant(np.float32(0)), graph.constant(np.float32(1)))
    steps = graph.constant(np.float32(65535))
    quiet = graph("Div", graph("Round", graph("Mul", quiet, steps)), steps)
    return str(graph("Transpose", graph("Squeeze", quiet, graph.constant([0])), perm=[1, 2, 0]))


def _between(graph: _Graph, table: str, at: str) -> str:
    """Values of a table of 256 between its entries, at [0, 1]."""
    position = graph("Mul", at, graph.constant(np.float32(255)))
    below = graph("Min", graph("Floor", position), graph.constant(np.float32(254)))
    index = graph("Cast", below, to=TensorProto.INT32)
    low, high = graph("Gather", table, index), graph("Gather", table, graph("Add", index, graph.constant(np.int32(1))))
    return str(graph("Add", low, graph("Mul", graph("Sub", position, below), graph("Sub", high, low))))


class _Graph:
    """Nodes as they are added: ``graph("Add", a, b)`` is the name of what the node gives."""

    def __init__(self, name: str = "around") -> None:
        self.name = name
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def __call__(
        self, operator: str, *inputs: str, outputs: int = 1, names: Sequence[str] = (), **attributes: Any
    ) -> Any:
        made = list(names) or [f"{self.name}_{len(self.nodes)}_{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), made, **attributes))
        return made[0] if len(made) == 1 else made

    def constant(self, value: Any) -> str:
        """A value by name: whole numbers are what ONNX takes for sizes and axes."""
        array = np.asarray(value, np.int64) if isinstance(value, list) else np.asarray(value)
        name = f"{self.name}_value_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(array, name))
        return name


def _renamed(node: onnx.NodeProto, names: dict[str, str]) -> onnx.NodeProto:
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    for field in (copied.input, copied.output):
        field[:] = [names.get(name, name) for name in field]
    return copied


def _look(graph: _Graph, network: RadianceGenerator) -> tuple[str, str, str]:
    """The photo as (H, W, 3) in [0, 1]; averaged, or enlarged, to the working size as (1, 3, h, w); and h and w."""
    pixels = graph("Div", graph("Cast", "photo", to=TensorProto.FLOAT), graph.constant(np.float32(255)))
    whole = graph("Shape", "photo", start=0, end=2)
    sides = graph("Cast", whole, to=TensorProto.DOUBLE)
    longest = graph("ReduceMax", sides, keepdims=0)
    scale = graph("Div", graph.constant(float(network.working_size)), longest)
    small, size = (
        _scaled(graph, sides, graph("Min", scale, graph.constant(most))) for most in (1.0, network.largest_enlargement)
    )
    small_height, small_width = graph("Split", small, outputs=2, num_outputs=2)
    height, width = graph("Split", whole, outputs=2, num_outputs=2)
    planes = graph("Transpose", pixels, perm=[2, 0, 1])  # (3, H, W)
    rows = graph("MatMul", _windows(graph, small_height, height), planes)  # (3, h, W)
    across = graph("Transpose", _windows(graph, small_width, width), perm=[1, 0])
    look = graph("Unsqueeze", graph("MatMul", rows, across), graph.constant([0]))
    return pixels, _resized(graph, look, size), size


def _scaled(graph: _Graph, sides: str, scale: str) -> str:
    rounded = graph("Cast", graph("Round", graph("Mul", sides, scale)), to=TensorProto.INT64)  # half to even, as Python
    return str(graph("Max", rounded, graph.constant(np.int64(1))))


def _windows(graph: _Graph, small: str, large: str) -> str:
    """(h, H) shares of the windows of adaptive average pooling: from ``k H / h`` rounded down to the next, up."""
    zero, one = graph.constant(np.int64(0)), graph.constant(np.int64(1))
    few, many = graph("Squeeze", small), graph("Squeeze", large)
    k = graph("Unsqueeze", graph("Range", zero, few, one), graph.constant([1]))
    i = graph("Unsqueeze", graph("Range", zero, many, one), graph.constant([0]))
    first = graph("Div", graph("Mul", k, many), few)
    after = graph("Div", graph("Sub", graph("Add", graph("Mul", graph("Add", k, one), many), few), one), few)
    inside = graph("And", graph("GreaterOrEqual", i, first), graph("Less", i, after))
    count = graph("Cast", graph("Sub", after, first), to=TensorProto.FLOAT)
    return str(graph("Div", graph("Cast", inside, to=TensorProto.FLOAT), count))


def _padded(graph: _Graph, look: str, multiple: int) -> str:
    """(1, 3, h, w) continued right and down by its edge, to multiples."""
    sides = graph("Shape", look, start=2)
    whole = graph.constant([multiple, multiple])
    missing = graph("Mod", graph("Sub", whole, graph("Mod", sides, whole)), whole)
    pads = graph("Concat", graph.constant([0, 0]), missing, axis=0)
    return str(graph("Pad", look, pads, "", graph.constant([2, 3]), mode="edge"))


def _clip_mask(graph: _Graph, srgb: str, network: RadianceGenerator) -> str:
    """`hdrgan.models.radiance_generator.clip_mask`."""
    start, span = np.float32(network.clip_start), np.float32(network.clip_end - network.clip_start)
    t = graph("Div", graph("Sub", srgb, graph.constant(start)), graph.constant(span))
    t = graph("Clip", t, graph.constant(np.float32(0)), graph.constant(np.float32(1)))
    twice = graph("Sub", graph.constant(np.float32(3)), graph("Mul", graph.constant(np.float32(2)), t))
    return str(graph("Mul", graph("Mul", t, t), twice))


def _extended(graph: _Graph, field: str, weight: str, levels: int) -> str:
    """`hdrgan.light.confine.extended`, with as many halvings as the largest field needs.

    Smaller fields reach a side of 1 earlier; which branch holds is decided while the graph runs.
    """
    least, tiny = graph.constant(np.float32(_LEAST)), graph.constant(np.float32(1e-9))
    weighted = graph("Mul", field, weight)
    plane = graph.constant([2, 3])
    total = graph("Max", graph("ReduceSum", weight, plane), tiny)
    around = graph("Div", graph("ReduceSum", weighted, plane), total)
    if levels:
        pool: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}
        known = graph("AveragePool", weight, **pool)
        coarse = graph("Div", graph("AveragePool", weighted, **pool), graph("Max", known, tiny))
        trusted = graph("Min", graph("Mul", graph.constant(np.float32(4)), known), graph.constant(np.float32(1)))
        sides = graph("Shape", field, start=2)
        nearby = _resized(graph, _extended(graph, coarse, trusted, levels - 1), sides)
        thin = graph("Less", graph("ReduceMin", sides, keepdims=0), graph.constant(np.int64(2)))
        around = graph("Where", thin, around, nearby)
    return str(graph("Div", graph("Add", weighted, graph("Mul", around, least)), graph("Add", weight, least)))


def _resized(graph: _Graph, field: str, sides: str) -> str:
    """(1, 3, h, w) to other sides, bilinearly, as ``torch.nn.functional.interpolate`` does without aligned corners."""
    size = graph("Concat", graph.constant([1, 3]), sides, axis=0)
    return str(graph("Resize", field, "", "", size, mode="linear", coordinate_transformation_mode="half_pixel"))
