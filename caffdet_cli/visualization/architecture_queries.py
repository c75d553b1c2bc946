"""The lower band of a detector's drawing: encoder, selection of queries, decoder, heads, detections."""

from caffdet_cli.visualization.blocks import Block, Box, Diagram, Line, tint
from caffdet_cli.visualization.outline import EncoderStep, Outline
from caffdet_cli.visualization.palette import INK, PALETTE, PAPER, Colour
from caffdet_cli.visualization.panel import GREY
from caffdet_cli.visualization.text import line_height, width_of

TOKENS: Colour = PALETTE[7]
QUERIES: Colour = PALETTE[6]
ANSWER: Colour = PALETTE[3]

_NAME, _SMALL = 18, 15  # sizes of letters
_CELL, _BETWEEN = 18, 5  # height of a level in the encoder's strip, and what is free below it

# Left and right edges of the columns.
_ENCODER = (24, 424)
_SELECTION = (464, 646)
_DECODER = (690, 902)
_HEADS = (936, 1050)
_ANSWER = (1088, 1176)


def lay_queries(diagram: Diagram, outline: Outline, tokens: Box, top: int) -> int:
    """Below `top`; `tokens` is the box of the tokens in the upper band. Returns where the lowest part ends."""
    begin = top + 28
    end = begin + 12 + 3 * line_height(_SMALL) + line_height(_NAME) + len(outline.tokens) * (_CELL + _BETWEEN) + 8
    end = max(end, begin + 190)
    x, middle = (tokens[0] + tokens[2]) // 2, (_ENCODER[0] + _ENCODER[1]) // 2
    way = [(x, tokens[1]), (x, top + 4), (middle, top + 4), (middle, begin)]
    diagram.lines.append(Line(way, TOKENS))
    _lay_encoder(diagram, outline, (_ENCODER[0], begin, _ENCODER[1], end))
    _lay_selection(diagram, outline, (_SELECTION[0], begin + 58, _SELECTION[1], end), begin + 34)
    _lay_decoder(diagram, outline, (_DECODER[0], begin, _DECODER[1], end))
    _lay_answer(diagram, outline, begin, end)
    return _lay_training(diagram, outline, end)


def _lay_encoder(diagram: Diagram, outline: Outline, box: Box) -> None:
    """A strip with a row for each level and a column for each layer."""
    diagram.blocks.append(Block(box, tint(TOKENS, 0.1), TOKENS))
    middle, room = (box[0] + box[2]) // 2, box[2] - box[0] - 24
    diagram.say(f"{outline.encoder.name}, {len(outline.steps)} layers", middle, box[1] + 6, _NAME, INK, room)
    diagram.say(outline.encoder.about, middle, box[1] + 6 + line_height(_NAME), _SMALL, GREY, room)
    top = box[1] + 12 + line_height(_NAME) + line_height(_SMALL)
    left, right = box[0] + 92, box[2] - 16
    pitch = (right - left) / len(outline.steps)
    for level, stride in enumerate(outline.strides):
        y = top + level * (_CELL + _BETWEEN)
        diagram.say_left(f"stride {stride}", box[0] + 14, y - 2, _SMALL, GREY, 72)
        first = sum(outline.tokens[:level])
        for number, step in enumerate(outline.steps):
            cell = (round(left + number * pitch) + 2, y, round(left + (number + 1) * pitch) - 2, y + _CELL)
            fill = _fill(step, first, sum(outline.tokens))
            diagram.blocks.append(Block(cell, fill, TOKENS if fill != PAPER else tint(TOKENS, 0.35), radius=3))
    below = top + len(outline.strides) * (_CELL + _BETWEEN)
    _lay_counts(diagram, outline, left, pitch, below)
    _lay_legend(diagram, outline, box, below + line_height(_SMALL) + 2)


def _fill(step: EncoderStep, first: int, tokens: int) -> Colour:
    """Of a level that begins at token `first`."""
    if first < tokens - step.updated:
        return PAPER
    return tint(TOKENS, 0.38) if first < step.narrow else tint(TOKENS, 0.85)


def _lay_counts(diagram: Diagram, outline: Outline, left: int, pitch: float, top: int) -> None:
    """How many tokens each layer updates; of many layers only the numbers that occur."""
    counts = [step.updated for step in outline.steps]
    if max(width_of(str(count), 13) for count in counts) + 6 <= pitch:
        for number, count in enumerate(counts):
            diagram.say(str(count), round(left + (number + 0.5) * pitch), top, 13)
        diagram.say_left("tokens", _ENCODER[0] + 14, top, 13, GREY)
        return
    words = " or ".join(map(str, sorted(set(counts)))) + " tokens a layer"
    diagram.say_left(words, _ENCODER[0] + 14, top, 13, INK, _ENCODER[1] - _ENCODER[0] - 28)


def _lay_legend(diagram: Diagram, outline: Outline, box: Box, top: int) -> None:
    entries = [("updated", tint(TOKENS, 0.85))]
    if any(step.narrow for step in outline.steps):
        entries.append(("by a narrow network", tint(TOKENS, 0.38)))
    if any(step.updated < sum(outline.tokens) for step in outline.steps):
        entries.append(("only read", PAPER))
    x = box[0] + 14
    for words, colour in entries:
        diagram.blocks.append(Block((x, top + 3, x + 20, top + 17), colour, TOKENS, radius=3))
        diagram.say_left(words, x + 26, top, 13, GREY)
        x += 26 + width_of(words, 13) + 14


def _lay_selection(diagram: Diagram, outline: Outline, box: Box, above: int) -> None:
    """Where the queries come from; the memory passes by at the height `above`."""
    middle, room = (box[0] + box[2]) // 2, box[2] - box[0] - 12
    between = (_ENCODER[1] + _DECODER[0]) // 2
    diagram.lines.append(Line([(_ENCODER[1], above), (_DECODER[0], above)], TOKENS))
    diagram.say(f"memory {outline.memory}", between, above - line_height(_SMALL) - 1, _SMALL, INK, room + 60)
    centre = (box[1] + box[3]) // 2
    if not outline.learned:
        diagram.lines.append(Line([(_ENCODER[1], centre), (box[0], centre)], TOKENS))
    diagram.lines.append(Line([(box[2], centre), (_DECODER[0], centre)], QUERIES))
    diagram.blocks.append(Block(box, tint(QUERIES, 0.18), QUERIES))
    title, count = "selection", f"best {outline.queries} of {sum(outline.tokens)}"
    if outline.learned:
        title, count = "learned queries", f"{outline.queries}, whatever the picture"
    lines = [count, outline.selection.name, outline.selection.about]
    top = centre - (line_height(_NAME) + len(lines) * line_height(_SMALL)) // 2
    diagram.say(title, middle, top, _NAME, INK, room)
    for number, words in enumerate(lines):
        y = top + line_height(_NAME) + number * line_height(_SMALL)
        diagram.say(words, middle, y, _SMALL, INK if number == 0 else GREY, room)


def _lay_decoder(diagram: Diagram, outline: Outline, box: Box) -> None:
    """A cell for each layer."""
    diagram.blocks.append(Block(box, tint(QUERIES, 0.1), QUERIES))
    middle, room = (box[0] + box[2]) // 2, box[2] - box[0] - 16
    count = len(outline.states)
    lines = [f"{outline.states[-1]} x {outline.width}", outline.decoder.name, *outline.decoder.about.split(", ", 1)]
    high = line_height(_NAME) + len(lines) * line_height(_SMALL) + 34
    top = (box[1] + box[3] - high) // 2
    diagram.say(f"decoder, {count} layers", middle, top, _NAME, INK, room)
    left, pitch = box[0] + 18, (box[2] - box[0] - 36) / count
    strip = top + line_height(_NAME) + 4
    for number in range(count):
        cell = (round(left + number * pitch) + 2, strip, round(left + (number + 1) * pitch) - 2, strip + 22)
        diagram.blocks.append(Block(cell, tint(QUERIES, 0.75), QUERIES, radius=3))
    for number, words in enumerate(lines):
        y = strip + 30 + number * line_height(_SMALL)
        diagram.say(words, middle, y, _SMALL, INK if number == 0 else GREY, room)


def _lay_answer(diagram: Diagram, outline: Outline, begin: int, end: int) -> None:
    """Heads, and boxes in pixels."""
    middle, half = (begin + end) // 2, 34
    classes = "classes" if outline.any_classes else str(outline.logits[1])
    heads = (
        ("class head", f"{outline.logits[0]} x {classes}"),
        ("box head", f"{outline.boxes[0]} x {outline.boxes[1]}"),
    )
    x, room = (_HEADS[0] + _HEADS[1]) // 2, _HEADS[1] - _HEADS[0] - 10
    for number, (name, shape) in enumerate(heads):
        centre = middle + (-44 if number == 0 else 44)
        box = (_HEADS[0], centre - half, _HEADS[1], centre + half)
        diagram.lines.append(Line([(_DECODER[1], centre), (_HEADS[0], centre)], QUERIES))
        diagram.lines.append(Line([(_HEADS[1], centre), (_HEADS[1] + 16, centre)], ANSWER, arrow=False))
        diagram.blocks.append(Block(box, tint(ANSWER, 0.2), ANSWER))
        diagram.say(name, x, centre - 24, _NAME, INK, room)
        diagram.say(shape, x, centre + 2, _SMALL, GREY, room)
    bar = _HEADS[1] + 16
    diagram.lines.append(Line([(bar, middle - 44), (bar, middle + 44)], ANSWER, arrow=False))
    diagram.lines.append(Line([(bar, middle), (_ANSWER[0], middle)], ANSWER))
    box = (_ANSWER[0], middle - 42, _ANSWER[1], middle + 42)
    diagram.blocks.append(Block(box, tint(ANSWER, 0.45), ANSWER))
    x, room = (_ANSWER[0] + _ANSWER[1]) // 2, _ANSWER[1] - _ANSWER[0] - 8
    lines = (f"{outline.detections}", "scored", "boxes")
    for number, words in enumerate(lines):
        top = middle - 36 + (line_height(_NAME) + (number - 1) * line_height(_SMALL) if number else 0)
        diagram.say(words, x, top, _SMALL if number else _NAME, INK, room)


def _lay_training(diagram: Diagram, outline: Outline, top: int) -> int:
    """What is there in training only, dashed."""
    bottom, left = top, _SELECTION[0]
    for part in outline.extra:
        box = (left, bottom + 30, _DECODER[1], bottom + 30 + 52)
        x = (_DECODER[0] + _DECODER[1]) // 2
        diagram.lines.append(Line([(x, box[1]), (x, bottom)], QUERIES, dashed=True))
        diagram.blocks.append(Block(box, PAPER, QUERIES, dashed=True))
        middle, room = (box[0] + box[2]) // 2, box[2] - box[0] - 16
        diagram.say(f"in training: {part.name}", middle, box[1] + 4, _SMALL, INK, room)
        diagram.say(part.about, middle, box[1] + 4 + line_height(_SMALL), _SMALL, GREY, room)
        bottom = box[3]
    return bottom
