"""Envoys that ask the hub themselves: over REST, over gRPC, or by files that somebody carries to them."""
