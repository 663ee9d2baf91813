"""The build_features stage: Apache Beam cuts histories into training tables, TensorFlow Transform learns how raw
features become numbers. `souk.state.features_at` defines the features; nothing here does."""
