"""Deformable-DETR's settings: what goes together, and old checkpoints that know one decoder only."""

import pytest
from pydantic import ValidationError

from caffdet_cli.errors import ConfigError
from caffdet_cli.settings.load import load_config
from caffdet_cli.settings.model import DeformableDecoder, Denoising, DinoDecoder, Model


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"two_stage": True}, "two_stage = true needs refine = true"),
        ({"mixed_selection": True, "refine": True}, "mixed_selection = true needs two_stage = true"),
        ({"look_forward_twice": True}, "look_forward_twice = true needs refine = true"),
        ({"one_to_many": -1}, "one_to_many"),
        ({"repeats": 0}, "repeats"),
    ],
)
def test_what_does_not_go_together_is_refused(facts, words):
    with pytest.raises(ValidationError, match=words):
        DeformableDecoder(**facts)


def test_denoising_is_dinos():
    with pytest.raises(ValidationError, match=r"set denoising.number = 0"):
        Model(decoder=DeformableDecoder())
    assert Model(decoder=DeformableDecoder(), denoising=Denoising(number=0)).decoder.name == "deformable"


def test_a_checkpoint_from_before_there_were_two_decoders_is_read():
    stored = Model().model_dump(mode="json")
    del stored["decoder"]["name"]
    assert Model.model_validate(stored) == Model()
    assert isinstance(Model.model_validate(stored).decoder, DinoDecoder)


def test_a_setting_of_the_other_decoder_is_told_with_its_place():
    with pytest.raises(ConfigError, match=r"model\.decoder.*two_stage"):
        load_config(model="dino-r50", overrides=["model.decoder.two_stage=true"])


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("deformable-detr-r50", 40_069_665),
        ("deformable-detr-r50-two-stage", 41_181_529),
        ("h-deformable-detr-r50", 47_946_073),
    ],
)
def test_shipped_models_have_the_published_number_of_parameters(name, parameters):
    from caffdet_cli.benchmark.counting import count_parameters

    assert sum(count_parameters(load_config(model=name).config.model).values()) == parameters
