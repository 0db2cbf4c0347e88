"""The business, pure: no input or output, no clock, no randomness, no framework, no floats."""
