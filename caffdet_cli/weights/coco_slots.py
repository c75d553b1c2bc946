"""What the 91 class slots of a detector trained on COCO mean: slot = category id; some ids have no class."""

_NAMES = {
    1: "person bicycle car motorcycle airplane bus train truck boat",
    10: "traffic_light fire_hydrant",
    13: "stop_sign parking_meter bench bird cat dog horse sheep cow elephant bear zebra giraffe",
    27: "backpack umbrella",
    31: "handbag tie suitcase frisbee skis snowboard sports_ball kite baseball_bat baseball_glove skateboard surfboard",
    43: "tennis_racket bottle",
    46: "wine_glass cup fork knife spoon bowl banana apple sandwich orange broccoli carrot hot_dog pizza donut cake",
    62: "chair couch potted_plant bed",
    67: "dining_table",
    70: "toilet",
    72: "tv laptop mouse remote keyboard cell_phone microwave oven toaster sink refrigerator",
    84: "book clock vase scissors teddy_bear hair_drier toothbrush",
}


def coco_slots() -> tuple[str | None, ...]:
    """Name of each of the 91 slots, None where COCO has no class of that id."""
    slots: list[str | None] = [None] * 91
    for first, words in _NAMES.items():
        for slot, word in enumerate(words.split(), start=first):
            slots[slot] = word.replace("_", " ")
    return tuple(slots)
