"""The plugin's protocols, where Scipion looks for them."""

from .protocol_follow import ProtCryoferryFollow

__all__ = ["ProtCryoferryFollow"]
