"""The chart's setup Job, `python -m meshwright_operator.setup`: makes missing Secrets and checks volumes."""
