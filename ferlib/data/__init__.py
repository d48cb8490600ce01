"""FER-2013 from a file to three splits of images, its audit, and the votes of ten people."""
