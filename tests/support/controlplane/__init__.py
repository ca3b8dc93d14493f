"""The control plane and each of its halves: what it follows, what it translates, how it speaks ADS."""
