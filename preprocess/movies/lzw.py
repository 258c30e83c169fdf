"""TIFF's LZW for a whole frame at once, without Python between its strips.

imagecodecs decodes one strip a call. Cameras write up to a strip for each row, and then two threads that take turns at
Python's lock are slower than one (measured: K3, 4092 strips a frame). TIFF 6.0, section 13.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_CLEAR, _END, _FIRST_FREE, _TABLE = 256, 257, 258, 4096


@numba.njit(nogil=True, cache=True)
def decode_strips(
    block: NDArray[np.uint8],
    begins: NDArray[np.int64],
    counts: NDArray[np.int64],
    image: NDArray[np.uint8],
    strip_bytes: int,
) -> Any:
    """Decode strips into their places in `image` (its bytes, flat); return the first corrupt strip's index, or -1.

    Strip i lies in `block` from begins[i], counts[i] bytes long, and fills `strip_bytes` of the image (the last one
    what is left). A strip may hold more than that, which is left out, and must not hold less.
    """
    # A code's string is a piece of what is decoded already: where it begins, and its length.
    place = np.empty(_TABLE, np.int64)
    length = np.empty(_TABLE, np.int64)
    for strip in range(begins.size):
        read, read_end = begins[strip], begins[strip] + counts[strip]
        written = strip * strip_bytes
        write_end = min(written + strip_bytes, image.size)
        bits, bit_count, width, free = 0, 0, 9, _FIRST_FREE
        last_place, last_length = 0, 0
        while written < write_end:
            while bit_count < width and read < read_end:
                bits = ((bits << 8) | block[read]) & 0xFFFFFFFF
                bit_count += 8
                read += 1
            if bit_count < width:
                return strip
            bit_count -= width
            code = (bits >> bit_count) & ((1 << width) - 1)
            if code == _CLEAR:
                width, free, last_length = 9, _FIRST_FREE, 0
                continue
            if code == _END:
                return strip
            if last_length and free < _TABLE:
                # The last string and the byte after it, which is the first of the string that comes now.
                place[free], length[free] = last_place, last_length + 1
                free += 1
                if free == (1 << width) - 1 and width < 12:
                    width += 1
            if code < _CLEAR:
                last_length = 1
                image[written] = code
            elif code < free:
                begin, last_length = place[code], length[code]
                for index in range(min(last_length, write_end - written)):
                    image[written + index] = image[begin + index]
            else:
                return strip
            last_place = written
            written += last_length
    return -1
