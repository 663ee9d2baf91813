"""The pipeline steps: one module a step, with a function of its name; paths in, files out."""
