"""The files that say what was found about an image's CTF, by role."""

from __future__ import annotations

from preprocess.ctf.estimate import CtfEstimate
from preprocess.ctf.optics import CtfOptics
from preprocess.escaped_names import escaped
from preprocess.outputs.ctf_image import ctf_mrc
from preprocess.outputs.ctf_plot import ctf_png
from preprocess.outputs.ctf_profile import ctf_csv
from preprocess.outputs.ctffind_texts import ctffind_avrot, ctffind_txt
from preprocess.settings import CtfSettings


def ctf_files(estimate: CtfEstimate, optics: CtfOptics, settings: CtfSettings, name: str) -> dict[str, bytes]:
    """Return the content of each file; those of CTFFIND only if they are wanted.

    Parameters
    ----------
    name
        Of the image's file, which CTFFIND's files tell.
    """
    files = {"ctf_spectrum": ctf_mrc(estimate), "ctf_plot": ctf_png(estimate)}
    texts = {"ctf_profile": ctf_csv(estimate.profile)}
    if settings.ctffind_files:
        texts["ctf_text"] = ctffind_txt(estimate, optics, settings, escaped(name))
        texts["ctf_average"] = ctffind_avrot(estimate, optics, settings, escaped(name))
    return files | {role: text.encode("utf-8") for role, text in texts.items()}
