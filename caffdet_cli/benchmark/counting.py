"""Parameters and operations of a detector, part by part, from shapes alone: no weights, no pictures, no memory.

Three conventions, one operation being one multiplication with its addition:
- `fvcore`, which the papers of DETR's family print as "FLOPs": convolutions, linear layers and matrix products by their
  multiply-adds, layer and group normalisation 5 per number, batch normalisation in evaluation 2, bilinear sampling
  and resizing 4 per number that comes out, resizing by nearest neighbour 1. Element-wise steps, softmax and frozen
  batch normalisation are not counted.
- `multiply-adds`, half of what torch's FlopCounterMode says: convolutions, linear layers and matrix products.
- `dino-script`, as tools/benchmark.py of DINO's code: `fvcore`, and 1 per number that an element-wise step gives
  (additions, products, ReLU, running sums; frozen batch normalisation is made of them), 5 per number in a softmax.

Two ways of looking at the same weights. Where `published` and `ours` differ, it is in what is computed or counted,
never in the result:
- Heads: the published code predicts from every decoder layer; prepared for inference, ours from the last one.
- Boxes of tokens: DINO (not Lite-DETR) computes the box head of the selection on all tokens and throws away those that
  are not chosen; ours computes it on the chosen ones. Asked for with `all_boxes`, since the weights do not tell.
- Plain deformable attention: its compiled operator is opaque to the published tools, which count nothing for it; ours
  adds the sampling (4 per number in `fvcore`) and the products of weights and sampled values. The figures that fvcore
  gives also lack the projection to attention weights, whose result goes nowhere but into that operator; those of
  FlopCounterMode have it. What the published code computes before that operator, softmax and places, is plain PyTorch:
  `dino-script` counts it.
- Key-aware attention: the published code is plain PyTorch, samples values and keys one after the other also where they
  are one tensor, and multiplies matrices: all of that is counted. Ours samples once where keys are the values.
- Self-attention of the queries: published as two matrix products, here one fused step; both products count on both
  sides.
Two pictures through one shared backbone are the same arithmetic one after the other (published) and together (ours).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from caffdet_cli.kernels import choice
from caffdet_cli.models.build import detector
from caffdet_cli.models.deformable import DeformableAttention, KeyAwareAttention, SamplingAttention
from caffdet_cli.settings.model import Model
from caffdet_cli.values import Batch, Pictures

Convention = Literal["fvcore", "multiply-adds", "dino-script"]
Way = Literal["published", "ours"]

PARTS = ("backbone", "projections", "fusion", "encoder", "selection", "decoder", "heads", "denoising", "other")
_PART_OF = {  # where a detector keeps it -> part; what is not listed is "other"
    "pyramid.backbone": "backbone",
    "pyramid.backbones": "backbone",
    "pyramid.neck": "projections",
    "pyramid.necks": "projections",
    "pyramid.fusions": "fusion",
    "encoder": "encoder",
    "selection": "selection",
    "decoder": "decoder",
    "heads": "heads",
    "denoising": "denoising",
}


@dataclass(frozen=True)
class Item:
    """Operations of one kind in one module."""

    part: str  # of PARTS: the outermost one that was at work (the decoder refines anchors with the box head)
    module: str  # dotted name of the innermost module
    fvcore: int
    multiply_adds: int
    steps: int  # what `dino-script` adds to `fvcore`

    def amount(self, convention: Convention) -> int:
        """As one convention counts it."""
        if convention == "multiply-adds":
            return self.multiply_adds
        return self.fvcore + (self.steps if convention == "dino-script" else 0)


@dataclass(frozen=True)
class Count:
    """Operations of one forward pass."""

    items: tuple[Item, ...]

    def total(
        self, convention: Convention = "fvcore", *, part: str | None = None, within: Callable[[str], bool] | None = None
    ) -> int:
        """Operations of all parts or of one; `within`: only of modules whose name it accepts."""
        chosen = (item for item in self.items if part is None or item.part == part)
        chosen = (item for item in chosen if within is None or within(item.module))
        return sum(item.amount(convention) for item in chosen)

    def by_part(self, convention: Convention = "fvcore") -> dict[str, int]:
        """Operations of each of PARTS; they add up to the total."""
        return {part: self.total(convention, part=part) for part in PARTS}


def count_operations(
    model: Model, height: int, width: int, *, batch: int = 1, way: Way = "ours", all_boxes: bool = False
) -> Count:
    """Operations of one forward pass in evaluation mode.

    Args:
        height, width: pixels of every picture.
        batch: pictures, or pairs.
        way: as the published code computes and its tools count, or as this package computes.
        all_boxes: of `published`: the encoder's boxes are computed for every token, as DINO does.

    Raises:
        RuntimeError: torch's, where the pictures are too small for the network.
    """
    with torch.device("meta"):
        network = detector(model, model.outputs or 1).eval()
    with FakeTensorMode(allow_non_fake_inputs=True):  # unlike the meta device it has autocast
        network.to_empty(device="cpu")
        network.heads.last_only = way == "ours"
        return count_network(network, blank_batch(len(model.spectra), height, width, batch), way, all_boxes)


def count_network(network: Any, batch: Batch, way: Way = "ours", all_boxes: bool = False) -> Count:
    """`count_operations` of a network as it is, with real tensors or fake ones."""
    counter = _Counter(network, way)
    seen: list[torch.Size] = []
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(choice.implementation("reference"))  # nothing is compiled for the sake of counting
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))  # as the matrix products that it is
        stack.enter_context(counter.watching())
        if (transform := getattr(network.selection, "transform", None)) is not None:  # learned queries have none
            keep = transform.register_forward_hook(lambda _, given, __: seen.append(given[0].shape))
            stack.callback(keep.remove)
        found = network(batch)
        if way == "published" and all_boxes and seen:
            pictures, tokens, channels = seen[0]
            boxes = found.proposals.boxes  # of the chosen tokens, or of all already
            rest = torch.empty(pictures, tokens - boxes.shape[1], channels, device=boxes.device)
            network.selection.box_head(rest)
    return Count(tuple(Item(*key, *amounts) for key, amounts in counter.found.items()))


def count_parameters(model: Model) -> dict[str, int]:
    """Numbers of each parameter, by its dotted name; shared ones once. Buffers are no parameters."""
    with torch.device("meta"):
        network = detector(model, model.outputs or 1)
    return {name: parameter.numel() for name, parameter in network.named_parameters()}


def parameters_by_part(found: Mapping[str, int]) -> dict[str, int]:
    """Parameters of each of PARTS; they add up to the total."""
    parts = dict.fromkeys(PARTS, 0)
    for name, numbers in found.items():
        parts[part_of(name)] += numbers
    return parts


def part_of(name: str) -> str:
    """The part that a module or parameter belongs to, by its dotted name."""
    pieces = name.split(".")
    return next((part for stop in (2, 1) if (part := _PART_OF.get(".".join(pieces[:stop])))), "other")


def blank_batch(spectra: int, height: int, width: int, batch: int = 1) -> Batch:
    """Pictures without content and without padding."""
    sizes = torch.tensor([[height, width]] * batch)
    padding = torch.zeros(batch, height, width, dtype=torch.bool)
    present = torch.ones(batch, dtype=torch.bool)
    streams = [Pictures(torch.zeros(batch, 3, height, width), padding, present, sizes, sizes) for _ in range(spectra)]
    return Batch(tuple(streams), 0, list(range(batch)), [str(number) for number in range(batch)])


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types for its hook
    """Counts every operator of torch, and deformable attention by the shapes that its modules are given."""

    def __init__(self, network: nn.Module, way: Way):
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self._network = network
        self._way = way
        self._stack: list[tuple[str, nn.Module]] = []
        self.found: dict[tuple[str, str], tuple[int, int, int]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count what happens in this block, and know which module is at work."""
        with ExitStack() as stack:
            for name, module in self._network.named_modules(remove_duplicate=True):
                for handle in (
                    module.register_forward_pre_hook(self._entering(name, module)),
                    module.register_forward_hook(self._leaving),
                ):
                    stack.callback(handle.remove)
            stack.enter_context(self)
            yield

    def _entering(self, name: str, module: nn.Module) -> Callable[[nn.Module, Any], None]:
        def enter(_: nn.Module, arguments: Any) -> None:
            self._stack.append((name, module))
            if isinstance(module, SamplingAttention):
                self._add(*self._sampling(module, arguments[0]), self._steps(module, *arguments[:2]))

        return enter

    def _leaving(self, module: nn.Module, arguments: Any, result: Any) -> None:
        self._stack.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        operator = func._overloadpacket
        if func.namespace == "aten" and not any(operator in each for each in (flop_registry, _FVCORE_ONLY, _STEPS)):
            with self:  # an operator that is made of others
                if (made := func.decompose(*args, **kwargs)) is not NotImplemented:
                    return made
        result = func(*args, **kwargs)
        if not self._is_opaque():
            if operator in flop_registry:
                products = int(flop_registry[operator](*args, **kwargs, out_val=result)) // 2
                self._add(products if self._fvcore_sees_it() else 0, products)
            elif operator in _FVCORE_ONLY:
                self._add(_FVCORE_ONLY[operator](args, result), 0)
            elif operator in _STEPS and not self._adds_a_bias():
                self._add(0, 0, _STEPS[operator](args, result))
        return result

    def _add(self, fvcore: int, multiply_adds: int, steps: int = 0) -> None:
        name = self._stack[-1][0] if self._stack else ""
        part = next((part for outer, _ in self._stack if (part := part_of(outer)) != "other"), "other")
        before = self.found.get((part, name), (0, 0, 0))
        self.found[part, name] = before[0] + fvcore, before[1] + multiply_adds, before[2] + steps

    def _is_opaque(self) -> bool:
        """Inside deformable attention itself: the same whether plain PyTorch or a native operator runs."""
        return bool(self._stack) and isinstance(self._stack[-1][1], SamplingAttention)

    def _adds_a_bias(self) -> bool:
        """Inside a linear layer, whose bias is part of the product; torch adds it apart if its input is scattered."""
        return bool(self._stack) and isinstance(self._stack[-1][1], nn.Linear)

    def _fvcore_sees_it(self) -> bool:
        """All but the projection to the weights of an operator that fvcore does not know."""
        if self._way == "ours" or len(self._stack) < 2:
            return True
        outer, inner = self._stack[-2][1], self._stack[-1][1]
        return not (isinstance(outer, DeformableAttention) and inner is outer.weights)

    def _sampling(self, module: SamplingAttention, queries: Tensor) -> tuple[int, int]:
        """Of deformable attention without its projections: what either convention counts."""
        numbers = queries.numel() * module.levels * module.points  # sampled ones: channels x points of every query
        key_aware = isinstance(module, KeyAwareAttention)
        if self._way == "published":
            return (4 * 2 * numbers + 2 * numbers, 2 * numbers) if key_aware else (0, 0)
        samplings = 2 if isinstance(module, KeyAwareAttention) and module.key is not None else 1
        products = 2 * numbers if key_aware else numbers
        return 4 * samplings * numbers + products, products

    def _steps(self, module: SamplingAttention, queries: Tensor, references: Tensor) -> int:
        """Of deformable attention: a softmax over all samples of a query, and where they are (x and y).

        To a point, offsets are divided by the size of the level and added; to a box, divided by the number of points,
        multiplied by its size, halved and added.
        """
        samples = queries.shape[:-1].numel() * module.heads * module.levels * module.points
        return 5 * samples + (2 if references.shape[-1] == 2 else 4) * 2 * samples


def _each(amount: int, of_input: bool = True) -> Callable[[Any, Any], int]:
    """So many operations for each number of the first argument, or of the result."""

    def rule(arguments: Any, result: Any) -> int:
        first = arguments[0] if of_input else result[0] if isinstance(result, tuple) else result
        numbers: int = prod(first.shape)
        return amount * numbers

    return rule


_aten = torch.ops.aten
_FVCORE_ONLY: dict[Any, Callable[[Any, Any], int]] = {
    _aten.native_layer_norm: _each(5),
    _aten.native_group_norm: _each(5),
    _aten.native_batch_norm: _each(2),
    _aten._native_batch_norm_legit_no_training: _each(2),
    _aten.cudnn_batch_norm: _each(2),
    _aten.grid_sampler_2d: _each(4, of_input=False),
    _aten.upsample_bilinear2d: _each(4, of_input=False),
    _aten._upsample_bilinear2d_aa: _each(4, of_input=False),
    _aten.upsample_nearest2d: _each(1, of_input=False),
}
_STEPS: dict[Any, Callable[[Any, Any], int]] = {
    **dict.fromkeys((_aten.add, _aten.add_, _aten.sub, _aten.sub_, _aten.rsub), _each(1, of_input=False)),
    **dict.fromkeys((_aten.mul, _aten.mul_, _aten.div, _aten.div_), _each(1, of_input=False)),
    **dict.fromkeys((_aten.relu, _aten.relu_, _aten.gelu, _aten.cumsum), _each(1, of_input=False)),
    _aten._softmax: _each(5),
}
