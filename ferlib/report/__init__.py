"""From notebooks to one HTML and one PDF."""
