"""Things to try the hub with: the demo, and filters to push."""
