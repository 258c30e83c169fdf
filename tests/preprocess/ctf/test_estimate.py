"""What CTF estimation finds: figures that follow from others."""

from __future__ import annotations

import dataclasses

import numpy as np

from preprocess.ctf.estimate import CtfEstimate, IceFigures, RadialProfile


def test_mean_defocus_and_astigmatism_follow_from_u_and_v() -> None:
    nothing = np.zeros(4)
    values = dict.fromkeys((field.name for field in dataclasses.fields(CtfEstimate)), 0)
    estimate = CtfEstimate(
        **values
        | {
            "defocus_u_angstrom": 12_500.0,
            "defocus_v_angstrom": 11_500.0,
            "ice": IceFigures(ring_density=None, relative_thickness=None, iciness=None),
            "profile": RadialProfile(**dict.fromkeys((f.name for f in dataclasses.fields(RadialProfile)), nothing)),
        }
    )
    assert estimate.mean_defocus_angstrom == 12_000
    assert estimate.astigmatism_angstrom == 1000
