"""Carry medical images from a scanner's folder to the hospital: enciphered, sealed, signed, never lost."""

__version__ = "0.1.0"
