"""lite_dino/msda_core and attention_module: deformable attention without and with its projections."""

import torch
from harness import Case
from torch import Tensor

from caffdet_cli.kernels.operators import msda
from caffdet_cli.models.deformable import DeformableAttention, KeyAwareAttention, SamplingAttention
from caffdet_cli.settings import model as schema
from caffdet_cli.values import Sizes
from caffdet_cli.weights.remap import to_published
from runners.published import ours

PUBLISHED, OURS = "transformer.encoder.layers.0.self_attn.", "encoder.layers.0.attention."  # a place whose rules hold


def msda_core(case: Case) -> None:
    """The operator; the gradient is that of sum(output * grad_output)."""
    names = ("value", "sampling_locations", "attention_weights")
    value, locations, weights = (tensor(case, name).requires_grad_() for name in names)
    output = msda(value, sizes_of(case), locations, weights)
    case.check("output", output)
    output.backward(tensor(case, "grad_output"))
    for name, each in zip(names, (value, locations, weights), strict=True):
        case.check(f"grad_{name}", each.grad)
    case.finish()


def attention_module(case: Case) -> None:
    """The module with its parameters."""
    part, sizes = module(case), sizes_of(case)
    names = ("query", "reference_points", "input_flatten")
    queries, references, tokens = (tensor(case, name).requires_grad_() for name in names)
    output = part(queries, references, tokens, sizes, padding_of(case, tokens))
    case.check("output", output)
    output.backward(tensor(case, "grad_output"))
    for name, each in zip(names, (queries, references, tokens), strict=True):
        case.check(f"grad_{name}", each.grad)
    inside = {f"{OURS}{name}": parameter for name, parameter in part.named_parameters()}
    for name, parameter in to_published(inside, schema.Model()).items():
        if parameter.grad is not None:
            case.check(f"grad_param.{name.removeprefix(PUBLISHED)}", parameter.grad)
    case.finish()


def module(case: Case) -> SamplingAttention:
    """The case's attention with its weights."""
    options = case.facts["model"]
    if options.get("value_proj_after"):
        case.not_built("a projection of values after sampling")
    sizes = (options["d_model"], options["n_heads"], options["n_levels"], options["n_points"], options["same_loc"])
    part: SamplingAttention = DeformableAttention(*sizes, unused_query=True)
    if options.get("key_aware"):
        part = KeyAwareAttention(*sizes, project_keys=options["proj_key"])
    weights = {f"{PUBLISHED}{name}": value for name, value in case.weights().items()}
    part.load_state_dict({name.removeprefix(OURS): value for name, value in ours(weights, schema.Model()).items()})
    return part


def tensor(case: Case, name: str) -> Tensor:
    return torch.from_numpy(case.input(name))


def sizes_of(case: Case) -> Sizes:
    """Height and width of every level."""
    return [(height, width) for height, width in case.given("spatial_shapes").tolist()]


def padding_of(case: Case, tokens: Tensor) -> Tensor:
    """(B, S) bool; nothing is padding where the case has no mask."""
    if "padding_mask" in case.golden:
        return torch.from_numpy(case.given("padding_mask")).bool()
    return torch.zeros(tokens.shape[:2], dtype=torch.bool)
