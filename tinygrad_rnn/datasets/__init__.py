"""Data to train on that needs no download: text that ships with Python, or the user's own files."""

from . import text

__all__ = ["text"]
