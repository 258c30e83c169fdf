"""The command `cryoferry align` and its options."""
