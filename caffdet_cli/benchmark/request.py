"""What is asked of `caffdet benchmark`. Nothing here imports torch, except to read a checkpoint."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from caffdet_cli.errors import ConfigError
from caffdet_cli.settings import model as schema
from caffdet_cli.settings.load import load_config
from caffdet_cli.settings.model import Model

if TYPE_CHECKING:
    from caffdet_cli.inference.predictor import Given

_LARGEST_SIDE = 16384


@dataclass(frozen=True)
class Subject:
    """What is measured."""

    name: str
    model: Model
    weights: str | None = None
    fusion: str = ""  # where fusions are compared: which one

    @property
    def title(self) -> str:
        return f"{self.name}, {self.fusion}" if self.fusion else self.name


def check_request(
    models: Sequence[str],
    weights: str | None,
    overrides: Sequence[str],
    size: str | None,
    spectrum: "Given | None",
    fusions: bool,
) -> None:
    """Refuse what can be refused without torch, which takes seconds to import. Arguments are those of `benchmark`.

    Raises:
        ConfigError: a model, size or spectrum that does not exist or does not fit.
    """
    if size is not None:
        parsed_size(size)
    if weights is not None:
        refuse_beside_weights(models, overrides, fusions)
    for subject in subjects(models, None, overrides, fusions):
        spectra_given(subject, spectrum)


def refuse_beside_weights(models: Sequence[str], overrides: Sequence[str], fusions: bool) -> None:
    """Refuse what changes the model, where a checkpoint brings its own."""
    if models or overrides or fusions:
        raise ConfigError("--weights brings its own model: leave out --model, --set and --fusions")


def parsed_size(text: str) -> tuple[int, int]:
    """`512x640` -> (512, 640).

    Raises:
        ConfigError: it is not two whole numbers from 1 to 16384.
    """
    pieces = text.lower().split("x")
    if len(pieces) != 2 or not all(piece.isascii() and piece.isdigit() for piece in pieces):
        raise ConfigError(f"--size {text}: write height and width in pixels as HxW, for example 512x640")
    height, width = (int(piece) if len(piece) < 10 else _LARGEST_SIDE + 1 for piece in pieces)
    if not (1 <= height <= _LARGEST_SIDE and 1 <= width <= _LARGEST_SIDE):
        raise ConfigError(f"--size {text}: sides are from 1 to {_LARGEST_SIDE} pixels")
    return height, width


def subjects(models: Sequence[str], weights: str | None, overrides: Sequence[str], fusions: bool) -> Iterator[Subject]:
    """What was asked for, in that order."""
    if weights is not None:
        refuse_beside_weights(models, overrides, fusions)
        from caffdet_cli.weights.load import load_detector

        yield Subject(weights, load_detector(weights).model, weights)
    for name in models:
        model = load_config(model=name, overrides=overrides).config.model
        if not fusions:
            yield Subject(name, model)
            continue
        if len(model.spectra) == 1:
            raise ConfigError(f"--fusions: {name} looks at one spectrum and has no fusion; take a pair model")
        for fusion in fusion_names():
            own = ["model.fusion_levels=[]"] if model.fusion_levels else []
            own += [] if fusion == model.fusion.name else [f"model.fusion.name={fusion}"]
            yield Subject(name, load_config(model=name, overrides=[*overrides, *own]).config.model, fusion=fusion)
        alone = [
            *overrides,
            "model.fusion_levels=[]",
            "model.fusion.name=none",
            f'model.spectra=["{model.spectra[0]}"]',
        ]
        single = load_config(model=name, overrides=alone).config.model
        yield Subject(name, single, fusion=f"none, {model.spectra[0]} alone")


def fusion_names() -> list[str]:
    """Every fusion that the settings know, without the one that stands for a single spectrum."""
    kinds = get_args(get_args(schema.Fusion)[0])
    return [kind.model_fields["name"].default for kind in kinds if kind is not schema.NoFusion]


def spectra_given(subject: Subject, spectrum: "Given | None") -> "Given":
    """What the detector is shown.

    Raises:
        ConfigError: it has no such spectrum.
    """
    own = subject.model.spectra
    usual: Given = "pair" if len(own) == 2 else own[0]
    if spectrum is None or spectrum == usual or subject.fusion.startswith("none"):
        return usual
    if len(own) == 1:
        raise ConfigError(f"--spectrum {spectrum}: {subject.name} looks at {own[0]} pictures alone")
    return spectrum
