"""The figures of `configs/paper.toml`. Nothing here imports torch."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from caffdet_cli.errors import ConfigError
from caffdet_cli.paths import shipped
from caffdet_cli.toml_text import parse_toml

if TYPE_CHECKING:
    from caffdet_cli.benchmark.counting import Convention

_CONVENTIONS: tuple["Convention", ...] = ("fvcore", "multiply-adds", "dino-script")
_TOOLS = {
    None: "parameters counted",
    "fvcore": "fvcore",
    "multiply-adds": "torch's FlopCounterMode, halved,",
    "dino-script": "DINO's own tools/benchmark.py",
}


class Case(NamedTuple):
    """Figures of one model that are counted together."""

    name: str  # as the paper calls it
    config: str  # a shipped configuration
    overrides: tuple[str, ...]
    all_boxes: bool  # its code computes the boxes of all tokens, not only of the chosen ones
    paper: str  # that prints the figures
    code: str  # a repository
    recipe: str  # a shipped one, that says what is frozen; "": nothing is asked of it
    counting: "Convention | None"  # None: parameters
    size: tuple[int, int]  # height and width; of parameters 0
    figures: Mapping[str, Mapping[str, float]]  # quantity -> "expected", "published"

    def source(self, values: Mapping[str, float]) -> str:
        """Where the values of one of the figures are from."""
        published = [f"published: {self.paper}"] if "published" in values else []
        expected = [f"expected: {_TOOLS[self.counting]} on {self.code}"] if "expected" in values else []
        return "; ".join(published + expected)


def chosen_cases(models: Sequence[str] = ()) -> list[Case]:
    """The figures of some models, by configuration or by the name in the paper; of none: all.

    Raises:
        ConfigError: there are none of one of them.
    """
    cases = list(published_cases())
    known = {case.config for case in cases}
    for model in models:
        if model not in known | {case.name for case in cases}:
            raise ConfigError(f"--paper has no figures of {model!r}; it has those of {', '.join(sorted(known))}")
    return [case for case in cases if not models or case.config in models or case.name in models]


def published_cases() -> Iterator[Case]:
    """The table of figures."""
    table = parse_toml((shipped("configs") / "paper.toml").read_text(encoding="utf-8"))
    for model in table["model"]:
        facts = (
            model["name"],
            model["config"],
            tuple(model.get("set", ())),
            model.get("boxes_of_all_tokens", False),
            model.get("paper", ""),
            model.get("code", ""),
            model.get("recipe", ""),
        )
        if "parameters" in model:
            yield Case(*facts, None, (0, 0), model["parameters"])
        for convention in _CONVENTIONS:
            for size, figures in model.get(convention, {}).items():
                height, width = map(int, size.split("x"))
                yield Case(*facts, convention, (height, width), figures)
