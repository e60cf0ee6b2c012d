"""The recordings of the real kernel code that the engine is held to; a test compares both."""

RECORDINGS = 1120
SHA256 = "4b38ad0a13c8d752a01a0f2bc8bcc35aa3bfb68d5f03f1ad695903df40ac4b0b"
