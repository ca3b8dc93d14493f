"""What `make bench` runs. Every figure is taken side by side with what it is compared to, in one run."""
