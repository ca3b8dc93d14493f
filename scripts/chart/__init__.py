"""What is written once about the chart, for scripts/make_chart.py."""
