"""Samples: streams in the model's order, labels by name, absent spectra; random numbers belong to the example."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch

from caffdet_cli.data.annotations import no_objects
from caffdet_cli.data.dataset import PairDataset
from caffdet_cli.data.formats.coco import read_coco
from caffdet_cli.errors import DatasetError
from caffdet_cli.settings.conventions import Conventions
from caffdet_cli.settings.data import RangeRule
from caffdet_cli.settings.model import Input
from caffdet_cli.settings.train import Augment, ModalityDropout

PLAIN = Input(short_side=48, max_side=64, mean=(0, 0, 0), std=(1, 1, 1))
AUGMENT = Augment(
    scales=(40, 48, 56), max_side=80, crop_scales=(50, 60), crop_range=(30, 50), photometric="independent"
)


def conventions(spectra=("rgb", "ir"), classes=("person", "car", "bicycle"), **changes):
    return Conventions(input=PLAIN, spectra=spectra, label_spectrum="ir", classes=classes, **changes)


@pytest.fixture
def pairs(make_pairs):
    return make_pairs()


@pytest.fixture
def annotations(pairs):
    return read_coco(pairs.annotations)


def changed(annotations, index, **changes):
    """The same annotations with one example changed."""
    examples = list(annotations.examples)
    examples[index] = dataclasses.replace(examples[index], **changes)
    return dataclasses.replace(annotations, examples=tuple(examples))


def equal(first, second):
    return (
        first[1:4] == second[1:4]
        and all(torch.equal(a, b) for a, b in zip(first.pictures, second.pictures, strict=True))
        and all(torch.equal(a, b) for a, b in zip(first.targets, second.targets, strict=True))
    )


def test_streams_come_in_the_order_of_the_model(annotations):
    rgb_first = PairDataset(annotations, conventions(), None, 0)[0]
    ir_first = PairDataset(annotations, conventions(("ir", "rgb")), None, 0)[0]
    assert torch.equal(rgb_first.pictures[0], ir_first.pictures[1])
    assert torch.equal(rgb_first.pictures[1], ir_first.pictures[0])
    ir = cv2.imread(str(annotations.examples[0].ir), cv2.IMREAD_UNCHANGED)
    assert torch.equal(ir_first.pictures[0], torch.from_numpy(ir).expand(3, -1, -1))


def test_a_one_spectrum_model_gets_only_its_own(annotations):
    sample = PairDataset(annotations, conventions(("ir",)), None, 0)[0]
    assert len(sample.pictures) == 1
    assert torch.equal(sample.pictures[0], PairDataset(annotations, conventions(), None, 0)[0].pictures[1])


def test_boxes_are_fractions_around_the_bright_rectangles(annotations):
    for index, example in enumerate(annotations.examples):
        sample = PairDataset(annotations, conventions(), None, 0)[index]
        assert len(sample.targets.boxes) == len(example.objects)
        for x, y, width, height in sample.targets.boxes.tolist():
            left, top = round((x - width / 2) * 64), round((y - height / 2) * 48)
            inside = sample.pictures[1][0, top : top + round(height * 48), left : left + round(width * 64)]
            assert inside.min() > 0.7 * 255
    assert sample.size == sample.original_size == (48, 64)


def test_labels_are_slots_found_by_name(annotations):
    slots = ("bicycle", None, "person", "car")
    sample = PairDataset(annotations, conventions(classes=slots), None, 0)[2]
    assert sample.targets.labels.tolist() == [2, 3, 0]


def test_a_class_the_model_does_not_know_is_named(annotations):
    with pytest.raises(DatasetError, match="'bicycle', which the model does not know; it knows 'person', 'car'"):
        PairDataset(annotations, conventions(classes=("person", "car")), AUGMENT, 0)
    sample = PairDataset(annotations, conventions(classes=("person", "car")), None, 0)[2]
    assert sample.targets.labels.tolist() == [0, 1]  # evaluation scores what the model knows


def test_pictures_of_a_spectrum_that_the_model_needs(annotations):
    blind = [dataclasses.replace(example, rgb=None) for example in annotations.examples]
    without = dataclasses.replace(annotations, examples=tuple(blind))
    PairDataset(without, conventions(), None, 0)  # a pair model is evaluated on one spectrum
    with pytest.raises(DatasetError, match="has no rgb pictures, and the model looks at rgb and ir"):
        PairDataset(without, conventions(), AUGMENT, 0)
    with pytest.raises(DatasetError, match="has no rgb pictures"):
        PairDataset(without, conventions(("rgb",)), None, 0)


def test_a_class_without_objects_needs_no_slot(make_pairs):
    pairs = make_pairs(count=1)  # one person
    assert (
        len(PairDataset(read_coco(pairs.annotations), conventions(classes=("person",)), None, 0)[0].targets.labels) == 1
    )


def test_crowd_regions_are_no_targets(annotations):
    objects = annotations.examples[2].objects
    crowd = dataclasses.replace(objects, crowd=np.array([False, True, False]))
    sample = PairDataset(changed(annotations, 2, objects=crowd), conventions(), None, 0)[2]
    assert sample.targets.labels.tolist() == [0, 2]


def test_boxes_are_cut_at_the_border_of_the_picture(annotations):
    beyond = dataclasses.replace(
        annotations.examples[0].objects, boxes=np.array([[-16.0, 24, 32, 96]]), labels=np.array([1])
    )
    sample = PairDataset(changed(annotations, 0, objects=beyond), conventions(), None, 0)[0]
    torch.testing.assert_close(sample.targets.boxes, torch.tensor([[0.25, 0.75, 0.5, 0.5]]))


def test_a_picture_without_objects_is_kept(annotations):
    sample = PairDataset(annotations, conventions(), AUGMENT, 0)[1]
    assert sample.targets.boxes.shape == (0, 4)
    assert sample.targets.labels.shape == (0,)
    assert sample.targets.labels.dtype == torch.int64


@pytest.mark.parametrize("augment", [None, AUGMENT], ids=["evaluation", "training"])
@pytest.mark.parametrize("missing", ["rgb", "ir"])
def test_a_missing_partner_is_absent_and_zero_in_the_size_of_the_other(annotations, augment, missing):
    data = PairDataset(changed(annotations, 2, **{missing: None}), conventions(), augment, 0)
    for epoch in range(4):
        sample = data[epoch, 2]
        lost = 0 if missing == "rgb" else 1
        assert sample.present == tuple(stream != lost for stream in range(2))
        assert not sample.pictures[lost].any()
        assert sample.pictures[0].shape == sample.pictures[1].shape == (3, *sample.size)
        assert sample.pictures[1 - lost].any()


def test_modality_dropout_blanks_one_spectrum_of_a_pair_and_never_the_last(annotations):
    certain = Augment(scales=(48,), modality_dropout=ModalityDropout(rgb=0.5, ir=0.5))
    data = PairDataset(annotations, conventions(), certain, 0)
    seen = {data[epoch, 0].present for epoch in range(20)}
    assert seen == {(True, False), (False, True)}
    assert not data[0, 0].pictures[data[0, 0].present.index(False)].any()
    alone = PairDataset(changed(annotations, 0, rgb=None), conventions(), certain, 0)
    assert {alone[epoch, 0].present for epoch in range(10)} == {(False, True)}
    assert PairDataset(annotations, conventions(("ir",)), certain, 0)[0, 0].present == (True,)


def test_modality_dropout_leaves_geometry_and_colour_as_they_were(annotations):
    with_loss = AUGMENT.model_copy(update={"modality_dropout": ModalityDropout(ir=1.0)})
    whole, lost = (PairDataset(annotations, conventions(), augment, 3)[1, 2] for augment in (AUGMENT, with_loss))
    assert torch.equal(whole.pictures[0], lost.pictures[0])
    assert torch.equal(whole.targets.boxes, lost.targets.boxes)


def test_random_numbers_belong_to_seed_epoch_and_index(annotations):
    data = PairDataset(annotations, conventions(), AUGMENT, 5)
    first = data[3, 2]
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    data[0, 0], data[7, 1]
    assert equal(data[3, 2], first)
    assert equal(PairDataset(annotations, conventions(), AUGMENT, 5)[3, 2], first)
    assert not equal(data[4, 2], first)
    assert not equal(PairDataset(annotations, conventions(), AUGMENT, 6)[3, 2], first)
    assert equal(data[2], data[0, 2])


def test_global_generators_are_left_alone(annotations):
    data = PairDataset(annotations, conventions(), AUGMENT, 5)
    torch.manual_seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    data[1, 2]
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_a_negative_seed_is_a_seed(annotations):
    assert PairDataset(annotations, conventions(), AUGMENT, -1)[0].size


def test_an_rgb_picture_of_another_size_comes_to_the_infrared_grid(annotations):
    path = annotations.examples[0].rgb
    picture = cv2.imread(str(path))
    cv2.imwrite(str(path), cv2.resize(picture, (160, 96)))
    sample = PairDataset(annotations, conventions(), None, 0)[0]
    assert sample.pictures[0].shape == sample.pictures[1].shape
    back = torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1)
    assert (sample.pictures[0].float() - back).abs().mean() < 0.05 * 255


def test_an_infrared_picture_of_another_size_than_annotated_is_an_error(annotations):
    path = annotations.examples[0].ir
    cv2.imwrite(str(path), np.zeros((24, 32), np.uint8))
    with pytest.raises(DatasetError, match=r"ir/000.png is 32x24, but .*train.json says 64x48"):
        PairDataset(annotations, conventions(), None, 0)[0]


def test_deep_infrared_goes_by_the_stored_rule_and_keeps_its_levels(annotations):
    counts = (7000 + np.arange(48 * 64).reshape(48, 64)).astype(np.uint16)
    cv2.imwrite(str(annotations.examples[0].ir), counts)
    sample = PairDataset(annotations, conventions(thermal=RangeRule(low=7000, high=11000)), None, 0)[0]
    torch.testing.assert_close(
        sample.pictures[1][0], torch.from_numpy((counts - 7000.0) / 4000).float(), atol=1e-5, rtol=0
    )
    assert len(sample.pictures[1].unique()) > 256


def test_grey_and_three_channel_infrared_are_the_same(annotations):
    path = annotations.examples[0].ir
    grey = PairDataset(annotations, conventions(), None, 0)[0]
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(path), np.dstack([picture] * 3))
    assert equal(PairDataset(annotations, conventions(), None, 0)[0], grey)


def test_a_truncated_picture_is_an_error_that_names_it_and_its_example(annotations):
    path = annotations.examples[2].rgb
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DatasetError, match=r"example 2: picture .*rgb/002.png"):
        PairDataset(annotations, conventions(), None, 0)[2]


def test_real_pairs_are_read(shared):
    folder = shared / "data" / "flir_layout_fixture"
    path = next(folder.rglob("annotations/*.json"), None)
    if path is None:
        pytest.skip("no FLIR annotations in the CAFF layout")
    split = path.stem
    annotations = read_coco(path, rgb=path.parents[1] / f"{split}_RGB", ir=path.parents[1] / f"{split}_thermal")
    names = tuple(category.name for category in annotations.categories)
    sample = PairDataset(annotations, conventions(classes=names), None, 0)[0]
    assert sample.present == (True, True)
    assert sample.original_size == (512, 640)


def test_fast_pixels_are_about_the_same_with_the_same_boxes(annotations):
    """The same draw; resampled once, in place of twice."""
    fast = AUGMENT.model_copy(update={"pixels": "fast", "photometric": "none"})
    exact = AUGMENT.model_copy(update={"photometric": "none"})
    for epoch in range(6):
        first, second = (PairDataset(annotations, conventions(), one, 0)[epoch, 0] for one in (exact, fast))
        assert first.size == second.size
        assert first.targets.labels.tolist() == second.targets.labels.tolist()
        torch.testing.assert_close(first.targets.boxes, second.targets.boxes, atol=0.03, rtol=0)
        for a, b in zip(first.pictures, second.pictures, strict=True):
            assert (a.float() - b.float()).abs().mean() < 12


def test_large_jpeg_pictures_are_decoded_small_where_that_is_fine_enough(annotations, tmp_path):
    ramp = np.linspace(0, 255, 1600, dtype=np.uint8)[None, :, None].repeat(1200, axis=0).repeat(3, axis=2)
    paths = [tmp_path / "rgb.jpg", tmp_path / "ir.jpg"]
    for path in paths:
        cv2.imwrite(str(path), ramp)
    large = changed(annotations, 0, rgb=paths[0], ir=paths[1], width=1600, height=1200, objects=no_objects())
    fast = Augment(flip=0, crop=0, scales=(120,), pixels="fast")
    data = PairDataset(large, conventions(), fast, 0)
    found = data[0]
    assert found.size == (120, 160)
    assert found.original_size == (1200, 1600)
    for picture in found.pictures:
        assert (picture[0, 60].float() - torch.linspace(0, 255, 160)).abs().max() < 4
    paths[1].unlink()
    cv2.imwrite(str(paths[1]), ramp[:600])
    with pytest.raises(DatasetError, match=r"ir.jpg is 1600x600, but .* says 1600x1200"):
        data[0]


def test_coloured_infrared_pictures_keep_their_channels_in_fast_mode(annotations, tmp_path):
    colours = np.zeros((48, 64, 3), np.uint8)
    colours[..., 2] = 250  # red in OpenCV's order
    cv2.imwrite(str(tmp_path / "ir.jpg"), colours)
    coloured = changed(annotations, 0, ir=tmp_path / "ir.jpg")
    fast = Augment(flip=0, crop=0, scales=(48,), pixels="fast")
    red, green, _ = PairDataset(coloured, conventions(), fast, 0)[0].pictures[1].float().mean(dim=(1, 2)).tolist()
    assert red > 200
    assert green < 50
