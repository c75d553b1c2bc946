"""Batches: padding, the way out of a worker, the device."""

import torch

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


def test_pictures_that_come_pixel_by_pixel_are_the_same():
    pixels = torch.randint(0, 256, (4, 9, 3), dtype=torch.uint8)
    by_pixel, by_channel = pixels.permute(2, 0, 1), pixels.permute(2, 0, 1).contiguous()
    larger = torch.randint(0, 256, (3, 6, 11), dtype=torch.uint8)
    flipped = larger.flip(2)[:, 1:, 1:-1]  # a window of a picture
    samples = [
        sample(4, 9)._replace(pictures=(by_pixel, by_channel)),
        sample(5, 9)._replace(pictures=(flipped, flipped)),
    ]
    first, second = collate(samples, reference=0)[0].spectra
    assert torch.equal(first.pixels, second.pixels)
    assert torch.equal(first.pixels[0, :, :4], by_pixel)
    assert torch.equal(first.pixels[1], flipped)
    assert not first.pixels[0, :, 4:].any()


def test_only_pixels_cross_as_tensors():
    parcel = packed([sample(4, 9), sample(6, 5)])
    assert len(parcel.pixels) == 2
    assert not any(isinstance(part, torch.Tensor) for each in parcel.facts for part in each)
    batch, targets = unpacked(parcel, reference=1)
    assert batch.reference == 1
    assert [each.labels.tolist() for each in targets] == [[0, 1], [0, 1]]
    assert all(each.boxes.dtype == torch.float32 for each in targets)
