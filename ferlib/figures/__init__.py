"""Figures. Functions draw and return them; they never load, save or show."""
