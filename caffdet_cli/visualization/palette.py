"""One colour per class name: the same in every picture, run and data set."""

import zlib

Colour = tuple[int, int, int]  # red, green, blue

INK: Colour = (24, 24, 28)
PAPER: Colour = (255, 255, 255)

# The colours of Okabe and Ito ("Color Universal Design", 2008) without black, and three that colour-blind eyes tell
# from them by lightness.
PALETTE: tuple[Colour, ...] = (
    (153, 153, 51),  # olive
    (86, 180, 233),  # sky blue
    (221, 221, 221),  # light grey
    (230, 159, 0),  # orange
    (204, 102, 119),  # rose
    (240, 228, 66),  # yellow
    (204, 121, 167),  # purple
    (0, 114, 178),  # blue
    (0, 158, 115),  # green
    (213, 94, 0),  # vermilion
)

# Chosen so that the classes of each usual RGB-infrared data set (LLVIP, FLIR, KAIST, M3FD, DroneVehicle, VEDAI,
# MSRS, demo) get different colours.
_SALT = 29503


def colour_of(name: str) -> Colour:
    """The colour of a class; upper and lower case count as one."""
    return PALETTE[zlib.crc32(name.strip().casefold().encode("utf-8", "replace"), _SALT) % len(PALETTE)]


def text_colour_on(background: Colour) -> Colour:
    """Black or white, whichever is easier to read on `background`."""
    red, green, blue = background
    return INK if 299 * red + 587 * green + 114 * blue > 110_000 else PAPER
