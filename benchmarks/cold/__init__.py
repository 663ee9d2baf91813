"""How well the towers do on what training never saw, beside content and item neighbours (docs/models.md)."""
