"""The Grafana dashboards of the chart: one module each, made of `panels`."""
