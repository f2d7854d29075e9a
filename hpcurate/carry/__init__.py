"""A run, carried from one store to another: what an archive holds, how it is written, checked and taken in."""
