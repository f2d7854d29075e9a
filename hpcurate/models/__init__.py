"""Model weights on the driver's side: the registry, the hub, and what lies in the store."""
