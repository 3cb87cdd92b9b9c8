"""The pictures that training and evaluation read, with what is known about them."""

from models.data.corrections import Correction, correct, labelled_right, read_corrections
from models.data.pack import Pack, Split, default_data_dir, default_weights_dir, load_pack
from models.data.truth import LABELS, DataError, Picture, Truth

__all__ = [
    "LABELS",
    "Correction",
    "DataError",
    "Pack",
    "Picture",
    "Split",
    "Truth",
    "correct",
    "default_data_dir",
    "default_weights_dir",
    "labelled_right",
    "load_pack",
    "read_corrections",
]
