"""What apps/library imports."""
VALUE = b"found"
