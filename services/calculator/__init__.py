"""The lecture's Calculator and NumberService."""
