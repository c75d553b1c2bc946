"""Writing YOLO: a label file per picture and data.yaml, as `yolo_text` and `yolo_names` read them."""

from collections.abc import Mapping, Sequence

from caffdet_cli.data.annotations import Example
from caffdet_cli.data.formats.layout import SplitName

_DECIMALS = 10  # of the picture's side: a ten-thousandth of a pixel of the largest picture


def yolo_text(example: Example, classes: Sequence[int]) -> str:
    """The label file of one picture or pair; empty where there is no object.

    Args:
        classes: number of each label's class in data.yaml.
    """
    lines = []
    for label, (left, top, right, bottom) in zip(
        example.objects.labels.tolist(), example.objects.boxes.tolist(), strict=True
    ):
        across, down = example.width, example.height
        sides = ((left + right) / 2 / across, (top + bottom) / 2 / down, (right - left) / across, (bottom - top) / down)
        lines.append(" ".join([str(classes[label]), *map(_fraction, sides)]))
    return "".join(f"{line}\n" for line in lines)


def data_yaml(splits: Mapping[SplitName, str], classes: Sequence[str], made_by: str) -> str:
    """The file that says where the pictures of each split are, and the names of the classes.

    Args:
        splits: folder of each split's pictures, relative to the file.
    """
    places = [f"{split}: {_quoted(place)}" for split, place in splits.items()]  # without `path`: the file's own folder
    names = [f"  {number}: {_quoted(name)}" for number, name in enumerate(classes)]
    return "\n".join([f"# {made_by}", *places, "names:", *names]) + "\n"


def _fraction(value: float) -> str:
    return f"{value:.{_DECIMALS}f}".rstrip("0").rstrip(".")


def _quoted(text: str) -> str:
    """Text in YAML's double quotes, whatever it holds."""
    signs = (f"\\U{ord(sign):08x}" if not sign.isprintable() else sign for sign in text)
    return '"' + "".join(f"\\{sign}" if sign in '"\\' else sign for sign in signs) + '"'
