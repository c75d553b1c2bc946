"""Batches: padding, the order of an epoch, the same numbers with and without workers, the fingerprint."""

import dataclasses
import multiprocessing
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from caffdet_cli.data.batches import EpochSampler, closing_workers, collate, fingerprint, loader, to_device
from caffdet_cli.data.dataset import PairDataset, Sample
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.model import Input
from caffdet_cli.settings.train import Augment, ModalityDropout
from caffdet_cli.values import Targets

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


def sample(height, width, present=(True, True), value=1.0):
    pictures = tuple(torch.full((3, height, width), value if there else 0.0) for there in present)
    targets = Targets(torch.rand(2, 4), torch.tensor([0, 1]))
    return Sample(pictures, present, (height, width), (2 * height, 2 * width), targets, height, f"{height}.png")


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


def test_pictures_are_padded_at_the_bottom_and_right():
    batch, targets = collate([sample(4, 9), sample(6, 5, present=(False, True))], reference=1)
    assert batch.reference == 1
    assert batch.ids == [4, 6]
    assert batch.names == ["4.png", "6.png"]
    for pictures in batch.spectra:
        assert pictures.pixels.shape == (2, 3, 6, 9)
        assert pictures.padding.tolist() == [
            [[row >= 4 for _ in range(9)] for row in range(6)],
            [[column >= 5 for column in range(9)] for _ in range(6)],
        ]
        assert not pictures.pixels[pictures.padding[:, None].expand(-1, 3, -1, -1)].any()
        assert pictures.sizes.tolist() == [[4, 9], [6, 5]]
        assert pictures.original_sizes.tolist() == [[8, 18], [12, 10]]
    assert batch.spectra[0].present.tolist() == [True, False]
    assert batch.spectra[1].present.tolist() == [True, True]
    assert not batch.spectra[0].pixels[1].any()
    assert len(targets) == 2


def test_one_spectrum_makes_one_stream():
    one = sample(4, 9)._replace(pictures=(torch.ones(3, 4, 9),), present=(True,))
    assert len(collate([one], reference=0)[0].spectra) == 1


def test_to_device_moves_every_tensor():
    batch, _ = collate([sample(4, 9)], reference=0)
    moved = to_device(batch, "meta", Input())
    assert {tensor.device.type for pictures in moved.spectra for tensor in pictures} == {"meta"}
    assert moved.ids == batch.ids


def test_pixels_are_normalised_where_there_is_a_picture_and_zero_elsewhere():
    seen = Input(mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
    pictures = torch.randint(0, 256, (3, 4, 9), dtype=torch.uint8)
    one = sample(4, 9)._replace(pictures=(pictures, torch.zeros_like(pictures)), present=(True, False))
    two = sample(6, 5)._replace(pictures=(torch.full((3, 6, 5), 255, dtype=torch.uint8),) * 2)
    batch, _ = collate([one, two], reference=0)
    assert batch.spectra[0].pixels.dtype == torch.uint8
    first, second = to_device(batch, "cpu", seen).spectra
    mean, std = (torch.tensor(side).view(3, 1, 1) for side in (seen.mean, seen.std))
    torch.testing.assert_close(first.pixels[0, :, :4], (pictures / 255 - mean) / std)
    torch.testing.assert_close(first.pixels[1, :, :, :5], ((1 - mean) / std).expand(3, 6, 5))
    assert not first.pixels[0, :, 4:].any()
    assert not first.pixels[1, :, :, 5:].any()
    assert not second.pixels[0].any()


def test_deep_and_shallow_pictures_share_a_batch():
    shallow = sample(4, 9)._replace(pictures=(torch.full((3, 4, 9), 255, dtype=torch.uint8),) * 2)
    deep = sample(4, 9, value=0.5)
    batch, _ = collate([shallow, deep], reference=0)
    assert batch.spectra[0].pixels.dtype == torch.float32
    assert batch.spectra[0].pixels[:, 0, 0, 0].tolist() == [1.0, 0.5]


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
        load = loader(dataset, sampler, workers)
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
    list(loader(dataset, EpochSampler(len(dataset), 3, 0, shuffle=True), workers=0))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_error_in_a_worker_is_one_sentence(dataset):
    path = dataset.annotations.examples[4].rgb
    path.write_bytes(path.read_bytes()[:100])
    load = loader(dataset, EpochSampler(len(dataset), 2, 0, shuffle=False), workers=1)
    with pytest.raises(DatasetError) as caught, closing_workers(load):
        list(load)
    assert str(caught.value).startswith(f"example 4: picture {path} ")
    assert "\n" not in str(caught.value)


def test_workers_can_be_spawned(dataset):
    load = loader(dataset, EpochSampler(2, 2, 0, shuffle=False), workers=1)
    load.multiprocessing_context = "spawn"
    with closing_workers(load):
        assert same(next(iter(load)), next(iter(loader(dataset, EpochSampler(2, 2, 0, shuffle=False), workers=0))))


def test_workers_end_with_the_block_even_when_an_error_is_kept(dataset):
    load = loader(dataset, EpochSampler(len(dataset), 2, 0, shuffle=False), workers=2)
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
    monkeypatch.setattr("caffdet_cli.data.batches._GRACE", 1)
    load = loader(dataset, EpochSampler(len(dataset), 1, 0, shuffle=False), workers=1)
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


def test_the_fingerprint_does_not_change_with_the_folder(make_pairs):
    here, there = (fingerprint(read_coco(make_pairs(name=name).annotations)) for name in ("here", "there"))
    assert here == there
    assert len(here) == 64


def test_the_fingerprint_changes_with_the_data(make_pairs):
    annotations = read_coco(make_pairs().annotations)
    example = annotations.examples[0]
    objects = example.objects
    changes = [
        dataclasses.replace(example, id="other"),
        dataclasses.replace(example, ir=None),
        dataclasses.replace(example, width=65),
        dataclasses.replace(example, rgb=example.rgb.with_name("other.png")),
        dataclasses.replace(example, objects=dataclasses.replace(objects, boxes=objects.boxes + 1)),
        dataclasses.replace(example, objects=dataclasses.replace(objects, labels=objects.labels + 1)),
        dataclasses.replace(example, objects=dataclasses.replace(objects, crowd=~objects.crowd)),
    ]
    sets = [dataclasses.replace(annotations, examples=(one, *annotations.examples[1:])) for one in changes]
    sets.append(dataclasses.replace(annotations, examples=annotations.examples[::-1]))
    found = {fingerprint(one) for one in [annotations, *sets]}
    assert len(found) == len(sets) + 1


def test_the_fingerprint_sees_class_names_not_their_order_in_the_file(make_pairs):
    annotations = read_coco(make_pairs(count=2).annotations)
    renamed = tuple(category._replace(name=f"a {category.name}") for category in annotations.categories)
    assert fingerprint(dataclasses.replace(annotations, categories=renamed)) != fingerprint(annotations)
    more = (*annotations.categories, annotations.categories[0]._replace(id=9, name="unused"))
    assert fingerprint(dataclasses.replace(annotations, categories=more)) == fingerprint(annotations)


@pytest.mark.gpu
def test_batches_reach_the_device(dataset):
    load = loader(dataset, EpochSampler(len(dataset), 2, 0, shuffle=False), workers=2, pin_memory=True)
    batch, _ = next(iter(load))
    assert batch.spectra[0].pixels.is_pinned()
    moved = to_device(batch, "cuda", Input())
    here = to_device(batch, "cpu", Input())
    torch.testing.assert_close(moved.spectra[1].pixels.cpu(), here.spectra[1].pixels)
    assert np.isfinite(moved.spectra[0].pixels.cpu()).all()
