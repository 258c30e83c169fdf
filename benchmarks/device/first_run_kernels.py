"""The kernels that do most of the work, as the first run on a GPU compiles them."""

from __future__ import annotations

_TILES = ((16, 64), (64, 16))

WANTED: list[tuple[str, str, int, dict[str, str | int]]] = [
    ("frames", "hold_frames", 256, {}),
    ("frames", "hold_differences", 256, {}),
    ("frame_sum", "sum_frames", 256, {"FRAME": "u8", "TOTAL": "i32"}),
    ("binning", "bin_frames", 256, {"FRAME": "u8"}),
    ("aligned", "sum_aligned", 256, {"RINGS": 256}),
    ("aligned", "differentiate", 128, {"RINGS": 256}),
    ("patches", "cut_patches", 256, {}),
    ("statistics", "write_half", 256, {}),
    ("tiles", "add_powers", 256, {}),
    ("eer", "eer_walk_pieces", 256, {}),
    ("lzw", "lzw_decode_stretches", 64, {}),
    ("lzw", "lzw_find_stretches", 64, {}),
    ("inflate", "inflate_strips", 64, {}),
    ("nvcomp", "align_strips", 64, {}),
    ("nvcomp", "sum_strips", 32, {}),
    ("nvcomp", "judge_strips", 64, {}),
    *(
        (
            "warp",
            "warp_tiles",
            256,
            {"FRAME": "u8", "SUMS": sums, "POWERS": 6, "TILE_ROWS": rows, "TILE_COLUMNS": columns},
        )
        for sums in (1, 7, 9, 16)
        for rows, columns in _TILES
    ),
]
"""File, kernel, threads in a block, definitions."""
