"""The operators in exported programs: kept, taken apart, or as a node of TensorRT.

`torch.export.export(model, ...)` keeps `caffdet::msda`, `msda_fused` and `kda` as they are; the program needs this
package to run. For everything else they are taken apart:

    program = torch.export.export(model, inputs, strict=False).run_decompositions(decompositions("gather"))
    torch.onnx.export(program, file)

The form says what they are made of.
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from caffdet_cli.errors import ConfigError
from caffdet_cli.kernels import operators, reference

Form = Literal["grid_sample", "gather", "tensorrt"]
_SAMPLES: dict[Form, reference.Sample] = {
    "grid_sample": reference.sample,
    "gather": reference.sample_by_index,
    "tensorrt": reference.sample_by_index,
}
TENSORRT_NODE = "trt.plugins::MultiscaleDeformableAttnPlugin_TRT"


def decompositions(form: Form) -> dict[Any, Callable[..., Tensor]]:
    """What stands in for each operator, for `ExportedProgram.run_decompositions`.

    Args:
        form: "grid_sample": ONNX's GridSample (opset 16 and later), which ONNX Runtime and OpenVINO run fast. "gather":
            index arithmetic only; also for TensorRT, of which versions compile GridSample of such models wrongly
            without a word. "tensorrt": one MultiscaleDeformableAttnPlugin_TRT each, for ONNX
            only; `kda`, for which TensorRT has no node, is gathered.

    Raises:
        ConfigError: no such form, or one that this torch cannot write.
    """
    if form not in get_args(Form):
        raise ConfigError(f"form {form!r}: must be one of {', '.join(get_args(Form))}")
    if form == "tensorrt" and not hasattr(torch.onnx, "ops"):
        raise ConfigError("form 'tensorrt' needs torch 2.8 or later")
    # Importing `operators` has registered them.
    ops, sample = torch.ops.caffdet, _SAMPLES[form]
    table: dict[Any, Callable[..., Tensor]] = {ops.kda.default: _taken_apart(reference.kda, 3, sample)}
    if form == "tensorrt":
        table[ops.msda.default] = _node
        table[ops.msda_fused.default] = _fused_node
    else:
        table[ops.msda.default] = _taken_apart(reference.msda, 1, sample)
        table[ops.msda_fused.default] = _taken_apart(reference.msda_fused, 1, sample)
    return table


def _taken_apart(definition: Callable[..., Tensor], sizes_at: int, sample: reference.Sample) -> Callable[..., Tensor]:
    """The definition with the operator's arguments, of which the sizes are one flat list."""

    def call(*arguments: Any) -> Tensor:
        given = list(arguments)
        given[sizes_at] = operators.paired(given[sizes_at])
        return definition(*given, sample=sample)

    return call


def _node(value: Tensor, sizes: list[int], locations: Tensor, weights: Tensor, points: list[int]) -> Tensor:
    """TensorRT's node: value (N, S, M, D), level sizes (L, 2) and first tokens (L,) in int32, locations (N, Q, M, L, P,
    2), weights (N, Q, M, L, P) -> (N, Q, M, D)."""
    if len(set(points)) > 1:
        raise ConfigError(f"TensorRT's node takes the same number of points on every level, not {list(points)}")
    shapes = reference.constants(sizes, torch.int32, value.device).view(-1, 2)
    areas = [height * width for height, width in operators.paired(sizes)]
    starts = reference.constants([sum(areas[:level]) for level in range(len(areas))], torch.int32, value.device)
    split = (len(points), points[0])
    inputs = (value, shapes, starts, locations.unflatten(3, split), weights.unflatten(3, split))  # type: ignore[no-untyped-call]  # unflatten
    shape = (*locations.shape[:2], *value.shape[2:])
    output: Tensor = torch.onnx.ops.symbolic(TENSORRT_NODE, inputs, dtype=value.dtype, shape=shape)
    return output.flatten(2)


def _fused_node(
    value: Tensor, sizes: list[int], references: Tensor, offsets: Tensor, logits: Tensor, points: list[int]
) -> Tensor:
    given = reference.fused_inputs(operators.paired(sizes), references, offsets, logits, points)
    return _node(value, sizes, *given, points)
