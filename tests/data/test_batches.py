"""Batches: padding, the way out of a worker, the device."""

import pytest
import torch
from torch.utils._pytree import tree_leaves

from caffdet_cli.data.batches import collate, packed, to_device, unpacked
from caffdet_cli.data.dataset import Sample
from caffdet_cli.settings.model import Input
from caffdet_cli.values import Targets


def sample(height, width, present=(True, True), value=1.0):
    pictures = tuple(torch.full((3, height, width), value if there else 0.0) for there in present)
    targets = Targets(torch.rand(2, 4), torch.tensor([0, 1]))
    return Sample(pictures, present, (height, width), (2 * height, 2 * width), targets, height, f"{height}.png")


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


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_pictures_are_put_in_whatever_order_their_numbers_lie(dtype):
    pixels = torch.randint(0, 256, (5, 8, 3), dtype=torch.uint8).to(dtype)
    by_pixel, larger = pixels.permute(2, 0, 1), torch.randint(0, 256, (3, 8, 11), dtype=torch.uint8).to(dtype)
    forms = [by_pixel, by_pixel.contiguous(), by_pixel[:1].expand(3, -1, -1), larger.flip(2)[:, 1:6, 2:-1]]
    whole = torch.full((3, 7, 12), 7, dtype=dtype)
    for form in forms:
        samples = [
            sample(7, 12)._replace(pictures=(whole, whole)),
            sample(5, 8)._replace(pictures=(form, whole[:, :5, :8])),
        ]
        expected = torch.zeros(3, 7, 12, dtype=dtype)
        expected[:, :5, :8] = form
        first, second = collate(samples, reference=0)[0].spectra
        assert torch.equal(first.pixels, torch.stack([whole, expected]))
        assert torch.equal(second.pixels[1, :, :5, :8], whole[:, :5, :8])


def test_only_pixels_cross_as_tensors():
    parcel = packed([sample(4, 9), sample(6, 5)])
    assert len(parcel.pixels) == 2
    assert not any(isinstance(part, torch.Tensor) for part in tree_leaves(parcel.facts))
    batch, targets = unpacked(parcel, reference=1)
    assert batch.reference == 1
    assert [each.labels.tolist() for each in targets] == [[0, 1], [0, 1]]
    assert all(each.boxes.dtype == torch.float32 for each in targets)


def test_pixels_may_be_differentiated():
    batch, _ = collate([sample(4, 9), sample(6, 5)], reference=0)
    pixels = batch.spectra[0].pixels.requires_grad_()
    moved = to_device(batch, "cpu", Input(std=(0.5, 0.5, 0.5)))
    moved.spectra[0].pixels.sum().backward()
    assert pixels.grad is not None
    assert pixels.grad[0, 0, 0, 0] == 2
    assert pixels.grad[0, 0, 5, 0] == 0
