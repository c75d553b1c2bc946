"""The operators that detectors call, and their registration with PyTorch.

Each call is checked, then goes to `torch.ops.caffdet.*`, which is opaque to torch.compile and torch.export and runs the
native implementation of the device (`choice`). In plain PyTorch mode, outside of a compiled program, it goes straight
to `reference`, which autograd looks into: second derivatives exist there, as far as torch has them, and nowhere else.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from caffdet_cli.kernels import checks, choice, reference
from caffdet_cli.kernels.checks import Shapes

_NATIVE_DEVICES = ("cpu", "cuda")


def msda(
    value: Tensor,
    spatial_shapes: Shapes,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    *,
    points_per_level: Sequence[int] | None = None,
) -> Tensor:
    """Multi-scale deformable attention: the weighted sum of bilinearly sampled values.

    Args:
        value: (N, S, M, D), the levels one after another, each row-major; S tokens, M heads, D channels per head.
        spatial_shapes: height and width of the L levels; they add up to S.
        sampling_locations: (N, Q, M, L, P, 2) or (N, Q, M, K, 2), x then y, 0..1 across the level including its
            padding; float32 (float64 with float64 values).
        attention_weights: (N, Q, M, L, P) or (N, Q, M, K), normalised by the caller, in the type of `value` or float32.
        points_per_level: where levels have different numbers of points; they add up to K.

    Returns:
        (N, Q, M * D) in the type of `value`, accumulated in float32 or better. What lies outside a level reads 0; pixel
        centres lie at half-integers. Numbers that are not finite give NaN.

    Raises:
        ValueError: an argument does not fit; names it.

    Source: Zhu et al., Deformable DETR, ICLR 2021, eq. 3; arXiv:2010.04159.
    """
    op = "msda"
    sizes = checks.check_value(op, "value", value, spatial_shapes)
    sampled = checks.check_locations(op, "sampling_locations", sampling_locations, value, sizes, points_per_level)
    weights = checks.check_weights(op, "attention_weights", attention_weights, value, sampled.locations)
    if _plain(value):
        return reference.msda(value, sizes, sampled.locations, weights, sampled.points)
    return torch.ops.caffdet.msda(value, _flat(sizes), sampled.locations, weights, sampled.points)  # type: ignore[no-any-return]


def kda(
    query: Tensor,
    value: Tensor,
    spatial_shapes: Shapes,
    sampling_locations: Tensor,
    *,
    key: Tensor | None = None,
    scale: float | None = None,
    points_per_level: Sequence[int] | None = None,
) -> Tensor:
    """Key-aware deformable attention: weights are the softmax of query times sampled key over all K points.

    Args:
        query: (N, Q, M, D), projected.
        value, spatial_shapes, sampling_locations, points_per_level: as for `msda`.
        key: like `value`; None: the value is the key.
        scale: of the dot product; None: 1 / sqrt(D).

    Returns:
        (N, Q, M * D) in the type of `value`.

    Raises:
        ValueError: an argument does not fit; names it.

    A point outside its level has a key of 0, not of minus infinity. Kept for released weights.
    Source: Li et al., Lite DETR, CVPR 2023, section 3.4; arXiv:2303.07335.
    """
    op = "kda"
    sizes = checks.check_value(op, "value", value, spatial_shapes)
    sampled = checks.check_locations(op, "sampling_locations", sampling_locations, value, sizes, points_per_level)
    checks.check_query(op, query, key, value, sampled.locations)
    factor = value.shape[-1] ** -0.5 if scale is None else float(scale)
    if _plain(value):
        return reference.kda(query, key, value, sizes, sampled.locations, factor, sampled.points)
    return torch.ops.caffdet.kda(query, key, value, _flat(sizes), sampled.locations, factor, sampled.points)  # type: ignore[no-any-return]


def msda_fused(
    value: Tensor,
    spatial_shapes: Shapes,
    reference_points: Tensor,
    offsets: Tensor,
    logits: Tensor,
    *,
    points_per_level: Sequence[int] | None = None,
) -> Tensor:
    """`msda` of raw predictions: locations are references plus offsets, weights the softmax of the logits.

    Args:
        value, spatial_shapes, points_per_level: as for `msda`.
        reference_points: (N, Q, L, 2) points or (N, Q, L, 4) cxcywh boxes, fractions of each level; float32 (float64).
        offsets: (N, Q, M, L, P, 2) or (N, Q, M, K, 2) in pixels around a point, in half sides over the level's points
            in a box; float32 (float64).
        logits: (N, Q, M, L, P) or (N, Q, M, K), before the softmax over all K points.

    Returns:
        (N, Q, M * D) in the type of `value`.

    Raises:
        ValueError: an argument does not fit; names it.
    """
    op = "msda_fused"
    sizes = checks.check_value(op, "value", value, spatial_shapes)
    moved = checks.check_locations(op, "offsets", offsets, value, sizes, points_per_level)
    flat = checks.check_weights(op, "logits", logits, value, moved.locations)
    checks.check_references(op, reference_points, moved.locations, len(sizes))
    if _plain(value):
        return reference.msda_fused(value, sizes, reference_points, moved.locations, flat, moved.points)
    return torch.ops.caffdet.msda_fused(  # type: ignore[no-any-return]
        value, _flat(sizes), reference_points, moved.locations, flat, moved.points
    )


def _plain(value: Tensor) -> bool:
    """Whether autograd and tracers should look into the plain form."""
    if torch.compiler.is_compiling():
        return value.device.type not in _NATIVE_DEVICES
    return value.device.type not in _NATIVE_DEVICES or choice.native(value.device) is None


def _flat(sizes: Sequence[tuple[int, int]]) -> list[int]:
    return [side for size in sizes for side in size]


def paired(flat: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


# Registration

_LIBRARY: Any = torch.library.Library("caffdet", "DEF")  # type: ignore[no-untyped-call]
_SCHEMAS = (
    "msda(Tensor value, SymInt[] sizes, Tensor locations, Tensor weights, int[] points) -> Tensor",
    "msda_backward(Tensor grad, Tensor value, SymInt[] sizes, Tensor locations, Tensor weights, int[] points)"
    " -> (Tensor, Tensor, Tensor)",
    "msda_fused(Tensor value, SymInt[] sizes, Tensor references, Tensor offsets, Tensor logits, int[] points)"
    " -> Tensor",
    "msda_fused_backward(Tensor grad, Tensor value, SymInt[] sizes, Tensor references, Tensor offsets, Tensor logits,"
    " int[] points) -> (Tensor, Tensor, Tensor, Tensor)",
    "kda(Tensor query, Tensor? key, Tensor value, SymInt[] sizes, Tensor locations, float scale, int[] points)"
    " -> Tensor",
    "kda_backward(Tensor grad, Tensor query, Tensor? key, Tensor value, SymInt[] sizes, Tensor locations, float scale,"
    " int[] points) -> (Tensor, Tensor, Tensor, Tensor)",
)
for _schema in _SCHEMAS:
    _LIBRARY.define(_schema, tags=(torch.Tag.pt2_compliant_tag,))


def _msda(value: Tensor, sizes: list[int], locations: Tensor, weights: Tensor, points: list[int]) -> Tensor:
    found = choice.native(value.device)
    return (found.msda if found else reference.msda)(value, paired(sizes), locations, weights, points)


def _msda_backward(
    grad: Tensor, value: Tensor, sizes: list[int], locations: Tensor, weights: Tensor, points: list[int]
) -> tuple[Tensor, Tensor, Tensor]:
    found = choice.native(value.device)
    call = found.msda_backward if found else reference.msda_backward
    return call(grad, value, paired(sizes), locations, weights, points)


def _msda_fused(
    value: Tensor, sizes: list[int], references: Tensor, offsets: Tensor, logits: Tensor, points: list[int]
) -> Tensor:
    found = choice.native(value.device)
    call = found.msda_fused if found else reference.msda_fused
    return call(value, paired(sizes), references, offsets, logits, points)


def _msda_fused_backward(
    grad: Tensor,
    value: Tensor,
    sizes: list[int],
    references: Tensor,
    offsets: Tensor,
    logits: Tensor,
    points: list[int],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    found = choice.native(value.device)
    call = found.msda_fused_backward if found else reference.msda_fused_backward
    return call(grad, value, paired(sizes), references, offsets, logits, points)


def _kda(
    query: Tensor,
    key: Tensor | None,
    value: Tensor,
    sizes: list[int],
    locations: Tensor,
    scale: float,
    points: list[int],
) -> Tensor:
    found = choice.native(value.device)
    return (found.kda if found else reference.kda)(query, key, value, paired(sizes), locations, scale, points)


def _kda_backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor | None,
    value: Tensor,
    sizes: list[int],
    locations: Tensor,
    scale: float,
    points: list[int],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    found = choice.native(value.device)
    call = found.kda_backward if found else reference.kda_backward
    of_query, of_key, of_value, of_locations = call(grad, query, key, value, paired(sizes), locations, scale, points)
    return of_query, value.new_empty(0) if of_key is None else of_key, of_value, of_locations


def _contiguous(function: Callable[..., Any]) -> Callable[..., Any]:
    """Plain PyTorch returns views; tracing is promised contiguous results (`_output_like`, `_like`)."""

    @wraps(function)
    def call(*arguments: Any) -> Any:
        found = function(*arguments)
        return found.contiguous() if isinstance(found, Tensor) else tuple(each.contiguous() for each in found)

    return call


for _name, _function in (
    ("msda", _msda),
    ("msda_backward", _msda_backward),
    ("msda_fused", _msda_fused),
    ("msda_fused_backward", _msda_fused_backward),
    ("kda", _kda),
    ("kda_backward", _kda_backward),
):
    for _device in ("CPU", "CUDA"):
        _LIBRARY.impl(_name, _contiguous(_function), _device)


# Shapes of results, for tracing


def _output_like(queries: Tensor, value: Tensor) -> Tensor:
    return value.new_empty(queries.shape[0], queries.shape[1], value.shape[2] * value.shape[3])


def _like(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Gradients are contiguous, whatever their tensors are."""
    return tuple(each.new_empty(each.shape) for each in tensors)


def _msda_shape(value: Tensor, sizes: Any, locations: Tensor, weights: Tensor, points: Any) -> Tensor:
    return _output_like(locations, value)


def _msda_backward_shape(
    grad: Tensor, value: Tensor, sizes: Any, locations: Tensor, weights: Tensor, points: Any
) -> Any:
    return _like(value, locations, weights)


def _msda_fused_shape(
    value: Tensor, sizes: Any, references: Tensor, offsets: Tensor, logits: Tensor, points: Any
) -> Tensor:
    return _output_like(offsets, value)


def _msda_fused_backward_shape(
    grad: Tensor, value: Tensor, sizes: Any, references: Tensor, offsets: Tensor, logits: Tensor, points: Any
) -> Any:
    return _like(value, references, offsets, logits)


def _kda_shape(
    query: Tensor, key: Tensor | None, value: Tensor, sizes: Any, locations: Tensor, scale: float, points: Any
) -> Tensor:
    return _output_like(query, value)


def _kda_backward_shape(
    grad: Tensor,
    query: Tensor,
    key: Tensor | None,
    value: Tensor,
    sizes: Any,
    locations: Tensor,
    scale: float,
    points: Any,
) -> Any:
    of_key = value.new_empty(0) if key is None else value.new_empty(key.shape)
    of_query, of_value, of_locations = _like(query, value, locations)
    return of_query, of_key, of_value, of_locations


for _name, _shape in (
    ("msda", _msda_shape),
    ("msda_backward", _msda_backward_shape),
    ("msda_fused", _msda_fused_shape),
    ("msda_fused_backward", _msda_fused_backward_shape),
    ("kda", _kda_shape),
    ("kda_backward", _kda_backward_shape),
):
    torch.library.register_fake(f"caffdet::{_name}", _shape)


# Gradients


def _once(op: str, *tensors: Tensor | None) -> None:
    """Refuse a backward pass that is to be differentiated itself."""
    if torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in tensors):
        raise RuntimeError(f"{op}: double backward is not supported; set CAFFDET_OPS=reference")


def _save_msda(ctx: Any, inputs: Any, output: Any) -> None:
    value, ctx.sizes, locations, weights, ctx.points = inputs
    ctx.save_for_backward(value, locations, weights)


def _msda_gradients(ctx: Any, grad: Tensor) -> Any:
    value, locations, weights = ctx.saved_tensors
    _once("msda", grad, value, locations, weights)
    of_value, of_locations, of_weights = torch.ops.caffdet.msda_backward(
        grad, value, ctx.sizes, locations, weights, ctx.points
    )
    return of_value, None, of_locations, of_weights, None


def _save_msda_fused(ctx: Any, inputs: Any, output: Any) -> None:
    value, ctx.sizes, references, offsets, logits, ctx.points = inputs
    ctx.save_for_backward(value, references, offsets, logits)


def _msda_fused_gradients(ctx: Any, grad: Tensor) -> Any:
    value, references, offsets, logits = ctx.saved_tensors
    _once("msda_fused", grad, value, references, offsets, logits)
    of_value, of_references, of_offsets, of_logits = torch.ops.caffdet.msda_fused_backward(
        grad, value, ctx.sizes, references, offsets, logits, ctx.points
    )
    return of_value, None, of_references, of_offsets, of_logits, None


def _save_kda(ctx: Any, inputs: Any, output: Any) -> None:
    query, key, value, ctx.sizes, locations, ctx.scale, ctx.points = inputs
    ctx.shared = key is None
    ctx.save_for_backward(query, value, locations, *([] if key is None else [key]))


def _kda_gradients(ctx: Any, grad: Tensor) -> Any:
    query, value, locations, *rest = ctx.saved_tensors
    key = None if ctx.shared else rest[0]
    _once("kda", grad, query, value, locations, key)
    of_query, of_key, of_value, of_locations = torch.ops.caffdet.kda_backward(
        grad, query, key, value, ctx.sizes, locations, ctx.scale, ctx.points
    )
    return of_query, None if key is None else of_key, of_value, None, of_locations, None, None


torch.library.register_autograd("caffdet::msda", _msda_gradients, setup_context=_save_msda)
torch.library.register_autograd("caffdet::msda_fused", _msda_fused_gradients, setup_context=_save_msda_fused)
torch.library.register_autograd("caffdet::kda", _kda_gradients, setup_context=_save_kda)
