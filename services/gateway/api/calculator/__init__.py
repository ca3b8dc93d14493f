"""The calculator over REST."""
