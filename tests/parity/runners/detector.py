"""Detector cases of both families: one forward pass in evaluation mode, or one training step. Only names differ.

A family's `Spelling` (`lite_dino.py`, `caff_dino.py`) says how its cases call what is recorded, its table which module
returns it.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from harness import Case
from torch import Tensor

from caffdet_cli.kernels import choice
from caffdet_cli.losses.detection import Criterion, Matches
from caffdet_cli.models.denoising import denoising_queries
from caffdet_cli.models.detector import Detector
from caffdet_cli.settings import model as schema
from caffdet_cli.values import Batch, DenoisingQueries, Detections, Layers, Losses, Pictures, Predictions, Targets
from caffdet_cli.weights.remap import to_published
from runners.published import filled, keys_of, settings_of
from runners.tracing import Table, check_table, traced

LOSSES = {"classification": "loss_ce", "box": "loss_bbox", "giou": "loss_giou"}
SUFFIXES = {"_denoising": "_dn", "_proposals": "_interm"}


class Spelling(NamedTuple):
    """How a family's cases call things. `{}` is the number of a picture."""

    pictures: tuple[str, ...]  # prefix of the inputs of each stream
    target: tuple[str, str]  # arrays of boxes and of labels
    sizes: Callable[[Case], Any]  # (height, width) for post-processing
    detections: tuple[str, str, str]  # arrays of scores, labels, boxes; without {} they are batched
    match: tuple[str, str]  # arrays of queries and objects; `{}` layer, `{}` picture
    gradient: str  # prefix of gradient arrays
    denoising: tuple[str, str, str]  # entry of case.json, its keys of the number of groups and of queries
    table: Callable[[schema.Model], Table]
    exempt: dict[str, str]  # recorded, but not compared -> reason


def forward(case: Case, spelling: Spelling) -> None:
    """kind detector_forward."""
    settings = settings_of(case)
    detector = filled(case, settings).eval()
    batch, table = batch_of(case, spelling), spelling.table(settings)
    own = force_recorded_choice(case, detector)
    with torch.no_grad(), traced(detector, table) as outputs:
        predictions = detector(batch)
    case.check("topk_indices", own[0])
    check_table(case, outputs, table)
    check_detections(case, spelling, detector, batch, predictions)
    case.finish(spelling.exempt)


def loss(case: Case, spelling: Spelling) -> None:
    """kind detector_loss."""
    settings = settings_of(case)
    noise = settings.denoising
    if noise.label_noise or noise.box_noise or settings.decoder.dropout or settings.encoder.dropout:
        case.not_built("a training step with random numbers")
    detector = filled(case, settings).train()
    batch, table = batch_of(case, spelling), spelling.table(settings)
    targets = targets_of(case, spelling, len(batch.ids))
    freeze(case, detector, settings)
    own = force_recorded_choice(case, detector)
    slots = torch.arange(settings.outputs)
    noised = denoising_queries(targets, slots, noise.number, noise.label_noise, noise.box_noise)
    # In plain mode: a hidden unit that is zero up to rounding decides by its sign about a visible share of a bias'
    # gradient, and only the published operations round as recorded. tests/kernels compare native gradients with plain.
    with choice.implementation("reference"), traced(detector, table) as outputs:
        predictions = detector(batch, noised)
        losses, matches = Criterion(settings.costs, settings.loss)(predictions, targets, noised)
        losses.total.backward()
    case.check("topk_indices", own[0])
    check_table(case, outputs, table)
    check_denoising(case, spelling, noised)
    check_matches(case, spelling, matches)
    check_losses(case, losses, noised)
    check_gradients(case, spelling, detector, settings)
    case.finish(spelling.exempt)


# What goes in


def batch_of(case: Case, spelling: Spelling) -> Batch:
    """The case's pictures; each stream is padded at the bottom and right to its largest height and width."""
    spectra = tuple(padded(stream_of(case, prefix)) for prefix in spelling.pictures)
    ids = list(range(len(spectra[0].pixels)))
    return Batch(spectra, 0, ids, [str(number) for number in ids])


def stream_of(case: Case, prefix: str) -> list[Tensor]:
    """Pictures `<prefix>0`, `<prefix>1`, ... in order."""
    numbers = sorted(int(found[1]) for name in case.inputs if (found := re.fullmatch(prefix + r"(\d+)", name)))
    return [torch.from_numpy(case.input(f"{prefix}{number}")) for number in numbers]


def padded(pictures: list[Tensor]) -> Pictures:
    sizes = torch.tensor([picture.shape[1:] for picture in pictures])
    height, width = sizes.amax(0).tolist()
    pixels = torch.zeros(len(pictures), 3, height, width)
    padding = torch.ones(len(pictures), height, width, dtype=torch.bool)
    for index, picture in enumerate(pictures):
        pixels[index, :, : picture.shape[1], : picture.shape[2]] = picture
        padding[index, : picture.shape[1], : picture.shape[2]] = False
    return Pictures(pixels, padding, torch.ones(len(pictures), dtype=torch.bool), sizes, sizes)


def targets_of(case: Case, spelling: Spelling, pictures: int) -> list[Targets]:
    """The recorded objects of every picture."""
    boxes, labels = spelling.target
    return [
        Targets(
            torch.from_numpy(case.given(boxes.format(index))).float().view(-1, 4),
            torch.from_numpy(case.given(labels.format(index))).long(),
        )
        for index in range(pictures)
    ]


def freeze(case: Case, detector: Detector, settings: schema.Model) -> None:
    """Switch gradients off as the reference's training loop did."""
    frozen = tuple(case.facts.get("frozen_prefixes") or ())
    for name, parameter in to_published(dict(detector.named_parameters()), settings).items():
        if name.startswith(frozen):
            parameter.requires_grad_(False)


def force_recorded_choice(case: Case, detector: Detector) -> list[Tensor]:
    """Let the decoder see the recorded tokens where their order is not safe; what the detector chose itself is kept."""
    choose, own = detector.selection.choose, []
    forced = case.facts.get("compare") == "forced_indices" or case.class_of("topk_indices") == "set"

    def chosen(scores: Tensor) -> Tensor:
        own.append(choose(scores))
        return torch.from_numpy(case.golden["topk_indices"]).long() if forced else own[-1]

    detector.selection.choose = chosen  # type: ignore[method-assign]  # the seam that core.md gives tests
    return own


# What comes out


def check_detections(
    case: Case, spelling: Spelling, detector: Detector, batch: Batch, predictions: Predictions
) -> None:
    """Post-process our predictions; the recorded ones where the order of ours is not safe."""
    first = spelling.detections[0].format(0)
    safe = case.class_of(first) != "set"
    recorded = not safe and case.is_full("pred_logits") and case.is_full("pred_boxes")
    if recorded:
        logits, boxes = (torch.from_numpy(case.golden[name])[None] for name in ("pred_logits", "pred_boxes"))
        predictions = Predictions(Layers(logits, boxes), None, None)
    detector.detections = case.facts["postprocess"]["num_select"]
    sizes = torch.as_tensor(spelling.sizes(case))
    batch = batch._replace(spectra=tuple(each._replace(original_sizes=sizes) for each in batch.spectra))
    for names, values in named(spelling.detections, detector.postprocess(predictions, batch)):
        if safe or recorded:
            for name, value in zip(names, values, strict=True):
                case.check(name, value, ordered=True)
        else:
            case.check_detections(names, *values)


def named(
    names: tuple[str, str, str], found: list[Detections]
) -> list[tuple[tuple[str, str, str], tuple[Tensor, Tensor, Tensor]]]:
    """Names and values of scores, labels and boxes: per picture, or of all pictures at once."""
    ordered = [(each.scores, each.labels, each.boxes) for each in found]
    if "{}" not in names[0]:
        scores, labels, boxes = (torch.stack(each) for each in zip(*ordered, strict=True))
        return [(names, (scores, labels, boxes))]
    scored, labelled, boxed = names
    return [
        ((scored.format(index), labelled.format(index), boxed.format(index)), values)
        for index, values in enumerate(ordered)
    ]


def check_denoising(case: Case, spelling: Spelling, noised: DenoisingQueries | None) -> None:
    """Number of groups and of queries."""
    entry, groups, slots = spelling.denoising
    facts = case.facts.get(entry) or {}
    if groups in facts and noised is not None:
        found = [noised.groups, noised.labels.shape[1]]
        case.check_exact(entry, [facts[groups], facts[slots]], found, "groups, queries")


def check_matches(case: Case, spelling: Spelling, matches: Matches) -> None:
    """Which query got which object, in every layer and among the proposals."""
    *earlier, last = matches.layers
    layers = {**{f"aux{number}": each for number, each in enumerate(earlier)}, "final": last}
    if matches.proposals is not None:
        layers["interm"] = matches.proposals
    for layer, pictures in layers.items():
        for index, pair in enumerate(pictures):
            for name, indices in zip(spelling.match, pair, strict=True):
                case.check(name.format(layer, index), indices)


def check_losses(case: Case, losses: Losses, noised: DenoisingQueries | None) -> None:
    """Every term without and with its weight, and the total."""
    terms = {upstream_name(name): value for name, value in losses.logged.items()}
    weighted = {upstream_name(name): value.detach() for name, value in losses.terms.items()}
    if noised is None:  # upstream then logs denoising terms of 0
        zeros = {
            name: torch.zeros(()) for name in case.losses if "_dn" in name and name.startswith(tuple(LOSSES.values()))
        }
        terms, weighted = {**terms, **zeros}, {**weighted, **zeros}
    case.check_losses(terms, losses.total.detach().reshape(1))
    if case.loss_weights:
        case.check_exact("weights", sorted(set(case.loss_weights) & set(case.losses)), sorted(weighted), "names")
    for name in set(weighted) & set(case.loss_weights):
        expected = case.loss_weights[name] * case.losses[name]
        case.check_value("weights", expected, weighted[name], f"weighted {name}", kind="loss")


def upstream_name(term: str) -> str:
    """`box_denoising_3` -> `loss_bbox_dn_3`; names that are no terms stay."""
    for ours, theirs in SUFFIXES.items():
        term = term.replace(ours, theirs)
    kind, mark, rest = term.partition("_")
    return f"{LOSSES[kind]}{mark}{rest}" if kind in LOSSES else term


def check_gradients(case: Case, spelling: Spelling, detector: Detector, settings: schema.Model) -> None:
    """Norms under the first published name of each parameter, arrays under any."""
    published = to_published(dict(detector.named_parameters()), settings)
    norms: dict[str, float | None] = {}
    seen: set[int] = set()
    for name in keys_of(case):
        parameter = published.get(name)
        if parameter is None:
            continue
        if id(parameter) not in seen:
            norms[name] = None if parameter.grad is None else float(parameter.grad.double().norm())
            seen.add(id(parameter))
        if parameter.grad is not None:
            case.check(spelling.gradient + name, parameter.grad)
    case.check_gradients(norms)
