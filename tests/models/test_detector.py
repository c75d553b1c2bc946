"""Whole detectors at tiny size: one and two spectra, evaluation and a training step."""

import pytest
import torch
from tiny import OUTPUTS, tiny_batch, tiny_detector, tiny_pair_settings, tiny_settings, tiny_targets
from torch import nn

from caffdet_cli.losses.detection import Criterion
from caffdet_cli.losses.objective import Objective
from caffdet_cli.models.build import detector
from caffdet_cli.models.deformable import DeformableAttention
from caffdet_cli.models.denoising import denoising_queries
from caffdet_cli.settings import model as schema
from caffdet_cli.values import Batch, Levels

FORMS = {
    "one spectrum": tiny_settings(),
    "pair, a backbone each": tiny_pair_settings(),
    "pair, shared backbone": tiny_pair_settings(shared_backbone=True),
    "one block per layer, one network": tiny_settings(
        encoder=schema.InterleavedEncoder(layers=2, blocks=2, high_levels=2, heads=4, points=2, small_feedforward=False)
    ),
    "frozen normalisation": tiny_settings(backbone=schema.ResNet(depth=18, levels=(2, 3), frozen_stages=2)),
    "more levels from the backbone": tiny_settings(
        backbone=schema.ResNet(depth=10, levels=(1, 2, 3), normalisation="batch", frozen_stages=0), levels=5
    ),
}
forms = pytest.mark.parametrize("settings", FORMS.values(), ids=FORMS)


def batch_for(settings: schema.Model, sizes: list[tuple[int, int]]) -> Batch:
    return tiny_batch(sizes, spectra=len(settings.spectra))


@forms
def test_predictions_have_a_logit_per_class_and_a_box_in_the_picture(settings):
    network = tiny_detector(settings).eval()
    with torch.no_grad():
        predictions = network(batch_for(settings, [(96, 128), (128, 96)]))
    assert predictions.matching.logits.shape == (2, 2, 10, OUTPUTS)
    assert predictions.matching.boxes.shape == (2, 2, 10, 4)
    assert predictions.denoising is None
    assert ((predictions.matching.boxes >= 0) & (predictions.matching.boxes <= 1)).all()
    assert predictions.matching.logits.isfinite().all()
    assert predictions.proposals.boxes.shape == (2, 10, 4)


@forms
def test_detections_are_sorted_and_in_pixels_of_the_picture_on_disk(settings):
    network = tiny_detector(settings).eval()
    batch = batch_for(settings, [(96, 128)])
    larger = tuple(each._replace(original_sizes=torch.tensor([[192, 512]])) for each in batch.spectra)
    with torch.no_grad():
        predictions = network(batch)
        (found,) = network.postprocess(predictions, batch)
        (stretched,) = network.postprocess(predictions, batch._replace(spectra=larger))
    assert found.boxes.shape == (5, 4)
    assert (found.scores.diff() <= 0).all()
    assert ((found.labels >= 0) & (found.labels < OUTPUTS)).all()
    torch.testing.assert_close(stretched.boxes, found.boxes * torch.tensor([4.0, 2.0, 4.0, 2.0]))


@forms
def test_everything_that_is_trained_gets_a_gradient_in_a_training_step(settings):
    network = tiny_detector(settings).train()
    for module in network.modules():  # as after some training: at its start values half of it has no influence yet
        if isinstance(module, DeformableAttention):
            nn.init.normal_(module.offsets.weight, std=0.02)
            nn.init.normal_(module.weights.weight, std=0.1)
    batch, targets = batch_for(settings, [(128, 128), (96, 128)]), tiny_targets([2, 3])
    objective = Objective(network, Criterion(settings.costs, settings.loss), settings.denoising)
    losses = objective.train()(batch, targets)
    losses.total.backward()
    assert losses.total.isfinite()
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, f"{name} has no gradient"
            assert parameter.grad.isfinite().all(), name
            dead = ".key.bias" in name  # adds the same to all logits of a softmax
            assert dead or parameter.grad.abs().sum() > 0, f"the gradient of {name} is zero"


def test_unused_and_frozen_parameters_are_not_trained():
    network = tiny_detector(FORMS["frozen normalisation"])
    fixed = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert {name for name in fixed if ".query." in name and "attention" in name}
    assert all(".query." in name or ".conv1." in name or ".layer1." in name for name in fixed)
    assert not any(".layer2." in name for name in fixed)


@forms
def test_a_picture_of_a_batch_is_detected_as_if_it_were_alone(settings):
    network = tiny_detector(settings).eval()
    batch = batch_for(settings, [(96, 128), (96, 128)])
    second = tuple(type(each)(*(tensor[1:] for tensor in each)) for each in batch.spectra)
    with torch.no_grad():
        together, alone = network(batch), network(Batch(second, 0, [1], ["1.png"]))
    torch.testing.assert_close(together.matching.logits[:, 1:], alone.matching.logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together.matching.boxes[:, 1:], alone.matching.boxes, atol=1e-5, rtol=1e-4)


@forms
def test_matching_queries_do_not_notice_denoising_queries(settings):
    network = tiny_detector(settings).eval()
    batch = batch_for(settings, [(96, 128), (128, 96)])
    torch.manual_seed(0)
    noised = denoising_queries(tiny_targets([2, 0]), torch.arange(OUTPUTS), 5, 0.5, 1.0)
    assert noised is not None
    with torch.no_grad():
        without, beside = network(batch), network(batch, noised)
    torch.testing.assert_close(beside.matching.logits, without.matching.logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(beside.matching.boxes, without.matching.boxes, atol=1e-5, rtol=1e-4)
    assert beside.denoising.logits.shape == (2, 2, noised.labels.shape[1], OUTPUTS)


def test_a_group_of_denoising_queries_does_not_notice_other_groups():
    settings = tiny_settings()
    network = tiny_detector(settings).eval()
    batch = batch_for(settings, [(96, 128)])
    noised = denoising_queries(tiny_targets([1]), torch.arange(OUTPUTS), 2, 0.0, 0.0)  # four groups of two slots
    assert noised is not None
    changed = noised._replace(boxes=noised.boxes.clone())
    changed.boxes[:, 4:] += 0.5
    with torch.no_grad():
        one, other = network(batch, noised).denoising, network(batch, changed).denoising
    torch.testing.assert_close(one.boxes[:, :, :4], other.boxes[:, :, :4], atol=1e-6, rtol=1e-5)
    assert not torch.allclose(one.boxes[:, :, 4:], other.boxes[:, :, 4:], atol=1e-4)


def test_proposals_do_not_depend_on_the_padding_of_the_levels():
    """A pyramid's levels alone, and as the left part of wider ones: backbones see padding, what follows does not."""
    network = tiny_detector(tiny_settings()).eval()
    sizes = [(8, 8), (4, 4), (2, 2)]
    generator = torch.Generator().manual_seed(0)
    features = [torch.randn(1, 64, *size, generator=generator) for size in sizes]
    masks = [torch.zeros(1, *size, dtype=torch.bool) for size in sizes]
    alone = Levels(features, masks, [network.pyramid.positions(mask) for mask in masks])
    extra = [torch.randn(1, 64, size[0], size[1] // 2, generator=generator) for size in sizes]
    wide_masks = [nn.functional.pad(mask, (0, mask.shape[2] // 2), value=True) for mask in masks]
    wide = Levels(
        [torch.cat([one, other], dim=3) for one, other in zip(features, extra, strict=True)],
        wide_masks,
        [network.pyramid.positions(mask) for mask in wide_masks],
    )
    batch = tiny_batch([(64, 64)])
    found = []
    for levels in (alone, wide):
        network.pyramid.forward = lambda spectra, levels=levels: levels
        with torch.no_grad():
            found.append(network(batch).proposals)
    torch.testing.assert_close(found[1].logits, found[0].logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[1].boxes, found[0].boxes, atol=1e-5, rtol=1e-4)


def test_a_picture_with_fewer_tokens_than_queries_is_detected():
    settings = tiny_settings(queries=100)
    network = tiny_detector(settings).eval()
    with torch.no_grad():
        predictions = network(batch_for(settings, [(32, 32)]))  # levels of 2x2, 1x1, 1x1
    assert predictions.matching.logits.shape == (2, 1, 6, OUTPUTS)


def test_published_start_values():
    network = detector(tiny_settings(), OUTPUTS)
    assert network.heads.class_head.bias.sigmoid().tolist() == pytest.approx([0.01] * OUTPUTS)
    assert torch.equal(network.selection.class_head.weight, network.heads.class_head.weight)
    for head in (network.heads.box_head, network.selection.box_head):
        assert head.layers[-1].weight.count_nonzero() == head.layers[-1].bias.count_nonzero() == 0
    attention = network.encoder.layers[0].attention
    assert attention.weights.weight.count_nonzero() == attention.offsets.weight.count_nonzero() == 0
    rays = attention.offsets.bias.view(4, 3, 2, 2)  # heads, levels, points, x and y
    torch.testing.assert_close(rays[1, 2], torch.tensor([[0.0, 1.0], [0.0, 2.0]]), atol=1e-6, rtol=0)


def test_weights_of_a_detector_are_random_by_seed():
    one, same, other = (tiny_detector(tiny_settings(), seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["flatten.level_embedding"], other["flatten.level_embedding"])


def test_overlapping_boxes_are_dropped_where_asked():
    settings = tiny_settings(detections=10)
    keeps, drops = (tiny_detector(each).eval() for each in (settings, settings.model_copy(update={"nms_iou": 0.01})))
    batch = tiny_batch([(64, 64)])
    with torch.inference_mode():
        predictions = keeps(batch)
    assert len(drops.postprocess(predictions, batch)[0].scores) < len(keeps.postprocess(predictions, batch)[0].scores)
