"""The configuration that takes the whole of some weights, as words to type."""

import shlex

import pytest

from caffdet_cli.settings.load import load_config
from caffdet_cli.settings.model import Model
from caffdet_cli.weights.naming import different, whole_configuration


def shipped(name: str, *overrides: str) -> Model:
    return load_config(model=name, overrides=overrides).config.model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (shipped("caff-lite-dino-r50-key-aware"), "caff-lite-dino-r50-key-aware"),
        (
            shipped("caff-lite-dino-r50-key-aware", "model.encoder.high_levels=2"),
            "caff-lite-dino-r50-key-aware --set model.encoder.high_levels=2",
        ),
        (
            shipped("caff-lite-dino-r50-key-aware", "model.encoder.blocks=1"),
            "caff-lite-dino-r50-key-aware --set model.encoder.blocks=1",
        ),
        (shipped("dino-r50", "model.backbone.depth=101"), "dino-r50 --set model.backbone.depth=101"),
    ],
)
def test_what_is_shipped_nearly_is_named_with_the_rest(model, words):
    found = whole_configuration(model)
    assert found == words
    name, *rest = shlex.split(found)
    assert not different(shipped(name, *rest[1::2]), model)


def test_a_key_aware_pair_of_hierarchical_fusion_is_typed_too():
    wanted = shipped("caff-dino-r50").model_copy(
        update={"encoder": shipped("lite-dino-r50").encoder, "key_aware": True}
    )
    name, *rest = shlex.split(whole_configuration(wanted))
    assert not different(shipped(name, *rest[1::2]), wanted)


def test_what_is_far_from_all_has_no_words():
    far = shipped("dino-r50", "model.width=64", "model.levels=5", "model.queries=7", "model.encoder.layers=1")
    far = far.model_copy(update={"decoder": far.decoder.model_copy(update={"layers": 1, "heads": 2, "points": 1})})
    assert whole_configuration(far) == ""
