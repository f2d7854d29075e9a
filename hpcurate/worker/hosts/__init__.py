"""Where a stage is run: in the worker's process, in a forked one, in one started in another environment."""
