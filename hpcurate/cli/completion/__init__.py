"""What the Tab key offers: `hpcurate completion bash|zsh|fish` prints what a shell needs, which then asks hpcurate."""
