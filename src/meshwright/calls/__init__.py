"""What happens around each call, on both sides: deadline, authorization, trace context, metrics, errors."""
