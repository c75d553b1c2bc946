"""caff_dino/fusion: the fusion of one level alone, forward and backward."""

import re

import torch
from harness import Case

from caffdet_cli.models.build import fusion_block
from caffdet_cli.models.fusion.caff import Caff, row_column_code
from caffdet_cli.settings import model as schema
from caffdet_cli.weights.remap import to_published
from runners.published import keys_of, ours
from runners.tracing import Table, check_table, traced, whole

READINGS: Table = {
    "stage#.query_conv": ("stages.#.query", whole),
    "stage#.attention": ("stages.#.softmax", whole),
    "stage#.fused": ("stages.#", whole),
    **{
        f"stage#.{theirs}.{array}": (f"stages.#.branches.{branch}.{ours}", whole)
        for branch, theirs in enumerate(("k1", "k5", "k7"))
        for array, ours in (("query_conv", "query"), ("attention", "softmax"))
    },
    "src_corr": ("reduce", whole),
    "fused": ("", whole),
}
PAIR = schema.Model(spectra=("ir", "rgb"), fusion=schema.CaffLite())  # whose rules of names hold


def fusion(case: Case) -> None:
    """Both streams are inputs; the gradient is that of sum(fused * cotangent)."""
    part, prefix = block_of(case)
    first, second = (torch.from_numpy(case.input(name)).requires_grad_() for name in ("vis", "ir"))
    present = torch.ones(len(first), 2, dtype=torch.bool)
    with traced(part, READINGS) as outputs:
        fused = part(first, second, present)
    (fused * torch.from_numpy(case.input("cotangent"))).sum().backward()
    case.check("positional_encoding", row_column_code(first))
    check_table(case, outputs, READINGS)
    case.check("grad.vis", first.grad)
    case.check("grad.ir", second.grad)
    named = {f"{prefix}{name}": parameter for name, parameter in part.named_parameters()}
    gradients = {name: parameter.grad for name, parameter in to_published(named, PAIR).items()}
    case.check_gradients(
        {name: None if each is None else float(each.double().norm()) for name, each in gradients.items()}
    )
    for name, gradient in gradients.items():
        if gradient is not None:
            case.check(f"grad.{name}", gradient)
    case.finish({"stage*.concat*": "what the compression reads; what it makes of it is compared"})


def block_of(case: Case) -> tuple[Caff, str]:
    """The case's block with its weights, and the prefix of its names in a whole model."""
    options, keys = case.facts["model"], keys_of(case)
    lite = options["variant"].startswith("lite")
    if options["in_channels"] != options["hidden_dim"]:
        case.not_built("fusion of another width than its result")
    stages = {int(found[1]) for key in keys if (found := re.search(r"\.attention_stages(?:_k1)?\.(\d+)\.", key))}
    assert len(stages) == options["num_stages"]
    kind = schema.CaffLite if lite else schema.CaffHierarchical
    part = fusion_block(kind(stages=len(stages), reduced=options["proj_channels"]), options["hidden_dim"])
    state = ours(case.weights(), PAIR)
    prefix = ".".join(next(iter(state)).split(".")[:3]) + "."  # pyramid.fusions.<level>.
    part.load_state_dict({name.removeprefix(prefix): value for name, value in state.items()})
    return part, prefix
