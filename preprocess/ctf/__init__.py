"""CTF estimation: from a micrograph's power spectrum to defocus, astigmatism, and how far the fit holds."""
