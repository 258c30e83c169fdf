"""The commands `cryoferry watch`, `status`, `retry`, `doctor` and `config`: a file for each, its work beside it."""
