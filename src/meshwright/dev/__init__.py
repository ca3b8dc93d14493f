"""Development servers for a laptop: each speaks the protocol of the real part."""
