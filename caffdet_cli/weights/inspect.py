"""What a checkpoint holds and which model it is; nothing is built for it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.model import InterleavedEncoder, Model
from caffdet_cli.weights.known import find_weights
from caffdet_cli.weights.load import beside_released, read_stored, said_args, whole_detector
from caffdet_cli.weights.naming import nearest_shipped, title
from caffdet_cli.weights.published_args import blocks


class Description(NamedTuple):
    """A checkpoint, in words and numbers."""

    path: Path
    written_by: str  # "caffdet", or "published code"
    title: str  # CAFF-DINO with Swin-L, 5 levels
    configuration: str  # the shipped model that takes the whole of it, or empty
    differences: dict[str, tuple[Any, Any]]  # from the nearest shipped model: setting -> (there, here)
    nearest: str
    model: Model
    conventions: Conventions
    tensors: int
    parameters: int
    bytes: int
    entries: Mapping[str, Any]  # of a published file beside its weights: epoch, ema_model, ...

    @property
    def remarks(self) -> list[str]:
        """What a published file does not tell, and where its name tells something else."""
        encoder = self.model.encoder
        told = "enc_scale" in said_args(self.entries)
        entry, apart = beside_released(self.model, self.path, told)
        said = [
            f"it has the name of the released {entry.name!r}, but its {key} is {here} and not {there}"
            for key, (there, here) in apart.items()
            if entry is not None
        ]
        if self.written_by == "caffdet" or not isinstance(encoder, InterleavedEncoder) or (entry and not apart):
            return said
        if said_args(self.entries).get("enc_scale") == 1:
            said.append("it was trained with enc_scale = 1, which is not H2L2: that has enc_scale = 2")
        if not encoder.small_feedforward and blocks(said_args(self.entries)) is None:
            said.append(
                f"the file does not tell encoder.blocks: {encoder.blocks}, every layer full, is assumed "
                "(caffdet weights convert --set model.encoder.blocks=3)"
            )
        if told:
            return said
        return [
            *said,
            f"the file does not tell encoder.high_levels: {encoder.high_levels}, as most have, is assumed; "
            "H2L2 has 2 (caffdet weights convert --set model.encoder.high_levels=2)",
        ]

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **{
                key: value
                for key, value in self._asdict().items()
                if key not in ("path", "model", "conventions", "entries")
            },
            "path": str(self.path),
            "remarks": self.remarks,
            "entries": dict(self.entries),
            "model": self.model.model_dump(mode="json"),
            "conventions": self.conventions.model_dump(mode="json"),
        }


def describe(weights: str) -> Description:
    """Read a checkpoint and say what it is.

    Args:
        weights: a run folder, a checkpoint folder or file, a released name, or an address.

    Raises:
        WeightsError: not at hand, broken, or of an unknown architecture; says what it looks like.
    """
    path = find_weights(weights)
    stored = read_stored(path)
    whole_detector(stored, path)
    nearest, differences = nearest_shipped(stored.model)
    return Description(
        path=path,
        written_by="caffdet" if path.suffix == ".safetensors" else "published code",
        title=title(stored.model),
        configuration="" if differences else nearest,
        differences=differences,
        nearest=nearest,
        model=stored.model,
        conventions=stored.conventions,
        tensors=len(stored.state),
        parameters=sum(each.numel() for each in stored.state.values()),
        bytes=path.stat().st_size,
        entries=stored.entries,
    )
