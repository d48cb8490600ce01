"""Photos, films and cameras: faces found, classified, followed. Needs no TensorFlow and no pandas."""
