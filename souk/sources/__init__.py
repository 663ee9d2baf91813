"""What candidates come from beside the towers: arrays of the release, and the scores that they give (numpy only)."""
