"""A detector as a drawing: its parts in words, and the shapes of one forward pass that is made without numbers."""

from pathlib import Path

import torch
from PIL import Image
from torch._subclasses.fake_tensor import FakeTensorMode

from caffdet_cli.benchmark.counting import blank_batch
from caffdet_cli.benchmark.report import usual_size
from caffdet_cli.benchmark.shapes import Seen, watch
from caffdet_cli.errors import CaffdetError, ConfigError, OutputError
from caffdet_cli.models.build import detector
from caffdet_cli.paths import whole_file
from caffdet_cli.settings import model as schema
from caffdet_cli.settings.model import Model
from caffdet_cli.visualization.architecture import draw_outline
from caffdet_cli.visualization.outline import Outline, Part
from caffdet_cli.visualization.sheet import save_picture
from caffdet_cli.visualization.text import Picture

_ROOMY = (1024, 1024)  # a network that does not run at this size is broken, not fed with too small pictures
_COLOURS = 256  # of a PNG file


def draw_model(settings: Model, size: tuple[int, int] | None = None, *, title: str = "") -> Picture:
    """Draw the way of a picture or pair through a detector, with the shapes.

    Args:
        size: height and width of the picture, as the network sees it; None: what it makes of one of 1024x1280.
        title: written above the drawing.

    Returns:
        (H, 1200, 3) RGB; the height follows from the model.

    Raises:
        ConfigError: the picture is too small for the network.
    """
    return draw_outline(outline(settings, size or usual_size(settings), title=title))


def save_model_drawing(
    settings: Model, target: Path, size: tuple[int, int] | None = None, *, title: str = "", overwrite: bool = False
) -> tuple[int, int]:
    """`draw_model` into a file: PNG, with few colours so that it is small, or JPEG.

    Args:
        size: as of `draw_model`.

    Returns:
        The size of the picture that is drawn.

    Raises:
        ConfigError: the picture is too small for the network.
        OutputError: the file is there already, has another ending, or cannot be written.
        DiskFull: there is no room.
    """
    if target.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise OutputError(f"cannot write {target}: drawings are written as .png or .jpg")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists; choose another file or add --overwrite")
    size = size or usual_size(settings)
    picture = draw_model(settings, size, title=title)
    if target.suffix.lower() != ".png":
        save_picture(picture, target)
        return size
    few = Image.fromarray(picture).quantize(_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    with whole_file(target) as part:
        few.save(part, "PNG", optimize=True)
    return size


def outline(settings: Model, size: tuple[int, int], *, title: str = "") -> Outline:
    """What a drawing shows: every shape is taken from a forward pass, with tensors that have no numbers.

    Raises:
        ConfigError: the picture is too small for the network.
    """
    try:
        return described(settings, size, title, _seen(settings, size))
    except CaffdetError as error:  # the network's own word about small pictures
        raise ConfigError(f"pictures of {size[0]}x{size[1]} do not suit this model: {error}") from error
    except (RuntimeError, ValueError) as error:
        _seen(settings, _ROOMY)  # if this fails too, it is not for the size
        reason = (str(error).splitlines() or [""])[0].rstrip(".")
        raise ConfigError(f"pictures of {size[0]}x{size[1]} are too small for this model: {reason}") from error


def _seen(settings: Model, size: tuple[int, int]) -> Seen:
    with torch.device("meta"):
        network = detector(settings, settings.outputs or 1).eval()
    with FakeTensorMode(allow_non_fake_inputs=True):  # unlike the meta device it has autocast
        network.to_empty(device="cpu")
        return watch(network, blank_batch(len(settings.spectra), *size), settings)


def described(settings: Model, size: tuple[int, int], title: str, seen: Seen) -> Outline:
    """Shapes, and words for what is particular about the parts."""
    selection, learned = _selection(settings)
    most = seen.logits[0] * settings.outputs if settings.outputs else settings.detections  # 0: any number of classes
    return Outline(
        title=title,
        size=size,
        spectra=settings.spectra,
        backbone=_backbone(settings.backbone),
        shared=settings.shared_backbone,
        maps=tuple(seen.maps),
        levels=tuple(seen.levels),
        strides=_strides(settings),
        fusions=tuple(_fusion(each) for each in settings.fusions),
        tokens=tuple(seen.tokens),
        width=seen.width,
        encoder=_encoder(settings),
        steps=tuple(seen.steps),
        selection=selection,
        learned=learned,
        queries=seen.queries,
        extra=tuple(_extra(settings, seen)),
        decoder=_decoder(settings),
        states=tuple(seen.states),
        logits=seen.logits,
        boxes=seen.boxes,
        any_classes=settings.outputs == 0,
        detections=min(settings.detections, most),
    )


def _strides(settings: Model) -> tuple[int, ...]:
    """Of each level; further ones each halve the last map of the backbone."""
    stages = list(settings.backbone.levels)
    stages += range(stages[-1] + 1, stages[-1] + 1 + settings.levels - len(stages))
    return tuple(4 << stage for stage in stages)


def _backbone(settings: schema.Backbone) -> str:
    match settings:
        case schema.ResNet(depth=depth):
            return f"ResNet-{depth}"
        case schema.Swin(size=name):
            return f"Swin-{name[0].upper()}"


def _fusion(settings: schema.PairFusion) -> Part:
    match settings:
        case schema.CaffLite(stages=stages):
            return Part(settings.name, f"{stages} x row attention")
        case schema.CaffHierarchical(stages=stages, kernels=kernels):
            return Part(settings.name, f"{stages} x scales {', '.join(map(str, kernels))}")
        case schema.AddFusion():
            return Part(settings.name, "sum of both")
        case schema.ConcatFusion():
            return Part(settings.name, "joined, 1x1 conv")


def _attention(settings: Model, heads: int, points: int) -> str:
    kind = "key-aware" if settings.key_aware else "deformable"
    return f"{kind} attention, {heads} heads, {points} points"


def _encoder(settings: Model) -> Part:
    parts = settings.encoder
    name = "interleaved encoder" if isinstance(parts, schema.InterleavedEncoder) else "deformable encoder"
    return Part(name, _attention(settings, parts.heads, parts.points))


def _selection(settings: Model) -> tuple[Part, bool]:
    """What the queries are, and whether they are learned, whatever the picture."""
    match settings.decoder:
        case schema.DinoDecoder():
            return Part("box of the token", "content learned"), False
        case schema.DeformableDecoder(two_stage=True, mixed_selection=mixed):
            return Part("box of the token", "content learned" if mixed else "content from the box"), False
        case schema.DeformableDecoder():
            return Part("reference points", "content learned"), True


def _decoder(settings: Model) -> Part:
    parts = settings.decoder
    moves = isinstance(parts, schema.DinoDecoder) or parts.refine
    about = "layers move the boxes" if moves else "reference points stay"
    return Part(about, _attention(settings, parts.heads, parts.points))


def _extra(settings: Model, seen: Seen) -> list[Part]:
    """Queries that are there in training only."""
    found = []
    if seen.noised:
        each = "" if settings.denoising.number >= 50 else " for each object"
        found.append(Part(f"about {seen.noised} denoising queries{each}", "objects with noise, to be found again"))
    if seen.one_to_many and isinstance(settings.decoder, schema.DeformableDecoder):
        about = f"each object is wanted {settings.decoder.repeats} times"
        found.append(Part(f"{seen.one_to_many} one-to-many queries", about))
    return found
