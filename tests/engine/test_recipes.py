"""Schedules, groups of parameters, the moving average: what a recipe may ask for."""

import copy

import pytest
import torch
from tiny import tiny_detector, tiny_settings
from torch.optim.lr_scheduler import MultiStepLR, OneCycleLR, StepLR
from torchvision.ops import StochasticDepth

from caffdet_cli.engine.average import MovingAverage
from caffdet_cli.engine.optimizer import freeze, make_optimizer, parameter_groups, schedule_factor
from caffdet_cli.errors import WeightsError
from caffdet_cli.models.backbones.swin import Swin
from caffdet_cli.settings.load import load_config
from caffdet_cli.settings.train import (
    Average,
    MultiStepSchedule,
    OneCycleSchedule,
    StepSchedule,
    Train,
)

STEPS = 5  # of an epoch


def factors(train: Train) -> list[float]:
    return [schedule_factor(train, step, STEPS) for step in range(train.epochs * STEPS)]


def of_torch(make, train: Train, per_step: bool = False) -> list[float]:
    """What torch's own schedule gives."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = make(optimizer)
    found = []
    for _ in range(train.epochs):
        for _ in range(STEPS):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if per_step and len(found) < train.epochs * STEPS:
                schedule.step()
        if not per_step:
            schedule.step()
    return found


def test_schedules_are_those_of_torch():
    train = Train(epochs=9, schedule=StepSchedule(drop=4))
    assert factors(train) == pytest.approx(of_torch(lambda each: StepLR(each, 4), train))
    train = Train(epochs=9, schedule=MultiStepSchedule(drops=(3, 7)))
    assert factors(train) == pytest.approx(of_torch(lambda each: MultiStepLR(each, [3, 7]), train))


@pytest.mark.parametrize("rise", [0.2, 0.5])
def test_one_cycle_is_that_of_torch(rise):
    train = Train(epochs=3, schedule=OneCycleSchedule(rise=rise))
    steps = train.epochs * STEPS
    expected = of_torch(lambda each: OneCycleLR(each, 1.0, steps, pct_start=rise), train, per_step=True)
    assert factors(train) == pytest.approx(expected)


def test_one_cycle_starts_low_rises_to_the_rate_and_ends_near_nothing():
    train = Train(epochs=4, schedule=OneCycleSchedule(rise=0.25))
    found = factors(train)
    assert found[0] == pytest.approx(1 / 25)
    assert max(found) == found[4] == pytest.approx(1.0)
    assert found[-1] == pytest.approx(1 / 250_000)
    assert schedule_factor(train, 10**6, STEPS) == pytest.approx(1 / 250_000)


@pytest.mark.parametrize("schedule", [StepSchedule(drop=2), MultiStepSchedule(drops=(2, 4))])
def test_the_published_code_of_lite_detr_drops_one_epoch_late(schedule):
    late = schedule.model_copy(update={"one_epoch_late": True})
    on_time, shifted = (factors(Train(epochs=6, schedule=each)) for each in (schedule, late))
    assert shifted[STEPS:] == on_time[:-STEPS]
    assert shifted[:STEPS] == [1.0] * STEPS


def test_every_trained_parameter_is_in_one_group():
    detector = tiny_detector(tiny_settings())
    trained = {name for name, each in detector.named_parameters() if each.requires_grad}
    for kind in ("backbone", "slow-sampling", "no-decay"):
        groups = parameter_groups(detector, Train(groups=kind, freeze_backbone=False))
        names = [name for group in groups for name in group["names"]]
        assert sorted(names) == sorted(trained)


def test_groups_differ_by_what_they_are_called_for():
    detector = tiny_detector(tiny_settings())
    train = Train(groups="slow-sampling", freeze_backbone=False, lr=1.0, lr_backbone=0.5)
    rates = {name: group["lr"] for group in parameter_groups(detector, train) for name in group["names"]}
    assert rates["encoder.layers.0.attention.offsets.weight"] == pytest.approx(0.1)
    assert rates["encoder.layers.0.attention.value.weight"] == 1.0
    assert rates["pyramid.backbone.body.conv1.weight"] == 0.5
    train = Train(groups="no-decay", freeze_backbone=False)
    decay = {name: group["weight_decay"] for group in parameter_groups(detector, train) for name in group["names"]}
    assert decay["decoder.norm.weight"] == decay["heads.class_head.bias"] == 0
    assert decay["heads.class_head.weight"] == train.weight_decay


def test_empty_groups_do_not_reach_the_optimizer():
    detector = tiny_detector(tiny_settings())
    assert len(make_optimizer(detector, Train(freeze_backbone=True)).param_groups) == 1


def test_the_average_follows_the_weights():
    detector = tiny_detector(tiny_settings())
    average = MovingAverage(detector, Average(decay=0.9, first_epoch=1))
    average.update(detector, 0)
    assert not average.started
    weight = detector.heads.class_head.weight
    expected = None
    for _ in range(4):
        with torch.no_grad():
            weight.add_(torch.randn_like(weight))
        average.update(detector, 1)
        expected = weight.clone() if expected is None else 0.9 * expected + 0.1 * weight
    assert average.started
    torch.testing.assert_close(average.detector.heads.class_head.weight, expected)
    assert not any(each.requires_grad for each in average.detector.parameters())
    again = MovingAverage(tiny_detector(tiny_settings(), seed=1), Average(decay=0.9, first_epoch=1))
    again.restore(copy.deepcopy(average.state()))
    torch.testing.assert_close(again.detector.heads.class_head.weight, expected)
    assert again.started


@pytest.mark.parametrize("drop_path", [False, True])
def test_frozen_backbones_skip_blocks_only_where_asked(drop_path):
    backbone = Swin("tiny", 7, (1,), drop_path=0.5)
    freeze(backbone, drop_path)
    assert not backbone.training
    assert all(module.training == drop_path for module in backbone.modules() if isinstance(module, StochasticDepth))


@pytest.mark.parametrize(
    ("recipe", "epochs", "drop"),
    [("dino", 12, 11), ("lite-dino", 36, 30), ("caff-dino", 12, 11), ("caff-lite", 36, 30)],
)
def test_published_recipes(recipe, epochs, drop):
    train = load_config(model="dino-r50", recipe=recipe).config.train
    assert (train.epochs, train.schedule.drop) == (epochs, drop)
    assert train.freeze_backbone == recipe.startswith("caff")
    assert train.augment.photometric == ("caff" if recipe == "caff-dino" else "none")


def test_a_broken_average_in_a_checkpoint_is_one_sentence():
    average = MovingAverage(tiny_detector(tiny_settings()), Average(decay=0.9))
    for state in ({}, {"weights": {}, "steps": 1}, {"weights": 3, "steps": 1}):
        with pytest.raises(WeightsError, match="moving average in the checkpoint is broken"):
            average.restore(state)
