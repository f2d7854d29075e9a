"""What a run is like: frozen values and pure functions that the verbs render, and later a page and metrics."""
