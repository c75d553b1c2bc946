"""What the operators accept, checked before any kernel runs: one line with argument, what was given, what is needed."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Shapes = Sequence[tuple[int, int]] | Tensor

LARGEST = 2**31 - 1  # elements of a picture; offsets inside one are 32-bit numbers
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class Sampled(NamedTuple):
    """Checked and brought to one form."""

    sizes: tuple[tuple[int, int], ...]
    points: tuple[int, ...]  # per level
    locations: Tensor  # (N, Q, M, K, 2)


def check_value(op: str, name: str, value: Tensor, spatial_shapes: Shapes) -> tuple[tuple[int, int], ...]:
    """The level sizes as whole numbers, after `value` (N, S, M, D) was checked against them."""
    sizes = _sizes(spatial_shapes)
    if value.dim() != 4:
        raise ValueError(f"{op}: {name} must be (N, S, M, D), got {value.dim()} dimensions")
    if not value.dtype.is_floating_point:
        raise ValueError(f"{op}: {name} must be floating point, got {_name(value.dtype)}")
    if value.dtype not in _FLOATS:
        raise ValueError(f"{op}: {name} must be float16, bfloat16, float32 or float64, got {_name(value.dtype)}")
    if value.shape[2] < 1 or value.shape[3] < 1:
        raise ValueError(
            f"{op}: {name} has {value.shape[2]} heads of {value.shape[3]} channels; at least one is needed"
        )
    if not sizes:
        raise ValueError(f"{op}: spatial_shapes is empty; at least one level is needed")
    for level, (height, width) in enumerate(sizes):
        if height <= 0 or width <= 0:
            raise ValueError(f"{op}: level {level} has size ({height}, {width}); heights and widths must be positive")
    if (total := sum(height * width for height, width in sizes)) != value.shape[1]:
        raise ValueError(f"{op}: {name} has {value.shape[1]} tokens but spatial_shapes {list(sizes)} sum to {total}")
    if (elements := value.shape[1] * value.shape[2] * value.shape[3]) > LARGEST:
        raise ValueError(
            f"{op}: one image has S*M*D = {elements / 1e9:.1f}e9 elements; at most 2^31-1 are supported per image"
        )
    return sizes


def check_locations(
    op: str,
    name: str,
    locations: Tensor,
    value: Tensor,
    sizes: Sequence[tuple[int, int]],
    points_per_level: Sequence[int] | None,
) -> Sampled:
    """Locations (N, Q, M, L, P, 2) or (N, Q, M, K, 2), checked against the value and the levels."""
    if locations.dim() not in (5, 6):
        raise ValueError(
            f"{op}: {name} must be (N, Lq, M, L, P, 2) or (N, Lq, M, K, 2), got {locations.dim()} dimensions"
        )
    if locations.shape[-1] != 2:
        raise ValueError(f"{op}: {name} must end in size 2 (x, y), got {locations.shape[-1]}")
    if locations.shape[0] != value.shape[0]:
        raise ValueError(f"{op}: {name} has batch {locations.shape[0]}, value has {value.shape[0]}")
    if locations.shape[2] != value.shape[2]:
        raise ValueError(f"{op}: {name} has {locations.shape[2]} heads, value has {value.shape[2]}")
    same_device(op, value, **{name: locations})
    needed = torch.float64 if value.dtype == torch.float64 else torch.float32
    if locations.dtype != needed:
        loss = " (precision loss up to 0.3 px)" if needed == torch.float32 else ""
        raise ValueError(f"{op}: {name} must be {_name(needed)}, got {_name(locations.dtype)}{loss}")
    points = _points(op, name, locations, len(sizes), points_per_level)
    return Sampled(tuple(sizes), points, locations.flatten(3, 4) if locations.dim() == 6 else locations)


def check_weights(op: str, name: str, weights: Tensor, value: Tensor, locations: Tensor) -> Tensor:
    """Weights (N, Q, M, L, P) or (N, Q, M, K) as (N, Q, M, K), checked against value and locations (N, Q, M, K, 2)."""
    same_device(op, value, **{name: weights})
    if weights.dtype not in (value.dtype, torch.promote_types(torch.float32, value.dtype)):
        raise ValueError(
            f"{op}: value is {_name(value.dtype)} and {name} is {_name(weights.dtype)}; "
            "they must match (or weights float32)"
        )
    flat = weights.flatten(3) if weights.dim() == 5 else weights
    if flat.shape != locations.shape[:-1]:
        raise ValueError(
            f"{op}: {name} has shape {tuple(weights.shape)}; the locations ask for {tuple(locations.shape[:-1])} "
            "(N, Lq, M, K)"
        )
    return flat


def check_query(op: str, query: Tensor, key: Tensor | None, value: Tensor, locations: Tensor) -> None:
    """Query (N, Q, M, D), and a key like the value."""
    wanted = (locations.shape[0], locations.shape[1], value.shape[2], value.shape[3])
    if tuple(query.shape) != wanted:
        raise ValueError(f"{op}: query has shape {tuple(query.shape)}, needed is {wanted} (N, Lq, M, D)")
    if key is not None and key.shape != value.shape:
        raise ValueError(f"{op}: key has shape {tuple(key.shape)}, value has {tuple(value.shape)}; they must match")
    for name, each in (("query", query), ("key", key)):
        if each is None:
            continue
        same_device(op, value, **{name: each})
        if each.dtype != value.dtype:
            raise ValueError(f"{op}: value is {_name(value.dtype)} and {name} is {_name(each.dtype)}; they must match")


def check_references(op: str, references: Tensor, locations: Tensor, levels: int) -> None:
    """References (N, Q, L, 2) or (N, Q, L, 4) of the same type as the offsets."""
    if references.dim() != 4 or references.shape[-1] not in (2, 4):
        raise ValueError(
            f"{op}: reference_points must be (N, Lq, L, 2) or (N, Lq, L, 4), got {tuple(references.shape)}"
        )
    wanted = (locations.shape[0], locations.shape[1], levels)
    if tuple(references.shape[:3]) != wanted:
        raise ValueError(f"{op}: reference_points is for {tuple(references.shape[:3])}, needed is {wanted} (N, Lq, L)")
    same_device(op, locations, reference_points=references)
    if references.dtype != locations.dtype:
        raise ValueError(
            f"{op}: offsets are {_name(locations.dtype)} and reference_points {_name(references.dtype)}; "
            "they must match"
        )


def same_device(op: str, value: Tensor, **others: Tensor) -> None:
    """Everything lies where the value lies."""
    for name, other in others.items():
        if other.device != value.device:
            raise ValueError(f"{op}: value is on {value.device}, {name} on {other.device}")


def _sizes(spatial_shapes: Shapes) -> tuple[tuple[int, int], ...]:
    """Whole numbers; a tensor costs a wait for the device."""
    rows = spatial_shapes.tolist() if isinstance(spatial_shapes, Tensor) else spatial_shapes
    return tuple((height, width) for height, width in rows)


def _points(
    op: str, name: str, locations: Tensor, levels: int, points_per_level: Sequence[int] | None
) -> tuple[int, ...]:
    if locations.dim() == 6:
        if locations.shape[3] != levels:
            raise ValueError(f"{op}: {name} has {locations.shape[3]} levels, spatial_shapes has {levels}")
        points = (int(locations.shape[4]),) * levels
        if points_per_level is not None and tuple(points_per_level) != points:
            raise ValueError(
                f"{op}: points_per_level is {list(points_per_level)}, {name} has {locations.shape[4]} on every level; "
                "different numbers need the layout (N, Lq, M, K, 2)"
            )
    elif points_per_level is not None:
        points = tuple(points_per_level)
        if len(points) != levels:
            raise ValueError(f"{op}: points_per_level has {len(points)} levels, spatial_shapes has {levels}")
        if sum(points) != locations.shape[3]:
            raise ValueError(
                f"{op}: points_per_level {list(points)} sum to {sum(points)}, {name} has {locations.shape[3]}"
            )
    else:
        if locations.shape[3] % levels:
            raise ValueError(
                f"{op}: {name} has {locations.shape[3]} points on {levels} levels; "
                "say points_per_level where they differ"
            )
        points = (int(locations.shape[3]) // levels,) * levels
    if any(count < 1 for count in points):
        raise ValueError(f"{op}: points_per_level is {list(points)}; every level needs a point")
    return points


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
