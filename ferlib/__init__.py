"""Facial-expression recognition with FER-2013: the library behind the report."""

__version__ = "0.1.0"
