"""The client's side of a call: around each of gRPC's multicallables."""
