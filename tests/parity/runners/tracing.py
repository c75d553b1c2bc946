"""What modules of a running network return, read by tables: recorded name -> module path and what to take from it.

`#` in a path or name stands for a number: `encoder.layers.#` are all layers, `src_#` the entries of a list. What is
not there in this run (denoising queries in evaluation) is read as None.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from harness import Case
from torch import Tensor, nn

Reading = tuple[str, Callable[[Any], Any]]
Table = dict[str, Reading]


def whole(output: Any) -> Any:
    """All that the module returns."""
    return output


@contextmanager
def traced(network: nn.Module, table: Table) -> Iterator[dict[str, Any]]:
    """Outputs of the table's modules by path, filled while `network` runs; the path of the network itself is ""."""
    patterns = [re.compile(re.escape(path).replace(r"\#", r"\d+")) for path, _ in table.values()]
    outputs: dict[str, Any] = {}

    def keep(path: str) -> Callable[..., None]:
        return lambda module, inputs, output: outputs.__setitem__(path, output)

    hooks = [
        module.register_forward_hook(keep(path))
        for path, module in network.named_modules()
        if any(pattern.fullmatch(path) for pattern in patterns)
    ]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def check_table(case: Case, outputs: Mapping[str, Any], table: Table) -> None:
    """Compare everything that the table reads with what was recorded under its name."""
    for name, (path, take) in table.items():
        if "#" in path:
            value: Any = {number: take(output) for number, output in _numbered_outputs(outputs, path)}
        else:
            value = take(outputs[path])
        if value is None:
            continue
        for number, entry in _numbered(value) if "#" in name else [("", value)]:
            case.check(name.replace("#", str(number)), entry)


def _numbered_outputs(outputs: Mapping[str, Any], path: str) -> Iterator[tuple[int, Any]]:
    pattern = re.compile(re.escape(path).replace(r"\#", r"(\d+)"))
    for name, output in outputs.items():
        if found := pattern.fullmatch(name):
            yield int(found[1]), output


def _numbered(value: Mapping[int, Tensor] | Iterable[Tensor]) -> Iterable[tuple[int | str, Tensor]]:
    return value.items() if isinstance(value, Mapping) else enumerate(value)
