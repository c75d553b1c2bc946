"""What does not fit is refused in one line that names the argument, what was given and what is needed."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode

from caffdet_cli.kernels.checks import LARGEST
from caffdet_cli.kernels.operators import kda, msda, msda_fused

SIZES = ((3, 4), (2, 2))  # N=2, S=16, Q=5, M=3, D=8, L=2, P=2
VALUE = torch.zeros(2, 16, 3, 8)
LOCATIONS = torch.zeros(2, 5, 3, 2, 2, 2)
WEIGHTS = torch.zeros(2, 5, 3, 2, 2)
QUERY = torch.zeros(2, 5, 3, 8)
REFERENCES = torch.zeros(2, 5, 2, 2)


def call_msda(**changes: object) -> Tensor:
    given = {"value": VALUE, "spatial_shapes": SIZES, "sampling_locations": LOCATIONS, "attention_weights": WEIGHTS}
    return msda(**(given | changes))


def call_kda(**changes: object) -> Tensor:
    given = {"query": QUERY, "value": VALUE, "spatial_shapes": SIZES, "sampling_locations": LOCATIONS}
    return kda(**(given | changes))


def call_fused(**changes: object) -> Tensor:
    given = {
        "value": VALUE,
        "spatial_shapes": SIZES,
        "reference_points": REFERENCES,
        "offsets": LOCATIONS,
        "logits": WEIGHTS,
    }
    return msda_fused(**(given | changes))


CASES: list[tuple[Callable[..., Tensor], dict[str, object], str]] = [
    (
        call_msda,
        {"value": VALUE[:, :15]},
        "msda: value has 15 tokens but spatial_shapes [(3, 4), (2, 2)] sum to 16",
    ),
    (call_msda, {"value": VALUE[0]}, "msda: value must be (N, S, M, D), got 3 dimensions"),
    (call_msda, {"value": VALUE.long()}, "msda: value must be floating point, got int64"),
    (
        call_msda,
        {"value": VALUE.to(torch.float8_e4m3fn)},
        "msda: value must be float16, bfloat16, float32 or float64, got float8_e4m3fn",
    ),
    (call_msda, {"spatial_shapes": []}, "msda: spatial_shapes is empty; at least one level is needed"),
    (
        call_msda,
        {"spatial_shapes": [(4, 4), (0, 21)]},
        "msda: level 1 has size (0, 21); heights and widths must be positive",
    ),
    (
        call_msda,
        {"spatial_shapes": [(20, 1), (-2, 2)]},
        "msda: level 1 has size (-2, 2); heights and widths must be positive",
    ),
    (
        call_msda,
        {"value": torch.zeros(1).expand(2, 16, 2**20, 2**8)},
        "msda: one image has S*M*D = 4.3e9 elements; at most 2^31-1 are supported per image",
    ),
    (
        call_msda,
        {"sampling_locations": LOCATIONS[0, 0]},
        "msda: sampling_locations must be (N, Lq, M, L, P, 2) or (N, Lq, M, K, 2), got 4 dimensions",
    ),
    (
        call_msda,
        {"sampling_locations": torch.zeros(2, 5, 3, 2, 2, 4)},
        "msda: sampling_locations must end in size 2 (x, y), got 4",
    ),
    (call_msda, {"sampling_locations": LOCATIONS[:1]}, "msda: sampling_locations has batch 1, value has 2"),
    (call_msda, {"sampling_locations": LOCATIONS[:, :, :2]}, "msda: sampling_locations has 2 heads, value has 3"),
    (
        call_msda,
        {"sampling_locations": LOCATIONS[:, :, :, :1]},
        "msda: sampling_locations has 1 levels, spatial_shapes has 2",
    ),
    (
        call_msda,
        {"sampling_locations": LOCATIONS.bfloat16()},
        "msda: sampling_locations must be float32, got bfloat16 (precision loss up to 0.3 px)",
    ),
    (call_msda, {"value": VALUE.double()}, "msda: sampling_locations must be float64, got float32"),
    (
        call_msda,
        {"sampling_locations": LOCATIONS.to("meta")},
        "msda: value is on cpu, sampling_locations on meta",
    ),
    (call_msda, {"attention_weights": WEIGHTS.to("meta")}, "msda: value is on cpu, attention_weights on meta"),
    (
        call_msda,
        {"value": VALUE.half(), "attention_weights": WEIGHTS.bfloat16()},
        "msda: value is float16 and attention_weights is bfloat16; they must match (or weights float32)",
    ),
    (
        call_msda,
        {"attention_weights": WEIGHTS.double()},
        "msda: value is float32 and attention_weights is float64; they must match (or weights float32)",
    ),
    (
        call_msda,
        {"attention_weights": WEIGHTS[:, :4]},
        "msda: attention_weights has shape (2, 4, 3, 2, 2); the locations ask for (2, 5, 3, 4) (N, Lq, M, K)",
    ),
    (
        call_msda,
        {"points_per_level": (3, 1)},
        "msda: points_per_level is [3, 1], sampling_locations has 2 on every level; "
        "different numbers need the layout (N, Lq, M, K, 2)",
    ),
    (
        call_msda,
        {"sampling_locations": torch.zeros(2, 5, 3, 5, 2)},
        "msda: sampling_locations has 5 points on 2 levels; say points_per_level where they differ",
    ),
    (
        call_msda,
        {"sampling_locations": LOCATIONS.flatten(3, 4), "points_per_level": (4,)},
        "msda: points_per_level has 1 levels, spatial_shapes has 2",
    ),
    (
        call_msda,
        {"sampling_locations": LOCATIONS.flatten(3, 4), "points_per_level": (4, 1)},
        "msda: points_per_level [4, 1] sum to 5, sampling_locations has 4",
    ),
    (
        call_msda,
        {"sampling_locations": LOCATIONS.flatten(3, 4), "points_per_level": (4, 0)},
        "msda: points_per_level is [4, 0]; every level needs a point",
    ),
    (call_kda, {"value": VALUE[:, 1:]}, "kda: value has 15 tokens but spatial_shapes [(3, 4), (2, 2)] sum to 16"),
    (call_kda, {"query": QUERY[:, :4]}, "kda: query has shape (2, 4, 3, 8), needed is (2, 5, 3, 8) (N, Lq, M, D)"),
    (
        call_kda,
        {"key": VALUE[:, :, :, :4]},
        "kda: key has shape (2, 16, 3, 4), value has (2, 16, 3, 8); they must match",
    ),
    (call_kda, {"query": QUERY.half()}, "kda: value is float32 and query is float16; they must match"),
    (call_kda, {"key": VALUE.double()}, "kda: value is float32 and key is float64; they must match"),
    (call_kda, {"key": VALUE.to("meta")}, "kda: value is on cpu, key on meta"),
    (
        call_fused,
        {"reference_points": torch.zeros(2, 5, 2, 3)},
        "msda_fused: reference_points must be (N, Lq, L, 2) or (N, Lq, L, 4), got (2, 5, 2, 3)",
    ),
    (
        call_fused,
        {"reference_points": REFERENCES[:, :, :1]},
        "msda_fused: reference_points is for (2, 5, 1), needed is (2, 5, 2) (N, Lq, L)",
    ),
    (
        call_fused,
        {"reference_points": REFERENCES.double()},
        "msda_fused: offsets are float32 and reference_points float64; they must match",
    ),
    (call_fused, {"offsets": LOCATIONS[:, :, :1]}, "msda_fused: offsets has 1 heads, value has 3"),
    (
        call_fused,
        {"logits": WEIGHTS[..., :1]},
        "msda_fused: logits has shape (2, 5, 3, 2, 1); the locations ask for (2, 5, 3, 4) (N, Lq, M, K)",
    ),
]


@pytest.mark.parametrize(("call", "changes", "message"), CASES, ids=[message for _, _, message in CASES])
def test_what_does_not_fit_is_named(call, changes, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call(**changes)


@pytest.mark.parametrize("call", [call_msda, call_kda, call_fused])
def test_what_the_cases_start_from_fits(call):
    assert call().shape == (2, 5, 24)


def test_tracing_refuses_with_the_same_words():
    short = VALUE[:, :15].clone()
    with FakeTensorMode() as fake:
        value = fake.from_tensor(short)
        with pytest.raises(ValueError, match=r"^msda: value has 15 tokens but spatial_shapes"):
            call_msda(value=value, sampling_locations=fake.from_tensor(LOCATIONS))


def test_level_sizes_may_be_a_tensor():
    assert call_msda(spatial_shapes=torch.tensor(SIZES)).shape == (2, 5, 24)


def test_the_largest_picture_is_still_accepted(native):
    """The refusal begins above it. All tokens share the memory of one, which plain PyTorch would not leave so."""
    tokens = LARGEST // 65536
    value = torch.ones(8192).expand(1, tokens, 8, 8192)
    locations, weights = torch.full((1, 1, 8, 1, 2), 0.5), torch.ones(1, 1, 8, 1)
    found = msda(value, [(1, tokens)], locations, weights)
    torch.testing.assert_close(found, torch.ones(1, 1, 65536))
