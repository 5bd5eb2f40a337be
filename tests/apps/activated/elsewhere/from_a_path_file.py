NAME = "path-file"
