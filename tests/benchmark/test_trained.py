"""Parameters that are trained, as built and as a recipe leaves them."""

import pytest
from tiny import OUTPUTS, tiny_detector, tiny_pair_settings, tiny_settings

from caffdet_cli.benchmark.counting import count_parameters, parameters_by_part
from caffdet_cli.benchmark.trained import count_trained
from caffdet_cli.settings.train import Train


@pytest.mark.parametrize("settings", [tiny_settings(), tiny_pair_settings()], ids=["one", "pair"])
def test_a_recipe_that_freezes_leaves_all_but_the_backbones(settings):
    settings = settings.model_copy(update={"outputs": OUTPUTS})
    network = tiny_detector(settings)
    built = sum(each.numel() for each in network.parameters() if each.requires_grad)
    backbone = sum(
        each.numel() for name, each in network.named_parameters() if "backbone" in name and each.requires_grad
    )
    assert 0 < backbone < built
    assert count_trained(settings) == count_trained(settings, Train(freeze_backbone=False)) == built
    assert count_trained(settings, Train(freeze_backbone=True)) == built - backbone
    assert built <= sum(parameters_by_part(count_parameters(settings)).values())


def test_the_published_code_also_counts_query_projections_that_are_not_used():
    plain, key_aware = (tiny_settings(outputs=OUTPUTS, key_aware=each) for each in (False, True))
    unused = sum(numbers for name, numbers in count_parameters(plain).items() if ".query." in name)
    assert unused > 0
    assert count_trained(plain, way="published") == count_trained(plain) + unused
    assert count_trained(key_aware, way="published") == count_trained(key_aware)
