"""Says that structure is fixed to the camera, what was done about it, and what to do."""

from __future__ import annotations

from preprocess.alignment.fixed_structure import FixedStructure
from preprocess.movie_warning import MovieWarning


def fixed_structure_warnings(fixed: FixedStructure | None) -> list[MovieWarning]:
    """Return the warning about structure that is fixed to the camera, if there is such structure."""
    if fixed is None:
        return []
    text = (
        "the frames hold structure that is fixed to the camera (pixel gains without a gain reference, the edge of the"
        " beam, an aperture or a grid bar); it was found and left out of the estimate of motion, which follows the"
        " specimen. The micrograph still shows it, smeared along the motion: give a gain reference if there was none"
    )
    found = [MovieWarning("fixed-structure", text)]
    if not fixed.reliable:
        text = (
            "little of the specimen's motion can be seen beside the structure that is fixed to the camera: the measured"
            " shifts are not reliable. Look at the motion plot before you use the micrograph"
        )
        found.append(MovieWarning("motion-unsure", text))
    return found
