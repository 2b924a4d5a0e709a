"""`make bench`: the hub beside another registry and beside the ceiling of its own server, in one run on one machine."""
