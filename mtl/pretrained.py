"""Encoders on disk, for programs: `find_encoder`, and `Pretrained` for a folder of one's own."""

from mtl.model.pretrained import Pretrained, find_encoder

__all__ = ["Pretrained", "find_encoder"]
