"""STEM_ctf.csv: a table that any program reads."""

import csv
import io
from dataclasses import replace

import numpy as np

from preprocess.outputs.ctf_profile import COLUMNS, ctf_csv
from tests.ctf_estimates import estimate_of


def test_it_holds_the_profile():
    profile = estimate_of().profile
    table = np.genfromtxt(io.StringIO(ctf_csv(profile)), delimiter=",", names=True)
    assert table.dtype.names == COLUMNS
    for name in COLUMNS:
        np.testing.assert_allclose(table[name], getattr(profile, name), rtol=1e-5)


def test_a_value_that_is_no_number_is_empty():
    profile = estimate_of().profile
    agreement = profile.agreement.copy()
    agreement[1] = np.nan
    rows = list(csv.DictReader(io.StringIO(ctf_csv(replace(profile, agreement=agreement)))))
    assert rows[1]["agreement"] == ""
    assert float(rows[2]["agreement"]) == 1
