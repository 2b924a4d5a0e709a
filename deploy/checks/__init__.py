"""What speaks against a deployment before it happens, and what a target wants of the filters that run on it."""
