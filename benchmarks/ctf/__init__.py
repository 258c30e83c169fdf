"""CTF estimation: what cryoferry and CTFFIND make of micrographs whose defocus is known."""
