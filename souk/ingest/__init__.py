"""Data in: raw rows to checked tables, with TensorFlow Data Validation schemas, a quarantine and a report."""
