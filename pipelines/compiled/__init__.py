"""The compiled pipelines (golden, made by `make compile`); installed as `souk.compiled`."""
