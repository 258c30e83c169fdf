"""Scipion plugin of cryoferry: micrographs that a receiver commits appear in a live project."""

import pwem

__version__ = "0.5.0"
_references = []


class Plugin(pwem.Plugin):
    """The plugin needs no program and no variable of its own."""

    @classmethod
    def _defineVariables(cls):
        pass

    @classmethod
    def getEnviron(cls):
        """Return None: nothing runs outside Scipion's interpreter."""
        return

    @classmethod
    def isVersionActive(cls):
        """Return True: there is one version."""
        return True

    @classmethod
    def defineBinaries(cls, env):
        """Define none."""
