"""What a node needs once, for all workers and jobs on it: weights on its own disk."""
