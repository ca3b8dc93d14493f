"""Events between services over NATS: publishing, consuming, reading back, fan-out, and what is measured of it."""
