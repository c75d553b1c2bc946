"""Loading: the order of an epoch, the same numbers with and without workers, how workers end."""

import multiprocessing
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from caffdet_cli.data.batches import to_device
from caffdet_cli.data.dataset import PairDataset
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.data.loading import EpochSampler, Loader, closing_workers, processors
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.model import Input
from caffdet_cli.settings.train import Augment, ModalityDropout

CONVENTIONS = Conventions(
    input=Input(short_side=48, max_side=64),
    spectra=("ir", "rgb"),
    label_spectrum="ir",
    classes=("person", "car", "bicycle"),
)
AUGMENT = Augment(
    scales=(40, 48, 56),
    max_side=80,
    crop_scales=(50, 60),
    crop_range=(30, 50),
    photometric="caff",
    modality_dropout=ModalityDropout(rgb=0.2, ir=0.2),
)


def numbers(batch, targets):
    """Every number of a batch, for comparing."""
    tensors = [tensor for pictures in batch.spectra for tensor in pictures]
    return tensors + [tensor for target in targets for tensor in target], batch.ids, batch.names


def same(first, second):
    (tensors, *texts), (others, *other_texts) = numbers(*first), numbers(*second)
    return texts == other_texts and all(torch.equal(a, b) for a, b in zip(tensors, others, strict=True))


@pytest.fixture
def dataset(make_pairs):
    return PairDataset(read_coco(make_pairs(count=7).annotations), CONVENTIONS, AUGMENT, seed=3)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(), st.integers(0, 5), st.booleans())
def test_an_epoch_has_every_example_once(length, batch, seed, epoch, shuffle):
    sampler = EpochSampler(length, batch, seed, shuffle)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler) == sampler.batches
    assert sorted(index for part in batches for _, index in part) == list(range(length))
    assert {e for part in batches for e, _ in part} == {epoch}
    assert all(len(part) == batch for part in batches[:-1])


@given(st.integers(1, 40), st.integers(1, 12))
def test_the_last_batch_is_dropped_only_when_it_is_not_full_and_not_the_only_one(length, batch):
    sizes = [len(part) for part in EpochSampler(length, batch, 0, shuffle=True, drop_last=True)]
    assert sizes == ([batch] * (length // batch) if length >= batch else [length])


def test_the_order_is_a_function_of_seed_and_epoch():
    def order(seed, epoch, before=0):
        sampler = EpochSampler(30, 4, seed, shuffle=True)
        for earlier in range(before):
            sampler.set_epoch(earlier)
            list(sampler)
        sampler.set_epoch(epoch)
        return [index for part in sampler for _, index in part]

    assert order(1, 2) == order(1, 2, before=2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)
    assert order(1, 2) != sorted(order(1, 2))


def test_an_epoch_resumes_at_any_batch():
    sampler = EpochSampler(30, 4, 1, shuffle=True)
    sampler.set_epoch(2)
    whole = list(sampler)
    for start in range(len(whole) + 1):
        sampler.set_epoch(2, start)
        assert list(sampler) == whole[start:]
        assert len(sampler) == len(whole) - start


def test_batches_are_the_same_with_and_without_workers(dataset):
    def batches(workers):
        sampler = EpochSampler(len(dataset), 2, seed=3, shuffle=True, drop_last=True)
        load = Loader(dataset, sampler, workers)
        found = []
        for epoch, start in ((0, 0), (1, 1)):
            sampler.set_epoch(epoch, start)
            found += list(load)
        return found

    alone, helped = batches(0), batches(2)
    assert len(alone) == len(helped) == 3 + 2
    assert all(same(a, b) for a, b in zip(alone, helped, strict=True))
    assert alone[0][0].reference == 0


def test_loading_leaves_the_global_generator_alone(dataset):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(Loader(dataset, EpochSampler(len(dataset), 3, 0, shuffle=True), workers=0))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_error_in_a_worker_is_one_sentence(dataset):
    path = dataset.annotations.examples[4].rgb
    path.write_bytes(path.read_bytes()[:100])
    load = Loader(dataset, EpochSampler(len(dataset), 2, 0, shuffle=False), workers=1)
    with pytest.raises(DatasetError) as caught, closing_workers(load):
        list(load)
    assert str(caught.value).startswith(f"example 4: picture {path} ")
    assert "\n" not in str(caught.value)


def test_workers_can_be_spawned(dataset):
    load = Loader(dataset, EpochSampler(2, 2, 0, shuffle=False), workers=1)
    load.multiprocessing_context = "spawn"
    with closing_workers(load):
        assert same(next(iter(load)), next(iter(Loader(dataset, EpochSampler(2, 2, 0, shuffle=False), workers=0))))


def test_workers_end_with_the_block_even_when_an_error_is_kept(dataset):
    load = Loader(dataset, EpochSampler(len(dataset), 2, 0, shuffle=False), workers=2)
    try:
        with closing_workers(load):
            batches = iter(load)
            next(batches)
            assert len(multiprocessing.active_children()) == 2
            raise ValueError("kept")
    except ValueError as error:
        kept = error
    assert multiprocessing.active_children() == []
    assert kept.__traceback__ is not None


def test_a_worker_outlives_a_sigterm_but_not_for_ever(dataset, monkeypatch):
    monkeypatch.setattr("caffdet_cli.data.loading._GRACE", 1)
    load = Loader(dataset, EpochSampler(len(dataset), 1, 0, shuffle=False), workers=1)
    with closing_workers(load):
        batches = iter(load)
        next(batches)
        [worker] = multiprocessing.active_children()
        begun = time.monotonic()
        worker.terminate()
        next(batches)
        worker.join(20)
        assert worker.exitcode == 0
        assert time.monotonic() - begun >= 0.9


@pytest.mark.gpu
def test_batches_reach_the_device(dataset):
    load = Loader(dataset, EpochSampler(len(dataset), 2, 0, shuffle=False), workers=2, pin_memory=True)
    batch, _ = next(iter(load))
    assert batch.spectra[0].pixels.is_pinned()
    moved = to_device(batch, "cuda", Input())
    here = to_device(batch, "cpu", Input())
    torch.testing.assert_close(moved.spectra[1].pixels.cpu(), here.spectra[1].pixels)
    assert np.isfinite(moved.spectra[0].pixels.cpu()).all()


def test_there_are_never_more_workers_than_processors(dataset, monkeypatch, recwarn):
    monkeypatch.setattr("caffdet_cli.data.loading.processors", lambda: 1)
    load = Loader(dataset, EpochSampler(len(dataset), 2, 0, shuffle=False), workers=64)
    assert load.num_workers == 1
    assert Loader(dataset, EpochSampler(len(dataset), 2, 0, shuffle=False), workers=0).num_workers == 0
    assert processors() >= 1
    assert not recwarn.list
