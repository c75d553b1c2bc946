"""Every model that is shipped builds, with the published number of parameters."""

import pytest
import torch

from caffdet_cli.models.build import detector
from caffdet_cli.settings.files import names
from caffdet_cli.settings.load import load_config

MODELS = sorted(each.name for each in names() if each.kind == "model")
COUNTS = {  # all parameters, in thousands, as the reference code has them
    "caff-lite-dino-r50": 56_750,
    "caff-dino-r50": 196_200,
    "caff-dino-r50-5scale": 226_690,
    "caff-dino-swin-l-5scale": 567_330,
    "dino-r50": 46_893.182,
    "dino-r50-5scale": 47_255.806,
    "dino-swin-l": 217_230.066,
    "dino-swin-l-5scale": 217_576.690,
    "lite-dino-r50": 48_078.974,
    "lite-dino-r50-h2l2": 47_684.222,
    "lite-dino-r50-h3l1-2p1x3": 47_684.222,
    "lite-dino-r50-h3l1-6p1x1": 47_420.030,
    "lite-dino-swin-t-h3l1-2p1x3": 48_227.256,
}


@pytest.mark.parametrize("name", MODELS)
def test_it_builds(name):
    model = load_config(model=name).config.model
    with torch.device("meta"):
        network = detector(model, model.outputs or 3)
    if name in COUNTS:
        counted = sum(each.numel() for each in network.parameters()) / 1000
        assert counted == pytest.approx(COUNTS[name], rel=1e-4 if COUNTS[name] == int(COUNTS[name]) else 1e-9)


def test_all_counts_are_of_models_that_exist():
    assert COUNTS.keys() <= set(MODELS)
