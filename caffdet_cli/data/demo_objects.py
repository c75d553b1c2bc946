"""What stands in a demo scene: a person, a dog, a car, a road sign, each as one spectrum or both see it.

A drawing happens on three canvases at once: the colours of daylight, the heat that the infrared camera sees, and the
light that shines by itself at night. Which of them an object changes is what makes the demo data set need both cameras:

            RGB by day   RGB by night             IR by day           IR by night
    person  yes          no (dark)                no (warm ground)    yes
    dog     no (fur)     no (dark)                yes                 yes
    car     yes          driving: its lamps       driving: its heat   yes
    sign    yes          yes (reflects)           no (as warm as      no
                                                  what is around)
"""

from numpy.random import Generator

from caffdet_cli.data.demo_canvas import DARK, Brush, Colour, Paint, pick


def person(brush: Brush, rng: Generator, night: bool) -> None:
    """Warm against the cool ground of the night; by day clothes are as warm as the ground."""
    skin, coat, trousers = pick(rng, SKIN), pick(rng, CLOTHES), pick(rng, TROUSERS)
    warmth = int(rng.integers(-10, 11))
    head, chest, leg = (Paint(skin, 238), Paint(coat, 208 + warmth), Paint(trousers, 186 + warmth))
    if not night:
        head, chest, leg = (surface._replace(heat=None) for surface in (head, chest, leg))
    stride = 0.06 + 0.01 * int(rng.integers(0, 7))
    brush.polygon([(-0.10, 0.5), (0.02, 0.5), (-stride + 0.05, 0), (-stride - 0.07, 0)], leg)
    brush.polygon([(-0.02, 0.5), (0.10, 0.5), (stride + 0.08, 0), (stride - 0.05, 0)], leg)
    brush.polygon([(-0.15, 0.80), (-0.08, 0.85), (0.08, 0.85), (0.15, 0.80), (0.11, 0.46), (-0.11, 0.46)], chest)
    brush.polygon([(0.08, 0.83), (0.15, 0.80), (0.19, 0.50), (0.13, 0.48)], chest)
    brush.polygon([(-0.08, 0.83), (-0.15, 0.80), (-0.19, 0.50), (-0.13, 0.48)], chest)
    brush.ellipse((0, 0.92), (0.065, 0.08), head)


def dog(brush: Brush, rng: Generator, night: bool) -> None:
    """Warm at any hour; its fur has the colour of the ground it stands on."""
    red, green, blue = (min(255, max(0, value + int(rng.integers(-3, 4)))) for value in brush.ground())
    fur = Paint((red, green, blue), (205 if night else 226) + int(rng.integers(-8, 9)))
    thin, face = fur._replace(heat=(fur.heat or 0) - 14), fur._replace(heat=(fur.heat or 0) + 18)
    for x in (-0.46, -0.32, 0.22, 0.36):
        brush.rectangle(x - 0.05, 0, x + 0.05, 0.45, thin)
    brush.ellipse((-0.03, 0.55), (0.50, 0.20), fur)
    brush.polygon([(-0.48, 0.55), (-0.66, 0.86), (-0.60, 0.90), (-0.40, 0.66)], thin)
    brush.polygon([(0.28, 0.50), (0.48, 0.52), (0.62, 0.80), (0.42, 0.86)], fur)
    brush.ellipse((0.55, 0.80), (0.15, 0.13), face)
    brush.polygon([(0.62, 0.83), (0.80, 0.76), (0.78, 0.68), (0.60, 0.70)], face)
    brush.polygon([(0.44, 0.86), (0.50, 1.0), (0.58, 0.90)], thin)


def car(brush: Brush, rng: Generator, night: bool) -> None:
    """Seen from the side. A driving one has lamps and a hot bonnet; a parked one is cold at night, unseen by day."""
    driving = bool(rng.random() < 0.5)
    sheet = 44 if night else (None if not driving else 108)
    body, glass = Paint(pick(rng, BODIES), sheet), Paint((58, 72, 84), None if sheet is None else sheet - 22)
    tyre = Paint((26, 26, 28), (196 if night else 222) if driving else sheet)
    engine = body._replace(heat=(226 if night else 244) if driving else sheet)
    brush.polygon([(-1.06, 0.20), (1.06, 0.20), (1.08, 0.44), (1.00, 0.56), (-1.00, 0.60), (-1.07, 0.50)], body)
    brush.polygon([(-0.82, 0.58), (-0.56, 1.0), (0.26, 1.0), (0.60, 0.55)], body)
    brush.polygon([(0.50, 0.30), (1.05, 0.30), (1.06, 0.46), (0.98, 0.56), (0.52, 0.57)], engine)
    brush.polygon([(-0.68, 0.60), (-0.50, 0.92), (-0.16, 0.92), (-0.16, 0.60)], glass)
    brush.polygon([(-0.08, 0.60), (-0.08, 0.92), (0.20, 0.92), (0.46, 0.60)], glass)
    for x in (-0.62, 0.62):
        brush.ellipse((x, 0.19), (0.20, 0.19), tyre)
        brush.ellipse((x, 0.19), (0.09, 0.09), Paint((150, 150, 154), tyre.heat))
    lamps = ((255, 250, 224), (255, 36, 24)) if driving and night else (DARK, DARK)
    brush.rectangle(0.95, 0.38, 1.07, 0.50, Paint((236, 236, 220), engine.heat, lamps[0]))
    brush.rectangle(-1.07, 0.42, -0.98, 0.56, Paint((170, 24, 22), sheet, lamps[1]))


def sign(brush: Brush, rng: Generator, night: bool) -> None:
    """A plate on a post; only the plate counts. It reflects at night and is never warmer than what is around it."""
    share = 200 if night else 256  # of 256
    brush.rectangle(-0.05, -1.7, 0.05, 0.2, Paint((120, 122, 126), None), part=False)

    def plate(colour: Colour) -> Paint:
        red, green, blue = (value * share // 256 for value in colour)
        return Paint(colour, None, (red, green, blue) if night else DARK)

    white = plate((240, 240, 236))
    kind = int(rng.integers(0, 3))
    if kind == 0:  # no entry
        brush.ellipse((0, 0.5), (0.5, 0.5), plate((206, 20, 28)))
        brush.rectangle(-0.34, 0.41, 0.34, 0.59, white)
    elif kind == 1:  # this way
        brush.rectangle(-0.5, 0, 0.5, 1, plate((16, 84, 200)))
        brush.polygon(
            [(-0.34, 0.40), (0.06, 0.40), (0.06, 0.24), (0.38, 0.5), (0.06, 0.76), (0.06, 0.60), (-0.34, 0.60)], white
        )
    else:  # priority road
        brush.polygon([(0, 0), (0.5, 0.5), (0, 1), (-0.5, 0.5)], white)
        brush.polygon([(0, 0.12), (0.38, 0.5), (0, 0.88), (-0.38, 0.5)], plate((250, 196, 16)))


SKIN: tuple[Colour, ...] = ((236, 188, 160), (198, 140, 104), (122, 78, 54))
CLOTHES: tuple[Colour, ...] = (
    (196, 40, 60),
    (30, 60, 150),
    (236, 236, 230),
    (20, 24, 30),
    (226, 120, 30),
    (120, 50, 130),
)
TROUSERS: tuple[Colour, ...] = ((30, 34, 52), (52, 66, 110), (44, 40, 38), (20, 20, 22))
BODIES: tuple[Colour, ...] = (
    (184, 26, 34),
    (228, 230, 232),
    (28, 58, 128),
    (34, 36, 40),
    (160, 166, 172),
    (206, 150, 40),
)
