"""Signs that the config reads accepted rows wrongly: told, and no row is refused for them."""
