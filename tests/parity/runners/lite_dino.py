"""lite_dino/detector_forward and detector_loss: Lite-DINO on one spectrum."""

from harness import Case
from torch import Tensor

from caffdet_cli.models.denoising import attention_mask
from caffdet_cli.settings import model as schema
from caffdet_cli.values import Layers, Predictions, Queries
from runners import detector
from runners.tracing import Table, whole


def detector_forward(case: Case) -> None:
    """One pass in evaluation mode."""
    detector.forward(case, SPELLING)


def detector_loss(case: Case) -> None:
    """One training step."""
    detector.loss(case, SPELLING)


def readings(settings: schema.Model) -> Table:
    """Decoder states, anchors and initial anchors hold denoising queries too; predictions are split."""
    stages = settings.backbone.levels  # upstream counts the maps of a Swin from 0, whatever their stages
    numbers = range(len(stages)) if isinstance(settings.backbone, schema.Swin) else stages
    return {
        "backbone_#": ("pyramid.backbone", lambda maps: dict(zip(numbers, maps, strict=True))),
        "src_#": ("pyramid.neck", whole),
        "pos_#": ("pyramid", lambda levels: levels.positions),
        "mask_#": ("pyramid", lambda levels: levels.padding),
        "enc_layer_#": ("encoder.layers.#", whole),
        "memory": ("encoder", whole),
        "enc_scores": ("selection.class_head", lambda logits: logits.amax(-1)),
        "interm_logits": ("", lambda predictions: predictions.proposals.logits),
        "interm_boxes": ("", lambda predictions: predictions.proposals.boxes),
        "refpoints_unsigmoid": ("denoising", lambda queries: queries.anchors),
        "dn_query_labels": ("denoising", lambda queries: queries.content[:, : slots(queries)]),
        "dn_query_boxes": ("denoising", lambda queries: queries.anchors[:, : slots(queries)]),
        "attn_mask": ("denoising", mask),
        "dec_hs_#": ("decoder", lambda states_and_anchors: states_and_anchors[0]),
        "dec_ref_#": ("decoder", lambda states_and_anchors: states_and_anchors[1]),
        "dec#_logits": ("", lambda predictions: predictions.matching.logits),
        "dec#_boxes": ("", lambda predictions: predictions.matching.boxes),
        "pred_logits": ("", lambda predictions: predictions.matching.logits[-1]),
        "pred_boxes": ("", lambda predictions: predictions.matching.boxes[-1]),
        "dn_pred_logits": ("", lambda predictions: denoised(predictions, "logits")),
        "dn_pred_boxes": ("", lambda predictions: denoised(predictions, "boxes")),
    }


def slots(queries: Queries) -> int:
    """Number of denoising queries, which come first."""
    return sum(group.size for group in queries.groups if group.name != "matching")


def mask(queries: Queries) -> Tensor | None:
    """Who may not see whom, as the decoder makes it from the groups."""
    return attention_mask(queries.groups, queries.content.device)


def denoised(predictions: Predictions, part: str) -> Tensor | None:
    """The last layer's logits or boxes of the denoising queries."""
    layers: Layers | None = predictions.denoising
    return None if layers is None else getattr(layers, part)[-1]


SPELLING = detector.Spelling(
    pictures=("image",),
    target=("target{}_boxes", "target{}_labels"),
    sizes=lambda case: case.given("post_target_sizes"),
    detections=("post{}_scores", "post{}_labels", "post{}_boxes"),
    match=("match_{}_{}_pred", "match_{}_{}_gt"),
    gradient="grad.",
    denoising=("dn", "num_dn_group", "pad_size"),
    table=readings,
    exempt={"dec_ref_6": "refined once more after the last layer; nothing uses it, and it is not computed here"},
)
