"""Operations and parameters, against numbers worked out by hand."""

import pytest
import torch
from tiny import OUTPUTS, tiny_batch, tiny_detector, tiny_pair_settings, tiny_settings
from torch import nn
from torchvision.ops.misc import FrozenBatchNorm2d

from caffdet_cli.benchmark.counting import (
    PARTS,
    count_network,
    count_operations,
    count_parameters,
    parameters_by_part,
    part_of,
)
from caffdet_cli.models.deformable import DeformableAttention, KeyAwareAttention
from caffdet_cli.values import Layers, Predictions, Proposals

TOKENS, CHOSEN = 20, 3
HEADS, LEVELS, POINTS, WIDTH = 4, 2, 3, 32
SAMPLES = TOKENS * WIDTH * LEVELS * POINTS  # numbers that are sampled for all queries


class Case(nn.Module):
    """Stands for a detector: some module as its encoder, and a selection."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.selection = nn.Module()
        self.selection.transform = nn.Linear(WIDTH, WIDTH)
        self.selection.box_head = nn.Linear(WIDTH, 4)

    def forward(self, given):
        self.encoder(*given)
        self.selection.transform(torch.zeros(1, TOKENS, WIDTH))
        indices = torch.zeros(1, CHOSEN, dtype=torch.long)
        nothing = Layers(indices, indices)
        return Predictions(nothing, None, Proposals(indices, indices, indices, indices))


def counted(module, *given, way="ours"):
    """Operations of a module, as fvcore and as multiply-adds."""
    found = count_network(Case(module), given, way)
    return found.total("fvcore", part="encoder"), found.total("multiply-adds", part="encoder")


def attention_inputs():
    sizes = [(4, 4), (2, 2)]
    references = torch.full((1, TOKENS, LEVELS, 2), 0.5)
    return torch.zeros(1, TOKENS, WIDTH), references, torch.zeros(1, 20, WIDTH), sizes, torch.zeros(1, 20).bool()


@pytest.mark.parametrize("way", ["published", "ours"])
@pytest.mark.parametrize(
    ("module", "shape", "fvcore", "multiply_adds"),
    [
        (nn.Linear(8, 6), (2, 5, 8), 2 * 5 * 8 * 6, 2 * 5 * 8 * 6),
        (nn.Conv2d(4, 6, 3, padding=1), (1, 4, 7, 5), 7 * 5 * 6 * 4 * 9, 7 * 5 * 6 * 4 * 9),
        (nn.Conv2d(4, 6, 3, stride=2, groups=2), (1, 4, 7, 7), 3 * 3 * 6 * 2 * 9, 3 * 3 * 6 * 2 * 9),
        (nn.LayerNorm(8), (2, 5, 8), 5 * 80, 0),
        (nn.GroupNorm(2, 4), (1, 4, 3, 3), 5 * 36, 0),
        (nn.BatchNorm2d(4).eval(), (1, 4, 3, 3), 2 * 36, 0),
        (nn.Upsample(scale_factor=2), (1, 4, 3, 3), 144, 0),
        (nn.Upsample(scale_factor=2, mode="bilinear"), (1, 4, 3, 3), 4 * 144, 0),
        (nn.Softmax(-1), (2, 5, 8), 0, 0),
        (nn.ReLU(), (2, 5, 8), 0, 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_layers_are_counted_by_their_convention(module, shape, fvcore, multiply_adds, way):
    assert counted(module, torch.zeros(shape), way=way) == (fvcore, multiply_adds)


class Steps(nn.Module):
    def forward(self, content):
        return ((content * 2 + content) / 3 - 1).relu().softmax(-1)


@pytest.mark.parametrize(
    ("module", "shape", "script"),
    [
        (Steps(), (2, 5, 8), 5 * 80 + 5 * 80),
        (FrozenBatchNorm2d(4), (1, 4, 3, 3), 2 * 36 + 4 * 4),  # scaled and moved; four steps make scale and shift
        (nn.LayerNorm(8), (2, 5, 8), 5 * 80),
        (nn.Linear(8, 6), (2, 5, 8), 2 * 5 * 8 * 6),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_dinos_script_counts_steps_on_top_of_what_fvcore_does(module, shape, script):
    found = count_network(Case(module), (torch.zeros(shape),), "published")
    assert found.total("dino-script", part="encoder") == script


@pytest.mark.parametrize(("sides", "places"), [(2, 2 * 2), (4, 4 * 2)])
def test_dinos_script_sees_the_softmax_and_the_places_of_deformable_attention(sides, places):
    queries, _, *rest = attention_inputs()
    given = queries, torch.full((1, TOKENS, LEVELS, sides), 0.5), *rest
    found = count_network(Case(DeformableAttention(WIDTH, HEADS, LEVELS, POINTS)), given, "published")
    added = found.total("dino-script", part="encoder") - found.total("fvcore", part="encoder")
    assert added == (5 + places) * TOKENS * HEADS * LEVELS * POINTS


class SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, content, positions):
        return self.attention(content + positions, content + positions, content, need_weights=False)[0]


def test_self_attention_has_four_projections_and_two_products():
    given = torch.zeros(1, 5, 8), torch.zeros(1, 5, 8)
    whole = 4 * 5 * 8 * 8 + 2 * 5 * 5 * 8
    assert counted(SelfAttention().eval(), *given) == (whole, whole)


PROJECTIONS = TOKENS * WIDTH * (2 * WIDTH + HEADS * LEVELS * POINTS * 2)  # values, result, offsets
WEIGHTS = TOKENS * WIDTH * HEADS * LEVELS * POINTS
QUERIES = TOKENS * WIDTH * WIDTH


def test_plain_deformable_attention_is_opaque_to_the_published_tools():
    module = DeformableAttention(WIDTH, HEADS, LEVELS, POINTS)
    assert counted(module, *attention_inputs(), way="published") == (PROJECTIONS, PROJECTIONS + WEIGHTS)


def test_plain_deformable_attention_counts_its_samples_and_products_as_ours():
    module = DeformableAttention(WIDTH, HEADS, LEVELS, POINTS)
    whole = PROJECTIONS + WEIGHTS
    assert counted(module, *attention_inputs()) == (whole + 4 * SAMPLES + SAMPLES, whole + SAMPLES)


def test_key_aware_attention_samples_twice_as_published():
    module = KeyAwareAttention(WIDTH, HEADS, LEVELS, POINTS)
    whole = PROJECTIONS + QUERIES
    assert counted(module, *attention_inputs(), way="published") == (
        whole + 2 * 4 * SAMPLES + 2 * SAMPLES,
        whole + 2 * SAMPLES,
    )


@pytest.mark.parametrize(("project_keys", "samplings"), [(False, 1), (True, 2)])
def test_key_aware_attention_samples_keys_only_where_they_are_not_the_values(project_keys, samplings):
    module = KeyAwareAttention(WIDTH, HEADS, LEVELS, POINTS, project_keys=project_keys)
    whole = PROJECTIONS + QUERIES + (QUERIES if project_keys else 0)
    assert counted(module, *attention_inputs()) == (
        whole + samplings * 4 * SAMPLES + 2 * SAMPLES,
        whole + 2 * SAMPLES,
    )


def test_boxes_of_all_tokens_are_added_where_the_published_code_computes_them():
    without, with_all = (
        count_network(Case(nn.Identity()), (torch.zeros(1),), "published", all_boxes=each).total(part="selection")
        for each in (False, True)
    )
    assert with_all - without == (TOKENS - CHOSEN) * WIDTH * 4


@pytest.mark.parametrize("settings", [tiny_settings(), tiny_pair_settings(), tiny_settings(key_aware=True)])
def test_parts_add_up_and_real_tensors_give_the_same(settings):
    network = tiny_detector(settings).eval()
    network.heads.last_only = True
    settings = settings.model_copy(update={"outputs": OUTPUTS})
    real = count_network(network, tiny_batch([(70, 90)], len(settings.spectra)))
    shapes = count_operations(settings, 70, 90)
    for convention in ("fvcore", "multiply-adds", "dino-script"):
        parts = shapes.by_part(convention)
        assert tuple(parts) == PARTS
        assert sum(parts.values()) == shapes.total(convention) > 0
        assert parts == real.by_part(convention)
        assert (parts["fusion"] > 0) == (len(settings.spectra) == 2)


def test_two_pictures_are_twice_one():
    one, two = (count_operations(tiny_pair_settings(), 64, 64, batch=batch).total() for batch in (1, 2))
    assert two == 2 * one


def test_heads_of_all_layers_count_as_published():
    published, ours = (count_operations(tiny_settings(), 64, 64, way=way) for way in ("published", "ours"))
    assert published.total(part="heads") == 2 * ours.total(part="heads")  # two decoder layers
    assert published.total(part="encoder") < ours.total(part="encoder")


def test_parameters_are_those_of_the_detector():
    settings = tiny_pair_settings(outputs=OUTPUTS)
    found = count_parameters(settings)
    parts = parameters_by_part(found)
    network = tiny_detector(settings)
    assert sum(parts.values()) == sum(each.numel() for each in network.parameters())
    assert parts["fusion"] == sum(each.numel() for each in network.pyramid.fusions.parameters())
    assert parts["denoising"] == sum(each.numel() for each in network.denoising.parameters())
    assert parts["other"] == network.flatten.level_embedding.numel()


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("pyramid.backbones.1.body.conv1", "backbone"),
        ("pyramid.neck.projections.0.0", "projections"),
        ("encoder", "encoder"),
        ("pyramid", "other"),
        ("", "other"),
    ],
)
def test_a_part_is_known_by_its_place(name, part):
    assert part_of(name) == part
