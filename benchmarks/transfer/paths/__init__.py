"""The transfer paths that `cryoferry bench transfer` compares, and the ends between which they run."""
