"""The fingerprint of a data set."""

import dataclasses

from caffdet_cli.data.fingerprint import fingerprint
from caffdet_cli.data.formats.coco import read_coco


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
