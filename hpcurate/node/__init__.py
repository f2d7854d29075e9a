"""What a node needs once, for all workers and jobs on it: weights and environments on its own disk."""
