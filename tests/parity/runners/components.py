"""lite_dino/components and postprocess: parts of the detector one by one, in the order of the case's `operations`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from harness import Case
from torch import Tensor
from torchvision.ops import box_convert

from caffdet_cli.data.batches import collate
from caffdet_cli.data.dataset import Sample
from caffdet_cli.losses.detection import Criterion
from caffdet_cli.losses.matcher import match
from caffdet_cli.models.boxes import centre_to_corners, inverse_sigmoid, overlaps
from caffdet_cli.models.decoder import anchor_code
from caffdet_cli.models.deformable import token_anchors, token_references, valid_ratios
from caffdet_cli.models.layers import SinePositions
from caffdet_cli.models.postprocess import best_detections
from caffdet_cli.models.pyramid import level_padding
from caffdet_cli.settings.model import Costs, LossWeights
from caffdet_cli.values import Layers, Predictions, Targets
from runners.geometry import require

Given = Callable[[str], Tensor]  # an array of the case by name: an earlier result, an input, or a recorded one
Step = Callable[[Case, dict[str, Any], Given], "list[Tensor]"]


def components(case: Case) -> None:
    """Every operation of the case; later ones use our results of earlier ones."""
    results: dict[str, Tensor] = {}

    def given(name: str) -> Tensor:
        if name in results:
            return results[name]
        return torch.from_numpy(np.asarray(case.input(name) if name in case.inputs else case.given(name)))

    for operation in case.facts["operations"]:
        step = STEPS.get(operation["name"])
        if step is None:
            case.not_built(f"operation {operation['name']!r} of {case.kind}")
        names = operation["array"] if isinstance(operation["array"], list) else [operation["array"]]
        for name, value in zip(names, step(case, operation, given), strict=True):
            case.check(name, value)
            results[name] = value
    case.finish()


# Masks, positions, tokens


def image_mask(case: Case, operation: dict[str, Any], given: Given) -> list[Tensor]:
    """Padding of a batch of pictures of these sizes."""
    nothing = Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    samples = [
        Sample((torch.zeros(3, *size),), (True,), tuple(size), tuple(size), nothing, index, str(index))
        for index, size in enumerate(operation["parameters"]["image_sizes"])
    ]
    batch, _ = collate(samples, reference=0)
    return [batch.spectra[0].padding]


def level_mask(case: Case, operation: dict[str, Any], given: Given) -> list[Tensor]:
    require(case, operation["parameters"], interpolation="nearest")
    level = torch.zeros(1, 1, *operation["parameters"]["size"])
    return level_padding(given(operation["input"]).bool(), [level])


def sine_position(case: Case, operation: dict[str, Any], given: Given) -> list[Tensor]:
    parameters = operation["parameters"]
    temperature = parameters["temperature_y"]
    require(case, parameters, temperature_x=temperature, normalize=True, scale="2*pi", eps=1e-6)
    positions = SinePositions(2 * parameters["channels_per_axis"], temperature)
    return [positions(given(operation["input"]).bool())]


def ratios(case: Case, operation: dict[str, Any], given: Given) -> list[Tensor]:
    return [valid_ratios([given(name).bool() for name in operation["input"]])]


def references(case: Case, operation: dict[str, Any], given: Given) -> list[Tensor]:
    sizes = [tuple(size) for size in operation["parameters"]["level_shapes"]]
    return [token_references(given(operation["input"][0]), sizes)]


def proposals(case: Case, operation: dict[str, Any], given: Given) -> list[Tensor]:
    parameters = operation["parameters"]
    require(case, parameters, low=0.01, high=0.99)
    padding = torch.cat([given(name).bool().flatten(1) for name in operation["input"]], dim=1)
    sizes = [tuple(size) for size in parameters["level_shapes"]]
    return list(token_anchors(padding, sizes, parameters["base_size"]))


# Boxes


def sigmoid(case: Case, operation: dict[str, Any], given: Given) -> list[Tensor]:
    """The transform of the input has it already."""
    return [given(operation["input"])]


def sine_embedding(case: Case, operation: dict[str, Any], given: Given) -> list[Tensor]:
    parameters = operation["parameters"]
    require(case, parameters, temperature=10000, order=["y", "x", "w", "h"], scale="2*pi")
    return [anchor_code(given(operation["input"]), parameters["channels_per_coordinate"])]


def unsigmoid(case: Case, operation: dict[str, Any], given: Given) -> list[Tensor]:
    return [inverse_sigmoid(given(operation["input"]), operation["parameters"]["eps"])]


def box_iou(case: Case, operation: dict[str, Any], given: Given) -> list[Tensor]:
    parameters = operation["parameters"]
    require(case, parameters, targets="all", box_format="cxcywh")
    found, wanted = (centre_to_corners(given(name)) for name in operation["input"])
    return list(overlaps(found[parameters["image"]][:, None], wanted[None], parameters["eps"]))


# Matching and loss


def first_classes(case: Case, operation: dict[str, Any], given: Given) -> list[Tensor]:
    return [given(operation["input"])[..., : operation["parameters"]["classes"]]]


def hungarian_match(case: Case, operation: dict[str, Any], given: Given) -> list[Tensor]:
    parameters, names = operation["parameters"], operation["input"]
    require(case, parameters, gamma=2)
    image, part = parameters["image"], slice(*parameters["target_range"])
    costs = Costs(classification=parameters["cost_class"], box=parameters["cost_bbox"], giou=parameters["cost_giou"])
    targets = [Targets(given(names["target_boxes"])[part], given(names["labels"])[part].long())]
    logits, boxes = (given(names[name])[image : image + 1] for name in ("logits", "boxes"))
    return list(match(logits, boxes, targets, costs, parameters["alpha"])[0])


def focal_loss(case: Case, operation: dict[str, Any], given: Given) -> list[Tensor]:
    """The criterion matches by itself: boxes are placed so that the given match costs nothing, any other something."""
    parameters, names = operation["parameters"], operation["input"]
    require(case, parameters, gamma=2, reduction="sum over everything divided by num_boxes")
    logits, labels = given(names["logits"]), given(names["labels"]).long()
    boxes, targets = torch.zeros(*logits.shape[:2], 4), []
    for image, (span, pair) in enumerate(zip(parameters["target_ranges"], names["match"], strict=True)):
        chosen, objects = (given(name) for name in pair)
        wanted = torch.linspace(0.2, 0.8, span[1] - span[0])[:, None].expand(-1, 4)
        boxes[image, chosen] = wanted[objects]
        targets.append(Targets(wanted, labels[slice(*span)]))
    criterion = Criterion(Costs(classification=0.0, box=1.0, giou=0.0), LossWeights(focal_alpha=parameters["alpha"]))
    losses, _ = criterion(Predictions(Layers(logits[None], boxes[None]), None, None), targets)
    return [losses.logged["classification"] * len(labels) / parameters["num_boxes"]]


# Detections


def postprocess(case: Case, operation: dict[str, Any], given: Given) -> list[Tensor]:
    """Scores, labels and boxes of every picture."""
    parameters, names = operation["parameters"], operation["input"]
    require(case, parameters, class_agnostic_nms=True)
    found = best_detections(
        given(names["logits"]),
        given(names["boxes"]),
        given(names["target_sizes"]),
        parameters["num_select"],
        parameters["nms_iou_threshold"],
    )
    form = parameters["box_format"]
    return [part for each in found for part in (each.scores, each.labels, box_convert(each.boxes, "xyxy", form))]


STEPS: dict[str, Step] = {
    "image_mask": image_mask,
    "level_mask": level_mask,
    "sine_position": sine_position,
    "valid_ratios": ratios,
    "encoder_reference_points": references,
    "encoder_proposals": proposals,
    "sigmoid": sigmoid,
    "decoder_sine_embedding": sine_embedding,
    "inverse_sigmoid": unsigmoid,
    "box_iou": box_iou,
    "first_classes": first_classes,
    "hungarian_match": hungarian_match,
    "focal_loss": focal_loss,
    "postprocess": postprocess,
}
