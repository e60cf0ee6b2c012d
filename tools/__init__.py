"""What the developers run: documentation and man pages, made from the code."""
