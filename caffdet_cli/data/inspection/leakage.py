"""Pictures of one split that another split has too, or that look like one of its pictures."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from caffdet_cli.data.inspection.pictures import PairFacts, PictureFacts

NEAR = 4
"""Bits of 64 by which two pictures that look alike may differ, in each spectrum."""

_BLOCK = 1 << 21  # comparisons at once: some 50 MB

Hashes = tuple[NDArray[np.uint64], NDArray[np.bool_]]  # (n,) bits, and whether they say anything


class Lookalike(NamedTuple):
    """A picture and the one of another split that is most like it, by their positions."""

    position: int
    other: int
    bits: int  # that differ, in the spectrum where more do


def lookalikes(first: Sequence[PairFacts], second: Sequence[PairFacts]) -> Iterator[Lookalike]:
    """Pictures of `first` that look like one of `second`: in every spectrum that shows something in both."""
    spectra = [(_hashes([pair.rgb for pair in some]), _hashes([pair.ir for pair in some])) for some in (first, second)]
    if not first or not second:
        return
    step = max(1, _BLOCK // len(second))
    for start in range(0, len(first), step):
        bits = _differing(
            [(one[0][start : start + step], one[1][start : start + step]) for one in spectra[0]], spectra[1]
        )
        nearest = bits.argmin(axis=1)
        for row in np.flatnonzero(bits[np.arange(len(bits)), nearest] <= NEAR).tolist():
            yield Lookalike(start + row, int(nearest[row]), int(bits[row, nearest[row]]))


def same_files(pictures: Sequence[PictureFacts | None]) -> Iterator[tuple[int, int]]:
    """Pictures whose file equals an earlier one's: position, position of the first."""
    seen: dict[bytes, int] = {}
    for index, facts in enumerate(pictures):
        if facts is not None and facts.whole:
            first = seen.setdefault(facts.digest, index)
            if first != index:
                yield index, first


def _hashes(pictures: Sequence[PictureFacts | None]) -> Hashes:
    bits = np.array([0 if facts is None else facts.hash for facts in pictures], np.uint64)
    says = np.array([facts is not None and facts.whole and not facts.flat for facts in pictures], np.bool_)
    return bits, says


def _differing(first: Sequence[Hashes], second: Sequence[Hashes]) -> NDArray[np.uint8]:
    """(n, m) bits that differ, in the spectrum where more do; 255 where no spectrum says anything."""
    worst = np.zeros((len(first[0][0]), len(second[0][0])), np.uint8)
    known = np.zeros(worst.shape, np.bool_)
    for (one, one_says), (two, two_says) in zip(first, second, strict=True):
        if not one_says.any() or not two_says.any():
            continue
        both = one_says[:, None] & two_says[None]
        np.maximum(worst, np.where(both, _count(one[:, None] ^ two[None]), 0), out=worst)
        known |= both
    worst[~known] = 255
    return worst


def _count(bits: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Ones in each number, without numpy 2's `bitwise_count`: pairs, fours and bytes are added side by side."""
    if hasattr(np, "bitwise_count"):
        return np.asarray(np.bitwise_count(bits), np.uint8)
    two, four, eight = (np.uint64(mask) for mask in (0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F))
    bits = bits - ((bits >> np.uint64(1)) & two)
    bits = (bits & four) + ((bits >> np.uint64(2)) & four)
    bits = (bits + (bits >> np.uint64(4))) & eight
    return ((bits * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.uint8)
