"""What a `Command` is made of before it runs: what it declares, texts with places, files of the project."""
