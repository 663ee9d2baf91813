"""What the steps and the server cost, measured."""
