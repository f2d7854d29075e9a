"""What a server of ours is made of: who may come in, where it listens, what it pushes, what it takes up."""
