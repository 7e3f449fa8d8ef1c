"""A stranger's files, read within bounds: JSON, YAML, zips, folders, arrays, pictures. Torch-free."""
