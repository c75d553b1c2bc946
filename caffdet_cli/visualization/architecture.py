"""The drawing of a detector: pictures to tokens in the upper band, tokens to detections in the lower one."""

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np

from caffdet_cli.data.demo_scenes import Scene, scene
from caffdet_cli.settings.base import Spectrum
from caffdet_cli.visualization.architecture_queries import lay_queries
from caffdet_cli.visualization.blocks import Block, Box, Diagram, Image, Line, tint
from caffdet_cli.visualization.draw import as_rgb
from caffdet_cli.visualization.outline import Outline
from caffdet_cli.visualization.palette import INK, PALETTE, Colour
from caffdet_cli.visualization.panel import GREY
from caffdet_cli.visualization.text import Picture, line_height

WIDTH = 1200

COLOURS: dict[Spectrum, Colour] = {"rgb": PALETTE[1], "ir": PALETTE[9]}  # as in overlays: visible blue, infrared red
FUSED: Colour = PALETTE[8]
TOKENS: Colour = PALETTE[7]

_EDGE = 24  # free pixels around everything
_TITLE, _NAME, _SMALL = 22, 18, 15  # sizes of letters
_CHIP = 26  # height of a level of one stream
_STEP = 12  # half of it is between levels
_PAIR_SEED = (1234, 0, 13)  # a scene of the demo


class _Columns(NamedTuple):
    """Left and right edges of the columns."""

    pictures: tuple[int, int]
    backbone: tuple[int, int]
    levels: tuple[int, int]
    fusion: tuple[int, int]
    tokens: tuple[int, int]


_OF_ONE = _Columns((24, 174), (270, 440), (556, 712), (0, 0), (860, 1010))
_OF_TWO = _Columns((24, 164), (208, 372), (446, 592), (640, 834), (898, 1046))


def draw_outline(outline: Outline) -> Picture:
    """(H, 1200, 3) RGB."""
    diagram, height = lay_out(outline)
    return diagram.paint(height)


def lay_out(outline: Outline) -> tuple[Diagram, int]:
    """Where everything is, and how high the drawing is."""
    diagram = Diagram(WIDTH)
    top = _EDGE
    if outline.title:
        diagram.say_left(outline.title, _EDGE, top - 6, _TITLE, room=WIDTH - 2 * _EDGE)
        top += line_height(_TITLE) + 4
    rows = _rows(outline, top + line_height(_NAME) + line_height(_SMALL) + 8)
    bottom = _lay_streams(diagram, outline, rows)
    _lay_levels(diagram, outline, rows)
    tokens = _lay_tokens(diagram, outline, rows)
    return diagram, lay_queries(diagram, outline, tokens, bottom + 14) + _EDGE


def _rows(outline: Outline, top: int) -> list[Box]:
    """The room of each level, with all its streams."""
    high = _CHIP * len(outline.spectra) + 4 * (len(outline.spectra) - 1)
    gap = _STEP if len(outline.spectra) == 2 else _STEP // 2 + 4
    starts = [top + number * (high + gap) for number in range(len(outline.tokens))]
    left, right = _columns(outline).levels
    return [(left, start, right, start + high) for start in starts]


def _columns(outline: Outline) -> _Columns:
    return _OF_TWO if len(outline.spectra) == 2 else _OF_ONE


def _thumb(outline: Outline) -> tuple[int, int]:
    """Height and width of the small pictures, of the true shape within limits."""
    left, right = _columns(outline).pictures
    height, width = outline.size
    share = min((right - left) / width, 112 / height)
    return max(40, round(height * share)), max(40, round(width * share))


def _lay_streams(diagram: Diagram, outline: Outline, rows: list[Box]) -> int:
    """Pictures and backbones, with lines to the levels; returns the lowest edge of all this and the levels."""
    streams, (high, wide), columns = len(outline.spectra), _thumb(outline), _columns(outline)
    each = max(high + 34, (rows[-1][3] - rows[0][1]) // streams)
    top = rows[0][1] + max(0, (rows[-1][3] - rows[0][1] - each * streams) // 2)
    shared = outline.shared or streams == 1
    heights = []
    for number, spectrum in enumerate(outline.spectra):
        colour = COLOURS[spectrum]
        image = top + each * number + max(0, (each - high - 28) // 2)
        left, y = (
            (columns.pictures[0] + columns.pictures[1] - wide) // 2,
            _free_height(image + high // 2, rows, streams),
        )
        diagram.images.append(Image(_small(spectrum, (high, wide)), left, image, colour))
        words = f"{spectrum}  3 x {outline.size[0]} x {outline.size[1]}"
        diagram.say(words, sum(columns.pictures) // 2, image + high + 5, _SMALL, INK, 170)
        diagram.lines.append(Line([(left + wide + 4, y), (columns.backbone[0], y)], colour))
        if not shared:
            _lay_backbone(diagram, outline, (columns.backbone[0], y - 56, columns.backbone[1], y + 56), colour)
        _lay_bus(diagram, outline, rows, number, y)
        heights.append(y)
    if shared:
        colour = COLOURS[outline.spectra[0]] if streams == 1 else GREY
        box = (columns.backbone[0], min(heights) - 60, columns.backbone[1], max(heights) + 60)
        _lay_backbone(diagram, outline, box, colour)
    return max(rows[-1][3], image + high + 8 + line_height(_SMALL))


def _free_height(y: int, rows: list[Box], streams: int) -> int:
    """The height nearest to `y` at which a line to a bus covers no line from a bus."""
    taps = [tap for stream in range(streams) for tap in _taps(rows, stream)] if streams > 1 else []
    return min(range(y - 20, y + 21), key=lambda at: (any(abs(at - tap) < 8 for tap in taps), abs(at - y)))


def _taps(rows: list[Box], stream: int) -> list[int]:
    """Heights of the levels of a stream."""
    return [row[1] + stream * (_CHIP + 4) + _CHIP // 2 for row in rows]


def _lay_backbone(diagram: Diagram, outline: Outline, box: Box, colour: Colour) -> None:
    diagram.blocks.append(Block(box, tint(colour, 0.14), colour))
    middle, line = (box[0] + box[2]) // 2, line_height(_SMALL)
    both = outline.shared and len(outline.spectra) == 2
    lines = [*(["one for both"] if both else []), *(each.shape for each in outline.maps)]
    top = (box[1] + box[3] - line_height(_NAME) - len(lines) * line) // 2
    diagram.say(outline.backbone, middle, top, _NAME, room=box[2] - box[0] - 12)
    for number, words in enumerate(lines):
        diagram.say(words, middle, top + line_height(_NAME) + number * line, _SMALL, GREY, box[2] - box[0] - 12)


def _lay_bus(diagram: Diagram, outline: Outline, rows: list[Box], stream: int, y: int) -> None:
    """From a backbone at height `y` to the levels of one stream."""
    start, colour = _columns(outline).backbone[1], COLOURS[outline.spectra[stream]]
    x = start + (56 if len(outline.spectra) == 1 else 22 + 18 * stream)
    taps = _taps(rows, stream)
    diagram.lines.append(Line([(start, y), (x, y)], colour, arrow=False))
    diagram.lines.append(Line([(x, min(y, *taps)), (x, max(y, *taps))], colour, arrow=False))
    for tap in taps:
        diagram.lines.append(Line([(x, tap), (rows[0][0], tap)], colour))


def _lay_levels(diagram: Diagram, outline: Outline, rows: list[Box]) -> None:
    """Levels of each stream, and the fusion of each level."""
    head = rows[0][1] - line_height(_NAME) - line_height(_SMALL) - 5
    middle = sum(_columns(outline).levels) // 2
    diagram.say("neck", middle, head, _NAME)
    diagram.say("1x1, 3x3 convolutions", middle, head + line_height(_NAME), _SMALL, GREY, 190)
    for row, level in zip(rows, outline.levels, strict=True):
        for number, spectrum in enumerate(outline.spectra):
            top, colour = row[1] + number * (_CHIP + 4), COLOURS[spectrum]
            diagram.blocks.append(Block((row[0], top, row[2], top + _CHIP), tint(colour, 0.22), colour))
            diagram.say(level.shape, middle, top + 2, _SMALL, INK, row[2] - row[0] - 8)
    if outline.fusions:
        _lay_fusions(diagram, outline, rows, head)


def _lay_fusions(diagram: Diagram, outline: Outline, rows: list[Box], head: int) -> None:
    left, right = _columns(outline).fusion
    middle, room = (left + right) // 2, right - left
    diagram.say("fusion", middle, head, _NAME)
    diagram.say("level by level", middle, head + line_height(_NAME), _SMALL, GREY, room)
    for row, fusion in zip(rows, outline.fusions, strict=True):
        for number, spectrum in enumerate(outline.spectra):
            y = row[1] + number * (_CHIP + 4) + _CHIP // 2
            diagram.lines.append(Line([(row[2], y), (left, y)], COLOURS[spectrum]))
        box = (left, row[1], right, row[3])
        diagram.blocks.append(Block(box, tint(FUSED, 0.16), FUSED))
        top = (row[1] + row[3] - line_height(_NAME) - line_height(_SMALL)) // 2
        diagram.say(fusion.name, middle, top, _NAME, INK, room - 12)
        diagram.say(fusion.about, middle, top + line_height(_NAME), _SMALL, GREY, room - 12)


def _lay_tokens(diagram: Diagram, outline: Outline, rows: list[Box]) -> Box:
    """One column of all tokens, with the share of each level; its box."""
    head = rows[0][1] - line_height(_NAME) - line_height(_SMALL) - 5
    columns = _columns(outline)
    middle, end = sum(columns.tokens) // 2, columns.fusion[1] if outline.fusions else columns.levels[1]
    colour = FUSED if outline.fusions else COLOURS[outline.spectra[0]]
    diagram.say("tokens", middle, head, _NAME)
    diagram.say(outline.memory, middle, head + line_height(_NAME), _SMALL, GREY)
    for row, tokens, stride in zip(rows, outline.tokens, outline.strides, strict=True):
        centre = (row[1] + row[3]) // 2
        diagram.lines.append(Line([(end, centre), (columns.tokens[0], centre)], colour))
        box = (columns.tokens[0], centre - _CHIP // 2, columns.tokens[1], centre + _CHIP // 2)
        diagram.blocks.append(Block(box, tint(TOKENS, 0.2), TOKENS))
        diagram.say(f"{tokens} x {outline.width}", middle, centre - _CHIP // 2 + 2, _SMALL, INK, box[2] - box[0] - 8)
        diagram.say_left(f"stride {stride}", box[2] + 12, centre - _CHIP // 2 + 2, _SMALL, GREY)
    return columns.tokens[0], (rows[0][1] + rows[0][3]) // 2, columns.tokens[1], rows[-1][3]


@cache
def _pair() -> Scene:
    return scene(_PAIR_SEED, (240, 300))


def _small(spectrum: Spectrum, size: tuple[int, int]) -> Picture:
    """A picture of the demo; its colours are coarse, so that files stay small."""
    height, width = size
    picture = as_rgb(getattr(_pair(), spectrum))
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small // 8 * 8 + 4, np.uint8)
