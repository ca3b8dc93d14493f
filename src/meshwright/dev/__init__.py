"""Stand-ins for the mesh's surroundings on a laptop: each speaks the protocol of the real part."""
