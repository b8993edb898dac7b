"""Encoders on disk, for programs: `find_encoder`, and `Pretrained` for a folder of one's own."""

from mtl.model.find import find_encoder
from mtl.model.pretrained import Pretrained

__all__ = ["Pretrained", "find_encoder"]
