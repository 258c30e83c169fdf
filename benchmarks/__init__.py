"""Measures alignment, transfer paths and the whole pipeline against peers on the user's own machine and link.

From Python, to see how well a field of motion does on a preset's movie:

```python
from pathlib import Path
from benchmarks.alignment.movies import simulated_movie
from benchmarks.alignment.field_error import error_field, field_error, grid_places, summarised
from benchmarks.alignment.motion_fields import PolynomialField, relion_field, whole_frame_field
from benchmarks.alignment.presets import PRESETS

movie = simulated_movie(PRESETS["small"], seed=0, cache=Path("cache"))  # made once, then reused
movie.path, movie.gain, movie.pixel_size_angstrom, movie.voltage_kv, movie.dose_per_frame_e_per_a2
truth = movie.simulated.truth
field_error(whole_frame_field(movie.height, movie.width, shifts), truth)  # shifts (frames, 2): content's, (y, x)
# FieldError(field_px, whole_frame_px, local_px): root mean squares for each axis
```

Any object with `frame_count` and `displacement(frame_index, y, x) -> (dy, dx)` is a field: what lies at (y, x) of the
micrograph lies at (y + dy, x + dx) of that frame. Polynomials as in `preprocess.geometry.field` are
`PolynomialField(height, width, np.stack([field.y, field.x], axis=1))`. With estimates on the grid of one's own,
`summarised(estimate - truth)` takes arrays (frames, 2, places); `grid_places(height, width)` gives the places,
`true_displacement(truth, frame_index, y, x)` the truth there. `relion_field(star_path)` reads RELION's result.

`cryoferry bench align` measures whole programs, each in a process of its own; see docs/benchmarks.md.
"""
