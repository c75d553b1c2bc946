"""Joint geometry and colour: boxes follow the pixels, both spectra share one draw, sizes follow the published rule."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from caffdet_cli.data.geometry import Geometry, Window, resize_size, training_geometry
from caffdet_cli.data.transforms import (
    clip,
    crop,
    followed,
    for_evaluation,
    for_training,
    fractions,
    hflip,
    lost_spectrum,
    merged,
    normalised,
    pair_of,
    resize,
)
from caffdet_cli.settings.train import Augment, ModalityDropout

HEIGHT, WIDTH = 60, 80


def rectangle(box, size=(HEIGHT, WIDTH), dtype=np.uint8):
    """A picture that is dark but for the box (xyxy, whole pixels)."""
    picture = np.zeros((*size, 3), dtype)
    left, top, right, bottom = box
    picture[top:bottom, left:right] = 255 if dtype == np.uint8 else 1.0
    return picture


def found(picture):
    """The box (xyxy) of what is bright in a picture (3, h, w)."""
    bright = picture[0].float() > picture.float().max() / 2
    rows, columns = (torch.nonzero(bright.any(dim=axis)).flatten() for axis in (1, 0))
    return torch.tensor([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=torch.float32)


def pair_with(box, dtype=np.uint8, second=(HEIGHT, WIDTH)):
    """Both pictures show the box; the second one may have another size than the first, which has the labels."""
    scale = (second[1] / WIDTH, second[0] / HEIGHT) * 2
    other = [round(side * factor) for side, factor in zip(box, scale, strict=True)]
    pictures = (rectangle(box, dtype=dtype), rectangle(other, second, dtype))
    return pair_of(pictures, np.array([box]), np.array([7]), (HEIGHT, WIDTH))


def assert_boxes_follow(pair, tolerance):
    for picture in pair.pictures:
        torch.testing.assert_close(found(picture), pair.boxes[0].as_subclass(torch.Tensor), atol=tolerance, rtol=0)


@st.composite
def boxes(draw, smallest=8):
    left, top = draw(st.integers(0, WIDTH - smallest)), draw(st.integers(0, HEIGHT - smallest))
    return [left, top, draw(st.integers(left + smallest, WIDTH)), draw(st.integers(top + smallest, HEIGHT))]


@given(boxes())
def test_boxes_follow_a_flip_and_two_flips_change_nothing(box):
    pair = pair_with(box)
    assert_boxes_follow(hflip(pair), 0)
    twice = hflip(hflip(pair))
    assert torch.equal(twice.pictures[0], pair.pictures[0])
    assert torch.equal(twice.boxes, pair.boxes)


@given(boxes(), st.integers(30, 200), st.integers(30, 200))
def test_boxes_follow_a_resize_in_both_pictures(box, height, width):
    resized = resize(pair_with(box), (height, width))
    assert resized.size == (height, width) == tuple(resized.pictures[1].shape[-2:])
    assert_boxes_follow(resized, 1.1 * max(1, height / HEIGHT, width / WIDTH))


@given(boxes(), st.data())
def test_boxes_follow_a_crop_and_vanish_when_they_are_outside(box, data):
    height, width = data.draw(st.integers(1, HEIGHT)), data.draw(st.integers(1, WIDTH))
    top, left = data.draw(st.integers(0, HEIGHT - height)), data.draw(st.integers(0, WIDTH - width))
    cut = crop(pair_with(box), top, left, height, width)
    assert cut.size == (height, width) == tuple(cut.pictures[0].shape[-2:])
    if cut.pictures[0].any():
        assert_boxes_follow(cut, 0)
        assert cut.labels.tolist() == [7]
    else:
        assert cut.boxes.shape == (0, 4)
        assert cut.labels.shape == (0,)


@given(boxes(smallest=16), st.integers(0, 10_000), st.booleans())
def test_boxes_follow_the_whole_training_recipe(box, seed, deep):
    augment = Augment(scales=(90, 120), max_side=150, crop_scales=(70, 80), crop_range=(50, 75))
    pair = pair_with(box, np.float32 if deep else np.uint8)
    changed = for_training(pair, augment, np.random.default_rng(seed))
    assert tuple(changed.pictures[0].shape) == tuple(changed.pictures[1].shape) == (3, *changed.size)
    assert max(changed.size) <= 150
    if len(changed.boxes) and changed.pictures[0].max() > 0:
        assert_boxes_follow(changed, 4)


@given(boxes(smallest=16), st.integers(0, 10_000), st.booleans())
def test_boxes_follow_a_merged_chain_too(box, seed, deep):
    augment = Augment(scales=(90, 120), max_side=150, crop_scales=(70, 80), crop_range=(50, 75))
    pair = pair_with(box, np.float32 if deep else np.uint8, second=(2 * HEIGHT, 2 * WIDTH))
    changed = merged(pair, training_geometry(pair.size, augment, np.random.default_rng(seed)))
    assert tuple(changed.pictures[0].shape) == tuple(changed.pictures[1].shape) == (3, *changed.size)
    if len(changed.boxes) and changed.pictures[0].max() > 0:
        assert_boxes_follow(changed, 4)


@given(st.integers(0, 10_000))
def test_a_merged_chain_ends_where_the_steps_end(seed):
    """The same size and, up to half a pixel of the file and what resampling twice blurs, the same picture."""
    augment = Augment(scales=(48, 72), max_side=150, crop_scales=(70, 80), crop_range=(50, 75))
    ramps = np.stack(np.meshgrid(np.arange(WIDTH) * 3, np.arange(HEIGHT) * 4), axis=-1).astype(np.uint8)
    pair = pair_of((np.dstack([ramps, ramps[..., :1]]),), np.array([[20, 10, 70, 50]]), np.array([1]), (HEIGHT, WIDTH))
    geometry = training_geometry(pair.size, augment, np.random.default_rng(seed))
    stepwise, once = followed(pair, geometry), merged(pair, geometry)
    assert stepwise.size == once.size == geometry.end
    assert (stepwise.pictures[0].float() - once.pictures[0].float()).abs().max() <= 6
    assert len(stepwise.boxes) == len(once.boxes)
    torch.testing.assert_close(
        stepwise.boxes.as_subclass(torch.Tensor), once.boxes.as_subclass(torch.Tensor), atol=2, rtol=0
    )


def test_the_coarsest_step_of_a_chain_says_how_fine_the_picture_must_be():
    assert Geometry((1024, 1280), False, ((480, 600),)).enough == 480
    assert Geometry((1000, 2000), False, ((500, 1000), Window(10, 10, 250, 500), (480, 960))).enough == 500
    assert Geometry((1000, 2000), False, ((500, 1000), Window(10, 10, 400, 800), (100, 200))).enough == 125
    assert Geometry((100, 200), False, ((500, 1000),)).enough == 100


def test_a_second_picture_of_another_size_comes_to_the_grid_of_the_first():
    for pair in (pair_with([10, 20, 50, 40], second=(120, 160)), pair_with([10, 20, 50, 40], second=(30, 100))):
        for changed in (resize(pair, pair.size), for_evaluation(pair, 60, 100), for_evaluation(hflip(pair), 90, 200)):
            assert tuple(changed.pictures[1].shape[-2:]) == changed.size
            assert_boxes_follow(changed, 2)


def test_both_spectra_get_the_same_geometry():
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    for seed in range(20):
        pair = pair_of((noise, noise), np.zeros((0, 4)), np.zeros(0), (HEIGHT, WIDTH))
        changed = for_training(pair, Augment(scales=(50, 70)), np.random.default_rng(seed))
        assert torch.equal(*changed.pictures)


def test_an_absent_picture_stays_absent():
    noise = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pair = pair_of((None, noise), np.zeros((0, 4)), np.zeros(0), (HEIGHT, WIDTH))
    for photometric in ("none", "caff", "independent"):
        changed = for_training(pair, Augment(scales=(50, 70), photometric=photometric), np.random.default_rng(0))
        assert changed.pictures[0] is None
        assert changed.pictures[1] is not None


def test_boxes_are_cut_at_the_border_and_those_without_area_are_dropped():
    given_boxes = np.array([[-5, 10, 20, 100], [30, 30, 30, 40], [90, 10, 99, 20], [50, 40, 40, 50], [1, 2, 3, 4]])
    pair = clip(pair_of((rectangle([0, 0, 1, 1]),), given_boxes, np.arange(5), (HEIGHT, WIDTH)))
    assert pair.boxes.tolist() == [[0, 10, 20, 60], [1, 2, 3, 4]]
    assert pair.labels.tolist() == [0, 4]


@pytest.mark.parametrize(
    ("height", "width", "short", "most", "expected"),
    [
        (1024, 1280, 800, 1333, (800, 1000)),
        (1080, 1920, 800, 1333, (750, 1333)),
        (500, 2000, 800, 1333, (333, 1332)),  # the long side is cut, not rounded
        (801, 333, 800, 1333, (1332, 554)),
        (480, 640, 480, None, (480, 640)),
        (100, 100, 50, 1333, (50, 50)),
    ],
)
def test_sizes_follow_the_published_rule(height, width, short, most, expected):
    assert resize_size(height, width, short, most) == expected


@given(st.integers(8, 4000), st.integers(8, 4000), st.integers(8, 1000), st.integers(1000, 2000))
def test_sizes_keep_the_shape_and_the_limit(height, width, short, most):
    if max(height, width) > 50 * min(height, width):
        return
    new = resize_size(height, width, short, most)
    assert max(new) <= most + max(height, width) / min(height, width)  # the short side is rounded first
    assert (new[0] < new[1]) == (height < width) or abs(new[0] - new[1]) <= 1
    assert resize_size(width, height, short, most) == new[::-1]


def test_deep_pictures_stay_float_and_keep_their_levels():
    ramp = np.linspace(0, 1, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH, 1).repeat(3, axis=2)
    pair = pair_of((ramp,), np.zeros((0, 4)), np.zeros(0), (HEIGHT, WIDTH))
    augment = Augment(scales=(50,), crop_scales=(60,), crop_range=(40, 60), photometric="independent")
    for changed in (for_evaluation(pair, 50, 100), for_training(pair, augment, np.random.default_rng(1))):
        assert changed.pictures[0].dtype == torch.float32
        assert len(changed.pictures[0].unique()) > 1000


def test_caff_colour_is_one_of_order_brightness_and_contrast():
    """Factors are shared by both spectra, the order of channels is not."""
    random = np.random.default_rng(0)
    colour = random.integers(40, 90, (HEIGHT, WIDTH, 3), np.uint8)
    augment = Augment(flip=0, crop=0, scales=(HEIGHT,), photometric="caff")
    orders_differ = brighter = 0
    for seed in range(60):
        pair = pair_of((colour, colour), np.zeros((0, 4)), np.zeros(0), (HEIGHT, WIDTH))
        first, second = for_training(pair, augment, np.random.default_rng(seed)).pictures
        if torch.equal(first.sort(dim=0).values, torch.from_numpy(np.sort(colour.transpose(2, 0, 1), axis=0))):
            orders_differ += not torch.equal(first, second)
        else:
            assert torch.equal(first, second)
            brighter += bool(first.float().mean() > colour.mean() * 1.02)
    assert orders_differ > 5
    assert brighter > 5


def test_independent_colour_differs_between_the_spectra():
    noise = np.random.default_rng(0).integers(40, 90, (HEIGHT, WIDTH, 3), np.uint8)
    pair = pair_of((noise, noise), np.zeros((0, 4)), np.zeros(0), (HEIGHT, WIDTH))
    augment = Augment(flip=0, crop=0, scales=(HEIGHT,), photometric="independent")
    first, second = for_training(pair, augment, np.random.default_rng(0)).pictures
    assert not torch.equal(first, second)


def test_modality_dropout_has_its_probabilities():
    random = np.random.default_rng(0)
    draws = [lost_spectrum(ModalityDropout(rgb=0.2, ir=0.5), random) for _ in range(2000)]
    assert draws.count("rgb") / 2000 == pytest.approx(0.2, abs=0.04)
    assert draws.count("ir") / 2000 == pytest.approx(0.5, abs=0.04)
    assert {lost_spectrum(ModalityDropout(), random) for _ in range(100)} == {None}


def test_normalisation_takes_whole_numbers_and_fractions():
    mean, std = (0.5, 0.4, 0.3), (0.1, 0.2, 0.3)
    whole = torch.tensor([0, 128, 255], dtype=torch.uint8).reshape(3, 1, 1)
    expected = (torch.tensor([0, 128 / 255, 1]) - torch.tensor(mean)) / torch.tensor(std)
    torch.testing.assert_close(normalised(whole, mean, std).flatten(), expected)
    torch.testing.assert_close(normalised(whole.float() / 255, mean, std).flatten(), expected)


@pytest.mark.parametrize("lead", [(), (2,), (2, 2)])
def test_whole_numbers_are_normalised_to_the_very_same_bits(lead):
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    levels = torch.arange(256, dtype=torch.uint8).expand(*lead, 3, 2, 256)
    computed = normalised(levels.float() * (1 / 255), mean, std)
    assert torch.equal(normalised(levels, mean, std), computed)
    by_pixel = levels.movedim(-3, -1).contiguous().movedim(-1, -3)
    assert torch.equal(normalised(by_pixel, mean, std), computed)


def test_fractions_are_centre_and_size():
    pair = pair_of((rectangle([0, 0, 1, 1]),), np.array([[8, 6, 24, 36]]), np.array([0]), (HEIGHT, WIDTH))
    torch.testing.assert_close(fractions(pair.boxes, pair.size), torch.tensor([[0.2, 0.35, 0.2, 0.5]]))


def test_a_fixed_size_is_what_every_picture_gets():
    pair = pair_with([8, 6, 40, 30])
    changed = for_training(pair, Augment(flip=0, fixed_size=(90, 160)), np.random.default_rng(0))
    assert changed.size == (90, 160)
    assert all(each.shape[-2:] == (90, 160) for each in changed.pictures)
    torch.testing.assert_close(changed.boxes.as_subclass(torch.Tensor), torch.tensor([[16.0, 9.0, 80.0, 45.0]]))


def test_strong_augmentation_cuts_windows_that_keep_their_object():
    augment = Augment(flip=0, crop=0, scales=(HEIGHT,), photometric="strong")
    windows = 0
    for seed in range(120):
        box = (20, 15, 60, 45)
        changed = for_training(pair_with(box), augment, np.random.default_rng(seed))
        assert changed.labels.tolist() == [7]
        assert all(picture.shape[1:] == changed.size for picture in changed.pictures)
        if changed.size != (HEIGHT, WIDTH):
            windows += 1
            assert_boxes_follow(changed, tolerance=0)
            rows, columns = changed.size
            assert 0.3 * HEIGHT - 1 <= rows <= HEIGHT
            assert 0.5 < rows / columns < 2
    assert 8 < windows < 40  # a quarter of all, a seventh of which stay whole


def test_strong_augmentation_leaves_pictures_without_objects_whole():
    pair = pair_of((rectangle((0, 0, 9, 9)),), np.zeros((0, 4)), np.zeros(0), (HEIGHT, WIDTH))
    augment = Augment(flip=0, crop=0, scales=(HEIGHT,), photometric="strong")
    assert {for_training(pair, augment, np.random.default_rng(seed)).size for seed in range(40)} == {(HEIGHT, WIDTH)}
