"""From what was typed to a request: overrides, composition, settings."""
