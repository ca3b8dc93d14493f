"""What tests of several folders share: rooms by what they are about, and the few modules that every room uses."""
