"""What the text in a TIFF file's first page says about its images: ImageJ's and tifffile's."""

from __future__ import annotations

import json
import math
import re

_IMAGEJ_IMAGES = re.compile(r"^images=(\d{1,9})\s*$", re.MULTILINE)
_IMAGEJ_SIGNED = re.compile(r"^c0=-32768(\.0*)?\s*$", re.MULTILINE)


def named_image_count(description: str, value_count: int) -> int:
    """Return how many images of so many values the description says the file has; 0 where it says nothing.

    ImageJ writes one header for all images of a stack, and their number into its description; tifffile may do so too,
    with the shape of the whole stack.
    """
    if description.startswith("ImageJ="):
        found = _IMAGEJ_IMAGES.search(description)
        return int(found[1]) if found else 0
    if not description.startswith('{"shape":'):
        return 0
    try:
        shape = json.loads(description.rstrip("\0 "))["shape"]
        images, rest = divmod(math.prod(int(length) for length in shape), value_count)
    except (ValueError, TypeError, ZeroDivisionError):
        return 0
    return images if rest == 0 and images > 0 else 0


def is_32768_added(description: str) -> bool:
    """Tell whether signed 16-bit values were written as unsigned ones, by ImageJ's calibration."""
    return description.startswith("ImageJ=") and _IMAGEJ_SIGNED.search(description) is not None
