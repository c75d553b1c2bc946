"""lite_dino/layout: every name and shape of a shipped configuration's checkpoint, both ways, and its parameters."""

from itertools import pairwise
from pathlib import Path

import torch
from harness import Case

from caffdet_cli.models.build import detector
from caffdet_cli.models.detector import Detector
from caffdet_cli.settings import model as schema
from caffdet_cli.settings.load import load_config
from caffdet_cli.weights.published import published_model
from caffdet_cli.weights.remap import from_published, swin_indices, to_published
from runners.published import keys_of, settings_of


def layout(case: Case) -> None:
    """Nothing is computed: the modules have no memory."""
    settings = deformable(case) if "command_line" in case.facts["model"] else settings_of(case)
    with torch.device("meta"):
        network = detector(settings, settings.outputs)
    check_names(case, network, settings)
    check_way_back(case, network, settings)
    check_parameters(case, network)
    case.finish()


DEFORMABLE = {  # the words of their command lines, in the order of their names, and our configurations
    (): "deformable-detr-r50",
    ("--with_box_refine",): "deformable-detr-r50-refine",
    ("--two_stage", "--with_box_refine"): "deformable-detr-r50-two-stage",
    (
        *("--dim_feedforward", "--dropout", "--k_one2many", "--look_forward_twice", "--mixed_selection"),
        *("--num_queries_one2many", "--num_queries_one2one", "--two_stage", "--with_box_refine"),
    ): "h-deformable-detr-r50",
}


def deformable(case: Case) -> schema.Model:
    """Deformable-DETR and H-DETR have command lines in place of settings; every number of one must be ours."""
    words = case.facts["model"]["command_line"]
    name = DEFORMABLE.get(tuple(sorted(word for word in words if word.startswith("--"))))
    if name is None:
        case.not_built(f"the layout of {' '.join(words)}")
    settings = load_config(model=name).config.model
    decoder = settings.decoder
    assert isinstance(decoder, schema.DeformableDecoder)
    ours = {
        "--dim_feedforward": decoder.feedforward,
        "--dropout": decoder.dropout,
        "--k_one2many": decoder.repeats,
        "--num_queries_one2many": decoder.one_to_many,
        "--num_queries_one2one": settings.queries,
    }
    given = {key: float(value) for key, value in pairwise(words) if key in ours}
    assert given == {key: ours[key] for key in given}
    return settings


def check_names(case: Case, network: Detector, settings: schema.Model) -> None:
    """Published names, shapes and types of everything that the detector holds, and which names are one tensor."""
    published = to_published(network.state_dict(), settings)
    if isinstance(settings.backbone, schema.Swin):
        published |= swin_indices(published, settings.backbone.window)
    rows = {
        name: [name, list(value.shape), str(value.dtype).removeprefix("torch.")] for name, value in published.items()
    }
    recorded = case.file("state_dict.json")
    in_order = [rows.pop(name) for name, *_ in recorded if name in rows]
    case.check_exact("state_dict.json", recorded, [*in_order, *rows.values()])
    together: dict[int, set[str]] = {}
    for name, value in published.items():
        together.setdefault(id(value), set()).add(name)
    groups = {frozenset(names) for names in together.values() if len(names) > 1}
    assert groups == {frozenset(group["keys"]) for group in case.facts["tied_keys"]}


def check_way_back(case: Case, network: Detector, settings: schema.Model) -> None:
    """The settings are read from the file, and every tensor of the file has its place."""
    state = {name: torch.zeros(()).expand(shape) for name, shape in keys_of(case).items()}
    read = published_model(state, Path(case.name))
    assert read.backbone == settings.backbone
    assert (read.key_aware, read.levels, read.queries) == (settings.key_aware, settings.levels, settings.queries)
    assert read.encoder.name == settings.encoder.name
    if isinstance(settings.decoder, schema.DeformableDecoder):
        assert read == settings
    if isinstance(read.encoder, schema.InterleavedEncoder):
        kept = {"high_levels": settings.encoder.high_levels}
        assert read.encoder.model_copy(update=kept) == settings.encoder
    renamed = from_published(state, read)
    assert not renamed.unknown
    assert {name: value.shape for name, value in renamed.state.items()} == {
        name: value.shape for name, value in network.state_dict().items()
    }


def check_parameters(case: Case, network: Detector) -> None:
    """Upstream leaves the projections that nothing uses trainable; here they are frozen."""
    unused = [name for name, each in network.named_parameters() if ".query." in name and not each.requires_grad]
    parameters = dict(network.named_parameters())
    assert sum(each.numel() for each in parameters.values()) == case.facts["num_parameters"]
    trainable = sum(each.numel() for name, each in parameters.items() if each.requires_grad or name in unused)
    assert trainable == case.facts["num_parameters_trainable"]
