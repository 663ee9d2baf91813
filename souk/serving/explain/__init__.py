"""Why an item has its score: attributions through both models, for a request or a user, in words."""
