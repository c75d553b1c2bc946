"""caff_dino/detector_forward and detector_loss: CAFF-DINO and CAFF-Lite-DINO on pairs."""

from harness import Case
from torch import Tensor

from caffdet_cli.settings import model as schema
from runners import detector
from runners.lite_dino import denoised
from runners.tracing import Table, whole


def detector_forward(case: Case) -> None:
    """One pass in evaluation mode."""
    detector.forward(case, SPELLING)


def detector_loss(case: Case) -> None:
    """One training step with frozen backbones."""
    detector.loss(case, SPELLING)


def readings(settings: schema.Model) -> Table:
    """`visible` is the first stream, which in published files is the infrared one."""
    return {
        **backbones(settings),
        "proj_visible.#": ("pyramid.necks.0", whole),
        "proj_ir.#": ("pyramid.necks.1", whole),
        "src_corr.#": ("pyramid.fusions.#.reduce", whole),
        "fused.#": ("pyramid.fusions.#", whole),
        "pos.#": ("pyramid", lambda levels: levels.positions),
        "mask.#": ("pyramid", lambda levels: levels.padding),
        "memory": ("encoder", whole),
        "enc_max_logit": ("selection.class_head", lambda logits: logits.amax(-1)),
        "init_box_proposal": ("", lambda predictions: initial(predictions.proposals.anchors, settings)),
        "interm_logits": ("", lambda predictions: predictions.proposals.logits),
        "interm_boxes": ("", lambda predictions: predictions.proposals.boxes),
        "decoder.#.logits": ("", lambda predictions: predictions.matching.logits),
        "decoder.#.boxes": ("", lambda predictions: predictions.matching.boxes),
        "pred_logits": ("", lambda predictions: predictions.matching.logits[-1]),
        "pred_boxes": ("", lambda predictions: predictions.matching.boxes[-1]),
        "dn.pred_logits": ("", lambda predictions: denoised(predictions, "logits")),
        "dn.pred_boxes": ("", lambda predictions: denoised(predictions, "boxes")),
    }


def initial(anchors: Tensor, settings: schema.Model) -> Tensor:
    """Lite-DETR's code records them before the sigmoid, DINO's after it."""
    return anchors.sigmoid() if isinstance(settings.encoder, schema.DeformableEncoder) else anchors


def backbones(settings: schema.Model) -> Table:
    """Maps of each stream; a shared backbone takes both streams at once, the first one first."""
    if not settings.shared_backbone:
        return {"backbone_visible.#": ("pyramid.backbones.0", whole), "backbone_ir.#": ("pyramid.backbones.1", whole)}
    return {
        "backbone_visible.#": ("pyramid.backbones.0", lambda maps: [each.chunk(2)[0] for each in maps]),
        "backbone_ir.#": ("pyramid.backbones.0", lambda maps: [each.chunk(2)[1] for each in maps]),
    }


SPELLING = detector.Spelling(
    pictures=("image", "image_ir"),
    target=("target.{}.boxes", "target.{}.labels"),
    sizes=lambda case: case.facts["target_sizes"],
    detections=("post.scores", "post.labels", "post.boxes"),
    match=("match.{}.{}.query", "match.{}.{}.target"),
    gradient="grad:",
    denoising=("denoising", "groups", "pad_size"),
    table=readings,
    exempt={},
)
