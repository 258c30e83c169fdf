"""Movies with faults: what cryoferry and RELION make of each, against the known motion."""
