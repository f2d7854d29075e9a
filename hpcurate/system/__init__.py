"""What the operating system gives: processes, programs, installed versions, failpoints."""
