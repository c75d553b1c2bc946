"""Both implementations on the CPU, and random problems for them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from caffdet_cli.kernels import choice
from caffdet_cli.kernels.reference import kda as plain_kda
from caffdet_cli.kernels.reference import msda as plain_msda


@pytest.fixture(params=["reference", "native"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each implementation in turn; a test that must have the native one asks for `native`."""
    if request.param == "native":
        request.getfixturevalue("native")
    with choice.implementation(request.param):
        yield request.param


@pytest.fixture
def native() -> Iterator[choice.Native]:
    """The native operators of the CPU."""
    found = choice.look(torch.device("cpu"))
    if found.native is None:
        pytest.skip(f"no native operators: {found.reason}")
    with choice.implementation("native"):
        yield found.native


class Problem(NamedTuple):
    """Inputs of the operators; locations lie in and around the levels, away from the kinks of the interpolation."""

    query: Tensor
    key: Tensor
    value: Tensor
    sizes: list[tuple[int, int]]
    locations: Tensor  # (N, Q, M, K, 2)
    weights: Tensor
    points: tuple[int, ...]

    def msda(self) -> Tensor:
        """By the definition."""
        return plain_msda(self.value, self.sizes, self.locations, self.weights, self.points)

    def kda(self, *, shared: bool) -> Tensor:
        key = None if shared else self.key
        scale = float(self.value.shape[-1]) ** -0.5
        return plain_kda(self.query, key, self.value, self.sizes, self.locations, scale, self.points)

    def to(self, dtype: torch.dtype) -> "Problem":
        """In another type; locations in float32 at least."""
        exact = torch.promote_types(dtype, torch.float32)
        query, key, value, weights = (each.to(dtype) for each in (self.query, self.key, self.value, self.weights))
        return self._replace(query=query, key=key, value=value, weights=weights, locations=self.locations.to(exact))


def problem(
    sizes: Sequence[tuple[int, int]] = ((5, 7), (3, 3), (1, 1)),
    points: Sequence[int] = (2, 2, 2),
    heads: int = 2,
    channels: int = 8,
    queries: int = 5,
    batch: int = 2,
    seed: int = 0,
    spread: float = 1.5,
) -> Problem:
    """Random numbers of unit variance in float64."""
    random = torch.Generator().manual_seed(seed)
    tokens, count = sum(height * width for height, width in sizes), sum(points)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    uniform = torch.rand(batch, queries, heads, count, 2, generator=random, dtype=torch.float64)
    return Problem(
        normal(batch, queries, heads, channels),
        normal(batch, tokens, heads, channels),
        normal(batch, tokens, heads, channels),
        list(sizes),
        off_kinks(0.5 + spread * (uniform - 0.5), sizes, points),
        torch.rand(batch, queries, heads, count, generator=random, dtype=torch.float64),
        tuple(points),
    )


def off_kinks(locations: Tensor, sizes: Sequence[tuple[int, int]], points: Sequence[int]) -> Tensor:
    """Moves points to at least 0.05 pixels from where the gradient jumps; exact in float32."""
    parts = []
    for (height, width), part in zip(sizes, locations.split(list(points), dim=3), strict=True):
        unit = torch.tensor([width, height], dtype=locations.dtype)
        pixels = part * unit - 0.5
        inside = pixels.floor() + (pixels - pixels.floor()).clamp(0.05, 0.95)
        parts.append(((inside + 0.5) / unit).float().to(locations.dtype))
    return torch.cat(parts, dim=3)
