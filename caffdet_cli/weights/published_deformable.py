"""What a published file of Deformable-DETR or H-DETR says about its model."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

_LEARNED, _PROPOSED = "transformer.reference_points.weight", "transformer.pos_trans.weight"
_CONTENT = "query_embed.weight"
_QUERIES = 300  # of published two-stage files without learned content, in which nothing tells it
_ONE_TO_MANY = 1500  # of every published H-DETR, which has 300 or 900 queries besides


def is_deformable_detr(state: Mapping[str, Any]) -> bool:
    """Whether it has what DINO has not."""
    return _LEARNED in state or _PROPOSED in state


def deformable_sizes(state: Mapping[str, Any]) -> tuple[str, ...]:
    """The matrices whose rows `deformable_facts` counts."""
    return ("class_embed.0.weight", _CONTENT) if _CONTENT in state else ("class_embed.0.weight",)


def deformable_facts(state: Mapping[str, Tensor], decoder: Mapping[str, object]) -> dict[str, Any]:
    """The settings that differ from DINO's.

    What leaves no trace is taken as published: dropout (none with learned content, as H-DETR, else 0.1) and looking
    forward twice (H-DETR), 100 boxes a picture.

    Args:
        decoder: its layers and the width of its feed-forward networks.
    """
    two_stage = _PROPOSED in state
    mixed = two_stage and _CONTENT in state
    rows = len(state[_CONTENT]) if _CONTENT in state else _QUERIES
    one_to_many = _ONE_TO_MANY if mixed and rows > _ONE_TO_MANY else 0
    return {
        "outputs": len(state["class_embed.0.weight"]),
        "queries": rows - one_to_many,
        "detections": 100,
        "position_temperature": 10000,
        "position_shift": -0.5,
        "denoising": {"number": 0},
        "loss": {"classification": 2.0},
        "decoder": {
            **decoder,
            "name": "deformable",
            "refine": "transformer.decoder.bbox_embed.0.layers.0.weight" in state,
            "two_stage": two_stage,
            "mixed_selection": mixed,
            "look_forward_twice": mixed,
            "one_to_many": one_to_many,
            "dropout": 0.0 if mixed else 0.1,
        },
    }
