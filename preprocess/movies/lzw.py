"""TIFF's LZW for a whole frame at once, without Python between its strips.

imagecodecs decodes one strip a call. It releases Python's lock while it decodes, but cameras write up to one strip for
each row, so that a call lasts some 20 µs and much of its time is spent around the decoder. Measured with imagecodecs
2026.3.6 on a simulated K3 frame of 4092 strips: 98 ms of CPU time for its calls, with one thread or two, and 44 ms for
this kernel, which needs one call and holds no lock. TIFF 6.0, section 13.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.compiled_code import compiled

_CLEAR, _END, _FIRST_FREE, _TABLE = 256, 257, 258, 4096
_AT_ONCE = 8


@compiled()
def decode_strips(  # noqa: C901, PLR0912 - one loop, whose state stays in registers
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
    # A code's string is a piece of what is decoded already: where it begins, its length, and its first bytes, which are
    # written with one instruction: most strings are shorter.
    place = np.empty(_TABLE, np.int64)
    length = np.ones(_TABLE, np.int64)
    head = np.arange(_TABLE)
    for strip in range(begins.size):
        read, read_end = begins[strip], begins[strip] + counts[strip]
        written = strip * strip_bytes
        write_end = min(written + strip_bytes, image.size)
        bits, bit_count, width, free = 0, 0, 9, _FIRST_FREE
        last, last_place, last_length = 0, 0, 0
        while written < write_end:
            if bit_count < width:
                if read + 4 <= read_end:
                    four = (int(block[read]) << 24) | (int(block[read + 1]) << 16)
                    four |= (int(block[read + 2]) << 8) | int(block[read + 3])
                    bits = ((bits & 0xFFF) << 32) | four
                    bit_count += 32
                    read += 4
                while bit_count < width and read < read_end:
                    bits = ((bits & 0xFFFFFF) << 8) | int(block[read])
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
                first = head[code if code < free else last] & 0xFF
                place[free], length[free] = last_place, last_length + 1
                head[free] = head[last] if last_length >= _AT_ONCE else head[last] | (first << (8 * last_length))
                free += 1
                if free == (1 << width) - 1 and width < 12:
                    width += 1
            if code >= free:
                return strip
            last, last_place, last_length = code, written, length[code]
            begins_with = head[code]
            if written + _AT_ONCE <= write_end:
                for index in range(_AT_ONCE):  # what is too much is written over by the next strings
                    image[written + index] = (begins_with >> (8 * index)) & 0xFF
            else:
                for index in range(min(last_length, write_end - written)):
                    image[written + index] = (begins_with >> (8 * index)) & 0xFF
            begin = place[code]
            for index in range(_AT_ONCE, min(last_length, write_end - written)):
                image[written + index] = image[begin + index]
            written += last_length
    return -1
